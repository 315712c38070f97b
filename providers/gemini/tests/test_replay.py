"""What Gemini said goes back to Gemini as it came: signatures on their own parts, nothing more and nothing less."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from providers.gemini.tests.conftest import Json, asking, chunk, recipient, streamed

from ringfence.request import Message, ReasoningPart, TextPart, ToolCallPart, ToolResultPart
from ringfence.routing.assemble import Assembler
from ringfence_gemini.answer import Answer
from ringfence_gemini.contents import Contents
from ringfence_gemini.models import card_of
from ringfence_gemini.wire import decode

if TYPE_CHECKING:
    from providers.gemini.tests.conftest import Wire

SIGNED: st.SearchStrategy[Json] = st.sampled_from(
    [{}, {}, {"thoughtSignature": "c2ln"}, {"thoughtSignature": "b3RoZXI="}]
)
BARE: st.SearchStrategy[Json] = st.sampled_from(
    [
        {"text": "one "},
        {"text": "two "},
        {"text": "ünïcödé "},
        {"text": "hm ", "thought": True},
        {"functionCall": {"id": "i", "name": "f", "args": {"x": 1.5}}},
        {"inlineData": {"mimeType": "image/png", "data": "AAAA"}},
        {"executableCode": {"language": "PYTHON", "code": "1+1"}},
        {"text": "with more ", "partMetadata": {"a": 1}},
    ]
)
EMPTY: Json = {"text": "", "thoughtSignature": "ZW1wdHk="}


def together(part: Json, more: Json) -> Json:
    return {**part, **more}


PARTS = st.one_of(st.builds(together, BARE, SIGNED), st.just(EMPTY))


def said(groups: list[list[Json]]) -> Message:
    """The message that the core makes of an answer."""
    answer, assembler = Answer(), Assembler("gemini", frozenset())
    chunks = [chunk(*parts) for parts in groups]
    chunks[-1]["candidates"][0]["finishReason"] = "STOP"
    for one in chunks:
        for event in answer.feed(decode(json.dumps(one).encode())):
            assembler.add(event)
    for event in answer.end():
        assembler.add(event)
    return assembler.message()


def sent_back(message: Message) -> list[Json]:
    """The parts of `message` as they go out."""
    import msgspec

    contents = Contents(card_of("gemini-2.5-flash"), signs_calls=False)
    contents.add((*asking().messages, message))
    assert contents.adjustments == []
    turns = json.loads(msgspec.json.encode(contents.turns))
    return turns[1]["parts"] if len(turns) > 1 else []


def joined(parts: list[Json]) -> list[Json]:
    """`parts` with texts that stand side by side, and have nothing to tell them apart, in one."""
    found: list[Json] = []
    for part in parts:
        plain = set(part) <= {"text", "thought"}
        last = found[-1] if found else None
        if plain and last is not None and set(last) == set(part):
            found[-1] = {**last, "text": last["text"] + part["text"]}
        else:
            found.append(dict(part))
    return found


@given(st.lists(st.lists(PARTS, max_size=4), min_size=1, max_size=4))
def test_an_answer_goes_back_part_for_part(groups: list[list[Json]]) -> None:
    original = [part for parts in groups for part in parts]
    assert sent_back(said(groups)) == joined(original)


@given(st.lists(st.lists(PARTS, max_size=4), min_size=1, max_size=4))
def test_the_text_that_an_app_sees_is_the_text_of_the_answer(groups: list[list[Json]]) -> None:
    plain = [part["text"] for parts in groups for part in parts if "text" in part and not part.get("thought")]
    assert said(groups).text == "".join(plain)


async def test_a_mark_without_its_text_takes_nothing_else_away(wire: Wire) -> None:
    marked = ReasoningPart("gemini", state='{"length": 1, "marks": [{"from": 0, "to": 1, "with": {}}]}')
    said_before = Message("assistant", (ToolCallPart("i", "f", "{}"), marked))
    plan = await wire.plan(asking(messages=(*asking().messages, said_before)), recipient("gemini-2.5-flash"))
    native: Any = plan.native
    assert "functionCall" in json.loads(native.body)["contents"][1]["parts"][0]
    assert [one.action for one in plan.adjustments] == ["ignored"]


async def test_a_signature_goes_back_letter_for_letter_on_its_call(wire: Wire) -> None:
    call: Json = {"functionCall": {"name": "weather", "args": {}}, "thoughtSignature": "a-_b+/=="}
    wire.replies = [streamed(chunk(call, finish="STOP", responseId="r"))]
    message = await wire.message(asking(), recipient())
    (made,) = [part for part in message.parts if isinstance(part, ToolCallPart)]
    wire.requests.clear()
    result = Message("tool", (ToolResultPart(made.id, "weather", "rain", is_error=True),))
    plan_messages = (*asking().messages, message, result)
    wire.replies = [streamed(chunk({"text": "a"}, finish="STOP"))]
    await wire.events(asking(messages=plan_messages), recipient())
    # An id that was made here is not the API's, and does not go back.
    assert wire.body["contents"][1]["parts"] == [call]
    assert wire.body["contents"][2] == {
        "role": "user",
        "parts": [{"functionResponse": {"name": "weather", "response": {"error": "rain"}}}],
    }


async def test_calls_of_another_model_carry_the_vendors_marker_where_a_signature_is_wanted(wire: Wire) -> None:
    calls = Message("assistant", (ToolCallPart("a", "f", "{}"), ToolCallPart("b", "g", "{}")))
    results = Message("tool", (ToolResultPart("a", "f", "1"), ToolResultPart("b", "g", "2")))
    request = asking(messages=(*asking().messages, calls, results))
    plan = await wire.plan(request, recipient("gemini-3.8-flash"))
    native: Any = plan.native
    parts = json.loads(native.body)["contents"][1]["parts"]
    assert [part.get("thoughtSignature") for part in parts] == ["skip_thought_signature_validator", None]
    assert [one.setting for one in plan.adjustments] == ["reasoning"]
    older: Any = (await wire.plan(request, recipient("gemini-2.5-flash"))).native
    assert b"thoughtSignature" not in older.body


@pytest.mark.parametrize(
    "parts",
    [
        (ReasoningPart("gemini", state='{"next": "functionCall", "with": {"thoughtSignature": "x"}}'), TextPart("a")),
        (TextPart("abc"), ReasoningPart("gemini", state='{"length": 2, "marks": [{"from":0,"to":2,"with":{}}]}')),
        (TextPart("a"), ReasoningPart("gemini", state="no json")),
        (ReasoningPart("gemini", "ab", state='{"thought":true,"length":1,"marks":[{"from":0,"to":1,"with":{}}]}'),),
        (TextPart("a"), ReasoningPart("gemini", state='{"next": "functionCall", "with": {"thoughtSignature": "x"}}')),
    ],
)
async def test_a_signature_whose_part_is_not_there_any_more_is_left_out_and_told(
    wire: Wire, parts: tuple[Any, ...]
) -> None:
    request = asking(messages=(*asking().messages, Message("assistant", parts), *asking().messages))
    plan = await wire.plan(request, recipient())
    native: Any = plan.native
    assert b"thoughtSignature" not in native.body
    assert [(one.setting, one.action) for one in plan.adjustments] == [("reasoning", "ignored")]


async def test_turns_of_one_side_are_joined_and_results_of_tools_stand_apart(wire: Wire) -> None:
    messages = (
        Message("user", (TextPart("a"),)),
        Message("user", (TextPart("b"), TextPart(""))),
        Message("assistant", (ToolCallPart("i", "f", "{}"),)),
        Message("tool", (ToolResultPart("i", "f", "1"),)),
        Message("tool", (ToolResultPart("j", "g", "2"),)),
        Message("user", (TextPart("c"),)),
    )
    native: Any = (await wire.plan(asking(messages=messages), recipient("gemini-2.5-flash"))).native
    turns = json.loads(native.body)["contents"]
    assert [(turn["role"], len(turn["parts"])) for turn in turns] == [
        ("user", 2),
        ("model", 1),
        ("user", 2),
        ("user", 1),
    ]


async def test_arguments_that_are_no_object_are_sent_as_text_and_told(wire: Wire) -> None:
    messages = (*asking().messages, Message("assistant", (ToolCallPart("i", "f", "oops"),)), *asking().messages)
    plan = await wire.plan(asking(messages=messages), recipient("gemini-2.5-flash"))
    native: Any = plan.native
    assert json.loads(native.body)["contents"][1]["parts"][0]["functionCall"]["args"] == {"arguments": "oops"}
    assert [(one.setting, one.action) for one in plan.adjustments] == [("messages", "changed")]
