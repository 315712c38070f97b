"""Policies with a hedge, and providers that answer when a test lets them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.core.support import ONCE, policy

from ringfence import AsyncAssistant, Policy
from ringfence.grant import Grant
from ringfence.policy.document import Budget, Document, FlowRule, Hedge, Overflow
from ringfence.policy.policy import enforce
from ringfence.provider import Plan
from ringfence.receipt import Receipt
from ringfence.response import ProviderEvent
from ringfence.testing import Script, ScriptedProvider, text_events

AT_ONCE, NEVER = 0, 600


def hedging(
    *names: str,
    to: Sequence[str] = ("rented",),
    after_s: int = AT_ONCE,
    overflow: Sequence[str] = (),
    budgets: tuple[Budget, ...] = (),
    **how: Any,
) -> Policy:
    """The policy of `policy_text` whose route prefers what it names, less hedge and overflow."""
    names = names or ("own", "rented", "mlx")
    fallback = tuple(how.pop("fallback", ("mlx",) if "mlx" in names else ()))
    prefer = how.pop("prefer", [name for name in names if name not in {*to, *overflow, *fallback}])
    document = policy(*names, prefer=prefer, fallback=fallback, **how).document
    hedged = replace(
        document.route[0],
        hedge=Hedge(to=tuple(to), after_s=after_s),
        overflow=Overflow(to=tuple(overflow), over=0.8) if overflow else None,
    )
    return enforced(replace(document, route=(hedged,), budgets=budgets))


def enforced(document: Document) -> Policy:
    return enforce(document, source="test", name="hedged")


def denying(given: Policy, label: str, *to: str) -> Policy:
    rule = FlowRule(id="denied", effect="deny", labels=frozenset({label}), to=frozenset(to))
    return enforced(replace(given.document, flow=(*given.document.flow, rule)))


class Gated(ScriptedProvider):
    """Says nothing before `go` is set; `asked` is set when it was sent to, `ended` when its run is over."""

    cancelled: int

    def __init__(self, answer: str = "", *, error: BaseException | None = None, **how: Any) -> None:
        super().__init__(**how)
        self._script = Script(events=text_events(answer) if answer else (), error=error)
        self.asked, self.go, self.ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def run(self, plan: Plan[object], grant: Grant) -> AsyncGenerator[ProviderEvent, None]:
        grant.spend(plan.request)
        grant.connected = True
        self.requests.append(plan.request)
        self.grants.append(grant)
        self.asked.set()
        try:
            await self.go.wait()
            for event in self._script.events:
                yield event
            if self._script.error is not None:
                raise self._script.error
        except (GeneratorExit, asyncio.CancelledError):
            self.cancelled += 1
            raise
        finally:
            self.ended.set()


def tried(receipt: Receipt) -> list[tuple[str, str | None]]:
    """The recipients of a receipt, each with what ended it."""
    return [(one.recipient, one.error) for one in receipt.attempts]


def assistant(given: Policy, audit: Path | bool = False, *, retry: Any = ONCE, **providers: Any) -> AsyncAssistant:
    how = {name: providers.pop(name) for name in ("consent", "timeouts") if name in providers}
    return AsyncAssistant(given, providers=providers, audit=audit, retry=retry, **how)
