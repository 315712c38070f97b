"""What comes back, as events; the vendor's own types read the same answers, and are the oracle for every shape."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from google.genai import types
from hypothesis import given
from hypothesis import strategies as st
from providers.gemini.tests.conftest import Json, Pieces, asking, chunk, grant, recipient, streamed

from ringfence.errors import Overloaded, RateLimited, StreamBroken
from ringfence.request import ImagePart, ReasoningPart, TextPart, ToolCallPart
from ringfence.response import Finish, Media, TextDelta, ToolCallDelta, ToolCallStart, Usage, UsageReport
from ringfence_gemini.answer import Answer
from ringfence_gemini.wire import UsageMetadata, decode

if TYPE_CHECKING:
    from providers.gemini.tests.conftest import Wire

SIGNATURE = base64.b64encode(b"signature \xfb\xff").decode()
CALL: Json = {"functionCall": {"name": "weather", "args": {"city": "Oslo"}}}


def events_of(*chunks: Json) -> list[Any]:
    answer = Answer()
    found = [event for one in chunks for event in answer.feed(decode(json.dumps(one).encode()))]
    return found + answer.end()


# ------------------------------------------------------------ against the SDK's types


def a_text(text: str) -> Json:
    return {"text": text}


def a_thought(text: str) -> Json:
    return {"text": text, "thought": True}


def a_call(name: str, args: dict[str, object]) -> Json:
    return {"functionCall": {"name": name, "args": args}}


VALUES: st.SearchStrategy[object] = st.one_of(st.integers(-9, 9), st.text(max_size=3), st.none())
PARTS = st.one_of(
    st.builds(a_text, st.text(st.characters(exclude_categories=["Cs"]), min_size=1)),
    st.builds(a_call, st.sampled_from(["weather", "clock"]), st.dictionaries(st.sampled_from(["a", "b"]), VALUES)),
    st.builds(a_thought, st.sampled_from(["hm", "so"])),
)


@given(st.lists(st.lists(PARTS, max_size=3), min_size=1, max_size=4))
def test_texts_thoughts_and_calls_are_those_that_the_sdk_reads(groups: list[list[Json]]) -> None:
    chunks = [chunk(*parts) for parts in groups]
    chunks[-1]["candidates"][0]["finishReason"] = "STOP"
    events = events_of(*chunks)
    theirs = [part for one in chunks for part in types.GenerateContentResponse.model_validate(one).parts or []]
    text = "".join(event.text for event in events if isinstance(event, TextDelta))
    assert text == "".join(part.text or "" for part in theirs if not part.thought)
    calls = [json.loads(event.arguments) for event in events if isinstance(event, ToolCallDelta)]
    assert calls == [part.function_call.args for part in theirs if part.function_call]
    names = [event.name for event in events if isinstance(event, ToolCallStart)]
    assert names == [part.function_call.name for part in theirs if part.function_call]


def test_usage_adds_up_to_the_total_that_the_sdk_reads() -> None:
    counts = {
        "promptTokenCount": 100,
        "candidatesTokenCount": 20,
        "thoughtsTokenCount": 30,
        "toolUsePromptTokenCount": 5,
        "cachedContentTokenCount": 60,
        "totalTokenCount": 155,
    }
    one = chunk({"text": "a"}, finish="STOP", usageMetadata=counts)
    (report,) = [event for event in events_of(one) if isinstance(event, UsageReport)]
    assert report.usage == Usage(input_tokens=105, output_tokens=50, cached_input_tokens=60, reasoning_tokens=30)
    theirs = types.GenerateContentResponse.model_validate(one).usage_metadata
    assert theirs is not None
    assert (report.usage.input_tokens or 0) + (report.usage.output_tokens or 0) == theirs.total_token_count


def test_every_count_of_the_sdk_is_read_or_is_a_detail_of_one() -> None:
    fields = {
        field.alias
        for name, field in types.GenerateContentResponseUsageMetadata.model_fields.items()
        if not name.endswith("_details")
    }
    assert fields - set(UsageMetadata.__struct_encode_fields__) == {"totalTokenCount", "trafficType"}


@pytest.mark.parametrize(
    "name",
    sorted(
        str(field.alias)
        for field in types.Part.model_fields.values()
        if field.alias not in {"text", "thought", "thoughtSignature", "functionCall", "inlineData"}
    ),
)
async def test_a_part_of_every_other_kind_is_kept_and_goes_back_as_it_came(wire: Wire, name: str) -> None:
    part: Json = {name: {"some": ["thing", 1.50]}}
    wire.replies = [streamed(chunk(part, finish="STOP"))]
    message = await wire.message(asking(), recipient())
    assert [type(one) for one in message.parts] == [ReasoningPart]
    wire.requests.clear()
    wire.replies = [streamed(chunk(finish="STOP"))]
    await wire.events(asking(messages=(*asking().messages, message, *asking().messages)), recipient())
    assert wire.body["contents"][1]["parts"] == [part]


# ------------------------------------------------------------ calls


async def test_calls_that_the_api_gave_no_id_get_one_each_the_same_every_time(wire: Wire) -> None:
    wire.replies = [streamed(chunk(CALL, CALL, finish="STOP", responseId="r1"))]
    first, second = [await wire.events(asking(), recipient()) for _ in range(2)]
    ids = [event.id for event in first if isinstance(event, ToolCallStart)]
    assert ids == ["ringfence-r1-0", "ringfence-r1-1"]
    assert first == second
    assert first[-1] == Finish("tool_calls", "STOP")


async def test_the_id_of_the_api_is_kept(wire: Wire) -> None:
    wire.replies = [streamed(chunk({"functionCall": {"id": "abc", "name": "clock"}}, finish="STOP"))]
    message = await wire.message(asking(), recipient())
    assert message.parts == (ToolCallPart("abc", "clock", "{}"),)


@pytest.mark.parametrize(("args", "text"), [("null", "{}"), ('{ "a" : 1.50 }', '{"a":1.50}'), ("{}", "{}")])
async def test_arguments_are_the_numbers_and_words_of_the_api_in_one_line(wire: Wire, args: str, text: str) -> None:
    body = json.dumps(chunk({"functionCall": {"id": "i", "name": "f", "args": "ARGS"}}, finish="STOP"))
    wire.replies = [httpx2.Response(200, content=body.replace('"ARGS"', args).encode())]
    message = await wire.message(asking(stream=False), recipient())
    assert message.parts == (ToolCallPart("i", "f", text),)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("call", "finish"),
    [
        ({"name": "purge", "partialArgs": [{"jsonPath": "$.folder", "stringValue": "tm"}]}, "STOP"),
        ({"name": "purge", "args": {"folder": "t"}, "willContinue": True}, "STOP"),
        ({"name": "purge", "willContinue": True}, "MAX_TOKENS"),
        ({"name": "purge"}, "MAX_TOKENS"),
        ({"name": "purge", "args": {}}, "SAFETY"),
        ({"name": "purge", "args": None}, "MAX_TOKENS"),
    ],
)
async def test_a_call_that_was_cut_is_no_call(wire: Wire, call: Json, finish: str, *, stream: bool) -> None:
    answer = chunk({"functionCall": call}, finish=finish)
    wire.replies = [streamed(answer) if stream else httpx2.Response(200, json=answer)]
    with pytest.raises(StreamBroken, match="cut inside a tool call"):
        await wire.events(asking(stream=stream), recipient())


@pytest.mark.parametrize(
    ("call", "finish"),
    [
        ({"name": "purge", "args": {"folder": "tmp"}}, "MAX_TOKENS"),
        ({"name": "purge", "willContinue": False}, "STOP"),
    ],
)
async def test_a_call_with_whole_arguments_is_a_call(wire: Wire, call: Json, finish: str) -> None:
    wire.replies = [streamed(chunk({"functionCall": call}, finish=finish))]
    message = await wire.message(asking(), recipient())
    (part,) = message.parts
    assert isinstance(part, ToolCallPart)
    assert json.loads(part.arguments) == call.get("args", {})


async def test_a_call_that_came_to_nothing_is_an_error_and_no_call(wire: Wire) -> None:
    wire.replies = [streamed(chunk(finish="MALFORMED_FUNCTION_CALL"))]
    assert await wire.events(asking(), recipient()) == [Finish("error", "MALFORMED_FUNCTION_CALL")]


async def test_an_answer_beside_the_first_is_not_mixed_into_it(wire: Wire) -> None:
    other = chunk({"text": "other"}, finish="MAX_TOKENS")
    other["candidates"][0]["index"] = 1
    wire.replies = [streamed(chunk({"text": "first"}, finish="STOP"), other)]
    events = await wire.events(asking(), recipient())
    assert [event.text for event in events if isinstance(event, TextDelta)] == ["first"]
    assert events[-1] == Finish("stop", "STOP")


# ------------------------------------------------------------ media


async def test_pictures_come_between_the_texts(wire: Wire) -> None:
    drawn = {"inlineData": {"mimeType": "image/png", "data": base64.urlsafe_b64encode(b"\xfb\xff\xfe!").decode()}}
    wire.replies = [streamed(chunk({"text": "Here: "}, drawn, {"text": "done"}, finish="STOP"))]
    message = await wire.message(asking(task="image"), recipient("gemini-2.5-flash-image"))
    assert message.parts == (TextPart("Here: "), ImagePart(b"\xfb\xff\xfe!"), TextPart("done"))


async def test_a_picture_that_is_a_thought_is_no_answer(wire: Wire) -> None:
    draft = {"inlineData": {"mimeType": "image/png", "data": "AAAA"}, "thought": True}
    wire.replies = [streamed(chunk(draft, finish="STOP"))]
    events = await wire.events(asking(task="image"), recipient("gemini-2.5-flash-image"))
    assert not [event for event in events if isinstance(event, Media)]


# ------------------------------------------------------------ what stands beside the parts


async def test_sources_are_kept_with_the_answer_and_not_sent_back(wire: Wire) -> None:
    one = chunk({"text": "a"}, finish="STOP")
    one["candidates"][0]["groundingMetadata"] = {"webSearchQueries": ["weather"]}
    wire.replies = [streamed(one)]
    message = await wire.message(asking(), recipient())
    kept = message.parts[-1]
    assert isinstance(kept, ReasoningPart)
    assert json.loads(kept.state or "") == {"about": {"groundingMetadata": {"webSearchQueries": ["weather"]}}}
    wire.requests.clear()
    await wire.events(asking(messages=(*asking().messages, message, *asking().messages)), recipient())
    assert wire.body["contents"][1]["parts"] == [{"text": "a"}]


# ------------------------------------------------------------ streams that break


async def test_a_stream_without_a_finish_reason_is_broken(wire: Wire) -> None:
    wire.replies = [streamed(chunk({"text": "a"}))]
    with pytest.raises(StreamBroken) as caught:
        await wire.events(asking(), recipient())
    assert caught.value.phase == "mid_stream"


@pytest.mark.parametrize("stream", [True, False])
async def test_an_empty_answer_is_broken(wire: Wire, stream: bool) -> None:
    wire.replies = [httpx2.Response(200, content=b"" if stream else b"{}")]
    with pytest.raises(StreamBroken):
        await wire.events(asking(stream=stream), recipient())


@pytest.mark.parametrize("framing", [b"data: %s\r\n\r\n", b"%s"])
async def test_a_failure_inside_the_stream_is_told_by_its_code(wire: Wire, framing: bytes) -> None:
    failure = json.dumps({"error": {"code": 503, "status": "UNAVAILABLE", "message": "secret prompt"}}, indent=1)
    first = b"data: " + json.dumps(chunk({"text": "a"})).encode() + b"\r\n\r\n"
    wire.replies = [httpx2.Response(200, stream=Pieces(first, framing % failure.replace("\n", " ").encode()))]
    with pytest.raises(Overloaded) as caught:
        await wire.events(asking(), recipient())
    assert caught.value.phase == "mid_stream"
    assert "secret" not in str(caught.value)


async def test_a_failure_in_place_of_the_first_event_came_before_it(wire: Wire) -> None:
    wire.replies = [streamed({"error": {"status": "RESOURCE_EXHAUSTED"}})]
    with pytest.raises(RateLimited) as caught:
        await wire.events(asking(), recipient())
    assert caught.value.phase == "before_first_event"


async def test_what_came_before_a_malformed_event_of_the_same_packet_is_not_lost(wire: Wire) -> None:
    good = b"data: " + json.dumps(chunk({"text": "kept"})).encode() + b"\n\n"
    wire.replies = [httpx2.Response(200, content=good + b"data: {\n\n")]
    request, to = asking(), recipient()
    plan = await wire.plan(request, to)
    seen: list[Any] = []

    async def draw() -> None:
        async for event in wire.provider.run(plan, grant(request, to)):
            seen.append(event)  # noqa: PERF401  (what came before the error is wanted)

    with pytest.raises(StreamBroken):
        await draw()
    assert TextDelta(0, "kept") in seen
