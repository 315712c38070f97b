"""Redaction from the app to the recipient and back: what goes out, what the user sees, what a tool is handed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from typing import Any

import pytest
from tests.core.support import NO_WAIT, drain, shown

from ringfence import AsyncAssistant, AsyncStream, ConsentRequest, Policy, tool
from ringfence.errors import GateError, Overloaded, StreamBroken
from ringfence.grant import Grant
from ringfence.policy import read_policy
from ringfence.privacy.consent import ConsentCallback
from ringfence.provider import Plan
from ringfence.request import (
    FilePart,
    ImagePart,
    Message,
    Part,
    ReasoningPart,
    Request,
    Settings,
    TextPart,
    Tool,
    ToolCallPart,
)
from ringfence.response import (
    Finish,
    ProviderEvent,
    ReasoningDelta,
    ReasoningEnd,
    ReasoningStart,
    TextDelta,
    TextEnd,
    TextStart,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
)
from ringfence.testing import ScriptedProvider, call_events, failing, text_events

ANNA, BERTA = "anna@example.com", "berta@example.org"

_POLICY = """
version: 1
name: redacts
recipients:
  far:   {ring: partner, provider: far, model: m}
  other: {ring: partner, provider: other, model: m}
  near:  {ring: device, provider: near, model: m}
labels:
  public: {}
  contact: {detect: [email, phone]}
  money: {detect: [credit_card]}
  health: {declare: true}
  unclassified: {}
unknown: unclassified
clean: public
tools:
  invite: {ring: device}
  search: {ring: partner}
flow:
  - {id: device, allow: {labels: "*", to: [device]}}
  - {id: public, allow: {labels: [public], to: [partner]}, consent: ask}
  - {id: contact, allow: {labels: [contact], to: [partner]}, redact: KIND, consent: ask}
  - {id: money, allow: {labels: [money], to: [partner]}, redact: mask, consent: ask}
  - {id: health, allow: {labels: [health, unclassified], to: [partner]}, redact: KIND, consent: ask}
route:
  - {id: only, prefer: [far], fallback: [FALLBACK], on_broken_stream: BROKEN}
