"""What both APIs need to say of a request: data URLs, names of files, results of tools, capabilities."""

from __future__ import annotations

import mimetypes
from base64 import b64encode
from collections.abc import Iterable

import msgspec

from ringfence.errors import InvalidRequest, Unsupported
from ringfence.provider import Capability, ModelCard
from ringfence.request import FilePart, ImagePart, JsonValue, Part, Request, ToolResultPart

_TEXT_TYPES = ("text/", "application/json")
_encode = msgspec.json.Encoder().encode


def encoded(body: JsonValue) -> bytes:
    """`body` as JSON.

    Raises:
        InvalidRequest: a text in it is no valid Unicode, or a number no JSON has.
    """
    try:
        return _encode(body)
    except (UnicodeEncodeError, msgspec.MsgspecError, TypeError, OverflowError):
        raise InvalidRequest(
            "the request holds something that JSON cannot say, such as half of a surrogate pair",
            way_out="decode texts with errors='replace'",
        ) from None


def require(card: ModelCard, capability: Capability, setting: str, what: str) -> None:
    """Does nothing if the model can.

    Raises:
        Unsupported: it cannot.
    """
    if capability not in card.capabilities:
        raise Unsupported(
            f"the model '{card.name}' cannot {what}",
            setting=setting,
            way_out="name another recipient, or say what it can do with capabilities:",
        )


def no_tools(request: Request) -> None:
    """Does nothing if the request asks for no tools and no schema, for which its task has no words.

    Raises:
        Unsupported: it asks for one. A `tool_choice` of `none` is kept by itself, and `required` comes with tools.
    """
    for setting, given in (("tools", request.tools), ("output", request.output)):
        if given:
            raise Unsupported(
                f"the task {request.task} takes no {setting}",
                setting=setting,
                way_out=f"leave {setting} out, or ask a model that answers in text",
            )


def data_url(part: ImagePart | FilePart) -> str:
    """The bytes of `part` as a URL."""
    return f"data:{part.media_type};base64,{b64encode(part.data).decode()}"


def file_name(part: FilePart) -> str:
    """Its name, or one whose ending tells what it is."""
    ending = mimetypes.guess_extension(part.media_type.partition(";")[0].strip()) or ""
    return part.name or f"file{ending}"


def is_text_file(part: FilePart) -> bool:
    """Whether its content could stand in the prompt."""
    return part.media_type.startswith(_TEXT_TYPES)


def text_of_file(part: FilePart) -> str:
    """A text file as text, named.

    Raises:
        Unsupported: it is not UTF-8.
    """
    try:
        text = part.data.decode("utf-8")
    except UnicodeDecodeError:
        raise Unsupported("the file is not UTF-8 text", setting="file", way_out="convert it to UTF-8") from None
    return f"\n[{part.name or 'file'}]\n{text}\n"


def result_text(part: ToolResultPart) -> str:
    """What a tool answered. Neither API has a field for failure, so the text says it."""
    return f"error: {part.text}" if part.is_error else part.text


def no_sound(part: FilePart) -> None:
    """Does nothing for a file that is no sound.

    Raises:
        Unsupported: it is one.
    """
    if part.media_type.startswith("audio/"):
        raise Unsupported(
            "sound is taken for transcription only",
            setting="file",
            way_out='task="transcribe", then ask about the text',
        )


def no_part(part: Part, where: str) -> Unsupported:
    """The refusal of a part in a place where the API has none."""
    name = type(part).__name__.removesuffix("Part").lower()
    return Unsupported(
        f"a part of kind '{name}' cannot stand {where}", setting=name, way_out="move it to the user's turn"
    )


def texts(parts: Iterable[str], between: str = "\n\n") -> str:
    """Those that are not empty, one after the other."""
    return between.join(text for text in parts if text)


__all__ = [
    "data_url",
    "encoded",
    "file_name",
    "is_text_file",
    "no_part",
    "no_sound",
    "require",
    "result_text",
    "text_of_file",
    "texts",
]
