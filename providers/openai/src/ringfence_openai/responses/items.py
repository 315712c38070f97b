"""Items of an answer to events; a stream and a whole answer both end up here, so that they add up to the same parts."""

from __future__ import annotations

import msgspec

from ringfence.response import Finish, FinishReason, ProviderEvent, Usage, UsageReport
from ringfence_openai.faults import Cut, Malformed, Refused
from ringfence_openai.parts import Parts, is_object
from ringfence_openai.responses import wire

BETWEEN = "\n\n"
"""Between two summaries of one reasoning item."""

REPLAYED = frozenset(
    {
        "reasoning",
        "compaction",
        "code_interpreter_call",
        "file_search_call",
        "image_generation_call",
        "mcp_call",
        "mcp_list_tools",
        "program",
        "program_output",
        "shell_call",
        "shell_call_output",
        "web_search_call",
    }
)
"""Items that the vendor makes and runs by itself, and takes back. What an app says or approves, what another item
stands for, and what brings tools along is none of them: an answer cannot put those into the next request."""

_ENDS = ("completed", "incomplete", None)
_INCOMPLETE: dict[str | None, FinishReason] = {"max_output_tokens": "length", "content_filter": "content_filter"}


def whole_item(parts: Parts, place: int, item: bytes) -> list[ProviderEvent]:
    """The events of an item that came whole, at `place` in the output.

    Raises:
        msgspec.DecodeError: it is no item.
    """
    match wire.decode_item(item).type:
        case "message":
            return end_message(parts, place, item)
        case "function_call":
            call = wire.decode_call(item)
            return [
                *parts.call(place, call.call_id, call.name),
                *parts.arguments(place, call.arguments),
                *end_call(parts, place, call),
            ]
        case "reasoning":
            return [*parts.reasoning(place, _reasoning_text(item)), *parts.end(place, item.decode())]
        case _:
            return opaque_item(parts, place, item)


def end_call(parts: Parts, place: int, call: wire.FunctionCall) -> list[ProviderEvent]:
    """The call at `place` has come as far as it does.

    Raises:
        Cut: the backend says that it is not complete, and it is not.
    """
    if call.status == "completed":
        parts.done.add(place)
    elif call.status is not None and not is_object(parts.arguments_of(place)):
        raise Cut
    return parts.end(place)


def opaque_item(parts: Parts, place: int, item: bytes) -> list[ProviderEvent]:
    """An item of a tool that runs at the vendor: shown to nobody, and replayed to the vendor as it is."""
    return [*parts.reasoning(place), *parts.end(place, item.decode())]


def end_message(parts: Parts, place: int, item: bytes) -> list[ProviderEvent]:
    """The message at `place` is complete: what did not come of it in deltas is told now.

    Raises:
        Malformed: something else came in deltas.
        msgspec.DecodeError: it is no message.
    """
    events: list[ProviderEvent] = []
    for number, content in enumerate(wire.decode_message(item).content):
        if content.type == "refusal":
            parts.refused = True
        events += parts.text((place, number), _rest(content.text or content.refusal or "", parts, (place, number)))
        events += parts.end((place, number))
    return events


def _rest(text: str, parts: Parts, key: tuple[int, int]) -> str:
    """What of `text` has not come yet; nothing where the complete item holds no text, or less white space."""
    came = parts.text_of(key)
    if text.startswith(came):
        return text[len(came) :]
    if text.strip() not in ("", came.strip()):
        raise Malformed
    return ""


def _reasoning_text(item: bytes) -> str:
    reasoning = wire.decode_reasoning(item)
    return BETWEEN.join(text.text for text in (*reasoning.summary, *(reasoning.content or ())) if text.text)


def ending(parts: Parts, ended: wire.Ended) -> list[ProviderEvent]:
    """The events at the end of an answer.

    Raises:
        Refused: the backend failed, or stopped the answer.
        Malformed: it says that this is not the end.
        Cut: it ended inside a call.
    """
    # INVARIANT: half of a call never passes for a whole one.
    if ended.status in _ENDS and parts.has_half_a_call(cut=ended.status == "incomplete"):
        raise Cut
    usage = [UsageReport(usage=usage_of(ended.usage))] if ended.usage is not None else []
    match ended.status:
        case "completed" | None:
            reason: FinishReason = "refusal" if parts.refused else "tool_calls" if parts.called else "stop"
            return [*parts.end_all(), *usage, Finish(reason, ended.status)]
        case "incomplete":
            raw = ended.incomplete_details.reason if ended.incomplete_details is not None else None
            return [*parts.end_all(), *usage, Finish(_INCOMPLETE.get(raw, "other"), raw or ended.status)]
        case "failed":
            error = ended.error or wire.ErrorBody()
            raise Refused(error.code, error.type)
        case "cancelled":
            raise Refused("cancelled")
        case _:
            raise Malformed


def usage_of(usage: wire.UsageBody) -> Usage:
    """The tokens, in the words of the provider interface."""
    into, out = usage.input_tokens_details, usage.output_tokens_details
    return Usage(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cached_input_tokens=into.cached_tokens if into is not None else None,
        reasoning_tokens=out.reasoning_tokens if out is not None else None,
    )


def whole(body: bytes, media_type: str) -> list[ProviderEvent]:  # noqa: ARG001  (every body of this API is JSON)
    """The events of an answer that came whole.

    Raises:
        Malformed: it is no answer of this API.
        Refused: it says that the backend failed.
    """
    parts = Parts()
    try:
        answer = wire.decode_whole(body)
        events = [event for place, item in enumerate(answer.output) for event in whole_item(parts, place, bytes(item))]
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Malformed from None
    if answer.status is None:
        raise Malformed
    return [*events, *ending(parts, answer)]


__all__ = ["BETWEEN", "REPLAYED", "end_call", "end_message", "ending", "opaque_item", "usage_of", "whole", "whole_item"]
