"""Hedging: a second recipient is sent to beside one that says nothing; the first event decides who answers."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.core.hedge_support import NEVER, Gated, assistant, denying, hedging, tried
from tests.core.support import NO_WAIT, Acting, drain, records, until

from ringfence import Timeouts
from ringfence.errors import (
    Denied,
    Overloaded,
    ProviderError,
    RequestRejected,
    RingfenceError,
    StreamBroken,
    TimedOut,
)
from ringfence.grant import Grant
from ringfence.policy.document import Budget
from ringfence.privacy.consent import ConsentRequest
from ringfence.provider import NotAvailable, Plan
from ringfence.response import Finish, Joined, ProviderEvent, TextDelta, TextStart
from ringfence.testing import Script, ScriptedProvider, call_events, failing, text_events

DOWN = {"m": NotAvailable(reason="unreachable", detail="nobody answers", way_out="wait")}


def quick(answer: str = "rented") -> Gated:
    provider = Gated(answer)
    provider.go.set()
    return provider


def others() -> int:
    """The tasks under way beside the one that runs."""
    return len(asyncio.all_tasks()) - 1


# ---------------------------------------------------------------- who answers


async def test_who_answers_in_time_is_not_hedged() -> None:
    own, rented = quick("own"), quick()
    async with assistant(hedging("own", "rented", after_s=NEVER), own=own, rented=rented) as it:
        answer = await it.respond("hello")
    assert answer.text == "own"
    assert tried(answer.receipt) == [("own", None)]
    assert (rented.requests, rented.opened) == ([], 0)


async def test_a_route_without_a_hedge_makes_no_task(monkeypatch: pytest.MonkeyPatch) -> None:
    own, rented = quick("own"), quick()
    async with assistant(hedging("own", "rented", to=(), fallback=("rented",)), own=own, rented=rented) as it:
        monkeypatch.setattr(asyncio, "create_task", None)
        assert (await it.respond("hello")).text == "own"


async def test_who_is_silent_for_so_long_is_hedged_and_cancelled_when_the_hedge_answers(tmp_path: Path) -> None:
    own, rented = Gated("own"), quick()
    async with assistant(hedging("own", "rented"), tmp_path, own=own, rented=rented) as it:
        answer = await it.respond("hello")
        assert own.ended.is_set()
        assert others() == 0
    assert answer.text == "rented"
    assert answer.receipt.recipient == "rented"
    assert tried(answer.receipt) == [("own", "beaten"), ("rented", None)]
    assert own.cancelled == 1
    assert own.grants[0].over
    assert records(tmp_path)[0]["attempts"][0]["phase"] == "before_first_event"


async def test_it_waits_as_long_as_the_policy_says() -> None:
    own, rented = Gated("own"), quick()
    async with assistant(hedging("own", "rented", after_s=1), own=own, rented=rented) as it:
        loop = asyncio.get_running_loop()
        asking = asyncio.ensure_future(it.respond("hello"))
        await own.asked.wait()
        began = loop.time()
        await rented.asked.wait()
        assert loop.time() - began > 0.9
        assert (await asking).text == "rented"


async def test_the_slow_one_may_still_answer_first() -> None:
    own, rented = Gated("own"), Gated("rented")
    async with assistant(hedging("own", "rented"), own=own, rented=rented) as it:
        asking = asyncio.ensure_future(it.respond("hello"))
        await rented.asked.wait()
        own.go.set()
        answer = await asking
        assert others() == 0
    assert answer.text == "own"
    assert tried(answer.receipt) == [("rented", "beaten"), ("own", None)]
    assert answer.receipt.recipient == "own"
    assert rented.cancelled == 1
    assert rented.grants[0].over


@pytest.mark.skipif(sys.version_info < (3, 12), reason="tasks begin when the loop comes to them")
async def test_who_answers_at_once_answers_where_tasks_begin_as_they_are_made() -> None:
    asyncio.get_running_loop().set_task_factory(getattr(asyncio, "eager_task_factory"))  # noqa: B009  (not in 3.11)
    own, rented = ScriptedProvider(text_events("own")), quick()
    async with assistant(hedging("own", "rented"), own=own, rented=rented) as it:
        assert (await it.respond("hello")).text == "own"
    assert rented.requests == []


async def test_each_send_has_a_grant_of_its_own_for_its_own_recipient() -> None:
    own, rented = Gated("own"), quick()
    async with assistant(hedging("own", "rented"), own=own, rented=rented) as it:
        await it.respond("hello")
    grants = [*own.grants, *rented.grants]
    assert [grant.recipient.name for grant in grants] == ["own", "rented"]
    assert len({id(grant) for grant in grants}) == 2


async def test_at_most_one_is_sent_beside_another() -> None:
    own, rented, spare = Gated("own"), Gated("rented"), quick("spare")
    rules = hedging("own", "rented", "spare", to=("rented", "spare"))
    async with assistant(rules, own=own, rented=rented, spare=spare) as it:
        asking = asyncio.ensure_future(it.respond("hello"))
        await rented.asked.wait()
        await asyncio.sleep(0.02)
        assert not spare.asked.is_set()
        rented.go.set()
        assert (await asking).text == "rented"
    assert spare.requests == []


@pytest.mark.parametrize("hedges", ["own", "rented"])
async def test_an_answer_is_streamed_event_by_event(hedges: str) -> None:
    """The one who answers is drawn no further than the app wants."""
    drawn: list[int] = []

    async def body(plan: Plan[object], grant: Grant) -> AsyncGenerator[ProviderEvent, None]:
        grant.spend(plan.request)
        for number, event in enumerate(text_events("a", "b", "c")):
            drawn.append(number)
            yield event

    silent = Gated("never")
    providers: dict[str, Any] = {"own": silent, "rented": silent, hedges: Acting(body)}
    async with assistant(hedging("own", "rented"), **providers) as it:
        async with it.stream("hello") as stream:
            async for number, event in _numbered(stream):
                await asyncio.sleep(0)
                assert drawn[-1] == number, event
        assert len(drawn) == 7
        assert others() == 0


async def _numbered(stream: Any) -> AsyncGenerator[tuple[int, Any], None]:
    number = 0
    async for event in stream:
        yield number, event
        number += 1


async def test_a_structured_answer_comes_from_who_was_first() -> None:
    schema: dict[str, Any] = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    own, rented = Gated('{"n": 1}'), quick('{"n": 2}')
    async with assistant(hedging("own", "rented"), own=own, rented=rented) as it:
        assert (await it.respond("hello", output=schema)).output == {"n": 2}


async def test_every_call_of_a_tool_loop_is_hedged_anew() -> None:
    def lookup(word: str) -> str:
        return f"{word} means much"

    own = Gated("own")
    rented = ScriptedProvider(call_events("lookup", word="it"), "done")
    async with assistant(hedging("own", "rented"), own=own, rented=rented) as it:
        answer = await it.respond("hello", tools=[lookup])
    assert answer.text == "done"
    assert (len(own.requests), len(rented.requests)) == (2, 2)


# ---------------------------------------------------------------- failures


async def test_who_fails_while_the_hedge_is_under_way_leaves_it_the_answer() -> None:
    own, rented = Gated(error=Overloaded("full", phase="before_first_event")), Gated("rented")
    async with assistant(hedging(), retry=NO_WAIT, own=own, rented=rented, mlx=quick("mlx")) as it:
        asking = asyncio.ensure_future(it.respond("hello"))
        await rented.asked.wait()
        own.go.set()
        await own.ended.wait()
        await asyncio.sleep(0)
        rented.go.set()
        answer = await asking
    assert answer.text == "rented"
    assert tried(answer.receipt) == [("own", "Overloaded"), ("rented", None)]


async def test_a_hedge_that_fails_leaves_the_first_alone_to_answer() -> None:
    own, rented = Gated("own"), Gated(error=RequestRejected("no"))
    async with assistant(hedging("own", "rented"), own=own, rented=rented) as it:
        asking = asyncio.ensure_future(it.respond("hello"))
        await rented.asked.wait()
        rented.go.set()
        await rented.ended.wait()
        await asyncio.sleep(0.01)
        own.go.set()
        answer = await asking
    assert answer.text == "own"
    assert tried(answer.receipt) == [("rented", "RequestRejected"), ("own", None)]


async def test_where_both_fail_the_walk_goes_on_as_after_the_first() -> None:
    own, rented, mlx = Gated(error=RequestRejected("no")), Gated(error=Overloaded("full")), quick("mlx")
    async with assistant(hedging(), own=own, rented=rented, mlx=mlx) as it:
        asking = asyncio.ensure_future(it.respond("hello"))
        await rented.asked.wait()
        own.go.set()
        await own.ended.wait()
        rented.go.set()
        answer = await asking
    assert answer.text == "mlx"
    assert tried(answer.receipt) == [("own", "RequestRejected"), ("rented", "Overloaded"), ("mlx", None)]


async def test_where_both_fail_and_nothing_is_left_the_first_failure_is_told() -> None:
    own, rented = Gated(error=RequestRejected("no")), Gated(error=Overloaded("full"))
    async with assistant(hedging("own", "rented"), own=own, rented=rented) as it:
        asking = asyncio.ensure_future(it.respond("hello"))
        await rented.asked.wait()
        rented.go.set()
        await rented.ended.wait()
        own.go.set()
        with pytest.raises(RequestRejected) as caught:
            await asking
        assert others() == 0
    assert caught.value.recipient == "own"


async def test_who_fails_before_anything_is_hedged_makes_no_hedge() -> None:
    own, rented = ScriptedProvider(failing(RequestRejected("no"))), quick()
    async with assistant(hedging(after_s=NEVER), own=own, rented=rented, mlx=quick("mlx")) as it:
        assert (await it.respond("hello")).text == "mlx"
        assert others() == 0
    assert rented.requests == []


async def test_a_hedge_that_cannot_serve_gives_way_to_the_next() -> None:
    own, spare = Gated("own"), quick("spare")
    rented = ScriptedProvider(availability=DOWN)
    rules = hedging("own", "rented", "spare", to=("rented", "spare"))
    async with assistant(rules, own=own, rented=rented, spare=spare) as it:
        answer = await it.respond("hello")
    assert answer.text == "spare"
    assert tried(answer.receipt) == [("rented", "Unavailable"), ("own", "beaten"), ("spare", None)]
    assert rented.requests == []


async def test_a_retry_is_hedged_by_those_that_are_left() -> None:
    fails = asyncio.Event()

    async def body(plan: Plan[object], grant: Grant) -> AsyncGenerator[ProviderEvent, None]:
        grant.spend(plan.request)
        await fails.wait()
        if len(own.requests) == 1:
            raise Overloaded("full", phase="before_first_event")
        await asyncio.Event().wait()
        yield Finish("stop")

    own, rented, spare = Acting(body), Gated(error=RequestRejected("no")), quick("spare")
    rules = hedging("own", "rented", "spare", to=("rented", "spare"))
    async with assistant(rules, retry=NO_WAIT, own=own, rented=rented, spare=spare) as it:
        asking = asyncio.ensure_future(it.respond("hello"))
        await rented.asked.wait()
        fails.set()
        await until(lambda: own.ended == 1)
        await asyncio.sleep(0.01)
        rented.go.set()
        answer = await asking
    assert tried(answer.receipt) == [
        ("own", "Overloaded"),
        ("rented", "RequestRejected"),
        ("own", "beaten"),
        ("spare", None),
    ]


@pytest.mark.parametrize(
    ("overflow", "fallback", "error"),
    [
        ((), ("rented", "mlx"), RequestRejected("no")),
        (("rented",), ("mlx",), Overloaded("full", phase="before_first_event")),
    ],
    ids=["fallback", "overflow"],
)
async def test_one_that_was_sent_to_as_a_hedge_is_not_sent_to_once_more(
    overflow: tuple[str, ...], fallback: tuple[str, ...], error: ProviderError
) -> None:
    own, rented, mlx = Gated(error=error), Gated(error=RequestRejected("no")), quick("mlx")
    rules = hedging(overflow=overflow, fallback=fallback)
    async with assistant(rules, own=own, rented=rented, mlx=mlx) as it:
        asking = asyncio.ensure_future(it.respond("hello"))
        await rented.asked.wait()
        own.go.set()
        rented.go.set()
        assert (await asking).text == "mlx"
    assert len(rented.requests) == 1


async def test_overflow_is_hedged_and_fallback_is_not() -> None:
    down = ScriptedProvider(availability=DOWN)
    rules = hedging("own", "rented", "spare", to=("spare",), overflow=("rented",))
    async with assistant(rules, own=down, rented=Gated("rented"), spare=quick("spare")) as it:
        assert (await it.respond("hello")).text == "spare"
    mlx, spare = Gated("mlx"), quick("spare")
    rules = hedging("own", "spare", "mlx", to=("spare",))
    async with assistant(rules, own=down, spare=spare, mlx=mlx) as it:
        asking = asyncio.ensure_future(it.respond("hello"))
        await mlx.asked.wait()
        await asyncio.sleep(0.01)
        mlx.go.set()
        assert (await asking).text == "mlx"
    assert spare.requests == []


BROKEN: dict[str, tuple[str, str | None]] = {"fail": ("fail", None), "restart": ("restart", "mlx")}


@pytest.mark.parametrize(("how", "answers"), BROKEN.values(), ids=BROKEN)
async def test_a_hedge_that_breaks_after_its_first_event_breaks_as_the_policy_declares(
    how: str, answers: str | None
) -> None:
    broken = (TextStart(0), TextDelta(0, "half"))
    rented = ScriptedProvider(Script(events=broken, error=StreamBroken("cut")))
    rules = hedging(on_broken_stream=how)
    async with assistant(rules, own=Gated("own"), rented=rented, mlx=quick("mlx")) as it:
        stream = it.stream("hello")
        async with stream:
            events, error = await drain(stream)
        assert others() == 0
    if answers is None:
        assert isinstance(error, StreamBroken)
        assert (error.recipient, error.partial_text) == ("rented", "half")
        return
    assert error is None
    assert [one for one in events if isinstance(one, Joined)] == [
        Joined(broken="rented", recipient="mlx", how="restart")
    ]
    assert tried((await stream.response()).receipt) == [("own", "beaten"), ("rented", "StreamBroken"), ("mlx", None)]


async def test_a_hedge_that_answers_without_its_grant_does_not_win() -> None:
    async def body(plan: Plan[object], grant: Grant) -> AsyncGenerator[ProviderEvent, None]:
        for event in text_events("out of nothing"):
            yield event

    own = Gated("own")
    async with assistant(hedging("own", "rented"), own=own, rented=Acting(body)) as it:
        asking = asyncio.ensure_future(it.respond("hello"))
        await own.asked.wait()
        await asyncio.sleep(0.01)
        own.go.set()
        answer = await asking
    assert tried(answer.receipt) == [("rented", "ProtocolViolated"), ("own", None)]


async def test_what_a_plugin_raises_in_a_hedge_is_no_exception_of_the_app(recwarn: Any) -> None:
    async def body(plan: Plan[object], grant: Grant) -> AsyncGenerator[ProviderEvent, None]:
        grant.spend(plan.request)
        if grant.spent:
            raise ValueError("canary")
        yield Finish("stop")

    own = Gated("own")
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    async with assistant(hedging("own", "rented"), own=own, rented=Acting(body)) as it:
        asking = asyncio.ensure_future(it.respond("hello"))
        await own.asked.wait()
        await asyncio.sleep(0.01)
        own.go.set()
        assert tried((await asking).receipt) == [("rented", "ValueError"), ("own", None)]
    assert complaints == []
    assert len(recwarn) == 0


# ---------------------------------------------------------------- what keeps a hedge from being sent


async def test_a_hedge_that_flow_refuses_is_never_sent_to() -> None:
    own, rented = Gated("own"), quick()
    async with assistant(denying(hedging("own", "rented"), "health", "rented"), own=own, rented=rented) as it:
        asking = asyncio.ensure_future(it.respond("hello", labels={"health"}))
        await own.asked.wait()
        await asyncio.sleep(0.01)
        own.go.set()
        answer = await asking
    assert tried(answer.receipt) == [("own", None)]
    assert (rented.requests, rented.opened) == ([], 0)


async def test_a_hedge_alone_is_no_way() -> None:
    own, rented = quick("own"), quick()
    async with assistant(denying(hedging("own", "rented"), "health", "own"), own=own, rented=rented) as it:
        with pytest.raises(Denied):
            await it.respond("hello", labels={"health"})
        with pytest.raises(Denied):
            await it.respond("hello", to={"rented"})
    assert rented.requests == []


CONSENT = """\
flow:
  - id: house
    allow: {labels: "*", to: [device, house]}
  - id: partner
    allow: {labels: "*", to: [partner]}
    consent: ask
