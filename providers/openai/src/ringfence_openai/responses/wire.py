"""The shapes of the Responses API that are read; what is not named here is skipped by the decoder.

The source is the SDK's own types (openai/types/responses); the tests hold every shape against them.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec
from msgspec import Raw, Struct


class Deltas(Struct):
    """What every delta has in common."""

    output_index: int
    delta: str


class ContentDeltas(Deltas):
    """What the deltas of a piece of an item have in common; `content_index` counts inside the item."""

    content_index: int = 0


class OutputTextDelta(ContentDeltas, tag="response.output_text.delta"):
    """More text."""


class RefusalDelta(ContentDeltas, tag="response.refusal.delta"):
    """More of a refusal."""


class ArgumentsDelta(Deltas, tag="response.function_call_arguments.delta"):
    """More of a call's arguments."""


class SummaryDelta(Deltas, tag="response.reasoning_summary_text.delta"):
    """More of a summary of reasoning."""

    summary_index: int = 0


class ReasoningTextDelta(ContentDeltas, tag="response.reasoning_text.delta"):
    """More reasoning, in the open."""


class ItemAdded(Struct, tag="response.output_item.added"):
    """An item begins."""

    output_index: int
    item: Raw


class ItemDone(Struct, tag="response.output_item.done"):
    """An item is complete."""

    output_index: int
    item: Raw


class Created(Struct, tag="response.created"):
    """Life, and nothing else."""


class InProgress(Struct, tag="response.in_progress"):
    """Life, and nothing else."""


class PartAdded(Struct, tag="response.content_part.added"):
    """Life: a part starts with its first text."""


class PartDone(Struct, tag="response.content_part.done"):
    """Life: a part ends with its item."""


class TextDone(Struct, tag="response.output_text.done"):
    """Life: the text has come in deltas."""


class ErrorBody(Struct):
    """Why something failed, in the backend's words; the message is not read."""

    code: str | int | None = None
    type: str | None = None


class ErrorEvent(Struct, tag="error"):
    """The backend failed. Some servers nest the fields, as in the body of an HTTP error."""

    code: str | None = None
    error: ErrorBody | None = None


class InputDetails(Struct):
    """Among the tokens of the input."""

    cached_tokens: int | None = None


class OutputDetails(Struct):
    """Among the tokens of the output."""

    reasoning_tokens: int | None = None


class UsageBody(Struct):
    """Tokens."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    input_tokens_details: InputDetails | None = None
    output_tokens_details: OutputDetails | None = None


class IncompleteDetails(Struct):
    """Why the answer is not complete."""

    reason: str | None = None


class Ended(Struct):
    """An answer at its end, without its items."""

    status: str | None = None
    error: ErrorBody | None = None
    incomplete_details: IncompleteDetails | None = None
    usage: UsageBody | None = None


class Whole(Ended):
    """An answer with its items, as it comes without a stream."""

    output: list[Raw] = []


class Completed(Struct, tag="response.completed"):
    """The end."""

    response: Whole


class Incomplete(Struct, tag="response.incomplete"):
    """The end, before the model was done."""

    response: Whole


class Failed(Struct, tag="response.failed"):
    """The end, without an answer."""

    response: Ended


class Item(Struct):
    """An item of any kind."""

    type: str


class FunctionCall(Struct):
    """A call that the model asks for."""

    name: str
    call_id: str
    arguments: str = ""
    status: str | None = None


class Content(Struct):
    """A piece of a message (`output_text`, `refusal`) or of reasoning."""

    type: str
    text: str | None = None
    refusal: str | None = None


class MessageItem(Struct):
    """A message of the model."""

    content: list[Content] = []


class ReasoningItem(Struct):
    """Reasoning, of which only summaries and open text can be read."""

    summary: list[Content] = []
    content: list[Content] | None = None


StreamEvent: TypeAlias = (
    OutputTextDelta
    | RefusalDelta
    | ArgumentsDelta
    | SummaryDelta
    | ReasoningTextDelta
    | ItemAdded
    | ItemDone
    | Created
    | InProgress
    | PartAdded
    | PartDone
    | TextDone
    | ErrorEvent
    | Completed
    | Incomplete
    | Failed
)

KNOWN_EVENTS: frozenset[str] = frozenset(
    str(struct.__struct_config__.tag)
    for struct in (
        OutputTextDelta,
        RefusalDelta,
        ArgumentsDelta,
        SummaryDelta,
        ReasoningTextDelta,
        ItemAdded,
        ItemDone,
        Created,
        InProgress,
        PartAdded,
        PartDone,
        TextDone,
        ErrorEvent,
        Completed,
        Incomplete,
        Failed,
    )
)

decode_event = msgspec.json.Decoder(StreamEvent).decode
decode_whole = msgspec.json.Decoder(Whole).decode
decode_item = msgspec.json.Decoder(Item).decode
decode_call = msgspec.json.Decoder(FunctionCall).decode
decode_message = msgspec.json.Decoder(MessageItem).decode
decode_reasoning = msgspec.json.Decoder(ReasoningItem).decode
