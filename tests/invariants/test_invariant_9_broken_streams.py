"""Invariant 9: a stream that breaks never passes for a complete answer, wherever it breaks and whatever is declared."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.support import ONCE, as_shown, drain, shown
from tests.invariants.answers import QUESTION, SEEN, Broken, Model, Part, events_of, policy, restored
from tests.invariants.support import ANNA, Mail, detectors, law, run

from ringfence import AsyncAssistant, AsyncStream
from ringfence.errors import BackendDied, ConnectFailed, Overloaded, RateLimited, RingfenceError, StreamBroken
from ringfence.response import Joined, Response

ERRORS: tuple[type[Exception] | None, ...] = (
    None,
    StreamBroken,
    BackendDied,
    ConnectFailed,
    Overloaded,
    RateLimited,
    ValueError,
)
"""What ends the stream; `None`: nothing does, it only stops before its end."""

SHAPE: dict[str, Any] = {
    "type": "object",
    "properties": {"who": {"type": "string"}},
    "required": ["who"],
    "additionalProperties": False,
}
ELSE = Part(kind="text", text=f"Or {SEEN} it is.", size=5)
OBJECT = Part(kind="text", text=json.dumps({"who": f'"{SEEN}"'}, ensure_ascii=False), size=3)
OTHER_OBJECT = Part(kind="text", text='{"who": "nobody"}', size=4)

pieces = st.lists(st.sampled_from((SEEN, "a", "é", "[", "[MAIL-1-", " ")), min_size=1, max_size=6).map("".join)
parts = st.lists(
    st.builds(Part, kind=st.sampled_from(("text", "text", "reasoning")), text=pieces, size=st.integers(1, 9)),
    min_size=1,
    max_size=2,
)


@pytest.fixture(autouse=True)
def surroundings() -> Iterator[None]:
    with detectors(mail=Mail()):
        yield


def broken(drawn: list[Part], share: float, error: type[Exception] | None) -> tuple[Model, int]:
    """A model whose answer breaks somewhere before its end, and after how many events."""
    at = int(share * (len(events_of(drawn, ANNA)) - 1))
    # What a provider says in an error of the tree is safe to show; what else it raises may hold anything.
    raised = None if error is None else error(f"about {ANNA}" if error is ValueError else "cut")
    return Model(*drawn, stop_at=at, error=raised), at


def assistant(first: Model, second: Model, how: Broken, *, redact: bool) -> AsyncAssistant:
    rules = policy(redact=redact, broken=how)
    providers = {"far": first, "other": second}
    return AsyncAssistant(rules, providers=providers, audit=False, consent=lambda _: True, retry=ONCE)


Came: TypeAlias = "tuple[Response[Any] | RingfenceError, list[Any]]"


async def both_ways(it: AsyncAssistant, output: dict[str, Any] | None = None) -> list[Came]:
    """What comes of the question, drawn and whole."""
    stream: AsyncStream[Any] = it.stream(QUESTION, output=output, instructions="")
    events, error = await drain(stream)
    found: list[Came] = [(error or await stream.response(), events)]
    try:
        found.append((await it.respond(QUESTION, output=output, instructions=""), events))
    except RingfenceError as raised:
        found.append((raised, events))
    return found


how_broken = st.fixed_dictionaries(
    {
        "how": st.sampled_from(("fail", "restart", "continue")),
        "error": st.sampled_from(ERRORS),
        "redact": st.booleans(),
        "share": st.floats(0, 1),
    }
)


@law(40)
@given(drawn=parts, case=how_broken)
def test_invariant_9_a_broken_stream_never_passes_for_a_complete_answer(
    drawn: list[Part], case: dict[str, Any]
) -> None:
    how: Broken = case["how"]

    async def check() -> None:
        first, at = broken(drawn, case["share"], case["error"])
        joins: list[Joined] = []
        async with assistant(first, second := Model(ELSE), how, redact=case["redact"]) as it:
            for came, events in await both_ways(it):
                joins = [event for event in events if isinstance(event, Joined)]
                if isinstance(came, RingfenceError):
                    check_failed(came, events)
                elif came.receipt.attempts[0].error is None:
                    raise AssertionError("an answer that broke off is told as complete")
                else:
                    check_joined(came, joins)
        if at == 0:
            return
        assert bool(second.requests) == (how == "restart" or (how == "continue" and joins != []))

    def check_failed(error: RingfenceError, events: list[Any]) -> None:
        assert isinstance(error, StreamBroken)
        assert error.partial_text == as_shown(events)
        assert restored(drawn).startswith(error.partial_text)
        assert how == "fail" or (how == "continue" and any(part.kind == "reasoning" for part in drawn))
        assert ANNA not in shown(error)

    def check_joined(response: Response[Any], joins: list[Joined]) -> None:
        assert response.joins == tuple(joins)
        assert [attempt.recipient for attempt in response.receipt.attempts] == ["far", "other"]
        kept = response.text.removesuffix(restored([ELSE]))
        if not joins:
            assert kept == "", "nothing came before the break, so nothing is in the answer"
            return
        assert how != "fail"
        (join,) = joins
        assert (join.broken, join.recipient) == ("far", "other")
        assert restored(drawn).startswith(kept)
        assert bool(kept) == (join.how == "continue")

    run(check())


@law(30)
@given(case=how_broken)
def test_invariant_9_a_broken_object_is_never_an_output_and_never_continued(case: dict[str, Any]) -> None:
    how: Broken = case["how"]

    async def check() -> None:
        first, at = broken([OBJECT], case["share"], case["error"])
        async with assistant(first, Model(OTHER_OBJECT), how, redact=case["redact"]) as it:
            for came, _ in await both_ways(it, SHAPE):
                if isinstance(came, Response):
                    assert how == "restart" or at == 0
                    assert came.output == {"who": "nobody"}
                    assert all(join.how == "restart" for join in came.joins)
                else:
                    assert isinstance(came, StreamBroken)
                    assert how != "restart"

    run(check())


@law(20)
@given(drawn=parts, case=how_broken, again=st.floats(0, 1))
def test_invariant_9_a_stream_that_breaks_twice_fails(drawn: list[Part], case: dict[str, Any], again: float) -> None:
    async def check() -> None:
        first, at = broken(drawn, case["share"], case["error"])
        second, _ = broken([ELSE], again, case["error"])
        async with assistant(first, second, case["how"], redact=case["redact"]) as it:
            for came, events in await both_ways(it):
                assert isinstance(came, RingfenceError)
                assert ANNA not in shown(came)
                if isinstance(came, StreamBroken) and at > 0:
                    assert came.partial_text == as_shown(events)

    run(check())
