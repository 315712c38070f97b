"""Pictures, speech, transcripts, vectors and counts."""

from __future__ import annotations

import base64
import json
import math
import struct
from typing import Any

import pytest

from ringfence.errors import StreamBroken, Unsupported
from ringfence.request import FilePart, ImagePart, Message, OutputSchema, TextPart, Tool
from ringfence.response import Finish, Media, TextDelta, Usage
from ringfence.testing.scenes import Scene
from ringfence_openai.embedding import embeddings
from ringfence_openai.faults import Malformed
from ringfence_openai.media import pictures_of, sound_of
from ringfence_openai.transcript import TranscriptDecoder, whole_transcript

PNG = b"\x89PNG\r\n\x1a\n-rest"
WAV = FilePart(b"RIFF....WAVE", media_type="audio/wav", name="talk.wav")


async def test_pictures_come_as_parts_with_their_usage(responses: Any) -> None:
    scene = Scene(media=(ImagePart(PNG), ImagePart(PNG)), usage=Usage(input_tokens=9, output_tokens=30))
    answer = await responses.ask("A hedgehog.", scene, task="image", image_size="1024x1024", image_count=2)
    assert answer.message.parts == (ImagePart(PNG), ImagePart(PNG))
    assert answer.usage == Usage(input_tokens=9, output_tokens=30)
    assert responses.last().path.endswith("/images/generations")
    assert responses.sent() == {"model": "gpt-5.5", "prompt": "A hedgehog.", "size": "1024x1024", "n": 2}


async def test_earlier_turns_stand_in_the_one_prompt_and_that_is_told(responses: Any) -> None:
    turns = (Message("user", (TextPart("A cat."),)), Message("user", (TextPart("Bluer."),)))
    plan = await responses.plan(responses.request(messages=turns, task="image"))
    assert plan.native.body["prompt"] == "A cat.\n\nBluer."
    assert [(one.setting, one.action) for one in plan.adjustments] == [("messages", "emulated")]


async def test_a_picture_cannot_be_drawn_after_a_picture(responses: Any) -> None:
    turns = (Message("user", (TextPart("Like this:"), ImagePart(PNG))),)
    with pytest.raises(Unsupported):
        await responses.plan(responses.request(messages=turns, task="image"))


@pytest.mark.parametrize(
    ("data", "format_", "expected"),
    [
        (PNG, None, "image/png"),
        (b"\xff\xd8\xff\xe0", None, "image/jpeg"),
        (b"RIFFxxxxWEBP", "webp", "image/webp"),
        (b"<svg/>", "svg", "image/svg+xml"),
    ],
)
def test_the_type_of_a_picture_is_told(data: bytes, format_: str | None, expected: str) -> None:
    body = {"data": [{"b64_json": base64.b64encode(data).decode()}], "output_format": format_}
    (media, _) = pictures_of(json.dumps(body).encode(), "application/json")
    assert isinstance(media, Media)
    assert media.part.media_type == expected


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b'{"data": []}', b'{"data": [{"url": "https://x.example/a.png"}]}', b'{"data": [{"b64_json": "!"}]}'],
)
def test_an_answer_without_pictures_is_none(body: bytes) -> None:
    with pytest.raises(Malformed):
        pictures_of(body, "application/json")


async def test_speech_comes_as_a_file_of_the_right_type(responses: Any) -> None:
    turns = (Message("system", (TextPart("Slowly."),)), Message("user", (TextPart("Good evening."),)))
    sound = FilePart(b"fLaC-sound", media_type="audio/flac")
    answer = await responses.ask(
        "", Scene(media=(sound,)), messages=turns, task="speak", voice="nova", audio_format="flac"
    )
    assert answer.message.parts == (FilePart(b"fLaC-sound", media_type="audio/flac", name="speech.flac"),)
    assert responses.sent() == {
        "model": "gpt-5.5",
        "input": "Good evening.",
        "voice": "nova",
        "response_format": "flac",
        "instructions": "Slowly.",
    }


