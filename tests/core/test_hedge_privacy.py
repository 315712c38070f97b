"""Hedging and privacy: each recipient gets what is redacted for it, and no two legs use the vault at once."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Generator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import pytest
from tests.core.hedge_support import Gated, assistant, enforced, hedging, tried
from tests.core.support import ONCE, Acting

from ringfence import Assistant, Policy, Timeouts
from ringfence.grant import Grant
from ringfence.policy import read_policy
from ringfence.privacy.gate import Gate
from ringfence.privacy.material import request_texts
from ringfence.provider import Plan
from ringfence.request import Request
from ringfence.response import ProviderEvent
from ringfence.testing import text_events

ADDRESS = "anna@example.com"
PROMPT = f"Write to {ADDRESS} now."


def redacting_for(*names: str) -> Policy:
    """A policy that hedges from `own` to `rented` at once, and redacts for `names`."""
    rules = (
        f"  - {{id: {name}, allow: {{labels: '*', to: [{name}]}}{', redact: pseudonym' if name in names else ''}}}\n"
        for name in ("own", "rented")
    )
    given = read_policy(
        "version: 1\nname: redacting\n"
        "recipients:\n"
        "  own: {ring: house, provider: own, model: m}\n"
        "  rented: {ring: house, provider: rented, model: m}\n"
        "labels: {public: {}, contact: {detect: [email]}, unclassified: {}}\n"
        "unknown: unclassified\nclean: public\n"
        f"flow:\n{''.join(rules)}"
        "route:\n  - {id: only, prefer: [own], hedge: {to: [rented], after: 1s}}\n"
    )
    route = given.document.route[0]
    assert route.hedge is not None
    return enforced(replace(given.document, route=(replace(route, hedge=replace(route.hedge, after_s=0)),)))


def said(request: Request) -> str:
    return "\n".join(request_texts(request))


async def echo(plan: Plan[object], grant: Grant) -> AsyncGenerator[ProviderEvent, None]:
    """Answers with what it was sent."""
    grant.spend(plan.request)
    for event in text_events(said(plan.request)):
        yield event


@pytest.mark.parametrize("redacted", ["own", "rented"])
async def test_each_leg_is_redacted_for_its_own_recipient(redacted: str) -> None:
    own, rented = Gated("own"), Acting(echo)
    async with assistant(redacting_for(redacted), own=own, rented=rented) as it:
        answer = await it.respond(PROMPT)
    sent = {"own": said(own.requests[0]), "rented": said(rented.requests[0])}
    assert {name for name, text in sent.items() if ADDRESS not in text} == {redacted}
    assert ADDRESS in answer.text, "what the hedge was told in placeholders is restored"
    assert answer.receipt.redactions == ({"contact": 1} if redacted == "rented" else {})


async def test_the_receipt_tells_of_the_one_that_answered_also_if_it_was_sent_to_first() -> None:
    own, rented = Gated("own"), Gated("rented")
    async with assistant(redacting_for("rented"), own=own, rented=rented) as it:
        asking = asyncio.ensure_future(it.respond(PROMPT))
        await rented.asked.wait()
        own.go.set()
        receipt = (await asking).receipt
    assert (receipt.recipient, receipt.redactions) == ("own", {})
    assert tried(receipt) == [("rented", "beaten"), ("own", None)]


@contextmanager
def preparing_slowly(began: threading.Event, go_on: threading.Event, slow: str = "rented") -> Generator[list[str]]:
    """The thread that prepares for `slow` waits; yields what has happened since it began."""
    happened: list[str] = []
    prepare = Gate.prepare

    def slowly(gate: Gate, cleared: Any, recipient: str, vault: Any = None) -> Any:
        if recipient == slow:
            began.set()
            assert go_on.wait(10)
            happened.append("prepared")
        elif began.is_set():
            happened.append(f"prepared for {recipient}")
        return prepare(gate, cleared, recipient, vault)

    with patch.object(Gate, "prepare", slowly), patch.object(Gate, "prepares_long", return_value=True):
        yield happened


async def test_nothing_of_an_answer_is_restored_while_a_thread_redacts_for_another() -> None:
    """A vault is no place for two at once: a placeholder could come to stand for two values."""
    began, go_on = threading.Event(), threading.Event()
    own, rented = Gated("own"), Gated("rented")
    with preparing_slowly(began, go_on) as happened:
        async with assistant(redacting_for("rented"), own=own, rented=rented) as it:

            async def ask() -> None:
                async with it.stream(PROMPT) as stream:
                    async for event in stream:
                        happened.append(event.type)

            asking = asyncio.ensure_future(ask())
            assert await asyncio.to_thread(began.wait, 10)
            own.go.set()
            await asyncio.sleep(0.05)
            assert happened == []
            go_on.set()
            await asking
    assert happened[:2] == ["prepared", "text_start"]
    assert rented.requests == []


def three(route: str) -> Policy:
    """A policy with three recipients, all of which are sent placeholders."""
    names = ("own", "rented", "third")
    given = read_policy(
        "version: 1\nname: redacting\nrecipients:\n"
        + "".join(f"  {name}: {{ring: house, provider: {name}, model: m}}\n" for name in names)
        + "labels: {public: {}, contact: {detect: [email]}, unclassified: {}}\n"
        "unknown: unclassified\nclean: public\n"
        "flow:\n  - {id: all, allow: {labels: '*', to: [house]}, redact: pseudonym}\n"
        f"route:\n  - {{id: only, prefer: [own], {route}}}\n"
    )
    rule = given.document.route[0]
    hedge = None if rule.hedge is None else replace(rule.hedge, after_s=0)
    return enforced(replace(given.document, route=(replace(rule, hedge=hedge),)))


WAYS: dict[str, tuple[str, str, str]] = {
    "a hedge and the next": ("hedge: {to: [rented, third], after: 1s}", "rented", "third"),
    "a hedge and the first": ("hedge: {to: [rented, third], after: 1s}", "rented", "own"),
    "a fallback": ("fallback: [third]", "own", "third"),
}


@pytest.mark.parametrize(("route", "slow", "answers"), WAYS.values(), ids=WAYS)
async def test_a_thread_that_redacts_too_long_is_waited_for_before_the_vault_is_used_again(
    route: str, slow: str, answers: str
) -> None:
    began, go_on = threading.Event(), threading.Event()
    providers: dict[str, Any] = {name: Gated(name) for name in ("own", "rented", "third")}
    with preparing_slowly(began, go_on, slow) as happened:
        async with assistant(three(route), timeouts=Timeouts(connect_s=0.6), **providers) as it:

            async def ask() -> None:
                async with it.stream(PROMPT) as stream:
                    async for event in stream:
                        happened.append(event.type)

            asking = asyncio.ensure_future(ask())
            assert await asyncio.to_thread(began.wait, 10)
            await asyncio.sleep(0.7)
            providers[answers].go.set()
            await asyncio.sleep(0.05)
            assert happened == [], "it has timed out, and its thread is not done"
            go_on.set()
            await asking
    assert happened[0] == "prepared"
    assert happened[-1] == "finish"
    assert providers[slow].requests == []


async def test_a_request_that_is_cancelled_ends_after_the_thread_that_redacts() -> None:
    began, go_on = threading.Event(), threading.Event()
    own, rented = Gated("own"), Gated("rented")
    with preparing_slowly(began, go_on) as happened:
        async with assistant(redacting_for("rented"), own=own, rented=rented) as it:
            asking = asyncio.ensure_future(it.respond(PROMPT))
            asking.add_done_callback(lambda _: happened.append("ended"))
            assert await asyncio.to_thread(began.wait, 10)
            asking.cancel()
            await asyncio.sleep(0.05)
            assert happened == []
            go_on.set()
            with pytest.raises(asyncio.CancelledError):
                await asking
    assert happened == ["prepared", "ended"]
    assert rented.requests == []


def test_the_face_without_await_hedges_too() -> None:
    own, rented = Gated("own"), Gated("rented")
    rented.go.set()
    with Assistant(hedging("own", "rented"), providers={"own": own, "rented": rented}, audit=False, retry=ONCE) as it:
        answer = it.respond("hello")
        with it.stream("hello") as stream:
            assert "".join(getattr(event, "text", "") for event in stream) == "rented"
    assert tried(answer.receipt) == [("own", "beaten"), ("rented", None)]
    assert own.cancelled == 2