"""


@pytest.mark.parametrize(("lasts", "given", "answers"), [("session", True, "out"), ("session", False, "own")])
async def test_a_hedge_asks_nobody_and_uses_a_yes_that_was_given(lasts: str, given: bool, answers: str) -> None:
    asked: list[str] = []

    async def person(request: ConsentRequest) -> bool:
        await asyncio.sleep(0)
        asked.append(request.recipient)
        return True

    flow = f"{CONSENT}consent: {{partner: {{lasts: {lasts}}}}}\n"
    rules = hedging("own", "out", to=("out",), flow=flow, rings={"out": "partner"}, fallback=("out",))
    own, out = Gated("own"), quick("out")
    async with assistant(rules, own=own, out=out, consent=person) as it:
        if given:
            await it.respond("hello", to={"out"})
        before = len(asked)
        asking = asyncio.ensure_future(it.respond("hello"))
        await own.asked.wait()
        if not given:
            await asyncio.sleep(0.01)
            own.go.set()
        answer = await asking
        assert answer.text == answers
        assert len(asked) == before
    if not given:
        assert tried(answer.receipt) == [("out", "ConsentRefused"), ("own", None)]
        assert out.requests == []


async def test_one_that_was_passed_over_for_want_of_consent_is_asked_for_as_fallback() -> None:
    asked: list[str] = []

    def person(request: ConsentRequest) -> bool:
        asked.append(request.recipient)
        return True

    rules = hedging("own", "out", to=("out",), flow=CONSENT, rings={"out": "partner"}, fallback=("out",))
    own, out = Gated(error=RequestRejected("no")), quick("out")
    async with assistant(rules, own=own, out=out, consent=person) as it:
        asking = asyncio.ensure_future(it.respond("hello"))
        await own.asked.wait()
        await asyncio.sleep(0.01)
        assert asked == []
        own.go.set()
        assert (await asking).text == "out"
    assert asked == ["out"]


async def test_a_spent_budget_keeps_a_hedge_from_being_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RINGFENCE_STATE_DIR", str(tmp_path))
    one = Budget(id="b", of=frozenset({"rented"}), limit=1, unit="requests", per="total")
    own, rented = Gated("own"), quick()
    async with assistant(hedging("own", "rented", budgets=(one,)), own=own, rented=rented) as it:
        assert (await it.respond("hello")).text == "rented"
        asking = asyncio.ensure_future(it.respond("hello"))
        await until(lambda: len(own.requests) == 2)
        await asyncio.sleep(0.01)
        own.go.set()
        assert tried((await asking).receipt) == [("rented", "BudgetSpent"), ("own", None)]
    assert len(rented.requests) == 1


async def test_both_sends_are_settled_in_their_budgets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RINGFENCE_STATE_DIR", str(tmp_path))
    budgets = tuple(
        Budget(id=name, of=frozenset({name}), limit=10, unit="requests", per="total") for name in ("own", "rented")
    )
    async with assistant(hedging("own", "rented", budgets=budgets), own=Gated("own"), rented=quick()) as it:
        await it.respond("hello")
        assert {one.id: (one.spent, one.reserved) for one in await it.budgets()} == {"own": (1, 0), "rented": (1, 0)}


async def test_counting_tokens_is_not_hedged() -> None:
    class Counting(Gated):
        async def count_tokens(self, plan: Plan[object], grant: Grant) -> int:
            grant.spend(plan.request)
            self.requests.append(plan.request)
            await asyncio.sleep(0.01)
            return 7

        async def card(self, recipient: Any) -> Any:
            card = await super().card(recipient)
            return replace(card, capabilities=card.capabilities | {"count_tokens"})

    own, rented = Counting("own"), Counting("rented")
    async with assistant(hedging("own", "rented"), own=own, rented=rented) as it:
        assert (await it.count_tokens("hello")) == 7
    assert rented.requests == []


# ---------------------------------------------------------------- the end of both


async def test_cancelling_the_caller_cancels_both(tmp_path: Path) -> None:
    own, rented = Gated("own"), Gated("rented")
    async with assistant(hedging("own", "rented"), tmp_path, own=own, rented=rented) as it:
        asking = asyncio.ensure_future(it.respond("hello"))
        await rented.asked.wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert (own.cancelled, rented.cancelled) == (1, 1)
        assert all(grant.over for grant in (*own.grants, *rented.grants))
        assert others() == 0
    attempts = {one["recipient"]: one for one in records(tmp_path)[0]["attempts"]}
    # A report counts whoever may have been sent something, by the phase.
    assert {name: (one["error"], one["phase"]) for name, one in attempts.items()} == {
        "own": ("cancelled", "before_first_event"),
        "rented": ("cancelled", "before_first_event"),
    }


async def test_a_stream_that_is_closed_ends_the_hedge_that_answers() -> None:
    own, rented = Gated("own"), ScriptedProvider(text_events("a", "b", "c"))
    async with assistant(hedging("own", "rented"), own=own, rented=rented) as it:
        async with it.stream("hello") as stream:
            async for _ in stream:
                break
        assert rented.cancelled == 1
        assert own.cancelled == 1
        assert others() == 0


LIMITS: dict[str, tuple[Timeouts, str]] = {
    "first event": (Timeouts(first_event_s=0.05), "first_event"),
    "total": (Timeouts(total_s=0.05), "total"),
}


@pytest.mark.parametrize(("timeouts", "limit"), LIMITS.values(), ids=LIMITS)
async def test_time_limits_hold_for_both(timeouts: Timeouts, limit: str) -> None:
    own, rented = Gated("own"), Gated("rented")
    async with assistant(hedging("own", "rented"), own=own, rented=rented, timeouts=timeouts) as it:
        with pytest.raises(TimedOut) as caught:
            await it.respond("hello")
        assert caught.value.limit == limit
        assert (own.cancelled, rented.cancelled) == (1, 1)
        assert others() == 0


async def test_past_the_total_limit_no_other_hedge_is_sent_to_while_the_first_is_closed() -> None:
    async def body(plan: Plan[object], grant: Grant) -> AsyncGenerator[ProviderEvent, None]:
        grant.spend(plan.request)
        try:
            await asyncio.Event().wait()
            yield TextStart(0)
        finally:
            await asyncio.sleep(0.1)

    rented, other = Gated("rented"), Gated("other")
    given = hedging("own", "rented", "other", to=("rented", "other"))
    timeouts = Timeouts(total_s=0.05)
    async with assistant(given, timeouts=timeouts, own=Acting(body), rented=rented, other=other) as it:
        with pytest.raises(TimedOut) as caught:
            await it.respond("hello")
    assert caught.value.limit == "total"
    assert rented.cancelled == 1
    assert other.requests == []


async def test_a_hedge_that_stalls_after_its_first_event_is_ended_by_the_limit_between_events() -> None:
    async def body(plan: Plan[object], grant: Grant) -> AsyncGenerator[ProviderEvent, None]:
        grant.spend(plan.request)
        yield TextStart(0)
        await asyncio.Event().wait()

    stalled = Acting(body)
    timeouts = Timeouts(between_events_s=0.05)
    async with assistant(hedging("own", "rented"), own=Gated("own"), rented=stalled, timeouts=timeouts) as it:
        with pytest.raises(StreamBroken) as caught:
            await it.respond("hello")
    assert caught.value.recipient == "rented"
    assert stalled.ended == 1


async def test_a_loser_that_is_slow_to_close_does_not_keep_the_answer_waiting() -> None:
    let_go, closing = asyncio.Event(), asyncio.Event()

    async def body(plan: Plan[object], grant: Grant) -> AsyncGenerator[ProviderEvent, None]:
        grant.spend(plan.request)
        try:
            await asyncio.Event().wait()
            yield TextStart(0)
        finally:
            closing.set()
            await let_go.wait()

    async with assistant(hedging("own", "rented"), own=Acting(body), rented=quick()) as it:
        async with it.stream("hello") as stream:
            text = ""
            async for event in stream:
                text += event.text if isinstance(event, TextDelta) else ""
                if isinstance(event, Finish):
                    await closing.wait()
                    asyncio.get_running_loop().call_later(0.02, let_go.set)
        assert let_go.is_set(), "the end of the request waits"
        assert text == "rented"
        assert tried((await stream.response()).receipt) == [("own", "beaten"), ("rented", None)]


ENDINGS: dict[str, Callable[[], RingfenceError]] = {
    "rejected": lambda: RequestRejected("no"),
    "full": lambda: Overloaded("full", phase="before_first_event"),
    "some failure": lambda: ProviderError("x"),
}


@pytest.mark.parametrize("fails", ENDINGS.values(), ids=ENDINGS)
async def test_no_task_is_left_and_no_exception_is_never_retrieved(fails: Callable[[], RingfenceError]) -> None:
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    own, rented = Gated(error=fails()), Gated(error=fails())
    own.go.set()
    rented.go.set()
    async with assistant(hedging("own", "rented"), own=own, rented=rented) as it:
        with pytest.raises(RingfenceError):
            await it.respond("hello")
        assert others() == 0
    del own, rented
    assert complaints == []
