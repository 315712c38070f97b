"""Invariant 8: one execution path. Streamed equals whole for any answer, and closing cancels wherever it happens."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.support import drain
from tests.invariants.answers import ASKED, QUESTION, Model, Part, answers, events_of, policy, restored
from tests.invariants.support import ANNA, Mail, detectors, law, run, state

from ringfence import AsyncAssistant, Response
from ringfence.request import ReasoningPart, TextPart, ToolCallPart
from ringfence.response import Event, Finish, ReasoningDelta, TextDelta, ToolCallDelta


@pytest.fixture(autouse=True)
def surroundings() -> Iterator[None]:
    with detectors(mail=Mail()), state():
        yield


def assistant(*, redact: bool, far: Model) -> AsyncAssistant:
    providers = {"far": far, "other": Model()}
    return AsyncAssistant(policy(redact=redact), providers=providers, audit=False, consent=lambda _: True)


def told(response: Response[None]) -> tuple[object, ...]:
    """All of an answer but its times and ids."""
    receipt = response.receipt
    return (
        *(response.message, response.finish, response.usage, response.adjustments, response.labels, response.joins),
        *(receipt.outcome, receipt.labels, receipt.recipient, receipt.redactions, receipt.input_bytes),
        *(receipt.output_bytes, receipt.output_tokens, receipt.finish_reason, receipt.rules),
        *([(attempt.recipient, attempt.error) for attempt in receipt.attempts],),
    )


def grown(events: Sequence[Event], kind: type, index: int) -> str:
    deltas = [event for event in events if isinstance(event, kind) and getattr(event, "index", None) == index]
    return "".join(getattr(delta, "arguments", "") or getattr(delta, "text", "") for delta in deltas)


@law(20)
@given(drawn=answers, redact=st.booleans())
def test_invariant_8_streamed_equals_whole(drawn: list[Part], redact: bool) -> None:
    async def both() -> None:
        async with assistant(redact=redact, far=Model(*drawn)) as it:
            whole = await it.respond(QUESTION, **ASKED)
            stream = it.stream(QUESTION, **ASKED)
            events, error = await drain(stream)
            assert error is None
            streamed = await stream.response()
        assert told(streamed) == told(whole)
        assert streamed.text == restored(drawn)
        for index, part in enumerate(streamed.message.parts):
            match part:
                case TextPart():
                    assert grown(events, TextDelta, index) == part.text
                case ReasoningPart():
                    assert grown(events, ReasoningDelta, index) == part.text
                case ToolCallPart():
                    assert grown(events, ToolCallDelta, index) == part.arguments
                case _:
                    raise AssertionError(part)

    run(both())


@law(20)
@given(drawn=answers, redact=st.booleans(), share=st.floats(0, 1))
def test_invariant_8_closing_cancels_wherever_it_happens(
    drawn: list[Part],
    redact: bool,
    share: float,
) -> None:
    model = Model(*drawn)
    count = int(share * (len(events_of(drawn, ANNA)) - 1))

    async def close() -> None:
        async with assistant(redact=redact, far=model) as it:
            async with it.stream(QUESTION, **ASKED) as stream:
                came = [event async for _, event in azip(range(count), stream)]
            yielded = model.yielded
            assert model.ended == len(model.grants) == min(count, 1)
            assert all(grant.over for grant in model.grants)
            if came and not isinstance(came[-1], Finish):
                assert stream.receipt is not None
                assert stream.receipt.outcome == "cancelled"
        assert model.yielded == yielded, "nothing is drawn after the end"

    run(close())


async def azip(numbers: Iterable[int], stream: AsyncIterator[Event]) -> AsyncIterator[tuple[int, Event]]:
    """The first events of a stream, which is left open."""
    for number in numbers:
        event = await anext(stream, None)
        if event is None:
            return
        yield number, event
