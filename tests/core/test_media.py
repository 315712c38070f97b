"""Pictures and sound: the verbs put what is asked into task, settings and parts, and give back the media."""

from __future__ import annotations

from typing import Any

import pytest
from tests.core.support import CANARY, assistant, policy, shown

from ringfence import Assistant, AsyncAssistant, FilePart, ImagePart, InvalidRequest, Settings, TextPart
from ringfence.errors import OutputInvalid
from ringfence.response import Finish, Media, ProviderEvent
from ringfence.testing import ScriptedProvider, text_events

PICTURE = ImagePart(b"\x89PNG picture")
SOUND = FilePart(b"RIFF sound", media_type="audio/wav")


def media(*parts: ImagePart | FilePart, finish: Finish | None = None) -> tuple[ProviderEvent, ...]:
    return (*(Media(index, part) for index, part in enumerate(parts)), finish or Finish("stop"))


def one(provider: ScriptedProvider) -> AsyncAssistant:
    return assistant(policy("first"), first=provider)


# ------------------------------------------------------------------ draw
async def test_draw_asks_for_pictures_and_gives_them() -> None:
    provider = ScriptedProvider(media(PICTURE, PICTURE))
    async with one(provider) as it:
        response = await it.draw("a lighthouse", size="1024x1024", count=2, settings=Settings(seed=7), labels={"work"})
    assert [picture.data for picture in response.images] == [PICTURE.data] * 2
    assert all(picture.labels == {"work"} for picture in response.images)
    (request,) = provider.requests
    assert request.task == response.receipt.task == "image"
    assert request.settings == Settings(seed=7, image_size="1024x1024", image_count=2)
    assert [message.text for message in request.messages] == ["a lighthouse"]
    assert not request.stream
    assert response.receipt.output_bytes == 2 * len(PICTURE.data)


async def test_draw_may_start_from_a_picture() -> None:
    provider = ScriptedProvider(media(PICTURE))
    async with one(provider) as it:
        await it.draw("with a boat", attachments=[PICTURE])
    assert provider.requests[0].messages[0].parts == (TextPart("with a boat"), PICTURE)


async def test_an_answer_without_a_picture_is_an_error_that_holds_it() -> None:
    provider = ScriptedProvider(text_events(CANARY, finish=Finish("refusal")))
    async with one(provider) as it:
        with pytest.raises(OutputInvalid, match=r"the answer holds no picture \(finish_reason=refusal\)") as caught:
            await it.draw("x")
    error = caught.value
    assert error.response is not None
    assert error.response.text == error.partial_text == CANARY
    assert error.receipt is error.response.receipt
    assert CANARY not in shown(error)


# ------------------------------------------------------------------ transcribe
async def test_transcribe_sends_the_sound_and_gives_the_words() -> None:
    provider = ScriptedProvider("good morning")
    async with one(provider) as it:
        text = await it.transcribe(b"ID3", media_type="audio/mpeg", language="en-GB", instructions="Names: Ada.")
    assert text == "good morning"
    (request,) = provider.requests
    assert request.task == "transcribe"
    assert request.settings == Settings(language="en-GB")
    system, user = request.messages
    assert system.text == "Names: Ada."
    assert user.parts == (FilePart(b"ID3", media_type="audio/mpeg"),)
    assert not request.stream


async def test_transcribe_takes_a_part_as_it_is() -> None:
    provider = ScriptedProvider("x")
    part = FilePart(b"RIFF", media_type="audio/x-wav", name="memo.wav", labels=frozenset({"work"}))
    async with one(provider) as it:
        await it.transcribe(part)
    assert [message.parts for message in provider.requests[0].messages] == [(part,)]


async def test_a_recording_in_which_nobody_speaks_is_an_empty_text() -> None:
    async with one(ScriptedProvider((Finish("stop"),))) as it:
        assert await it.transcribe(SOUND) == ""


