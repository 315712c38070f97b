"""Rules on grants and on ending: nothing is sent without one, and closing reaches the backend (invariants 4 and 8)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing

import pytest

from ringfence.errors import Closed, GateError, ProviderError
from ringfence.provider import Embeds
from ringfence.request import Settings
from ringfence.testing.kit.base import Subject, needs_backend
from ringfence.testing.kit.expect import expect, fail, named
from ringfence.testing.kit.opened import Opened, Outcome, Ready
from ringfence.testing.kit.rules.media import scene_for
from ringfence.testing.scenes import Scene

CLOSE_S = 0.25
"""The bar of the interface: how long closing may take, here and until the backend knows."""

_ATTEMPTS = 3
"""A busy machine can be late once; a provider that holds on is late each time."""

_LONG = Scene(text=("word ",) * 400, chunk_delay_s=0.03)


class GrantRules(Subject):
    """No bytes without a grant, and none after the end."""

    @pytest.mark.parametrize("state", ["spent", "revoked", "for another request"])
    def test_nothing_is_sent_without_a_live_grant(self, state: str) -> None:
        """A grant that is spent, revoked or another request's raises GateError, and nothing was sent."""
        for kind in self.bench.kinds():
            self.bench.play(scene_for(kind))
            raised = self.bench.run(self._kit_without(kind, state))
            expect(not self.bench.seen(), f"a request for {kind} was sent under a grant that is {state}")
            expect(isinstance(raised, GateError), f"{kind} under a grant that is {state} raised {named(raised)}")

    async def _kit_without(self, kind: str, state: str) -> BaseException | None:
        found = await self.bench.opened()
        ready, other = [await found.ready(self.bench.asking(kind=kind), kind) for _ in range(2)]
        match state:
            case "spent":
                ready.grant.spend(ready.plan.request)
            case "revoked":
                ready.grant.revoke()
            case _:
                ready = Ready(plan=ready.plan, grant=other.grant, recipient=ready.recipient)
        try:
            await self._kit_first(found, ready)
        except Exception as error:  # noqa: BLE001  (the rule judges it)
            return error
        finally:
            ready.grant.revoke()
        return None

    async def _kit_first(self, found: Opened, ready: Ready) -> None:
        """The first event, or the vectors."""
        if ready.plan.request.task == "embed" and isinstance(found.provider, Embeds):
            await found.provider.embed(ready.plan, ready.grant)
            return
        async with aclosing(found.provider.run(ready.plan, ready.grant)) as run:
            async for _ in run:
                return

    def test_a_grant_is_spent_before_anything_else(self) -> None:
        """When the first event comes, the grant is spent and the backend has the request."""
        for kind in self.bench.kinds():
            outcome = self.bench.answer(self.bench.asking(kind=kind), scene_for(kind), kind=kind)
            expect(outcome.grant is not None and outcome.grant.spent, f"{kind} was answered without spending its grant")
            if self.bench.backend is not None:
                expect(len(outcome.seen) == 1, f"{kind} took {len(outcome.seen)} requests under one grant")

    # ------------------------------------------------------------------ ending
    def test_closing_a_run_is_prompt(self) -> None:
        """`aclose()` of a run returns within 250 ms."""

        async def closed() -> float:
            found = await self.bench.opened()
            ready = await found.ready(self.bench.asking())
            run = found.provider.run(ready.plan, ready.grant)
            await anext(run)
            began = time.monotonic()
            await run.aclose()
            took_s = time.monotonic() - began
            ready.grant.revoke()
            return took_s

        self.bench.play(_LONG)
        self._kit_within_the_bar(lambda: self.bench.run(closed()), "aclose() took")

    @needs_backend
    @pytest.mark.parametrize("how", ["aclose", "cancelled", "cancelled before the first byte"])
    def test_ending_a_run_reaches_the_backend(self, how: str) -> None:
        """Closing a run, or cancelling its task, ends the request at the backend within 250 ms."""
        early = how == "cancelled before the first byte"
        scene = Scene(first_byte_delay_s=30) if early else _LONG

        def lag_s() -> float:
            self.bench.play(scene)
            work = self._kit_cancelled(early=early) if how.startswith("cancelled") else self._kit_closed()
            sent, ended = self.bench.run(work)
            seen = self.bench.wait_for(
                lambda seen: bool(seen) and seen[-1].disconnected_s is not None,
                "the run was ended, and the backend never saw its client go",
            )
            # The request arrived after `sent`, so this is what it took at least.
            return sent + (seen[-1].disconnected_s or 0.0) - ended

        self._kit_within_the_bar(lag_s, "the backend saw its client go after")

    def _kit_within_the_bar(self, measure: Callable[[], float], what: str) -> None:
        took_s = CLOSE_S
        for _ in range(_ATTEMPTS):
            took_s = measure()
            if took_s <= CLOSE_S:
                return
        fail(f"{what} {took_s * 1000:.0f} ms, and {CLOSE_S * 1000:.0f} ms is the bar")

    async def _kit_closed(self) -> tuple[float, float]:
        """Closes a run after its first event; when it was begun, and when its closing began."""
        found = await self.bench.opened()
        ready = await found.ready(self.bench.asking())
        run = found.provider.run(ready.plan, ready.grant)
        sent = time.monotonic()
        await anext(run)
        ended = time.monotonic()
        await run.aclose()
        ready.grant.revoke()
        return sent, ended

    async def _kit_cancelled(self, *, early: bool) -> tuple[float, float]:
        """Cancels the task of a run: once an event came, or, `early`, once the backend has the request."""
        found = await self.bench.opened()
        ready = await found.ready(self.bench.asking())
        outcome = Outcome()
        sent = time.monotonic()
        task = asyncio.ensure_future(found.finish(ready, outcome))
        await _until(lambda: bool(self.bench.seen()) if early else bool(outcome.events), task)
        ended = time.monotonic()
        task.cancel()
        (result,) = await asyncio.gather(task, return_exceptions=True)
        expect(isinstance(result, asyncio.CancelledError), f"a cancelled run ended in {named(result)}")
        return sent, ended

    def test_closing_the_provider_ends_what_runs(self) -> None:
        """`close()` ends running requests with `Closed` or another typed error, at once; a second one does nothing."""
        self.bench.play(_LONG)
        self.bench.run(self._kit_close_while_running())

    async def _kit_close_while_running(self) -> None:
        async with self.bench.new() as found:
            ready = await found.ready(self.bench.asking(settings=Settings()))
            outcome = Outcome()
            task = asyncio.ensure_future(found.finish(ready, outcome))
            await _until(lambda: bool(outcome.events), task)
            await _in_time(found.provider.close, "close()")
            await asyncio.wait({task}, timeout=5)
            if not task.done():
                task.cancel()
                fail("a run went on after the provider was closed")
            (result,) = await asyncio.gather(task, return_exceptions=True)
            ended = result is None and self.bench.backend is None
            fine = ended or isinstance(result, Closed | ProviderError)
            expect(fine, f"a run ended in {named(result)} when its provider was closed")
            await _in_time(found.provider.close, "a second close()")

    def test_a_closed_provider_sends_nothing(self) -> None:
        """After `close()`, a run raises `Closed` or another typed error, and nothing is sent."""

        async def asked() -> BaseException | None:
            async with self.bench.new() as found:
                ready = await found.ready(self.bench.asking())
                await found.provider.close()
                try:
                    await self._kit_first(found, ready)
                except Exception as error:  # noqa: BLE001  (the rule judges it)
                    return error
                return None

        self.bench.play(Scene())
        raised = self.bench.run(asked())
        expect(not self.bench.seen(), "a closed provider sent something")
        if self.bench.backend is not None or raised is not None:
            expect(isinstance(raised, Closed | ProviderError), f"a closed provider raised {named(raised)}")


async def _until(holds: Callable[[], bool], task: asyncio.Task[None]) -> None:
    """Waits until it `holds`, or the task is over."""
    until = time.monotonic() + 30
    while not holds() and not task.done() and time.monotonic() < until:  # noqa: ASYNC110  (a backend tells nobody)
        await asyncio.sleep(0.002)
    if task.done() and task.exception() is not None:
        await task


async def _in_time(close: Callable[[], Awaitable[None]], what: str) -> None:
    try:
        async with asyncio.timeout(5):
            await close()
    except TimeoutError:
        fail(f"{what} did not return within 5 s")


__all__ = ["CLOSE_S", "GrantRules"]
