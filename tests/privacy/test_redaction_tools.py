"""Calls of tools under redaction: what a tool gets, what the user sees, and what the next turn sends of both."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from tests.core.support import drain, shown
from tests.core.test_redaction_end_to_end import ANNA, Calls, Model, Says, assistant, last, policy

from ringfence.errors import GateError
from ringfence.privacy.material import request_texts
from ringfence.request import Message, Request, TextPart, Tool, ToolCallPart, ToolResultPart
from ringfence.response import ProviderEvent, TextDelta, ToolCallDelta, ToolCallEnd, ToolCallStart
from ringfence.testing import ScriptedProvider, call_events

_PLACEHOLDER = re.compile(r"\[[A-Z0-9-]+-([a-z]{5})\]")


def told(request: Request) -> str:
    """What the model was told of the address, in the first message."""
    return request.messages[0].text.removeprefix("mail ")


def calls_with(name: str, write: str) -> Says:
    """A model that calls a tool with arguments in which § stands for what it was told."""

    def say(request: Request) -> list[ProviderEvent]:
        arguments = write.replace("§", told(request))
        return [ToolCallStart(0, "c", name), ToolCallDelta(0, arguments), ToolCallEnd(0), *call_events(name)[3:]]

    return say


def tags(request: Request) -> set[str]:
    """The tags of all placeholders in a request: those of one vault have one."""
    return {found for text in request_texts(request) for found in _PLACEHOLDER.findall(text)}


_WRITTEN = {
    "value": '{"who": "§"}',
    "key": '{"who": "x", "§": 1}',
    "list": '{"who": "x", "all": ["§", {"deep": "to §"}]}',
    "json in json": json.dumps({"who": json.dumps({"mail": "§"})}),
    "escaped": '{"who": "a\\n§\\t"}',
    "broken off": '{"who": "§',
    "no json": "§",
}


@pytest.mark.parametrize("kind", ["pseudonym", "mask", "remove"])
@pytest.mark.parametrize("write", _WRITTEN.values(), ids=_WRITTEN)
@pytest.mark.parametrize("name", ["undeclared", "search"])
async def test_a_tool_that_may_not_see_a_value_never_gets_it_and_the_user_sees_what_it_got(
    name: str, write: str, kind: str
) -> None:
    far = Model(calls_with(name, write))
    async with assistant(policy(kind), far=far) as it:
        stream = it.stream(f"mail {ANNA}", tools=[Tool(name=name)])
        events, error = await drain(stream)
        response = await stream.response()
    assert error is None
    wrote = write.replace("§", told(far.requests[0]))
    assert "".join(event.arguments for event in events if isinstance(event, ToolCallDelta)) == wrote
    assert [call.arguments for call in response.tool_calls] == [wrote]


@pytest.mark.parametrize("name", ["undeclared", "search"])
async def test_the_user_sees_the_value_in_the_answer_after_such_a_call(name: str) -> None:
    calls = Calls("sent to nobody")
    far = Model(calls_with(name, _WRITTEN["value"]), lambda request: f"I wrote to {told(request)}.")
    async with assistant(far=far) as it:
        stream = it.stream(f"mail {ANNA}", tools=calls.tools(), approve=calls.approve)
        events, _ = await drain(stream)
        response = await stream.response()
    assert calls.got == calls.approved == [told(far.requests[0])]
    assert response.text == f"I wrote to {ANNA}."
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == response.text


@pytest.mark.parametrize("name", ["invite", "search", "undeclared"])
async def test_the_next_turn_of_a_session_tells_a_model_one_placeholder_a_value(name: str) -> None:
    calls = Calls(f"sent, {ANNA}")
    far = Model(calls_with(name, _WRITTEN["value"]), lambda _: "done", lambda _: "fine")
    async with assistant(far=far) as it:
        session = it.session(instructions="")
        await session.respond(f"mail {ANNA}", tools=calls.tools(), approve=calls.approve)
        await session.respond("And now?")
    assert [len(tags(request)) for request in far.requests] == [1, 1, 1]
    first, call = far.requests[-1].messages[:2]
    assert isinstance(call.parts[0], ToolCallPart)
    assert json.loads(call.parts[0].arguments)["who"] == first.text.removeprefix("mail ")
    # What the session holds is what the tool got.
    held = session.messages[1].parts[0]
    assert isinstance(held, ToolCallPart)
    assert json.loads(held.arguments)["who"] == calls.got[0]


@pytest.mark.parametrize("name", ["search", "undeclared"])
async def test_a_model_that_may_see_the_value_is_told_it_in_the_next_turn(name: str) -> None:
    far, near = Model(calls_with(name, _WRITTEN["value"]), lambda _: "done"), ScriptedProvider("local")
    async with assistant(far=far, near=near) as it:
        session = it.session(instructions="")
        await session.respond(f"mail {ANNA}", tools=[Tool(name=name)], to="far")
        await session.respond("And now?", to="near")
    call = near.requests[-1].messages[1].parts[0]
    assert isinstance(call, ToolCallPart)
    assert json.loads(call.arguments)["who"] == ANNA
    assert not tags(near.requests[-1])


async def test_a_model_that_repeats_such_a_call_in_the_next_turn_is_restored() -> None:
    def repeats(request: Request) -> str:
        call = request.messages[1].parts[0]
        assert isinstance(call, ToolCallPart)
        return str(json.loads(call.arguments)["who"])

    calls = Calls("sent")
    far = Model(calls_with("search", _WRITTEN["value"]), lambda _: "done", repeats)
    async with assistant(far=far) as it:
        session = it.session(instructions="")
        await session.respond(f"mail {ANNA}", tools=calls.tools(), approve=calls.approve)
        assert (await session.respond("Whom did you look for?")).text == ANNA


async def test_json_inside_json_reaches_a_tool_with_the_value_at_every_depth() -> None:
    for depth in range(1, 4):
        write = "§"
        for _ in range(depth):
            write = json.dumps({"who": write}, ensure_ascii=False)
        calls = Model(calls_with("invite", write))
        async with assistant(far=calls) as it:
            response = await it.respond(f"mail {ANNA}", tools=[Tool(name="invite")])
        assert response.tool_calls[0].arguments == write.replace("§", ANNA)


@pytest.mark.parametrize("secret", ["12 Elm Street\nSpringfield", 'the "Falcon" plan', "C:\\plans\\"])
async def test_what_would_break_json_inside_json_stays_a_placeholder_there_and_only_there(secret: str) -> None:
    def say(request: Request) -> list[ProviderEvent]:
        (_, part) = request.messages[0].parts
        assert isinstance(part, TextPart)
        inner = json.dumps({"note": part.text})
        return list(call_events("invite", who=part.text, payload=inner))

    far = Model(say)
    async with assistant(far=far) as it:
        asked = [TextPart("mail "), TextPart(secret, labels=frozenset({"health"}))]
        response = await it.respond(asked, tools=[Tool(name="invite")])
    arguments = json.loads(response.tool_calls[0].arguments)
    assert arguments["who"] == secret
    assert _PLACEHOLDER.fullmatch(json.loads(arguments["payload"])["note"])


# ------------------------------------------------------------------ identifiers


def _turns(call_id: str, labels: frozenset[str]) -> list[Message]:
    return [
        Message("user", (TextPart("look"),)),
        Message("assistant", (ToolCallPart(call_id, "find", '{"who": "x"}', labels=labels),)),
        Message("tool", (ToolResultPart(call_id, "find", "found", labels=labels),)),
        Message("user", (TextPart("go on"),)),
    ]


@pytest.mark.parametrize("call_id", ["she limps", "für", "a\nb", "<b>", "x" * 5_000, ANNA])
@pytest.mark.parametrize("labels", [frozenset[str](), frozenset({"health"})], ids=["clean", "declared"])
async def test_an_identifier_of_a_call_that_reads_as_a_text_refuses_the_recipient(
    call_id: str, labels: frozenset[str]
) -> None:
    far = Model(last)
    async with assistant(far=far) as it:
        with pytest.raises(GateError, match="recipient 'far' is refused") as caught:
            await it.respond([*_turns(call_id, labels), Message("user", (TextPart(ANNA),))], to="far")
    assert far.requests == []
    assert call_id not in shown(caught.value)


@pytest.mark.parametrize(
    "call_id", ["", "call_Ab3-x", "functions.look:0", "fc_1|call_2", "chatcmpl-tool-5f/a+b==", "toolu_01A~"]
)
async def test_an_identifier_as_backends_make_it_goes_out_as_it_is(call_id: str) -> None:
    far = Model(last)
    async with assistant(far=far) as it:
        await it.respond([*_turns(call_id, frozenset({"health"})), Message("user", (TextPart(ANNA),))], to="far")
    call, result = (message.parts[0] for message in far.requests[0].messages[1:3])
    assert isinstance(call, ToolCallPart)
    assert isinstance(result, ToolResultPart)
    assert (call.id, result.call_id) == (call_id, call_id)


async def test_a_result_of_a_tool_may_have_any_identifier_where_nothing_is_redacted() -> None:
    near: Any = Model(lambda _: "local")
    async with assistant(near=near) as it:
        assert (await it.respond(_turns("she limps", frozenset({"health"})), to="near")).text == "local"
