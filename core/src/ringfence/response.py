"""What comes back: events while the answer is made, and the `Response` they add up to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Generic, Literal, TypeAlias, TypeVar

from ringfence.receipt import Receipt
from ringfence.request import FilePart, ImagePart, Message, ReasoningPart, TextPart, ToolCallPart

FinishReason: TypeAlias = Literal["stop", "length", "tool_calls", "content_filter", "refusal", "error", "other"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens of one answer, `None` where the backend does not say. Cached and reasoning tokens are among the others."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_input_tokens: int | None = None
    reasoning_tokens: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Adjustment:
    """One setting that was not honoured as asked (invariant 6): what was asked, what was done, and why."""

    setting: str
    action: Literal["emulated", "changed", "ignored"]
    detail: str


@dataclass(frozen=True, slots=True)
class Finish:
    """Why the answer ended: unified, and as the backend said it."""

    reason: FinishReason
    raw: str | None = None
    type: ClassVar[Literal["finish"]] = "finish"


@dataclass(frozen=True, slots=True)
class TextStart:
    """Text begins at `index`, the place of the part in the answer."""

    index: int
    type: ClassVar[Literal["text_start"]] = "text_start"


@dataclass(frozen=True, slots=True, repr=False)
class TextDelta:
    """More text for the part at `index`; never empty."""

    index: int
    text: str
    type: ClassVar[Literal["text_delta"]] = "text_delta"

    def __repr__(self) -> str:
        return f"TextDelta({self.index}, {len(self.text)} characters)"


@dataclass(frozen=True, slots=True)
class TextEnd:
    """The text at `index` is complete."""

    index: int
    type: ClassVar[Literal["text_end"]] = "text_end"


@dataclass(frozen=True, slots=True)
class ReasoningStart:
    """Reasoning begins at `index`."""

    index: int
    type: ClassVar[Literal["reasoning_start"]] = "reasoning_start"


@dataclass(frozen=True, slots=True, repr=False)
class ReasoningDelta:
    """More reasoning text for the part at `index`."""

    index: int
    text: str
    type: ClassVar[Literal["reasoning_delta"]] = "reasoning_delta"

    def __repr__(self) -> str:
        return f"ReasoningDelta({self.index}, {len(self.text)} characters)"


@dataclass(frozen=True, slots=True, repr=False)
class ReasoningEnd:
    """The reasoning at `index` is complete; `state` is opaque and goes back only to its provider."""

    index: int
    state: str | None = None
    type: ClassVar[Literal["reasoning_end"]] = "reasoning_end"

    def __repr__(self) -> str:
        return f"ReasoningEnd({self.index})"


@dataclass(frozen=True, slots=True)
class ToolCallStart:
    """The model starts to call the tool `name`."""

    index: int
    id: str
    name: str
    type: ClassVar[Literal["tool_call_start"]] = "tool_call_start"


@dataclass(frozen=True, slots=True, repr=False)
class ToolCallDelta:
    """More of the JSON text of the arguments."""

    index: int
    arguments: str
    type: ClassVar[Literal["tool_call_delta"]] = "tool_call_delta"

    def __repr__(self) -> str:
        return f"ToolCallDelta({self.index}, {len(self.arguments)} characters)"


@dataclass(frozen=True, slots=True)
class ToolCallEnd:
    """The tool call at `index` is complete."""

    index: int
    type: ClassVar[Literal["tool_call_end"]] = "tool_call_end"


@dataclass(frozen=True, slots=True)
class Media:
    """A picture, sound or other file at `index`, whole."""

    index: int
    part: ImagePart | FilePart
    type: ClassVar[Literal["media"]] = "media"


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageReport:
    """The tokens so far; a later one replaces an earlier one."""

    usage: Usage
    type: ClassVar[Literal["usage"]] = "usage"


ProviderEvent: TypeAlias = (
    TextStart
    | TextDelta
    | TextEnd
    | ReasoningStart
    | ReasoningDelta
    | ReasoningEnd
    | ToolCallStart
    | ToolCallDelta
    | ToolCallEnd
    | Media
    | UsageReport
    | Finish
)
"""What a provider yields. Grammar: parts start in order of index, grow and end, several at once if need be; a `Media`
is whole and takes the next index; `UsageReport` at any place; exactly one `Finish`, last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """The stream broke at `broken` and goes on at `recipient` (invariant 9).

    `restart`: everything before belongs to an answer that was dropped; indexes begin again at 0.
    `continue`: what follows goes on where the text broke off.
    """

    broken: str
    recipient: str
    how: Literal["restart", "continue"]
    type: ClassVar[Literal["joined"]] = "joined"


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolFinished:
    """A tool of the app has ended the call `call_id`, or was not run. What it said goes to the model, not in here."""

    call_id: str
    name: str
    is_error: bool
    duration_s: float
    type: ClassVar[Literal["tool_result"]] = "tool_result"


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnStarted:
    """The model is asked again, with the results of its calls; indexes begin again at 0.

    `number` counts the model calls of one request. The first, number 1, has no such event.
    """

    number: int
    type: ClassVar[Literal["turn_start"]] = "turn_start"


