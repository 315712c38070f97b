"""What a request is made of, part by part: the text that can be scanned and counted, and whether that is all of it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import assert_never

from ringfence.privacy.forms import MAX_ESCAPE_DEPTH, unescaped_forms, unescaped_places
from ringfence.request import (
    FilePart,
    ImagePart,
    Modality,
    OutputSchema,
    Part,
    ReasoningPart,
    Request,
    TextPart,
    Tool,
    ToolCallPart,
    ToolResultPart,
)

_UTF8_CHARSETS = frozenset({"utf-8", "utf8", "us-ascii", "ascii"})
_COMMON_MEDIA_TYPES = frozenset(
    f"{kind}/{name}"
    for kind, names in {
        "text": ("plain", "html", "markdown", "csv", "css", "xml", "x-python"),
        "image": ("png", "jpeg", "webp", "gif", "heic", "tiff", "bmp", "svg+xml"),
        "audio": ("wav", "mpeg", "mp3", "mp4", "ogg", "flac", "webm", "aac", "x-wav"),
        "video": ("mp4", "webm", "quicktime"),
        "application": ("json", "pdf", "octet-stream", "xml", "zip"),
    }.items()
    for name in names
)
"""They say nothing of anybody; any other media type is looked at as a text."""
_ENCODED_INSIDE = re.compile(
    r"\A\s*\{\\rtf|data:[^,\s\"'<>]{0,200};\s*base64,"
    r"|^[^:\r\n]{1,200};(?:(?:ENCODING=)?(?:QUOTED-PRINTABLE|BASE64)|ENCODING=B)[;:]"
    r"|^Content-Transfer-Encoding:\s*(?:quoted-printable|base64)"
    r"|=[0-9A-F]{2}[^\r\n]{0,200}=\r?\n",
    re.IGNORECASE | re.MULTILINE,
)
_OUTPUT_MODALITY: dict[str, frozenset[Modality]] = {
    "image": frozenset({"image"}),
    "speak": frozenset({"audio"}),
    "embed": frozenset(),
}
_TEXT_OUTPUT: frozenset[Modality] = frozenset({"text"})


@dataclass(frozen=True, slots=True, repr=False)
class Material:
    """The texts of one part. `complete` is false if the part holds anything that no text of it shows.

    `marks` are sent with it and scanned as texts are, though no model reads them: the identifiers of calls.
    """

    texts: tuple[str, ...]
    complete: bool = True
    marks: tuple[str, ...] = ()


def material_of(part: Part) -> Material:
    """What can be scanned of `part`; an attachment's name is part of the attachment."""
    match part:
        case TextPart():
            return Material((part.text,))
        case ToolCallPart():
            return Material((part.name, part.arguments), marks=(part.id,))
        case ToolResultPart():
            return Material((part.name, part.text), marks=(part.call_id,))
        case ReasoningPart():
            # The state is its provider's own bytes, and goes back to nobody else: it carries what the answer carried.
            # One without labels came from somewhere else, and nobody can look into it.
            return Material((part.text,), complete=part.state is None or bool(part.labels))
        case ImagePart():
            return Material(_name(part), complete=False)
        case FilePart():
            return _file_material(part)
        case _:
            assert_never(part)


def _file_material(part: FilePart) -> Material:
    text = file_text(part)
    if text is None:
        return Material(_name(part), complete=False)
    return Material((*_name(part), text), complete=not _encoded_inside(part, text))


def tool_material(tool: Tool) -> Material:
    """What can be scanned of a tool's definition."""
    schema = _json_text(tool.parameters)
    texts = (tool.name, tool.description)
    return Material(texts, complete=False) if schema is None else Material((*texts, schema))


def output_material(output: OutputSchema) -> Material:
    """What can be scanned of the shape an answer must have."""
    schema = _json_text(output.schema)
    return Material((output.name,), complete=False) if schema is None else Material((output.name, schema))


def settings_material(request: Request) -> Material:
    """What can be scanned of what is said beside the messages: the words in settings, options for single providers."""
    settings = request.settings
    words = (settings.voice, settings.language, settings.audio_format)
    texts = (*settings.stop, *(word for word in words if word))
    if not request.provider_options:
        return Material(texts)
    options = _json_text(request.provider_options)
    return Material(texts, complete=False) if options is None else Material((*texts, options))


def says_settings(request: Request) -> bool:
    """Whether `settings_material` holds anything."""
    settings = request.settings
    return bool(
        settings.stop or request.provider_options or settings.voice or settings.language or settings.audio_format
    )


def file_text(part: FilePart) -> str | None:
    """The text of a file that can be scanned, `None` for any other: `text/*` or `application/json`, in UTF-8.

    A NUL means UTF-16 or a binary file under a wrong media type: its text would be there, and no detector would see it.
    """
    media_type, _, parameters = part.media_type.lower().partition(";")
    if not (media_type.strip().startswith("text/") or media_type.strip() == "application/json"):
        return None
    for parameter in parameters.split(";"):
        key, _, value = parameter.partition("=")
        if key.strip() == "charset" and value.strip().strip('"') not in _UTF8_CHARSETS:
            return None
    try:
        text = part.data.decode()
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text


def utf8_bytes(text: str) -> int:
    """The length of `text` in UTF-8; a lone surrogate counts three bytes."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def request_texts(request: Request) -> Iterator[str]:
    """Every text of a request, once."""
    for message in request.messages:
        for part in message.parts:
            if type(part) is TextPart:
                yield part.text
            else:
                yield from material_of(part).texts
    for tool in request.tools:
        yield from tool_material(tool).texts
    if request.output is not None:
        yield from output_material(request.output).texts
    if says_settings(request):
        yield from settings_material(request).texts


def modality_of(request: Request) -> frozenset[Modality]:
    """Every modality in the input or asked for as output."""
    found: set[Modality] = set(_OUTPUT_MODALITY.get(request.task, _TEXT_OUTPUT))
    for message in request.messages:
        for part in message.parts:
            found.add("text" if type(part) is TextPart else _part_modality(part))
    return frozenset(found)


def _part_modality(part: Part) -> Modality:
    match part:
        case ImagePart():
            return "image"
        case FilePart():
            kind = part.media_type.lower().lstrip().partition("/")[0]
            return "image" if kind == "image" else "audio" if kind == "audio" else "file"
        case _:
            return "text"


def _name(part: ImagePart | FilePart) -> tuple[str, ...]:
    said = () if part.media_type in _COMMON_MEDIA_TYPES else (part.media_type,)
    return (part.name, *said) if part.name else said


def _encoded_inside(part: FilePart, text: str) -> bool:
    """Whether the file's format hides some of its text, or another file, in a form that nothing here reads."""
    kind = part.media_type.lower().partition(";")[0].strip()
    return kind in ("text/rtf", "text/richtext") or _ENCODED_INSIDE.search(text) is not None


def _json_text(schema: Mapping[str, object]) -> str | None:
    try:
        return json.dumps(schema, ensure_ascii=False, default=_json_ready)
    except (TypeError, ValueError, RecursionError):
        return None


def _json_ready(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    if isinstance(value, Sequence | AbstractSet) and not isinstance(value, bytes | bytearray | memoryview):
        return list(value)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    raise TypeError


__all__ = [
    "MAX_ESCAPE_DEPTH",
    "Material",
    "file_text",
    "material_of",
    "modality_of",
    "output_material",
    "request_texts",
    "says_settings",
    "settings_material",
    "tool_material",
    "unescaped_forms",
    "unescaped_places",
    "utf8_bytes",
]
