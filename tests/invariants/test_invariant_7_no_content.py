"""Invariant 7: no content in errors, causes, `repr`, logs or receipts, whatever a plugin raises and wherever.

`tests/canary` looks in more places, files and the environment among them, for more kinds of content.
"""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.support import CANARY, ONCE, assistant, policy, shown
from tests.invariants.support import law, run

from ringfence.errors import Overloaded, RingfenceError, StreamBroken
from ringfence.grant import Grant
from ringfence.provider import Availability, ModelCard, Plan, ProviderContext
from ringfence.recipient import Recipient
from ringfence.request import Request
from ringfence.response import ProviderEvent
from ringfence.testing import ScriptedProvider, text_events


class Told(Exception):
    def __init__(self, request: str) -> None:
        super().__init__({"prompt": request})
        self.request = request
        self.add_note(f"while it was asked {request}")

    def __str__(self) -> str:
        return f"no answer to {self.request}"


_LEAVES: tuple[Callable[[], Exception], ...] = (
    lambda: Told(CANARY),
    lambda: ValueError(CANARY),
    lambda: KeyError(CANARY),
    lambda: OSError(5, "failed", CANARY),
    lambda: UnicodeDecodeError("utf-8", CANARY.encode(), 0, 1, CANARY),
    lambda: StopIteration(CANARY),
    lambda: StreamBroken("cut"),
    lambda: Overloaded("full"),
)
leaves = st.sampled_from(_LEAVES)


def hung(error: Exception, how: str, other: Exception) -> Exception:
    match how:
        case "cause":
            error.__cause__ = other
        case "context":
            error.__context__ = other
        case "group":
            return ExceptionGroup(CANARY, [error, other])
        case _:
            pass
    return error


def _made(make: Callable[[], Exception], how: str, other: Callable[[], Exception]) -> Exception:
    return hung(make(), how, other())


errors = st.builds(
    _made,
    leaves,
    st.sampled_from(("alone", "cause", "context", "group")),
    leaves,
)
PLACES = (
    "open",
    "availability",
    "card",
    "plan",
    "run",
    "after spending",
    "after a piece",
    "while it ends",
    "price_usd",
)


class Raising(ScriptedProvider):
    """Raises at one place."""

    def __init__(self, place: str, error: Exception) -> None:
        super().__init__()
        self._place, self._error = place, error

    def _at(self, place: str) -> None:
        if place == self._place:
            raise self._error

    async def open(self, context: ProviderContext) -> None:
        self._at("open")
        await super().open(context)

    async def availability(self, recipient: Recipient) -> Availability:
        self._at("availability")
        return await super().availability(recipient)

    async def card(self, recipient: Recipient) -> ModelCard:
        self._at("card")
        return await super().card(recipient)

    def plan(self, request: Request, recipient: Recipient, card: ModelCard) -> Plan[object]:
        self._at("plan")
        return super().plan(request, recipient, card)

    def price_usd(self, recipient: Recipient, usage: Any) -> float | None:
        self._at("price_usd")
        return 0.0

    async def run(self, plan: Plan[object], grant: Grant) -> AsyncGenerator[ProviderEvent, None]:
        self._at("run")
        grant.spend(plan.request)
        self._at("after spending")
        try:
            for event in text_events("Hel", "lo"):
                yield event
                self._at("after a piece")
        finally:
            self._at("while it ends")


@law(50)
@given(place=st.sampled_from(PLACES), error=errors, close=st.booleans())
def test_invariant_7_nothing_shows_what_a_plugin_raised(
    place: str,
    error: Exception,
    close: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.clear()
    told: list[str] = []

    async def ask() -> None:
        async with assistant(policy("first"), retry=ONCE, first=Raising(place, error)) as it:
            stream = it.stream(CANARY)
            try:
                async with stream:
                    async for _ in stream:
                        if close:
                            break
            except RingfenceError as caught:
                told.append(shown(caught))
            with suppress(RingfenceError):
                told.append(repr(await stream.response()))
            told.extend((repr(stream), repr(it)))
            if stream.receipt is not None:
                told.extend((repr(stream.receipt), json.dumps(stream.receipt.as_dict())))

    with caplog.at_level(logging.DEBUG):
        run(ask())
    for record in caplog.records:
        told.append(f"{record.getMessage()} {vars(record)!r} {logging.Formatter().format(record)}")  # noqa: PERF401
    assert not any(CANARY in one for one in told)
