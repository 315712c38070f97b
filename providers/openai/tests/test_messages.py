"""Turns, pictures and files, as each API takes them."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from ringfence.errors import InvalidRequest, Unsupported
from ringfence.request import FilePart, ImagePart, Message, TextPart
from ringfence.testing.scenes import Scene

PNG = b"\x89PNG\r\n\x1a\nrest"
PDF = b"%PDF-1.4"
DATA = base64.b64encode(PNG).decode()


async def test_turns_keep_their_order_and_role(kit: Any) -> None:
    turns = (
        Message("system", (TextPart("Be kind."),)),
        Message("user", (TextPart("One, "), TextPart("two?"))),
        Message("assistant", (TextPart("Three."),)),
        Message("system", (TextPart("Be short."),)),
        Message("user", (TextPart("Four?"),)),
    )
    await kit.ask(messages=turns)
    sent = kit.sent()
    assert sent.get("input", sent.get("messages")) == [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "One, two?"},
        {"role": "assistant", "content": "Three."},
        {"role": "system", "content": "Be short."},
        {"role": "user", "content": "Four?"},
    ]


MIXED = (
    Message("user", (TextPart("See"), ImagePart(PNG), FilePart(PDF, media_type="application/pdf"), TextPart("!"))),
)


async def test_pictures_and_files_stand_where_they_were_by_responses(responses: Any) -> None:
    await responses.ask(messages=MIXED)
    assert responses.sent()["input"] == [
        {
            "role": "user",
            "content": [
                {"type": "input_text", "text": "See"},
                {"type": "input_image", "image_url": f"data:image/png;base64,{DATA}", "detail": "auto"},
                {
                    "type": "input_file",
                    "filename": "file.pdf",
                    "file_data": f"data:application/pdf;base64,{base64.b64encode(PDF).decode()}",
                },
                {"type": "input_text", "text": "!"},
            ],
        }
    ]


async def test_pictures_and_files_stand_where_they_were_by_chat(chat: Any) -> None:
    await chat.ask(messages=MIXED, provider_options={"openai": {"image_detail": "low"}})
    kinds = [part["type"] for part in chat.sent()["messages"][0]["content"]]
    assert kinds == ["text", "image_url", "file", "text"]
    picture = chat.sent()["messages"][0]["content"][1]["image_url"]
    assert picture == {"url": f"data:image/png;base64,{DATA}", "detail": "low"}


async def test_a_picture_of_the_model_stands_in_a_turn_of_the_user(kit: Any) -> None:
    turns = (Message("assistant", (ImagePart(PNG),)), Message("user", (TextPart("Bluer."),)))
    plan = await kit.plan(kit.request(messages=turns))
    assert ("image", "emulated") in [(one.setting, one.action) for one in plan.adjustments]
    items = plan.native.body.get("input", plan.native.body.get("messages"))
    assert [item["role"] for item in items] == ["user", "user"]
    await kit.ask("", Scene(), messages=turns)


@pytest.mark.parametrize(
    ("part", "setting"),
    [(ImagePart(PNG), "image"), (FilePart(PDF, media_type="application/pdf"), "file")],
)
async def test_what_a_model_cannot_read_is_refused(kit: Any, part: Any, setting: str) -> None:
    plain = kit.at(capabilities=frozenset({"text"}), options=kit.recipient.options)
    with pytest.raises(Unsupported) as caught:
        await plain.plan(plain.request(messages=(Message("user", (part,)),)))
    assert caught.value.setting == setting


async def test_sound_is_refused_outside_transcription(kit: Any) -> None:
    sound = Message("user", (FilePart(b"RIFF", media_type="audio/wav"),))
    with pytest.raises(Unsupported) as caught:
        await kit.plan(kit.request(messages=(sound,)))
    assert caught.value.setting == "file"


async def test_a_picture_in_the_instructions_is_refused(kit: Any) -> None:
    with pytest.raises(Unsupported):
        await kit.plan(kit.request(messages=(Message("system", (ImagePart(PNG),)),)))


async def test_a_text_file_stands_in_the_prompt_of_a_server_that_takes_no_files(chat: Any) -> None:
    plain = chat.at(capabilities=frozenset({"text"}), options=chat.recipient.options)
    parts = (TextPart("Read:"), FilePart("ä".encode(), media_type="text/plain", name="a.txt"))
    plan = await plain.plan(plain.request(messages=(Message("user", parts),)))
    assert plan.native.body["messages"] == [{"role": "user", "content": "Read:\n[a.txt]\nä\n"}]
    assert [(one.setting, one.action) for one in plan.adjustments] == [("file", "emulated")]


async def test_half_a_surrogate_pair_is_refused_before_sending(kit: Any) -> None:
    with pytest.raises(InvalidRequest, match="JSON") as caught:
        await kit.plan(kit.request("secret \ud800"))
    assert "secret" not in str(caught.value)
