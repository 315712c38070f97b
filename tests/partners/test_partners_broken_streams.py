"""Every fault at every wire event of a streamed answer: never a cut answer passed off as a whole one (invariant 9)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias, get_args

import pytest
from tests.core.support import as_shown, drain, records
from tests.partners.support import APIS, DEVICE, LOCAL, ONCE, Api, Person, assistant, at, backend, policy_text

from ringfence import AsyncAssistant, Timeouts
from ringfence.errors import ProviderError, RingfenceError, StreamBroken
from ringfence.request import Tool, ToolCallPart
from ringfence.response import Event, Joined, Response
from ringfence.testing import PartnerServer, Scene, ScriptedProvider
from ringfence.testing.partners import wire_events
from ringfence.testing.partners.backend import PartnerBackend
from ringfence.testing.scenes import Fault

FAULTS: tuple[Fault, ...] = get_args(Fault)
MODES = ("fail", "restart", "continue")
STALL_S = 0.3
CALLS = (ToolCallPart("call_1", "weather", '{"city":"Ulm"}'), ToolCallPart("call_2", "weather", '{"city":"Bonn"}'))
SCENES = {
    "text": Scene(text=("Once", " upon", " a", " time.")),
    "calls": Scene(text=(), tool_calls=CALLS),
    "text_and_calls": Scene(text=("Let me", " look."), tool_calls=CALLS),
    "reasoning": Scene(reasoning=("First", " this,", " then that."), text=("So", " it is.")),
}
WEATHER = Tool(
    name="weather",
    description="The weather in a city.",
    parameters={"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
)


@dataclass(frozen=True, kw_only=True)
class Case:
    """One fault at one place, and what the policy says of broken streams."""

    scene: Scene
    mode: str
    whole: str
    """The text of the answer if nothing broke."""

    def __str__(self) -> str:
        return f"{self.scene.fault} at {self.scene.fault_at}, {self.mode}"


def cases(api: Api, scene: Scene, faults: Sequence[Fault]) -> Iterator[Case]:
    """Every fault at every index, the place after the last event included."""
    text = "".join(scene.text)
    for fault in faults:
        for index in range(wire_events(scene, api) + 2):
            for mode in MODES:
                yield Case(scene=replace(scene, fault=fault, fault_at=index), mode=mode, whole=text)


def is_whole(response: Response[None], case: Case) -> bool:
    """Whether it is all of the answer of the faulty partner: the fault came where it could harm nothing any more."""
    calls = [(call.name, call.arguments) for call in response.tool_calls]
    return (
        response.text == case.whole
        and calls == [(call.name, call.arguments) for call in case.scene.tool_calls]
        and response.finish_reason == ("tool_calls" if case.scene.tool_calls else "stop")
    )


def joins_of(events: Sequence[Event]) -> tuple[Joined, ...]:
    return tuple(event for event in events if isinstance(event, Joined))


def faults_of_answer(  # noqa: PLR0911  (one rule a return)
    case: Case, response: Response[None], events: Sequence[Event]
) -> list[str]:
    """What is wrong with an answer that was given as a whole one."""
    attempts = [(one.recipient, one.error, one.phase) for one in response.receipt.attempts]
    if joins_of(events) != response.joins:
        return ["the joins in the events are not those of the response"]
    if as_shown(events) != response.text:
        return ["what was shown is not what was answered"]
    if attempts[0][1] is None:
        return [] if is_whole(response, case) and not response.joins else ["a cut answer passed for a whole one"]
    began = attempts[0][2] == "mid_stream"
    if case.mode == "fail" and began:
        return ["it went on although the policy says fail"]
    if not began:
        return [] if response.text == LOCAL and not response.joins else ["a fallback before the first event is joined"]
    if [join.how for join in response.joins] not in (["restart"], ["continue"]):
        return [f"it went on elsewhere without a join: {response.joins}"]
    if response.joins[0].how == "restart":
        # `continue` of an answer without a word yet is a restart.
        ok = response.text == LOCAL and (case.mode == "restart" or not case.scene.text or case.scene.reasoning)
        return [] if ok else [f"restarted to {response.text!r}"]
    prefix = response.text.removesuffix(LOCAL)
    ok = case.mode == "continue" and case.whole.startswith(prefix) and response.text.endswith(LOCAL)
    return [] if ok else [f"continued to {response.text!r}"]


def faults_of_error(case: Case, error: RingfenceError, events: Sequence[Event]) -> list[str]:
    """What is wrong with an error."""
    if not isinstance(error, StreamBroken):
        return [f"ended with {type(error).__name__}: {error}"]
    if error.partial_text != as_shown(events) or not case.whole.startswith(error.partial_text):
        return [f"partial_text {error.partial_text!r} is not what was shown {as_shown(events)!r}"]
    if (
        error.receipt is None
        or error.receipt.outcome != "failed"
        or error.receipt.output_bytes != len(error.partial_text)
    ):
        return [f"the receipt says {error.receipt}"]
    if case.mode == "restart":
        return ["it failed although the policy says restart"]
    if case.mode == "continue" and not (case.scene.tool_calls or case.scene.reasoning):
        return ["it failed although the policy says continue"]
    return []


async def try_case(asked: AsyncAssistant, double: PartnerBackend, case: Case) -> list[str]:
    """Asks, and says what is wrong: that a backend was left late only if it was three times."""
    found, late = await ask_once(asked, double, case)
    for _ in range(2):
        if late and not found:
            found, late = await ask_once(asked, double, case)
    return [f"{case}: {one}" for one in (*found, *late)]


async def ask_once(asked: AsyncAssistant, double: PartnerBackend, case: Case) -> tuple[list[str], list[str]]:
    """What is wrong with one answer, and whether its backend was left late."""
    tools = (WEATHER,) if case.scene.tool_calls else ()
    double.play(case.scene)
    stream = asked.stream("Tell me something", labels=["public"], tools=tools)
    began_s = time.monotonic()
    events, error = await drain(stream)
    ended_s = time.monotonic() - began_s
    if error is not None:
        found = faults_of_error(case, error, events)
    else:
        found = faults_of_answer(case, await stream.response(), events)
    seen = double.seen()
    if case.scene.fault == "stall" and not seen:
        # The machine was so busy that the time limit came first: nothing is known of this case.
        return [], []
    if len(seen) != 1:
        found.append(f"{len(seen)} requests arrived")
    if case.scene.fault == "stall" and (stream.receipt is None or stream.receipt.attempts[0].error is not None):
        return found, await left_late(double, ended_s)
    return found, []


async def left_late(double: PartnerBackend, ended_s: float) -> list[str]:
    """Whether the connection to the backend that failed outlived the failure by more than 250 ms."""
    for _ in range(50):
        gone_s = double.seen()[0].disconnected_s
        if gone_s is not None:
            return [] if gone_s <= ended_s + 0.25 else [f"the backend was left after {gone_s}, the end at {ended_s}"]
        await asyncio.sleep(0.01)
    return ["the connection was still open 500 ms after the failure"]


Stages: TypeAlias = dict[tuple[str, Api], PartnerServer]


@pytest.fixture(scope="module")
def stages() -> Iterator[Stages]:
    """A double for each way to go on and each API, so that they can be asked side by side."""
    with ExitStack() as stack:
        pairs = {mode: (stack.enter_context(PartnerServer()), stack.enter_context(PartnerServer())) for mode in MODES}
        yield {(mode, api): pairs[mode][api == "chat"] for mode in MODES for api in APIS}


async def try_all(stages: Stages, scene: Scene, faults: Sequence[Fault], audit: Path | None, limits: Timeouts) -> int:
    """Every case of `scene`, the modes and APIs side by side; how many there were. Fails with all that is wrong."""

    async def side(mode: str, api: Api) -> list[list[str]]:
        double = backend(api, stages[mode, api])
        policy = policy_text(
            {"first": at(api, stages[mode, api]), "local": DEVICE}, fallback=["local"], on_broken_stream=mode
        )
        folder = False if audit is None else audit / f"{mode}-{api}"
        device = ScriptedProvider(LOCAL)
        async with assistant(policy, folder, device=device, retry=ONCE, timeouts=limits) as asked:
            found = [
                [f"{api}: {one}" for one in await try_case(asked, double, case)]
                for case in cases(api, scene, faults)
                if case.mode == mode
            ]
        if audit is not None:
            assert len(records(audit / f"{mode}-{api}")) == len(found)
        return found

    sides = await asyncio.gather(*(side(mode, api) for mode, api in stages))
    wrong = [one for found in sides for case in found for one in case]
    assert wrong == []
    return sum(len(found) for found in sides)


@pytest.mark.parametrize("scene", SCENES)
async def test_a_broken_stream_is_never_a_whole_answer(
    server: PartnerServer, stages: Stages, tmp_path: Path, scene: str
) -> None:
    quick: tuple[Fault, ...] = ("reset", "end", "malformed", "error_event")
    assert await try_all(stages, SCENES[scene], quick, tmp_path, Timeouts()) > 200


@pytest.mark.parametrize("scene", SCENES)
async def test_a_stalled_stream_is_left_at_once(server: PartnerServer, stages: Stages, scene: str) -> None:
    limits = Timeouts(connect_s=None, first_event_s=STALL_S, between_events_s=STALL_S)
    assert await try_all(stages, SCENES[scene], ("stall",), None, limits) > 50


@pytest.mark.parametrize("api", APIS)
async def test_after_a_malformed_event_the_rest_is_not_read(server: PartnerServer, api: Api) -> None:
    """The backend goes on making an answer that nobody wants any more: it is hung up on."""
    scene = Scene(text=("One",) * 12, chunk_delay_s=0.1, fault="malformed", fault_at=6)
    double = backend(api, server)
    double.play(scene)
    async with assistant(policy_text({"first": at(api, server)}), audit=False, retry=ONCE) as asked:
        began_s = time.monotonic()
        _, error = await drain(asked.stream("Hello", labels=["public"]))
        ended_s = time.monotonic() - began_s
        assert isinstance(error, StreamBroken)
        assert await left_late(double, ended_s) == []


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("api", APIS)
async def test_a_fault_of_a_whole_answer_goes_to_the_fallback(server: PartnerServer, api: Api, fault: Fault) -> None:
    double = backend(api, server)
    double.play(Scene(fault=fault))
    policy = policy_text({"first": at(api, server), "local": DEVICE}, fallback=["local"])
    limits = Timeouts(first_event_s=1.5) if fault == "stall" else Timeouts()
    async with assistant(policy, audit=False, retry=ONCE, timeouts=limits) as asked:
        response = await asked.respond("Hello", labels=["public"])
    assert response.text == LOCAL
    assert response.joins == ()
    assert [one.recipient for one in response.receipt.attempts] == ["first", "local"]


async def test_a_stream_that_breaks_twice_names_the_partner_it_broke_at(server: PartnerServer) -> None:
    """The second recipient never began; it is not its stream that broke."""
    server.openai.play(Scene(text=("Once", " upon"), fault="end", fault_at=6))
    server.gemini.play(Scene(error="authentication"))
    policy = policy_text(
        {"first": at("responses", server), "second": at("gemini", server)},
        fallback=["second"],
        on_broken_stream="continue",
    )
    async with assistant(policy, audit=False, retry=ONCE) as asked:
        events, error = await drain(asked.stream("Hello", labels=["public"]))
    assert isinstance(error, StreamBroken)
    assert error.partial_text == as_shown(events)
    assert error.partial_text
    assert "'first'" in error.message
    assert error.recipient == "first"


async def test_a_continuation_goes_to_the_next_partner_with_what_came(server: PartnerServer) -> None:
    server.openai.play(Scene(text=("Once", " upon"), fault="reset", fault_at=5))
    server.gemini.play(Scene(text=(" a time.",)))
    policy = policy_text(
        {"first": at("chat", server), "second": at("gemini", server)}, fallback=["second"], on_broken_stream="continue"
    )
    async with assistant(policy, audit=False, retry=ONCE) as asked:
        stream = asked.stream("Hello", labels=["public"])
        events, error = await drain(stream)
        response = await stream.response()
    assert error is None
    assert response.text == as_shown(events) == "Once upon a time."
    assert response.joins == (Joined(broken="first", recipient="second", how="continue"),)
    assert b"Once upon" in server.gemini.seen()[0].body
    assert issubclass(StreamBroken, ProviderError)


@pytest.mark.parametrize("mode", ["restart", "continue"])
async def test_going_on_elsewhere_asks_for_it_once(server: PartnerServer, mode: str) -> None:
    """The next partner is a recipient of its own: a person is asked, and a no ends in the broken answer."""
    policy = policy_text(
        {"first": at("chat", server), "second": at("gemini", server)}, fallback=["second"], on_broken_stream=mode
    )
    for yes in (True, False):
        server.openai.play(Scene(text=("Once", " upon"), fault="end", fault_at=3))
        server.gemini.play(Scene(text=(" a time.",)))
        person = Person(says=(lambda _: True) if yes else (lambda question: question.recipient == "first"))
        async with assistant(policy, audit=False, retry=ONCE, person=person) as asked:
            stream = asked.stream("Hello", labels=["public"])
            events, error = await drain(stream)
        assert person.asked == ["first", "second"]
        assert len(server.gemini.seen()) == yes
        if yes:
            assert error is None
            assert stream.receipt is not None
            assert stream.receipt.consented
        else:
            assert isinstance(error, StreamBroken)
            assert error.partial_text == as_shown(events) == "Once upon"