async def test_a_voice_that_was_not_asked_for_is_told(responses: Any) -> None:
    plan = await responses.plan(responses.request("Hi", task="speak"))
    assert plan.native.body["voice"] == "alloy"
    assert [(one.setting, one.action) for one in plan.adjustments] == [("voice", "changed")]


def test_an_answer_without_sound_is_none() -> None:
    for body, kind in ((b"", "audio/mpeg"), (b"{}", "application/json")):
        with pytest.raises(Malformed):
            sound_of("mp3", body, kind)


@pytest.mark.parametrize("stream", [True, False])
async def test_a_transcript_is_text(responses: Any, stream: bool) -> None:
    scene = Scene(text=("Guten", " Abend."), usage=Usage(input_tokens=40, output_tokens=4))
    turns = (Message("user", (TextPart("Names: Öz."), WAV)),)
    answer = await responses.ask("", scene, messages=turns, task="transcribe", language="de-CH", stream=stream)
    assert answer.message.parts == (TextPart("Guten Abend."),)
    assert answer.usage == Usage(input_tokens=40, output_tokens=4)
    assert answer.finish.reason == "stop"
    body, kind = responses.last().body, responses.last().headers["content-type"]
    assert kind.startswith("multipart/form-data; boundary=")
    for field in (
        b'name="language"\r\n\r\nde\r\n',
        b'filename="talk.wav"',
        b"Content-Type: audio/wav",
        WAV.data,
        b"Names: ",
    ):
        assert field in body
    assert (b'name="stream"\r\n\r\ntrue' in body) is stream


async def test_the_region_of_a_language_is_dropped_and_told(responses: Any) -> None:
    turns = (Message("user", (WAV,)),)
    plan = await responses.plan(responses.request(messages=turns, task="transcribe", language="de-CH"))
    assert [(one.setting, one.action) for one in plan.adjustments] == [("language", "changed")]


@pytest.mark.parametrize("parts", [(TextPart("no sound"),), (WAV, WAV)])
async def test_a_transcript_is_of_one_sound(responses: Any, parts: Any) -> None:
    with pytest.raises(Unsupported):
        await responses.plan(responses.request(messages=(Message("user", parts),), task="transcribe"))


def test_a_transcript_that_came_whole_although_streamed_was_asked_for_is_taken() -> None:
    assert [
        event.text for event in whole_transcript(b'{"text": "A"}', "application/json") if isinstance(event, TextDelta)
    ] == ["A"]
    assert [event.text for event in whole_transcript(b"A", "text/plain") if isinstance(event, TextDelta)] == ["A"]


def test_a_transcript_without_deltas_is_told_from_its_end() -> None:
    decoder = TranscriptDecoder()
    events = decoder.feed(b'{"type": "transcript.text.done", "text": "A", "usage": {"type": "duration", "seconds": 2}}')
    assert [event.text for event in events if isinstance(event, TextDelta)] == ["A"]
    assert events[-1] == Finish("stop")
    assert decoder.finished


# ---------------------------------------------------------------- vectors


def _embed(kit: Any, *texts: str, **fields: Any) -> Any:
    return kit.request(messages=(Message("user", tuple(TextPart(text) for text in texts)),), task="embed", **fields)


async def _vectors(kit: Any, *texts: str) -> Any:
    plan = await kit.plan(_embed(kit, *texts))
    return await kit.provider.embed(plan, kit.grant(plan.request))


async def test_vectors_come_in_order_and_with_norm_1(kit: Any) -> None:
    kit.backend.play(Scene(vectors=((3.0, 4.0), (0.0, -2.0)), usage=Usage(input_tokens=5)))
    found = await _vectors(kit, "one", "two")
    assert found.vectors == (pytest.approx((0.6, 0.8)), pytest.approx((0.0, -1.0)))
    assert (found.dimensions, found.input_tokens) == (2, 5)
    assert kit.sent()["input"] == ["one", "two"]


def _body(*vectors: Any, shuffle: bool = False) -> bytes:
    data = [{"index": index, "embedding": vector} for index, vector in enumerate(vectors)]
    return json.dumps({"data": data[::-1] if shuffle else data}).encode()


def _placed(*places: int | None) -> bytes:
    data = [{"index": place, "embedding": [1.0, float(number)]} for number, place in enumerate(places)]
    return json.dumps({"data": data}).encode()


