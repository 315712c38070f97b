"""What a request asks for, whatever its API, and the scene that answers it when none was played."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass

from ringfence.request import FilePart, ImagePart, ToolCallPart
from ringfence.response import Usage
from ringfence.testing.partners.loose_json import JsonObject, as_text, objects_in
from ringfence.testing.partners.schema_instance import instance_of
from ringfence.testing.partners.silence import RATE_HZ, pixel_png, silence
from ringfence.testing.scenes import Scene

SENTENCE = ("This is", " a canned answer", " of the local double.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The traits of a request that an answer depends on. `tool_answered`: the last turn is a tool's result."""

    model: str
    stream: bool = False
    tools: tuple[tuple[str, object], ...] = ()
    tool_answered: bool = False
    schema: object = None
    wants_image: bool = False
    wants_audio: bool = False
    characters: int = 0
    last_text: str = ""
    """The text of the user's last turn."""


def default_scene(asked: Asked, *, echo: bool = False) -> Scene:
    """A sensible answer: a call of the first tool, an instance of the schema, a picture, a sound, or a sentence.

    With `echo` the sentence is what the user wrote last, in pieces shorter than a placeholder.
    """
    usage = _usage(asked)
    if asked.wants_image:
        return Scene(text=(), media=(ImagePart(pixel_png()),), usage=usage)
    if asked.wants_audio:
        sound = FilePart(silence("pcm") or b"", media_type=f"audio/L16;codec=pcm;rate={RATE_HZ}")
        return Scene(text=(), media=(sound,), usage=usage)
    if asked.tools and not asked.tool_answered:
        name, parameters = asked.tools[0]
        call = ToolCallPart(f"call_{secrets.token_hex(12)}", name, json.dumps(instance_of(parameters) or {}))
        return Scene(text=(), tool_calls=(call,), usage=usage)
    if asked.schema is not None:
        return Scene(text=(json.dumps(instance_of(asked.schema)),), usage=usage)
    return Scene(text=tuple(pieces(f"I was asked: {asked.last_text}")) if echo else SENTENCE, usage=usage)


def texts_of(content: object) -> str:
    """The text of a turn: its content is a text, or a list of parts of which some have one."""
    whole = [content] if isinstance(content, str) else [as_text(part.get("text")) for part in objects_in(content)]
    return "\n".join(text for text in whole if text)


def last_text(turns: object, content: str) -> str:
    """What the user wrote last in `turns`, each with its text under the key `content`; `turns` may be the text."""
    users = [turn for turn in objects_in(turns) if turn.get("role", "user") == "user"]
    texts = [text for turn in users if (text := texts_of(turn.get(content)))]
    return texts[-1] if texts else as_text(turns)


def _usage(asked: Asked) -> Usage:
    return Usage(
        input_tokens=token_estimate(asked.characters), output_tokens=9, cached_input_tokens=0, reasoning_tokens=0
    )


def token_estimate(characters: int) -> int:
    """Four characters a token, as a rule of thumb has it."""
    return max(1, -(-characters // 4))


def counted(usage: Usage) -> Usage | None:
    """`usage` with 0 for what is not said; `None` if nothing is said at all."""
    if usage == Usage():
        return None
    return Usage(
        input_tokens=usage.input_tokens or 0,
        output_tokens=usage.output_tokens or 0,
        cached_input_tokens=usage.cached_input_tokens or 0,
        reasoning_tokens=usage.reasoning_tokens or 0,
    )


def pieces(text: str, size: int = 4) -> list[str]:
    """`text` in pieces of `size` characters."""
    return [text[start : start + size] for start in range(0, len(text), size)]


def interleaved(calls: tuple[ToolCallPart, ...]) -> list[tuple[int, str]]:
    """The arguments of all calls, a piece of each in turn: the number of the call, and the piece."""
    cut = [pieces(call.arguments) for call in calls]
    longest = max((len(parts) for parts in cut), default=0)
    return [(index, parts[turn]) for turn in range(longest) for index, parts in enumerate(cut) if turn < len(parts)]


def wire_id(prefix: str) -> str:
    """An identifier as the vendors make them."""
    return f"{prefix}{secrets.token_hex(24)}"


__all__ = [
    "SENTENCE",
    "Asked",
    "JsonObject",
    "counted",
    "default_scene",
    "interleaved",
    "last_text",
    "pieces",
    "token_estimate",
    "wire_id",
]