Event: TypeAlias = ProviderEvent | Joined | ToolFinished | TurnStarted
"""What an app sees."""

OutputT = TypeVar("OutputT")


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Response(Generic[OutputT]):
    """A complete answer. `output` is the validated instance when a schema or model class was asked for, else `None`.

    Where tools were called, `message` is the last answer, `usage` the sum over all model calls (a count is `None` where
    one call did not say it), and `adjustments` and `joins` are those of all.
    """

    message: Message
    output: OutputT
    finish: Finish
    usage: Usage
    receipt: Receipt
    adjustments: tuple[Adjustment, ...] = ()
    labels: frozenset[str] = frozenset()
    """The labels of the request that caused it: what the answer starts with."""
    joins: tuple[Joined, ...] = ()
    earlier_messages: tuple[Message, ...] = ()
    """The turns between the input and `message`: what the model called, and what the tools answered."""
    earlier_receipts: tuple[Receipt, ...] = ()
    """Those of the model calls before the last."""

    @property
    def messages(self) -> tuple[Message, ...]:
        """All turns after the input, in order, the answer last."""
        return (*self.earlier_messages, self.message)

    @property
    def receipts(self) -> tuple[Receipt, ...]:
        """The receipts of all model calls, in order; `receipt` is the last."""
        return (*self.earlier_receipts, self.receipt)

    @property
    def text(self) -> str:
        """The answer's text, without reasoning."""
        return self.message.text

    @property
    def finish_reason(self) -> FinishReason:
        """Why the answer ended, unified; `finish.raw` holds the backend's own word."""
        return self.finish.reason

    @property
    def tool_calls(self) -> tuple[ToolCallPart, ...]:
        """The calls the model asks for, in order."""
        return tuple(part for part in self.message.parts if isinstance(part, ToolCallPart))

    @property
    def images(self) -> tuple[ImagePart, ...]:
        """The pictures in the answer, in order."""
        return tuple(part for part in self.message.parts if isinstance(part, ImagePart))

    @property
    def files(self) -> tuple[FilePart, ...]:
        """The sounds and other files in the answer, in order."""
        return tuple(part for part in self.message.parts if isinstance(part, FilePart))

    @property
    def reasoning(self) -> tuple[ReasoningPart, ...]:
        """Reasoning parts, opaque to everybody but their provider."""
        return tuple(part for part in self.message.parts if isinstance(part, ReasoningPart))

    def __repr__(self) -> str:
        size = sum(len(part.text) for part in self.message.parts if isinstance(part, TextPart))
        return f"Response({size} characters, finish_reason={self.finish.reason}, recipient={self.receipt.recipient})"
