"""The messages of a request, as those of the SDK. Pictures and files come as data only: nothing is fetched here."""

from __future__ import annotations

import binascii
import re
from base64 import b64decode
from collections.abc import Iterator, Sequence
from typing import assert_never

from ringfence.request import FilePart, ImagePart, Message, Part, TextPart, ToolCallPart, ToolResultPart
from ringfence_house_node.api.faults import refused
from ringfence_house_node.api.shapes import (
    AnyMessage,
    AssistantMessage,
    DeveloperMessage,
    FileContent,
    ImageContent,
    Piece,
    RefusalContent,
    SystemMessage,
    TextContent,
    Texts,
    ToolCall,
    ToolMessage,
    UserMessage,
)

_DATA_URL = re.compile(r"data:([a-z]{1,20}/[a-zA-Z0-9.+-]{1,80})(;charset=utf-8)?;base64,")
_PICTURES = frozenset({"image/png", "image/jpeg", "image/webp", "image/gif"})
_MOST_ATTACHMENTS = 64


def messages_of(given: Sequence[AnyMessage]) -> tuple[Message, ...]:
    """The turns, in order.

    Raises:
        Refused: a picture is no data, a result belongs to no call, or there are too many pictures and files.
    """
    names: dict[str, str] = {}
    turns = tuple(_turn(message, names) for message in given)
    attached = sum(isinstance(part, ImagePart | FilePart) for turn in turns for part in turn.parts)
    if attached > _MOST_ATTACHMENTS:
        raise refused(f"at most {_MOST_ATTACHMENTS} pictures and files", "messages")
    return turns


def _turn(message: AnyMessage, names: dict[str, str]) -> Message:
    """One turn; `names` are those of the calls so far, by id."""
    match message:
        case SystemMessage() | DeveloperMessage():
            return Message("system", _texts(message.content))
        case UserMessage():
            pieces = [TextContent(text=message.content)] if isinstance(message.content, str) else message.content
            return Message("user", tuple(map(_part, pieces)))
        case AssistantMessage():
            calls = tuple(map(_call, message.tool_calls or ()))
            names.update((call.id, call.name) for call in calls)
            return Message("assistant", (*_said(message), *calls))
        case ToolMessage():
            return Message("tool", (_result(message, names),))
        case _:
            assert_never(message)


def _texts(content: Texts) -> tuple[TextPart, ...]:
    if isinstance(content, str):
        return (TextPart(content),)
    return tuple(TextPart(piece.text) for piece in content)


def _said(message: AssistantMessage) -> Iterator[TextPart]:
    if isinstance(message.content, str):
        yield TextPart(message.content)
    else:
        for piece in message.content or ():
            yield TextPart(piece.text if isinstance(piece, TextContent) else piece.refusal)
    if message.refusal:
        yield TextPart(message.refusal)


def _call(call: ToolCall) -> ToolCallPart:
    return ToolCallPart(call.id, call.function.name, call.function.arguments)


def _result(message: ToolMessage, names: dict[str, str]) -> ToolResultPart:
    name = names.get(message.tool_call_id)
    if name is None:
        raise refused("a result of a tool answers no call before it", "messages")
    return ToolResultPart(message.tool_call_id, name, "".join(part.text for part in _texts(message.content)))


def _part(piece: Piece) -> Part:
    match piece:
        case TextContent():
            return TextPart(piece.text)
        case RefusalContent():
            raise refused("only the model refuses", "messages")
        case ImageContent():
            data, media_type = _data(piece.image_url.url)
            if media_type not in _PICTURES:
                raise refused("a picture is image/png, image/jpeg, image/webp or image/gif", "messages")
            return ImagePart(data, media_type=media_type)
        case FileContent():
            data, media_type = _data(piece.file.file_data)
            return FilePart(data, media_type=media_type, name=piece.file.filename)
        case _:
            assert_never(piece)


def _data(url: str) -> tuple[bytes, str]:
    """The bytes in a data URL, and their type."""
    # INVARIANT: no address in a request is ever followed, so a caller cannot make the node fetch anything.
    start = _DATA_URL.match(url)
    if start is None:
        raise refused("pictures and files come as data URLs in base64", "messages")
    try:
        return b64decode(url[start.end() :], validate=True), start[1]
    except (binascii.Error, ValueError):
        raise refused("the base64 of a picture or file is damaged", "messages") from None


__all__ = ["messages_of"]
