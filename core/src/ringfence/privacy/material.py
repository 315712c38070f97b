"""What a request is made of, part by part: the text that can be scanned and counted, and whether that is all of it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import TypeAlias, assert_never

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

MAX_ESCAPE_DEPTH = 6
"""How many times over a text may be JSON-escaped (JSON inside JSON) and still be scanned."""

_UTF8_CHARSETS = frozenset({"utf-8", "utf8", "us-ascii", "ascii"})
_ESCAPE = re.compile(r'\\(?:u([0-9a-fA-F]{4})|(["\\/bfnrt]))')
_SURROGATE_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")
_SHORT_ESCAPES = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_OUTPUT_MODALITY: dict[str, frozenset[Modality]] = {
    "image": frozenset({"image"}),
    "speak": frozenset({"audio"}),
    "embed": frozenset(),
}
_TEXT_OUTPUT: frozenset[Modality] = frozenset({"text"})


@dataclass(frozen=True, slots=True, repr=False)
class Material:
    """The texts of one part. `complete` is false if the part holds anything that no text of it shows."""

    texts: tuple[str, ...]
    complete: bool = True


def material_of(part: Part) -> Material:
    """What can be scanned of `part`; an attachment's name is part of the attachment."""
    match part:
        case TextPart():
            return Material((part.text,))
        case ToolCallPart():
            return Material((part.name, part.arguments))
        case ToolResultPart():
            return Material((part.name, part.text))
        case ReasoningPart():
            # The state is its provider's own bytes, and goes back to nobody else: it carries what the answer carried.
            # One without labels came from somewhere else, and nobody can look into it.
            return Material((part.text,), complete=part.state is None or bool(part.labels))
        case ImagePart():
            return Material(_name(part), complete=False)
        case FilePart():
            text = file_text(part)
            return Material(_name(part), complete=False) if text is None else Material((*_name(part), text))
        case _:
            assert_never(part)


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
    """What can be scanned of what is said beside the messages: stop sequences, and options for single providers."""
    stop = request.settings.stop
    if not request.provider_options:
        return Material(stop)
    options = _json_text(request.provider_options)
    return Material(stop, complete=False) if options is None else Material((*stop, options))


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


def unescaped_forms(text: str) -> tuple[list[str], bool]:
    """`text`, then `text` with its JSON escapes undone, once for each depth of escaping; and whether that was all.

    It works on text that is not, or not yet, valid JSON, such as arguments that broke off. False says that something is
    escaped more than `MAX_ESCAPE_DEPTH` times over.
    """
    forms = [text]
    while "\\" in text:
        plain = _joined_surrogates(_ESCAPE.sub(_unescape, text))
        if plain == text:
            break
        if len(forms) > MAX_ESCAPE_DEPTH:
            return forms, False
        forms.append(plain)
        text = plain
    return forms, True


Places: TypeAlias = Callable[[int], int]
"""Where a place in a form of a text is in the text itself."""


def unescaped_places(text: str) -> tuple[list[tuple[str, Places]], bool]:
    """As `unescaped_forms`, each form with where its places are in `text`."""
    forms: list[tuple[str, Places]] = [(text, _same)]
    if "\\" not in text:
        return forms, True
    origin: list[int] | None = None
    form = text
    while "\\" in form:
        plain, starts = _unescaped_once(form)
        if plain == form:
            break
        if len(forms) > MAX_ESCAPE_DEPTH:
            return forms, False
        origin = starts if origin is None else [origin[start] for start in starts]
        forms.append((plain, origin.__getitem__))
        form = plain
    return forms, True


def _same(place: int) -> int:
    return place


def _unescaped_once(text: str) -> tuple[str, list[int]]:
    """`text` with one level of escapes undone, and where each of its characters, and its end, began."""
    characters: list[str] = []
    starts: list[int] = []
    place = 0
    for match in _ESCAPE.finditer(text):
        characters += text[place : match.start()]
        starts += range(place, match.start())
        characters.append(_unescape(match))
        starts.append(match.start())
        place = match.end()
    characters += text[place:]
    starts += range(place, len(text) + 1)
    plain = "".join(characters)
    if _SURROGATE_PAIR.search(plain) is None:
        return plain, starts
    # The second half of a pair is no character of its own in what the escapes mean.
    seconds = {match.start() + 1 for match in _SURROGATE_PAIR.finditer(plain)}
    return _joined_surrogates(plain), [start for number, start in enumerate(starts) if number not in seconds]


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
    if request.settings.stop or request.provider_options:
        yield from settings_material(request).texts


def modality_of(request: Request) -> frozenset[Modality]:
    """Every modality in the input or asked for as output."""
    found: set[Modality] = set(_OUTPUT_MODALITY.get(request.task, _TEXT_OUTPUT))
    found.update(_part_modality(part) for message in request.messages for part in message.parts)
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
    return (part.name,) if part.name else ()


def _unescape(match: re.Match[str]) -> str:
    code, short = match.groups()
    return chr(int(code, 16)) if code else _SHORT_ESCAPES[short]


def _joined_surrogates(text: str) -> str:
    """`text` with the pairs that two escapes spelt joined to the characters they mean."""
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


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
    "Places",
    "file_text",
    "material_of",
    "modality_of",
    "output_material",
    "request_texts",
    "settings_material",
    "tool_material",
    "unescaped_forms",
    "unescaped_places",
    "utf8_bytes",
]