# ------------------------------------------------------------------ speak
async def test_speak_asks_for_sound_and_gives_it() -> None:
    provider = ScriptedProvider(media(SOUND))
    async with one(provider) as it:
        response = await it.speak("good morning", voice="alloy", format="wav")
    assert [file.data for file in response.files] == [SOUND.data]
    (request,) = provider.requests
    assert request.task == "speak"
    assert request.settings == Settings(voice="alloy", audio_format="wav")
    assert request.messages[0].text == "good morning"


async def test_an_answer_without_a_sound_is_an_error() -> None:
    async with one(ScriptedProvider("I cannot speak.")) as it:
        with pytest.raises(OutputInvalid, match="the answer holds no sound"):
            await it.speak("x")


# ------------------------------------------------------------------ all of them
@pytest.mark.parametrize("verb", ["draw", "transcribe", "speak"])
async def test_a_verb_takes_the_options_of_the_others(verb: str) -> None:
    provider = ScriptedProvider(media(PICTURE, SOUND))
    given: Any = SOUND if verb == "transcribe" else "x"
    async with one(provider) as it:
        await getattr(it, verb)(given, task="open_question", to="first", tenant="customer-7")
    (request,) = provider.requests
    assert (request.task, request.to, request.tenant) == ("open_question", frozenset({"first"}), "customer-7")


@pytest.mark.parametrize(
    ("verb", "given", "wrong"),
    [
        ("draw", "x", {"size": "large"}),
        ("draw", "x", {"count": 0}),
        ("draw", "", {}),
        ("transcribe", "a path", {}),
        ("transcribe", b"", {}),
        ("transcribe", b"x", {"language": "two words"}),
        ("transcribe", b"x", {"settings": {"language": "en"}}),
        ("speak", "x", {"voice": ""}),
        ("speak", "x", {"colour": "blue"}),
    ],
)
async def test_what_cannot_be_asked_is_refused_before_anything_is_sent(
    verb: str, given: Any, wrong: dict[str, Any]
) -> None:
    provider = ScriptedProvider(media(PICTURE, SOUND))
    async with one(provider) as it:
        with pytest.raises(InvalidRequest):
            await getattr(it, verb)(given, **wrong)
    assert provider.requests == []


@pytest.mark.parametrize("verb", ["draw", "transcribe", "speak"])
def test_the_verbs_without_await(verb: str) -> None:
    provider = ScriptedProvider((*text_events("words")[:3], Media(1, PICTURE), Media(2, SOUND), Finish("stop")))
    with Assistant(policy("first"), providers={"first": provider}, audit=False) as it:
        answer = getattr(it, verb)(SOUND if verb == "transcribe" else "x")
    assert answer == "words" if verb == "transcribe" else answer.files[0].data == SOUND.data
    assert [request.task for request in provider.requests] == [{"draw": "image"}.get(verb, verb)]


# ------------------------------------------------------------------ streamed or not
async def test_only_what_is_drawn_as_events_is_told_to_be_a_stream() -> None:
    provider = ScriptedProvider("x")
    async with one(provider) as it:
        await it.respond("x")
        await it.summarize("x")
        session = it.session()
        await session.respond("x")
        for stream in (it.stream("x"), session.stream("x")):
            async with stream:
                await stream.response()
    assert [request.stream for request in provider.requests] == [False, False, False, True, True]


async def test_repair_turns_are_no_stream_either() -> None:
    provider = ScriptedProvider("no", "1")
    async with one(provider) as it:
        assert (await it.respond("x", output=int, repair=1)).output == 1
    assert [request.stream for request in provider.requests] == [False, False]


def test_the_flag_without_await() -> None:
    provider = ScriptedProvider("x")
    with Assistant(policy("first"), providers={"first": provider}, audit=False) as it:
        it.respond("x")
        it.session().respond("x")
        with it.stream("x") as stream:
            stream.response()
    assert [request.stream for request in provider.requests] == [False, False, True]
