"""What an app asks: a `Request` of messages with typed parts, labels, a task and settings.

Everything here is frozen data without behaviour beyond validation; a transform returns a new value. No `repr` holds
user content (invariant 7): sizes, types and labels only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, cast

from ringfence.checks import is_collection_of, json_copy, require
from ringfence.errors import InvalidRequest

Role: TypeAlias = Literal["system", "user", "assistant", "tool"]
Modality: TypeAlias = Literal["text", "image", "file", "audio"]
JsonValue: TypeAlias = "str | int | float | bool | Sequence[JsonValue] | Mapping[str, JsonValue] | None"

TASKS: tuple[str, ...] = (
    "open_question",
    "notification_summary",
    "article_summary",
    "smart_reply",
    "email_reply",
    "rewrite",
    "proofread",
    "extract",
    "action",
    "image",
    "embed",
    "transcribe",
    "speak",
)
"""The tasks every policy knows; a policy file may add its own. `open_question` is the default."""

NO_LABELS: frozenset[str] = frozenset()


def label_set(labels: object) -> frozenset[str]:
    """The label names that an app gave, checked.

    Raises:
        InvalidRequest: it is one string, no collection, or holds something else than names.
    """
    if labels is NO_LABELS:
        return NO_LABELS
    # Most sets come from here, and come by several times in one request: those are not made anew.
    given = cast("frozenset[object]", labels) if type(labels) is frozenset else tuple(_iterable(labels))
    for name in given:
        if not (isinstance(name, str) and name):
            raise InvalidRequest("every label must be a non-empty string", way_out='labels={"contact"}')
    return frozenset(cast("Iterable[str]", given))


def _iterable(labels: object) -> Iterable[object]:
    if isinstance(labels, str):
        raise InvalidRequest("labels must be a collection of names, not one string", way_out=f'labels={{"{labels}"}}')
    if not isinstance(labels, Iterable):
        raise InvalidRequest("labels must be a collection of names", way_out='labels={"contact"}')
    return cast("Iterable[object]", labels)


def _require_text(what: str, *values: object) -> None:
    for value in values:
        if not isinstance(value, str):
            raise InvalidRequest(f"{what} must be str, not {type(value).__name__}", way_out="decode it first")


def _require_bytes(what: str, value: object) -> None:
    if not isinstance(value, bytes):
        raise InvalidRequest(f"{what} must hold bytes, not {type(value).__name__}", way_out="read the file")


@dataclass(frozen=True, slots=True, repr=False)
class TextPart:
    """Text. `labels` are what the app declares; detectors add theirs, and a declaration never removes a hit."""

    text: str
    labels: frozenset[str] = field(default=NO_LABELS, kw_only=True)

    def __post_init__(self) -> None:
        _require_text("a text part", self.text)
        object.__setattr__(self, "labels", label_set(self.labels))

    def __repr__(self) -> str:
        return f"TextPart({len(self.text)} characters, labels={sorted(self.labels)})"


@dataclass(frozen=True, slots=True, repr=False)
class ImagePart:
    """An encoded image. Bytes, never a URL: nothing here fetches anything."""

    data: bytes
    media_type: str = field(default="image/png", kw_only=True)
    name: str | None = field(default=None, kw_only=True)
    labels: frozenset[str] = field(default=NO_LABELS, kw_only=True)

    def __post_init__(self) -> None:
        _require_bytes("an image part", self.data)
        _require_text("the media type and name of an image part", self.media_type, self.name or "")
        object.__setattr__(self, "labels", label_set(self.labels))

    def __repr__(self) -> str:
        return f"ImagePart({self.media_type}, {len(self.data)} bytes, labels={sorted(self.labels)})"


@dataclass(frozen=True, slots=True, repr=False)
class FilePart:
    """An attached file. `text/*` and `application/json` in UTF-8 can be scanned; anything else carries `unknown`."""

    data: bytes
    media_type: str = field(default="application/octet-stream", kw_only=True)
    name: str | None = field(default=None, kw_only=True)
    labels: frozenset[str] = field(default=NO_LABELS, kw_only=True)

    def __post_init__(self) -> None:
        _require_bytes("a file part", self.data)
        _require_text("the media type and name of a file part", self.media_type, self.name or "")
        object.__setattr__(self, "labels", label_set(self.labels))

    def __repr__(self) -> str:
        return f"FilePart({self.media_type}, {len(self.data)} bytes, labels={sorted(self.labels)})"


@dataclass(frozen=True, slots=True, repr=False)
class ToolCallPart:
    """A call the model asked for.

    `arguments` is JSON text: exactly as the model wrote it where it writes JSON; where its format is another, such as
    XML, the same values written as JSON.
    """

    id: str
    name: str
    arguments: str
    labels: frozenset[str] = field(default=NO_LABELS, kw_only=True)

    def __post_init__(self) -> None:
        _require_text("the fields of a tool call", self.id, self.name, self.arguments)
        object.__setattr__(self, "labels", label_set(self.labels))

    def __repr__(self) -> str:
        return f"ToolCallPart({self.name}, {len(self.arguments)} characters, labels={sorted(self.labels)})"


@dataclass(frozen=True, slots=True, repr=False)
class ToolResultPart:
    """What a tool answered to the call `call_id`, as text; `is_error` tells the model that the tool failed."""

    call_id: str
    name: str
    text: str
    is_error: bool = field(default=False, kw_only=True)
    labels: frozenset[str] = field(default=NO_LABELS, kw_only=True)

    def __post_init__(self) -> None:
        _require_text("the fields of a tool result", self.call_id, self.name, self.text)
        object.__setattr__(self, "labels", label_set(self.labels))

    def __repr__(self) -> str:
        return f"ToolResultPart({self.name}, {len(self.text)} characters, labels={sorted(self.labels)})"


@dataclass(frozen=True, slots=True, repr=False)
class ReasoningPart:
    """Reasoning of one recipient: `provider`, and its own `url` as `origin`, `None` for the vendor's address.

    `state` is opaque. The part is replayed only to where it came from, and dropped for any other: one provider can
    serve the servers of several companies.
    """

    provider: str
    text: str = ""
    state: str | None = field(default=None, kw_only=True)
    origin: str | None = field(default=None, kw_only=True)
    labels: frozenset[str] = field(default=NO_LABELS, kw_only=True)

    def __post_init__(self) -> None:
        _require_text("the fields of a reasoning part", self.provider, self.text, self.state or "", self.origin or "")
        object.__setattr__(self, "labels", label_set(self.labels))

    def __repr__(self) -> str:
        return f"ReasoningPart({self.provider}, {len(self.text)} characters)"


Part: TypeAlias = TextPart | ImagePart | FilePart | ToolCallPart | ToolResultPart | ReasoningPart
PARTS: tuple[type[Part], ...] = (TextPart, ImagePart, FilePart, ToolCallPart, ToolResultPart, ReasoningPart)


@dataclass(frozen=True, slots=True, weakref_slot=True, repr=False)
class Message:
    """One turn: who speaks, and the parts."""

    role: Role
    parts: tuple[Part, ...]

    def __post_init__(self) -> None:
        if self.role not in ("system", "user", "assistant", "tool"):
            raise InvalidRequest(
                "a message's role is system, user, assistant or tool", way_out='Message("user", [part])'
            )
        require(is_collection_of(self.parts, PARTS), "a message holds parts", 'Message("user", [TextPart("…")])')
        object.__setattr__(self, "parts", tuple(self.parts))

    @property
    def text(self) -> str:
        """The text parts, joined."""
        return "".join(part.text for part in self.parts if isinstance(part, TextPart))

    def __repr__(self) -> str:
        return f"Message({self.role}, {len(self.parts)} parts)"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Settings:
    """How to generate. `None` leaves the model's default; what a model cannot honour is refused or in `adjustments`.

    Bounds: `max_output_tokens` ≥ 1 · `temperature` 0 … 2 · `top_p` in (0, 1] · `top_k` ≥ 1 · `min_p` 0 … 1 ·
    `repetition_penalty` > 0 · `presence_penalty`, `frequency_penalty` −2 … 2 · `seed` ≥ 0 · at most 16 non-empty `stop`
    sequences · `logit_bias` maps token ids to −100 … 100 · `image_size` is width × height in pixels, such as
    `1024x1024` · `image_count` 1 … 10 · `language` is a BCP 47 tag, of speech that is transcribed · `voice` and
    `audio_format` are names that the model knows.

    Raises:
        InvalidRequest: a value is out of its bounds; every fault is named, not only the first.
    """

    max_output_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    logit_bias: Mapping[int, float] | None = None
    reasoning_effort: Literal["none", "low", "medium", "high"] | None = None
    image_size: str | None = None
    image_count: int | None = None
    language: str | None = None
    voice: str | None = None
    audio_format: str | None = None

    def __post_init__(self) -> None:
        stop: object = self.stop
        if isinstance(stop, str):
            object.__setattr__(self, "stop", (stop,))
        elif is_collection_of(stop, object):
            object.__setattr__(self, "stop", tuple(stop))
        if self.logit_bias is not None:
            # INVARIANT: as with options and schemas, what was decided is what is sent; here and in `Request`.
            object.__setattr__(self, "logit_bias", json_copy(self.logit_bias))
        if faults := list(_settings_faults(self)):
            raise InvalidRequest("; ".join(faults))

    def __repr__(self) -> str:
        given = [name for name in self.__slots__ if getattr(self, name) not in (None, ())]
        return f"Settings({', '.join(given)})"


# By name: the types, the lowest and highest value, and whether the lowest is allowed.
_BOUNDS: dict[str, tuple[Any, float, float, bool]] = {
    "max_output_tokens": (int, 1, 2**31, True),
    "temperature": ((int, float), 0, 2, True),
    "top_p": ((int, float), 0, 1, False),
    "top_k": (int, 1, 2**31, True),
    "min_p": ((int, float), 0, 1, True),
    "repetition_penalty": ((int, float), 0, 100, False),
    "presence_penalty": ((int, float), -2, 2, True),
    "frequency_penalty": ((int, float), -2, 2, True),
    "seed": (int, 0, 2**63 - 1, True),
    "image_count": (int, 1, 10, True),
}
_IMAGE_SIZE = re.compile(r"[1-9][0-9]{1,4}x[1-9][0-9]{1,4}")
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_MAX_STOPS = 16
_MAX_BIAS = 100


def _are_biases(biases: object) -> bool:
    if not isinstance(biases, Mapping):
        return False
    return all(_is_bias(token, bias) for token, bias in cast("Mapping[object, object]", biases).items())


def _is_bias(token: object, bias: object) -> bool:
    if isinstance(token, bool) or isinstance(bias, bool):
        return False
    return isinstance(token, int) and token >= 0 and isinstance(bias, int | float) and abs(bias) <= _MAX_BIAS


def _settings_faults(settings: Settings) -> list[str]:
    faults: list[str] = []
    for name, (types, low, high, inclusive) in _BOUNDS.items():
        value: Any = getattr(settings, name)
        if value is None:
            continue
        # `not low <= value <= high` also catches NaN, which compares false with everything.
        if isinstance(value, bool) or not isinstance(value, types):
            faults.append(f"{name} has the wrong type {type(value).__name__}")
        elif not (low <= value <= high) or (value == low and not inclusive):
            faults.append(f"{name} must lie in {'[' if inclusive else '('}{low}, {high}]")
    stop: object = settings.stop
    if not is_collection_of(stop, str) or not all(stop):
        faults.append("every stop sequence must be a non-empty string")
    elif len(settings.stop) > _MAX_STOPS:
        faults.append(f"at most {_MAX_STOPS} stop sequences")
    if settings.logit_bias is not None and not _are_biases(settings.logit_bias):
        faults.append("logit_bias maps token ids ≥ 0 to numbers from -100 to 100")
    if settings.reasoning_effort not in (None, "none", "low", "medium", "high"):
        faults.append("reasoning_effort is none, low, medium or high")
    return faults + _media_faults(settings)


def _media_faults(settings: Settings) -> list[str]:
    faults: list[str] = []
    size: object = settings.image_size
    if size is not None and not (isinstance(size, str) and _IMAGE_SIZE.fullmatch(size)):
        faults.append("image_size is width x height in pixels, such as 1024x1024")
    for name in ("language", "voice", "audio_format"):
        word: object = getattr(settings, name)
        if word is not None and not (isinstance(word, str) and _WORD.fullmatch(word)):
            faults.append(f"{name} is one word of 1 to 64 letters, digits, '-', '_' and '.'")
    return faults


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Tool:
    """A function the model may ask for. `parameters` is a JSON Schema of type object; `labels` are declared."""

    name: str
    description: str = ""
    parameters: Mapping[str, JsonValue] = field(default_factory=lambda: {"type": "object", "properties": {}})
    labels: frozenset[str] = NO_LABELS

    def __post_init__(self) -> None:
        object.__setattr__(self, "labels", label_set(self.labels))
        _require_text("the name and description of a tool", self.name, self.description)
        require(bool(self.name), "a tool needs a name", 'Tool(name="web_search")')
        parameters: object = self.parameters
        require(isinstance(parameters, Mapping), "a tool's parameters are a JSON Schema", '{"type": "object", …}')
        # INVARIANT: what was decided is what is sent, whatever the app does to its own dict meanwhile.
        object.__setattr__(self, "parameters", json_copy(parameters))

    def __repr__(self) -> str:
        return f"Tool({self.name})"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class OutputSchema:
    """The shape a structured answer must have: a JSON Schema (2020-12), a name for it, and its declared labels."""

    schema: Mapping[str, JsonValue]
    name: str = "output"
    labels: frozenset[str] = NO_LABELS

    def __post_init__(self) -> None:
        object.__setattr__(self, "labels", label_set(self.labels))
        object.__setattr__(self, "schema", json_copy(self.schema))

    def __repr__(self) -> str:
        return f"OutputSchema({self.name})"


ToolChoice: TypeAlias = Literal["auto", "none", "required"]


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Request:
    """One request. `labels` is the conversation's high-water mark; it adds to what the parts carry, never takes away.

    `tenant` isolates caches: a provider may reuse work only between requests of one tenant, and `None` reuses nothing.
    `facts` are the app's (`{"user.age_band": "adult"}`); one that is absent is not evaluable. `to` names recipients and
    only filters the plan. `provider_options` maps a provider's name to options of its own. `stream` is whether the app
    draws the events as they come.

    Raises:
        InvalidRequest: there is no message, or nothing in the messages to answer.
    """

    messages: tuple[Message, ...]
    task: str = "open_question"
    labels: frozenset[str] = NO_LABELS
    settings: Settings = field(default_factory=Settings)
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice = "auto"
    output: OutputSchema | None = None
    facts: Mapping[str, str | int | float | bool] = field(default_factory=dict[str, "str | int | float | bool"])
    to: frozenset[str] | None = None
    tenant: str | None = None
    provider_options: Mapping[str, Mapping[str, JsonValue]] = field(
        default_factory=dict[str, "Mapping[str, JsonValue]"]
    )
    stream: bool = True

    def __post_init__(self) -> None:
        require(is_collection_of(self.messages, Message), "a request holds messages", "messages=[Message(…)]")
        object.__setattr__(self, "messages", tuple(self.messages))
        if self.provider_options:
            object.__setattr__(self, "provider_options", json_copy(self.provider_options))
        if self.facts:
            object.__setattr__(self, "facts", json_copy(self.facts))
        object.__setattr__(self, "tools", tuple(self.tools))
        if self.task not in _TASKS:
            _require_word(self.task)
        to: object = self.to
        require(to is None or isinstance(to, frozenset), "to is a frozenset of recipients", 'frozenset({"mlx"})')
        object.__setattr__(self, "labels", label_set(self.labels))
        if not any(map(_has_content, self.messages)):
            raise InvalidRequest("the request is empty", way_out="give some text, an image or a file")
        if self.tools and len({tool.name for tool in self.tools}) < len(self.tools):
            raise InvalidRequest("two tools have the same name", way_out="rename one")
        if self.tool_choice == "required" and not self.tools:
            raise InvalidRequest("a tool call is required, and there is no tool", way_out="tools=[…]")

    def __repr__(self) -> str:
        return f"Request(task={self.task}, {len(self.messages)} messages, labels={sorted(self.labels)})"


_TASKS = frozenset(TASKS)
_TASK = re.compile(r"[^\W_][\w.-]{0,63}")


def _require_word(task: object) -> None:
    # INVARIANT: a receipt names the task, so it is a name and never a text.
    word = isinstance(task, str) and _TASK.fullmatch(task) is not None
    require(word, "a task is one word of at most 64 letters, digits, '_', '-' and '.'", 'task="open_question"')


def _has_content(message: Message) -> bool:
    return any(map(_is_content, message.parts))


def _is_content(part: Part) -> bool:
    match part:
        case TextPart() | ReasoningPart():
            return bool(part.text.strip())
        case ImagePart() | FilePart():
            return bool(part.data)
        case ToolCallPart() | ToolResultPart():
            return True