def test_vectors_without_places_stand_in_order() -> None:
    assert embeddings(_placed(None, None), expected=2) == embeddings(_placed(0, 1), expected=2)


def test_packed_vectors_and_numbers_are_the_same() -> None:
    packed = base64.b64encode(struct.pack("<3f", 1.0, 2.0, 2.0)).decode()
    (one,), (other,) = (
        embeddings(_body(packed), expected=1).vectors,
        embeddings(_body([1.0, 2.0, 2.0]), expected=1).vectors,
    )
    assert one == pytest.approx(other)
    assert math.hypot(*one) == pytest.approx(1.0)


def test_vectors_out_of_order_are_put_in_order() -> None:
    assert embeddings(_body([1.0, 0.0], [0.0, 1.0], shuffle=True), expected=2).vectors == ((1.0, 0.0), (0.0, 1.0))


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        _body([1.0]),
        _body([1.0], [1.0, 2.0]),
        _body([0.0], [1.0]),
        _body("!", "!"),
        _body([], []),
        _placed(0, 0),
        _placed(1, 2),
        _placed(-1, 0),
        _placed(1, None),
    ],
)
def test_vectors_that_are_none_break_the_answer(body: bytes) -> None:
    with pytest.raises(Malformed):
        embeddings(body, expected=2)


async def test_broken_vectors_are_told_as_a_broken_answer(kit: Any) -> None:
    kit.backend.play(Scene(vectors=((1.0,),), fault="end"))
    with pytest.raises(StreamBroken) as caught:
        await _vectors(kit, "one")
    assert caught.value.phase == "before_first_event"


async def test_only_texts_have_vectors(kit: Any) -> None:
    with pytest.raises(Unsupported):
        await kit.plan(kit.request(messages=(Message("user", (ImagePart(PNG),)),), task="embed"))


async def test_an_embedding_is_no_answer_and_an_answer_no_embedding(kit: Any) -> None:
    plan = await kit.plan(kit.request())
    with pytest.raises(Unsupported):
        await kit.provider.embed(plan, kit.grant(plan.request))


# ---------------------------------------------------------------- counts


async def test_the_vendor_counts_the_prompt(responses: Any) -> None:
    responses.backend.play(Scene(usage=Usage(input_tokens=123)))
    plan = await responses.plan(responses.request(temperature=0.5))
    assert await responses.provider.count_tokens(plan, responses.grant(plan.request)) == 123
    assert responses.last().path.endswith("/responses/input_tokens")
    assert set(responses.sent()) <= {"model", "input", "tools", "tool_choice", "text", "reasoning"}


async def test_the_chat_api_counts_nothing(chat: Any) -> None:
    plan = await chat.plan(chat.request())
    with pytest.raises(Unsupported):
        await chat.provider.count_tokens(plan, chat.grant(plan.request))


@pytest.mark.parametrize("task", ["image", "speak", "transcribe", "embed"])
@pytest.mark.parametrize(
    ("setting", "given"),
    [
        ("tools", {"tools": (Tool(name="note"),)}),
        ("tools", {"tools": (Tool(name="note"),), "tool_choice": "required"}),
        ("output", {"output": OutputSchema(schema={"type": "object", "properties": {"a": {"type": "string"}}})}),
    ],
)
async def test_a_task_that_has_no_tools_and_no_schema_refuses_them(
    kit: Any, task: str, setting: str, given: Any
) -> None:
    parts = (WAV,) if task == "transcribe" else (TextPart("Hi"),)
    with pytest.raises(Unsupported) as caught:
        await kit.plan(kit.request(messages=(Message("user", parts),), task=task, **given))
    assert caught.value.setting == setting


@pytest.mark.parametrize("task", ["image", "speak", "transcribe", "embed"])
async def test_a_task_that_the_model_cannot_do_is_refused(kit: Any, task: str) -> None:
    plain = kit.at(capabilities=frozenset({"text"}), options=kit.recipient.options)
    with pytest.raises(Unsupported) as caught:
        await plain.plan(plain.request(task=task))
    assert caught.value.setting == "task"