"""


def policy(kind: str = "pseudonym", fallback: str = "near", broken: str = "fail") -> Policy:
    return read_policy(_POLICY.replace("KIND", kind).replace("FALLBACK", fallback).replace("BROKEN", broken))


Says = Callable[[Request], "str | list[ProviderEvent]"]


class Model(ScriptedProvider):
    """Answers what the functions say, in turn, a character at a time; the last again and again."""

    def __init__(self, *says: Says) -> None:
        super().__init__()
        self._says = says

    async def run(self, plan: Plan[object], grant: Grant) -> AsyncGenerator[ProviderEvent, None]:
        grant.spend(plan.request)
        self.grants.append(grant)
        self.requests.append(plan.request)
        said = self._says[min(len(self.requests), len(self._says)) - 1](plan.request)
        for event in [*text_events(*said)] if isinstance(said, str) else said:
            await asyncio.sleep(0)
            yield event


def last(request: Request) -> str:
    return request.messages[-1].text


def echo() -> Model:
    return Model(last)


def agree(_: ConsentRequest) -> bool:
    return True


def assistant(how: Policy | None = None, ask: ConsentCallback = agree, **providers: Any) -> AsyncAssistant:
    every = {"far": echo(), "other": echo(), "near": ScriptedProvider("local"), **providers}
    return AsyncAssistant(how or policy(), providers=every, audit=False, consent=ask, retry=NO_WAIT)


def sent(provider: ScriptedProvider, number: int = -1) -> list[str]:
    return [message.text for message in provider.requests[number].messages]


def nowhere(value: str, provider: ScriptedProvider) -> bool:
    return all(value not in _all(request) for request in provider.requests)


def _all(request: Request) -> str:
    from ringfence.privacy.material import request_texts

    return "\n".join(request_texts(request))


async def test_the_recipient_sees_placeholders_and_the_user_the_values() -> None:
    far, asked = echo(), list[ConsentRequest]()

    def person(question: ConsentRequest) -> bool:
        asked.append(question)
        return True

    async with assistant(ask=person, far=far) as it:
        response = await it.respond(f"Write to {ANNA} and {BERTA}, first to {ANNA}.")
    assert response.text == f"Write to {ANNA} and {BERTA}, first to {ANNA}."
    assert asked[0].payload is far.requests[0]
    assert nowhere(ANNA, far)
    assert ANNA not in asked[0].preview
    assert response.receipt.redactions == {"contact": 2}
    assert [one.detail for one in response.adjustments] == ["2 values of contact as pseudonym"]
    assert ANNA not in repr(far.grants) + repr(response.receipt)
    assert not far.grants[0].hidden


async def test_the_grant_tells_the_transport_what_must_not_leave_and_forgets_it() -> None:
    hidden: list[frozenset[str]] = []

    class Looks(Model):
        async def run(self, plan: Plan[object], grant: Grant) -> AsyncGenerator[ProviderEvent, None]:
            hidden.append(grant.hidden)
            async for event in super().run(plan, grant):
                yield event

    far, near = Looks(lambda _: "fine"), Looks(lambda _: "fine")
    async with assistant(far=far, near=near) as it:
        await it.respond(f"to {ANNA}")
        await it.respond(f"to {ANNA}", to="near")
    assert hidden == [{ANNA}, frozenset()]
    assert [grant.hidden for grant in far.grants] == [frozenset()]


@pytest.mark.parametrize(("kind", "goes_out"), [("remove", "to , please"), ("mask", "to ****, please")])
async def test_what_is_removed_or_masked_never_comes_back(kind: str, goes_out: str) -> None:
    far = echo()
    async with assistant(policy(kind), far=far) as it:
        response = await it.respond(f"to {ANNA}, please")
    assert response.text == sent(far)[-1] == goes_out


async def test_a_stream_shows_values_a_piece_at_a_time_and_never_a_part_of_a_placeholder() -> None:
    async with assistant() as it:
        events, error = await drain(it.stream(f"a [b] {ANNA} [EMAIL-1-"))
    assert error is None
    deltas = [event.text for event in events if isinstance(event, TextDelta)]
    assert "".join(deltas) == f"a [b] {ANNA} [EMAIL-1-"
    assert all(deltas)
    assert not any("[EMAIL" in delta for delta in deltas[:-1])


async def test_reasoning_is_restored_too() -> None:
    def think(request: Request) -> list[ProviderEvent]:
        return [
            ReasoningStart(0),
            *(ReasoningDelta(0, character) for character in last(request)),
            ReasoningEnd(0),
            TextStart(1),
            TextDelta(1, "ok"),
            TextEnd(1),
            Finish("stop"),
        ]

    async with assistant(far=Model(think)) as it:
        assert (await it.respond(f"to {ANNA}")).reasoning[0].text == f"to {ANNA}"


async def test_a_fallback_that_may_see_the_values_gets_them_and_no_placeholder() -> None:
    far, near = ScriptedProvider(failing(Overloaded("full"))), echo()
    async with assistant(far=far, near=near) as it:
        response = await it.respond(f"to {ANNA}")
    assert response.receipt.recipient == "near"
    assert sent(near)[-1] == response.text == f"to {ANNA}"
    assert response.receipt.redactions == {}


async def test_retries_and_another_partner_get_the_same_placeholders() -> None:
    far, other = ScriptedProvider(failing(Overloaded("full"))), echo()
    async with assistant(policy(fallback="other"), far=far, other=other) as it:
        response = await it.respond(f"to {ANNA}")
    assert len({sent(far, number)[-1] for number in range(len(far.requests))} | {sent(other)[-1]}) == 1
    assert response.text == f"to {ANNA}"


async def test_two_requests_never_share_placeholders() -> None:
    far = echo()
    async with assistant(far=far) as it:
        both = await asyncio.gather(it.respond(f"to {ANNA}"), it.respond(f"to {BERTA}"))
        assert [one.text for one in both] == [f"to {ANNA}", f"to {BERTA}"]
        stale = sent(far, 0)[-1]
        assert (await it.respond(stale)).text == stale
    assert sent(far, 0)[-1] != sent(far, 1)[-1]


# ------------------------------------------------------------------ sessions


async def test_a_session_keeps_its_turns_though_answers_carry_every_label() -> None:
    far = Model(last, lambda _: "fine")
    async with assistant(far=far) as it:
        session = it.session()
        await session.respond(f"to {ANNA}")
        await session.respond("And now?")
    first, answer, then = sent(far)
    assert first == answer
    assert nowhere(ANNA, far)
    assert then == "And now?"
    assert session.messages[1].text == f"to {ANNA}"


async def test_what_was_restored_in_an_answer_goes_out_as_a_placeholder_though_no_detector_finds_it() -> None:
    secret = "she fell from the stairs"
    far = Model(lambda request: last(request)[-60:] + " | I see", lambda _: "fine")
    async with assistant(far=far) as it:
        session = it.session()
        asked = [TextPart("What to do?"), TextPart(secret, labels=frozenset({"health"}))]
        answer = await session.respond(asked)
        assert secret in answer.text
        await session.respond("And now?")
    assert nowhere(secret, far)
    assert sent(far)[1].endswith(" | I see")


async def test_a_session_that_was_loaded_forgets_what_answers_never_saw_and_sends_less() -> None:
    far = Model(last, lambda _: "fine")
    async with assistant(far=far) as it:
        session = it.session()
        await session.respond([TextPart("hello"), TextPart("is ill", labels=frozenset({"health"}))])
        await it.session(load=session.dump()).respond("And now?")
    assert "is ill" not in _all(far.requests[-1])
    assert sent(far)[1].startswith("[HEALTH-")


async def test_an_answer_of_a_model_that_saw_everything_is_redacted_in_full() -> None:
    far, near = echo(), ScriptedProvider("the patient limps")
    async with assistant(far=far, near=near) as it:
        session = it.session()
        await session.respond("how is he?", labels={"health"}, to="near")
        await session.respond("And now?")
    assert nowhere("limps", far)


async def test_a_high_water_mark_that_stands_in_no_part_hides_every_part() -> None:
    far, near = echo(), ScriptedProvider("local")
    async with assistant(far=far, near=near) as it:
        stream: AsyncStream[Any] = it.stream_turn(
            [Message("user", (TextPart("And now?"),))], None, {}, high_water=frozenset({"health"})
        )
        assert (await stream.response()).text == "local"
    assert far.requests == []


# ------------------------------------------------------------------ what is no text

_SCHEMA: dict[str, Any] = {"type": "object", "properties": {"a": {"const": ANNA}}}


@pytest.mark.parametrize(
    "options",
    [
        {"settings": Settings(stop=(f"to {ANNA}",))},
        {"provider_options": {"far": {"user": ANNA}}},
        {"output": _SCHEMA},
        {"tools": [Tool(name="find", parameters=_SCHEMA)]},
    ],
    ids=["stop", "provider_options", "output", "parameters"],
)
async def test_a_hit_where_nothing_is_rewritten_refuses_the_recipient(options: dict[str, Any]) -> None:
    far = echo()
    async with assistant(far=far) as it:
        with pytest.raises(GateError, match="label 'contact' has to be redacted") as caught:
            await it.respond("find her", to="far", **options)
    assert far.requests == []
    assert ANNA not in shown(caught.value)


async def test_descriptions_names_and_text_files_are_redacted() -> None:
    far = echo()
    parts: list[Part] = [
        TextPart("Read this:"),
        FilePart(json.dumps({"to": ANNA, "n": 1}).encode(), media_type="application/json", name=f"for {ANNA}"),
    ]
    async with assistant(far=far) as it:
        await it.respond(parts, tools=[Tool(name="find", description=f"finds {ANNA}")])
    request = far.requests[0]
    file = request.messages[0].parts[1]
    assert isinstance(file, FilePart)
    placeholder = json.loads(file.data)["to"]
    assert placeholder.startswith("[EMAIL-1-")
    assert file.name == f"for {placeholder}"
    assert request.tools[0].description == f"finds {placeholder}"


async def test_what_cannot_be_scanned_is_taken_out() -> None:
    far = echo()
    parts: list[Part] = [TextPart("Look:"), ImagePart(b"\x89PNG"), FilePart(b"\xff\xfe\x00")]
    async with assistant(far=far) as it:
        response = await it.respond(parts)
    assert [type(part) for part in far.requests[0].messages[0].parts] == [TextPart]
    assert response.receipt.redactions == {"unclassified": 2}


async def test_where_nothing_is_left_the_recipient_is_refused() -> None:
    far, said = echo(), f"{ANNA[:0]}he limps"
    async with assistant(far=far) as it:
        with pytest.raises(GateError, match=r"health.*pseudonym.*nothing is left") as caught:
            await it.respond(said, labels={"health"}, to="far")
    assert far.requests == []
    assert said not in shown(caught.value)


async def test_opaque_reasoning_of_a_model_that_saw_a_label_is_dropped() -> None:
    labels = frozenset({"contact"})
    turns = [
        Message("user", (TextPart(f"to {ANNA}"),)),
        Message("assistant", (ReasoningPart("far", "hm", state="opaque", labels=labels), TextPart("ok"))),
        Message("user", (TextPart("go on"),)),
    ]
    far = echo()
    async with assistant(far=far) as it:
        response = await it.respond(turns)
    assert not any(isinstance(part, ReasoningPart) for message in far.requests[0].messages for part in message.parts)
    assert "reasoning" in [one.setting for one in response.adjustments]


async def test_opaque_reasoning_of_a_model_that_saw_placeholders_goes_back_to_it_as_it_was() -> None:
    def think(request: Request) -> list[ProviderEvent]:
        mail = last(request).removeprefix("to ")
        reasoning: list[ProviderEvent] = [
            ReasoningStart(0),
            ReasoningDelta(0, f"write {mail}"),
            ReasoningEnd(0, state="opaque"),
        ]
        call: list[ProviderEvent] = [
            ToolCallStart(1, "c", "invite"),
            ToolCallDelta(1, json.dumps({"who": mail})),
            ToolCallEnd(1),
        ]
        return [*reasoning, *call, Finish("tool_calls")]

    calls, far = Calls(), Model(think, lambda _: "done")
    async with assistant(far=far) as it:
        response = await it.respond(f"to {ANNA}", tools=calls.tools(), approve=calls.approve)
    assert calls.got == [ANNA]
    part = far.requests[1].messages[1].parts[0]
    assert isinstance(part, ReasoningPart)
    assert part.state == "opaque"
    assert part.text == f"write {sent(far, 0)[0].removeprefix('to ')}"
    assert isinstance(shown_part := response.earlier_messages[0].parts[0], ReasoningPart)
    assert shown_part.text == f"write {ANNA}"


# ------------------------------------------------------------------ broken streams


async def test_a_stream_that_breaks_goes_on_elsewhere_without_a_placeholder_in_the_join() -> None:
    def breaks(request: Request) -> list[ProviderEvent]:
        return [TextStart(0), *(TextDelta(0, character) for character in last(request) + " is")]

    near = ScriptedProvider(" here")
    async with assistant(policy(broken="continue"), far=Model(breaks), near=near) as it:
        response = await it.respond(f"to {ANNA}")
    assert response.text == f"to {ANNA} is here"
    assert sent(near)[1] == f"to {ANNA} is"


async def test_a_stream_that_breaks_goes_on_at_another_partner_redacted() -> None:
    def breaks(request: Request) -> list[ProviderEvent]:
        return [TextStart(0), TextDelta(0, last(request) + " is [EMA")]

    other = Model(lambda _: " here")
    async with assistant(policy(fallback="other", broken="continue"), far=Model(breaks), other=other) as it:
        response = await it.respond(f"to {ANNA}")
    assert response.text == f"to {ANNA} is  here"
    assert nowhere(ANNA, other)
    assert sent(other)[1].startswith("to [EMAIL-1-")
    assert "cut off" in sent(other)[2]


async def test_what_came_before_a_break_goes_on_as_it_was_where_its_model_saw_no_value() -> None:
    def breaks(_: Request) -> list[ProviderEvent]:
        return [TextStart(0), TextDelta(0, "I see")]

    other = Model(lambda _: " it")
    async with assistant(policy(fallback="other", broken="continue"), far=Model(breaks), other=other) as it:
        assert (await it.respond(f"to {ANNA}")).text == "I see it"
    assert sent(other)[1] == "I see"


async def test_what_came_before_a_break_is_restored_in_the_error() -> None:
    def breaks(request: Request) -> list[ProviderEvent]:
        return [TextStart(0), TextDelta(0, last(request))]

    async with assistant(far=Model(breaks)) as it:
        with pytest.raises(StreamBroken) as caught:
            await it.respond(f"to {ANNA}")
    assert caught.value.partial_text == f"to {ANNA}"
    assert ANNA not in shown(caught.value)


async def test_structured_output_holds_the_values_escaped() -> None:
    name = 'said "a\\b"\n@ home'
    labels = frozenset({"health"})

    def answer(request: Request) -> str:
        placeholder = last(request).removeprefix("who? ")
        return json.dumps({"name": placeholder})

    async with assistant(far=Model(answer)) as it:
        response = await it.respond(
            [TextPart("who? "), TextPart(name, labels=labels)],
            output={"type": "object", "properties": {"name": {"type": "string"}}},
        )
    assert response.output == {"name": name}


# ------------------------------------------------------------------ tools


class Calls:
    """Tools that note what they were handed."""

    def __init__(self, *answers: str) -> None:
        self.got: list[str] = []
        self.approved: list[str] = []
        self.answers = list(answers) or ["done"]

    def tools(self) -> list[Any]:
        def handed(who: str) -> str:
            self.got.append(who)
            return self.answers[min(len(self.got), len(self.answers)) - 1]

        @tool
        def invite(who: str) -> str:
            """Invites."""
            return handed(who)

        @tool
        def search(who: str) -> str:
            """Searches."""
            return handed(who)

        @tool
        def undeclared(who: str) -> str:
            """Does something."""
            return handed(who)

        return [invite, search, undeclared]

    async def approve(self, call: ToolCallPart) -> bool:
        self.approved.append(json.loads(call.arguments)["who"])
        return True


def calling(name: str) -> Says:
    def say(request: Request) -> list[ProviderEvent]:
        return [*call_events(name, who=request.messages[0].text.removeprefix("mail "))]

    return say


async def test_what_a_declared_part_says_is_hidden_in_every_other_part() -> None:
    far, secret = echo(), "she fell from the stairs"
    async with assistant(far=far) as it:
        asked = [TextPart(f"Why? Note: {secret}."), TextPart(secret, labels=frozenset({"health"}))]
        response = await it.respond(asked)
    assert nowhere(secret, far)
    assert response.text == f"Why? Note: {secret}.{secret}"


async def test_a_result_of_a_tool_that_was_told_a_value_goes_out_hidden() -> None:
    calls, far = Calls("she lives in Elm Street"), Model(calling("invite"), lambda _: "done")
    async with assistant(far=far) as it:
        await it.respond(f"mail {ANNA}", tools=calls.tools(), approve=calls.approve)
    assert calls.got == [ANNA]
    assert far.requests[1].messages[-1].parts[0].text.startswith("[CONTACT-")  # type: ignore[union-attr]


@pytest.mark.parametrize(("name", "sees"), [("invite", ANNA), ("search", "[EMAIL-1-"), ("undeclared", "[EMAIL-1-")])
async def test_a_tool_is_handed_what_flow_lets_it_see_and_so_is_the_person_who_approves(name: str, sees: str) -> None:
    calls, far = Calls(), Model(calling(name), lambda _: "done")
    async with assistant(far=far) as it:
        events, error = await drain(
            stream := it.stream(f"mail {ANNA}", tools=calls.tools(), approve=calls.approve, to=["far", "near"])
        )
        response = await stream.response()
    assert error is None
    assert calls.got == calls.approved
    assert [one.startswith(sees) for one in calls.got] == [True]
    assert nowhere(ANNA, far)
    arguments = "".join(event.arguments for event in events if isinstance(event, ToolCallDelta))
    assert json.loads(arguments)["who"] == calls.got[0]
    assert json.loads(response.earlier_messages[0].parts[0].arguments)["who"] == calls.got[0]  # type: ignore[union-attr]


@pytest.mark.parametrize("name", ["search", "undeclared"])
async def test_also_a_local_model_hands_a_tool_no_value_that_is_redacted_there(name: str) -> None:
    calls = Calls()
    near = Model(calling(name), lambda _: "done")
    far = ScriptedProvider(failing(Overloaded("full")))
    async with assistant(far=far, near=near) as it:
        await it.respond(f"mail {ANNA}", tools=calls.tools(), approve=calls.approve)
    assert [one.startswith("[EMAIL-1-") for one in calls.got] == [True]


async def test_a_local_model_that_saw_nothing_of_a_call_in_it_is_not_kept_from_an_undeclared_tool() -> None:
    calls = Calls()
    near = Model(lambda _: [*call_events("undeclared", who="nobody")], lambda _: "done")
    far = ScriptedProvider(failing(Overloaded("full")))
    async with assistant(far=far, near=near) as it:
        await it.respond(f"mail {ANNA}", tools=calls.tools(), approve=calls.approve)
    assert calls.got == ["nobody"]


async def test_a_value_that_the_model_knew_by_itself_is_kept_from_a_tool_too() -> None:
    calls, near = Calls(), Model(lambda _: [*call_events("search", who=ANNA)], lambda _: "done")
    async with assistant(near=near) as it:
        await it.respond("look", tools=calls.tools(), approve=calls.approve, to="near")
    assert [one.startswith("[EMAIL-1-") for one in calls.got] == [True]


async def test_such_a_value_is_kept_from_a_tool_that_the_app_answers_for() -> None:
    near = Model(lambda _: [*call_events("search", who=ANNA)])
    async with assistant(near=near) as it:
        response = await it.respond("look", tools=[Tool(name="search")], to="near")
    assert json.loads(response.tool_calls[0].arguments)["who"].startswith("[EMAIL-1-")


async def test_a_recipient_that_may_see_the_values_finds_them_in_earlier_calls() -> None:
    def full(_: Request) -> str:
        raise Overloaded("full")

    calls, near = Calls(), echo()
    far = Model(calling("search"), full)
    async with assistant(far=far, near=near) as it:
        await it.respond(f"mail {ANNA}", tools=calls.tools(), approve=calls.approve)
    call = near.requests[0].messages[1].parts[0]
    assert isinstance(call, ToolCallPart)
    assert json.loads(call.arguments) == {"who": ANNA}


async def test_values_are_escaped_in_the_arguments_of_a_tool() -> None:
    secret = 'a "quoted" \\ and\nlong one'
    calls = Calls()

    def say(request: Request) -> list[ProviderEvent]:
        return [*call_events("invite", who=request.messages[0].parts[1].text)]  # type: ignore[union-attr]

    async with assistant(far=Model(say, lambda _: "done")) as it:
        asked = [TextPart("mail "), TextPart(secret, labels=frozenset({"health"}))]
        await it.respond(asked, tools=calls.tools(), approve=calls.approve)
    assert calls.got == [secret]


async def test_a_value_that_a_tool_says_again_goes_out_as_the_same_placeholder() -> None:
    calls = Calls(f"invited {ANNA}")
    far = Model(calling("invite"), lambda _: "done")
    async with assistant(far=far) as it:
        await it.respond(f"mail {ANNA}", tools=calls.tools(), approve=calls.approve)
    first = far.requests[0].messages[0].text.removeprefix("mail ")
    assert far.requests[1].messages[-1].parts[0].text == f"invited {first}"  # type: ignore[union-attr]
    assert nowhere(ANNA, far)


async def test_the_result_of_a_tool_that_was_told_nothing_goes_out_as_it_is() -> None:
    calls = Calls("sunny, 21 degrees")

    def say(_: Request) -> list[ProviderEvent]:
        return [*call_events("invite", who="nobody")]

    far = Model(say, lambda _: "done")
    async with assistant(far=far) as it:
        await it.respond(f"mail {ANNA}", tools=calls.tools(), approve=calls.approve)
    assert far.requests[1].messages[-1].parts[0].text == "sunny, 21 degrees"  # type: ignore[union-attr]


async def test_a_result_that_imitates_a_placeholder_restores_nothing() -> None:
    calls = Calls("[EMAIL-1-kvxqz] [EMAIL-2-bcdfg]")
    far = Model(calling("invite"), lambda request: request.messages[-1].parts[0].text)  # type: ignore[union-attr]
    async with assistant(far=far) as it:
        other, response = await asyncio.gather(
            it.respond(f"to {BERTA}", to="near"),
            it.respond(f"mail {ANNA}", tools=calls.tools(), approve=calls.approve),
        )
    assert BERTA not in response.text
    assert other.text == "local"


async def test_a_call_that_the_app_answers_holds_what_that_tool_may_see() -> None:
    far = Model(calling("search"))
    async with assistant(far=far) as it:
        response = await it.respond(f"mail {ANNA}", tools=[Tool(name="search")])
    assert json.loads(response.tool_calls[0].arguments)["who"].startswith("[EMAIL-1-")


async def test_a_large_payload_is_redacted_too() -> None:
    far = echo()
    async with assistant(far=far) as it:
        response = await it.respond(f"{ANNA} " * 2_000)
    assert response.text == f"{ANNA} " * 2_000
    assert nowhere(ANNA, far)


async def test_a_policy_that_redacts_nothing_passes_the_request_as_it_is() -> None:
    far = echo()
    async with assistant(far=far) as it:
        request = "How tall is Mount Fuji?"
        assert (await it.respond(request)).text == request
    assert far.requests[0].messages[0].text == request
