"""Retries and time limits, and that an app's own cancellation and time-outs pass through them untouched."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.support import ONCE, Acting, assistant, drain, policy, records, until

from ringfence import Retry, Timeouts
from ringfence.errors import (
    AuthenticationFailed,
    BackendDied,
    ConnectFailed,
    ContextLengthExceeded,
    GateError,
    InvalidRequest,
    Overloaded,
    Phase,
    ProtocolViolated,
    ProviderError,
    RateLimited,
    RequestRejected,
    StreamBroken,
    TimedOut,
    TimeLimit,
    Unavailable,
    Unsupported,
)
from ringfence.grant import Grant
from ringfence.provider import Availability, Available, ModelCard, Plan, ProviderContext
from ringfence.recipient import Recipient
from ringfence.response import Finish, ProviderEvent, TextDelta, TextEnd, TextStart
from ringfence.testing import Script, ScriptedProvider, failing, text_events

SLOW_S = 5.0
"""What a provider that must be cut off would take; never waited for."""
SOON_S = 1.0
"""Well before `SLOW_S`, and long after every limit that the tests set."""


# ------------------------------------------------------------------ retry
RETRYABLE = [RateLimited("x"), Overloaded("x"), ConnectFailed("x"), BackendDied("x")]
FINAL = [
    ProviderError("x"),
    Unavailable("x", reason="no_model"),
    Unsupported("x", setting="seed"),
    ContextLengthExceeded("x", needed_tokens=2, context_tokens=1),
    AuthenticationFailed("x"),
    RequestRejected("x"),
    TimedOut("x", limit="total", phase="connect"),
    StreamBroken("x", phase="before_first_event"),
    ProtocolViolated("x"),
    GateError("x"),
    ValueError("x"),
]


def kind(error: BaseException) -> str:
    return type(error).__name__


@pytest.mark.parametrize("error", RETRYABLE, ids=kind)
@pytest.mark.parametrize("attempts", [1, 2, 5])
async def test_a_retryable_error_is_tried_that_often_and_no_more(error: ProviderError, attempts: int) -> None:
    provider = ScriptedProvider(failing(error))
    async with assistant(policy("first"), retry=Retry(attempts=attempts, wait_s=0), first=provider) as it:
        with pytest.raises(type(error)) as caught:
            await it.respond("x")
    assert len(provider.requests) == attempts
    assert caught.value.receipt is not None
    assert len(caught.value.receipt.attempts) == attempts


@pytest.mark.parametrize("error", FINAL, ids=kind)
async def test_any_other_error_is_never_retried(error: BaseException) -> None:
    provider = ScriptedProvider(Script(events=(), error=error))
    async with assistant(policy("first"), retry=Retry(attempts=5, wait_s=0), first=provider) as it:
        with pytest.raises(ProtocolViolated if isinstance(error, ValueError) else type(error)):
            await it.respond("x")
    assert len(provider.requests) == 1


async def test_each_recipient_has_its_own_count_of_attempts() -> None:
    first, second = ScriptedProvider(failing(Overloaded("x"))), ScriptedProvider(failing(Overloaded("x")))
    rules = policy("first", "second", fallback=["second"])
    async with assistant(rules, retry=Retry(attempts=2, wait_s=0), first=first, second=second) as it:
        with pytest.raises(Overloaded):
            await it.respond("x")
    assert (len(first.requests), len(second.requests)) == (2, 2)


async def test_who_was_left_untried_after_a_failed_send_is_named() -> None:
    failed, more = (
        RequestRejected("x", way_out="mend it"),
        "name second under fallback: to have it asked after a failure",
    )
    first, second = ScriptedProvider(*(failing(failed) for _ in range(2))), ScriptedProvider("never")
    async with assistant(policy("first", "second"), first=first, second=second) as it:
        for _ in range(2):
            with pytest.raises(RequestRejected) as caught:
                await it.respond("x")
            assert caught.value is failed
            assert caught.value.way_out == f"mend it; {more}"
    assert second.requests == []


@pytest.mark.parametrize(
    ("error", "how"),
    [
        (Unavailable("x", reason="no_model"), {"prefer": ["first"]}),
        (RequestRejected("x"), {"prefer": ["first"], "fallback": ["second"]}),
        (RequestRejected("x"), {"prefer": ["first"]}),
    ],
    ids=["one alone", "all were asked", "not in the plan"],
)
async def test_where_nobody_was_left_untried_nobody_is_named(error: ProviderError, how: Mapping[str, Any]) -> None:
    failed = Script(events=(), error=error)
    async with assistant(
        policy("first", "second", **how), retry=ONCE, first=ScriptedProvider(failed), second=ScriptedProvider(failed)
    ) as it:
        with pytest.raises(type(error)) as caught:
            await it.respond("x")
    assert "fallback" not in str(caught.value)


async def test_who_was_left_untried_is_named_after_the_fallback_failed_too() -> None:
    first, third = (ScriptedProvider(failing(RequestRejected(name))) for name in ("first", "third"))
    rules = policy("first", "second", "third", fallback=["third"])
    async with assistant(rules, first=first, second=ScriptedProvider("never"), third=third) as it:
        with pytest.raises(RequestRejected, match="third") as caught:
            await it.respond("x")
    assert caught.value.way_out == "name second under fallback: to have it asked after a failure"


async def test_retry_after_is_honoured_exactly(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    real = asyncio.sleep

    async def sleep(seconds: float, *rest: Any) -> None:
        waits.append(seconds)
        await real(0)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    provider = ScriptedProvider(failing(RateLimited("x", retry_after_s=7.25)), "ok")
    async with assistant(policy("first"), retry=Retry(wait_s=100, max_wait_s=8), first=provider) as it:
        assert (await it.respond("x")).text == "ok"
    assert waits == [7.25]


async def test_a_retry_after_longer_than_the_longest_wait_gives_up_at_once() -> None:
    provider = ScriptedProvider(failing(RateLimited("x", retry_after_s=20.001)), "never")
    async with assistant(policy("first"), retry=Retry(attempts=9, max_wait_s=20), first=provider) as it:
        with pytest.raises(RateLimited) as caught:
            await it.respond("x")
    assert len(provider.requests) == 1
    assert caught.value.retry_after_s == 20.001


async def test_a_retry_after_too_long_goes_on_to_the_fallback() -> None:
    first, second = ScriptedProvider(failing(RateLimited("x", retry_after_s=1e9))), ScriptedProvider("2")
    async with assistant(policy("first", "second", fallback=["second"]), first=first, second=second) as it:
        assert (await it.respond("x")).text == "2"


@given(attempt=st.integers(2, 60), wait_s=st.floats(0, 100), max_wait_s=st.floats(0, 100))
def test_waits_have_full_jitter_below_the_doubling_and_the_bound(
    attempt: int, wait_s: float, max_wait_s: float
) -> None:
    wait = Retry(attempts=60, wait_s=wait_s, max_wait_s=max_wait_s).wait_before(attempt, Overloaded("x"))
    assert wait is not None
    assert 0 <= wait <= min(max_wait_s, wait_s * 2 ** (attempt - 2))


def test_the_wait_before_a_very_late_attempt_is_still_a_number() -> None:
    assert Retry(attempts=3000, wait_s=0.0).wait_before(2000, Overloaded("x")) == 0.0


async def test_a_retry_that_cannot_be_waited_for_within_the_total_limit_is_not_waited_for() -> None:
    provider = ScriptedProvider(failing(RateLimited("x", retry_after_s=15)), "never")
    began = time.monotonic()
    async with assistant(policy("first"), timeouts=Timeouts(total_s=1), first=provider) as it:
        with pytest.raises((TimedOut, RateLimited)):
            await it.respond("x")
    assert time.monotonic() - began < SOON_S


@pytest.mark.parametrize(
    "wrong",
    [
        {"attempts": 0},
        {"attempts": -1},
        {"attempts": 1.5},
        {"attempts": "3"},
        {"attempts": float("nan")},
        {"attempts": None},
        {"wait_s": -0.1},
        {"wait_s": float("nan")},
        {"wait_s": "1"},
        {"max_wait_s": -1},
        {"max_wait_s": float("nan")},
    ],
    ids=str,
)
def test_a_retry_out_of_bounds_is_refused(wrong: Mapping[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        Retry(**wrong)


@pytest.mark.parametrize("name", ["connect_s", "first_event_s", "between_events_s", "total_s"])
@pytest.mark.parametrize("value", [0, -1, float("nan"), "1", [], -float("inf")], ids=str)
def test_a_time_limit_out_of_bounds_is_refused(name: str, value: Any) -> None:
    with pytest.raises(InvalidRequest):
        Timeouts(**{name: value})


# ------------------------------------------------------------------ time limits
async def no_connection(plan: Plan[object], grant: Grant) -> AsyncGenerator[ProviderEvent, None]:
    grant.spend(plan.request)
    await asyncio.sleep(SLOW_S)
    yield Finish("stop")


async def connects_and_waits(plan: Plan[object], grant: Grant) -> AsyncGenerator[ProviderEvent, None]:
    grant.spend(plan.request)
    grant.connected = True
    await asyncio.sleep(SLOW_S)
    yield Finish("stop")


async def stalls(plan: Plan[object], grant: Grant) -> AsyncGenerator[ProviderEvent, None]:
    grant.spend(plan.request)
    grant.connected = True
    yield TextStart(0)
    yield TextDelta(0, "a")
    await asyncio.sleep(SLOW_S)


async def trickles(plan: Plan[object], grant: Grant) -> AsyncGenerator[ProviderEvent, None]:
    grant.spend(plan.request)
    grant.connected = True
    yield TextStart(0)
    for _ in range(2000):
        await asyncio.sleep(0.01)
        yield TextDelta(0, "a")


LIMITS: list[tuple[Any, Timeouts, TimeLimit, Phase]] = [
    (no_connection, Timeouts(connect_s=0.05), "connect", "connect"),
    (no_connection, Timeouts(total_s=0.05), "total", "before_first_event"),
    (connects_and_waits, Timeouts(connect_s=0.02, first_event_s=0.06), "first_event", "before_first_event"),
    (connects_and_waits, Timeouts(first_event_s=0.06), "first_event", "before_first_event"),
    (connects_and_waits, Timeouts(connect_s=None, first_event_s=0.06), "first_event", "before_first_event"),
    (connects_and_waits, Timeouts(total_s=0.2, first_event_s=0.06), "first_event", "before_first_event"),
    (connects_and_waits, Timeouts(total_s=0.05), "total", "before_first_event"),
    (no_connection, Timeouts(first_event_s=0.06), "first_event", "before_first_event"),
    (no_connection, Timeouts(connect_s=None, first_event_s=0.06), "first_event", "before_first_event"),
    (stalls, Timeouts(between_events_s=0.05), "between_events", "mid_stream"),
    (stalls, Timeouts(total_s=0.05), "total", "mid_stream"),
    (trickles, Timeouts(total_s=0.08, between_events_s=5), "total", "mid_stream"),
]


@pytest.mark.parametrize(
    ("body", "timeouts", "limit", "phase"),
    LIMITS,
    ids=[f"{number}-{body.__name__}-{limit}" for number, (body, _, limit, _) in enumerate(LIMITS)],
)
async def test_a_time_limit_ends_the_wait_and_says_which_it_was(
    body: Any, timeouts: Timeouts, limit: TimeLimit, phase: Phase
) -> None:
    provider = Acting(body)
    async with assistant(policy("first"), timeouts=timeouts, retry=ONCE, first=provider) as it:
        async with asyncio.timeout(SOON_S):
            _, error = await drain(it.stream("x"))
    assert isinstance(error, TimedOut | StreamBroken)
    timed_out = error if isinstance(error, TimedOut) else error.__cause__
    assert isinstance(timed_out, TimedOut)
    assert (timed_out.limit, timed_out.phase) == (limit, phase)
    assert isinstance(error, StreamBroken) is (phase == "mid_stream")
    assert timed_out.way_out is not None
    assert provider.ended == 1
    assert not asyncio.current_task().cancelling()  # type: ignore[union-attr]  # pyright: ignore[reportOptionalMemberAccess]


async def test_a_provider_that_connects_in_time_is_held_to_the_first_event_limit_only() -> None:
    async def body(plan: Plan[object], grant: Grant) -> AsyncGenerator[ProviderEvent, None]:
        grant.spend(plan.request)
        grant.connected = True
        await asyncio.sleep(0.15)
        for event in text_events("late"):
            yield event

    limits = Timeouts(connect_s=0.03, first_event_s=SLOW_S, between_events_s=1)
    async with assistant(policy("first"), timeouts=limits, first=Acting(body)) as it:
        assert (await it.respond("x")).text == "late"


async def test_a_time_out_goes_on_to_the_fallback() -> None:
    first, second = Acting(no_connection), ScriptedProvider("2")
    rules = policy("first", "second", fallback=["second"])
    async with assistant(rules, timeouts=Timeouts(connect_s=0.05), first=first, second=second) as it:
        response = await it.respond("x")
    assert response.text == "2"
    assert [attempt.error for attempt in response.receipt.attempts] == ["TimedOut", None]


async def test_the_total_limit_is_never_followed_by_another_attempt() -> None:
    first, second = Acting(no_connection), ScriptedProvider("2")
    rules = policy("first", "second", fallback=["second"])
    async with assistant(rules, timeouts=Timeouts(total_s=0.05), first=first, second=second) as it:
        with pytest.raises(TimedOut) as caught:
            await it.respond("x")
    assert caught.value.limit == "total"
    assert second.requests == []


async def test_the_total_limit_holds_over_all_attempts_together() -> None:
    first = ScriptedProvider(Script(events=text_events("a"), delay_s=0.05, error=Overloaded("x"), error_at=0))
    limits = Timeouts(total_s=0.3)
    async with assistant(policy("first"), timeouts=limits, retry=Retry(attempts=1000, wait_s=0), first=first) as it:
        began = time.monotonic()
        with pytest.raises(TimedOut) as caught:
            await it.respond("x")
    assert caught.value.limit == "total"
    assert time.monotonic() - began < SOON_S
    assert 1 < len(first.requests) < 20


@pytest.mark.parametrize("where", ["open", "availability", "card"])
async def test_the_total_limit_also_ends_a_provider_that_never_gets_ready(where: str) -> None:
    class Stuck(ScriptedProvider):
        async def open(self, context: ProviderContext) -> None:
            await asyncio.sleep(SLOW_S if where == "open" else 0)

        async def availability(self, recipient: Recipient) -> Availability:
            await asyncio.sleep(SLOW_S if where == "availability" else 0)
            return Available()

        async def card(self, recipient: Recipient) -> ModelCard:
            await asyncio.sleep(SLOW_S if where == "card" else 0)
            return await super().card(recipient)

    async with assistant(policy("first"), timeouts=Timeouts(total_s=0.05), first=Stuck()) as it:
        async with asyncio.timeout(1):
            with pytest.raises(TimedOut) as caught:
                await it.respond("x")
    assert caught.value.limit == "total"


async def test_a_slow_consumer_is_not_counted_against_the_limits_between_events() -> None:
    limits = Timeouts(connect_s=5, first_event_s=0.1, between_events_s=0.1)
    provider = ScriptedProvider(Script(events=text_events("a", "b", "c"), delay_s=0.01))
    async with assistant(policy("first"), timeouts=limits, first=provider) as it:
        seen = 0
        async for _ in it.stream("x"):
            seen += 1
            if seen in (1, 3):
                await asyncio.sleep(0.25)
    assert seen == 7


async def test_after_a_slow_consumer_the_limit_between_events_still_ends_a_stall() -> None:
    provider = Acting(stalls)
    async with assistant(policy("first"), timeouts=Timeouts(between_events_s=0.1), first=provider) as it:
        stream = it.stream("x")
        await anext(stream)
        await asyncio.sleep(0.25)
        await anext(stream)
        async with asyncio.timeout(2):
            with pytest.raises(StreamBroken):
                await anext(stream)


async def test_no_limit_means_none() -> None:
    none = Timeouts(connect_s=None, first_event_s=None, between_events_s=None, total_s=None)
    provider = ScriptedProvider(Script(events=text_events("a"), delay_s=0.02))
    async with assistant(policy("first"), timeouts=none, first=provider) as it:
        assert (await it.respond("x")).text == "a"


# ------------------------------------------------------------------ cancellation
@pytest.mark.parametrize("body", [no_connection, connects_and_waits, stalls], ids=lambda one: one.__name__)
async def test_cancelling_the_task_closes_the_provider_and_is_on_record(body: Any, tmp_path: Path) -> None:
    provider = Acting(body)
    async with assistant(policy("first"), tmp_path, first=provider) as it:
        task = asyncio.create_task(it.respond("x"))
        await until(lambda: bool(provider.requests))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert task.cancelled()
    assert provider.ended == 1
    (receipt,) = records(tmp_path)
    assert receipt["outcome"] == "cancelled"
    assert [attempt["error"] for attempt in receipt["attempts"]] == ["cancelled"]


async def test_the_scripted_provider_sees_its_cancellation() -> None:
    provider = ScriptedProvider(Script(delay_s=SLOW_S))
    async with assistant(policy("first"), first=provider) as it:
        task = asyncio.create_task(it.respond("x"))
        await until(lambda: bool(provider.requests))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert provider.cancelled == 1


async def test_cancelling_while_it_waits_for_a_retry(tmp_path: Path) -> None:
    provider = ScriptedProvider(failing(RateLimited("x", retry_after_s=15)))
    async with assistant(policy("first"), tmp_path, retry=Retry(max_wait_s=60), first=provider) as it:
        task = asyncio.create_task(it.respond("x"))
        await until(lambda: bool(provider.requests))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert len(provider.requests) == 1
    assert [receipt["outcome"] for receipt in records(tmp_path)] == ["cancelled"]


async def test_the_apps_own_timeout_around_a_request_is_a_timeout_error() -> None:
    provider = ScriptedProvider(Script(delay_s=SLOW_S))
    async with assistant(policy("first"), first=provider) as it:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await it.respond("x")
    assert provider.cancelled == 1


async def test_the_apps_own_timeout_still_works_after_a_time_limit_of_ours_and_a_fallback() -> None:
    first, second = Acting(no_connection), ScriptedProvider(Script(delay_s=SLOW_S))
    rules = policy("first", "second", fallback=["second"])
    async with assistant(rules, timeouts=Timeouts(connect_s=0.03), retry=ONCE, first=first, second=second) as it:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await it.respond("x")
    assert second.cancelled == 1


async def test_cancelling_still_works_after_a_time_limit_of_ours_and_a_fallback() -> None:
    first, second = Acting(no_connection), ScriptedProvider(Script(delay_s=SLOW_S))
    rules = policy("first", "second", fallback=["second"])
    async with assistant(rules, timeouts=Timeouts(connect_s=0.03), retry=ONCE, first=first, second=second) as it:
        task = asyncio.create_task(it.respond("x"))
        await until(lambda: bool(second.requests))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_a_timeout_of_ours_inside_one_of_the_apps_leaves_the_apps_alone() -> None:
    async with assistant(policy("first"), timeouts=Timeouts(connect_s=0.03), first=Acting(no_connection)) as it:
        async with asyncio.timeout(SOON_S):
            with pytest.raises(TimedOut):
                await it.respond("x")
        await asyncio.sleep(0)


async def test_cancelling_wins_over_a_provider_that_turns_it_into_an_error() -> None:
    async def stubborn(plan: Plan[object], grant: Grant) -> AsyncGenerator[ProviderEvent, None]:
        grant.spend(plan.request)
        try:
            await asyncio.sleep(SLOW_S)
        except asyncio.CancelledError:
            raise BackendDied("the worker is gone") from None
        yield Finish("stop")

    first, second = Acting(stubborn), ScriptedProvider("never")
    rules = policy("first", "second", fallback=["second"])
    async with assistant(rules, first=first, second=second) as it:
        task = asyncio.create_task(it.respond("x"))
        await until(lambda: bool(first.requests))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert second.requests == []


async def test_a_time_limit_wins_over_a_provider_that_turns_it_into_an_error() -> None:
    async def stubborn(plan: Plan[object], grant: Grant) -> AsyncGenerator[ProviderEvent, None]:
        grant.spend(plan.request)
        try:
            await asyncio.sleep(SLOW_S)
        except asyncio.CancelledError:
            raise BackendDied("the worker is gone") from None
        yield Finish("stop")

    async with assistant(policy("first"), timeouts=Timeouts(connect_s=0.03), retry=ONCE, first=Acting(stubborn)) as it:
        task = asyncio.current_task()
        assert task is not None
        with pytest.raises(TimedOut):
            await it.respond("x")
        assert not task.cancelling()


async def test_a_cancellation_that_only_the_provider_invented_is_no_cancellation_of_the_app(tmp_path: Path) -> None:
    first = ScriptedProvider(Script(events=(), error=asyncio.CancelledError()))
    async with assistant(policy("first"), tmp_path, first=first) as it:
        with pytest.raises(ProviderError):
            await it.respond("x")
    assert [receipt["outcome"] for receipt in records(tmp_path)] == ["failed"]


async def test_closing_a_stream_early_cancels_the_provider_and_is_on_record(tmp_path: Path) -> None:
    provider = ScriptedProvider(text_events("a", "b", "c"))
    async with assistant(policy("first"), tmp_path, first=provider) as it:
        async with it.stream("x") as stream:
            await anext(stream)
        assert provider.cancelled == 1
    (receipt,) = records(tmp_path)
    assert receipt["outcome"] == "cancelled"


async def test_leaving_a_loop_over_a_stream_that_is_dropped_cancels_the_provider(tmp_path: Path) -> None:
    provider = ScriptedProvider(text_events("a", "b", "c"))
    async with assistant(policy("first"), tmp_path, first=provider) as it:
        async for _ in it.stream("x"):
            break
        await until(lambda: provider.cancelled == 1)
        await until(lambda: any(tmp_path.iterdir()) and bool(records(tmp_path)))
    assert [receipt["outcome"] for receipt in records(tmp_path)] == ["cancelled"]


async def test_closing_a_stream_that_another_task_draws_cancels_it() -> None:
    provider = Acting(stalls)
    async with assistant(policy("first"), first=provider) as it:
        stream = it.stream("x")
        task = asyncio.create_task(drain(stream))
        await until(lambda: bool(provider.requests))
        await asyncio.sleep(0.01)
        try:
            await stream.aclose()
            async with asyncio.timeout(2):
                await task
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
    assert provider.ended == 1


async def test_closing_the_assistant_leaves_a_record_of_what_was_under_way(tmp_path: Path) -> None:
    provider = ScriptedProvider(Script(delay_s=0.02))
    it = assistant(policy("first"), tmp_path, first=provider)
    task = asyncio.create_task(it.respond("x"))
    await until(lambda: bool(provider.requests))
    await it.close()
    await asyncio.gather(task, return_exceptions=True)
    assert len(records(tmp_path)) == 1


async def test_many_requests_at_once_keep_their_answers_apart() -> None:
    async def echoes(plan: Plan[object], grant: Grant) -> AsyncGenerator[ProviderEvent, None]:
        grant.spend(plan.request)
        yield TextStart(0)
        for letter in plan.request.messages[-1].text:
            await asyncio.sleep(0)
            yield TextDelta(0, letter)
        yield TextEnd(0)
        yield Finish("stop")

    async with assistant(policy("first"), first=Acting(echoes)) as it:
        texts = [f"request number {number}" for number in range(100)]
        answers = await asyncio.gather(*(it.respond(text) for text in texts))
    assert [answer.text for answer in answers] == texts
    assert len({answer.receipt.id for answer in answers}) == 100
