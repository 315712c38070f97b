"""Events and answers as JSON-ready data: what `--json` prints."""

from __future__ import annotations

from dataclasses import asdict, is_dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ringfence.response import Event, Response


def event_document(event: Event) -> dict[str, Any]:
    """`{"type": …}` and the fields of the event."""
    return {"type": event.type, **asdict(event)}


def response_document(response: Response[Any]) -> dict[str, Any]:
    """`{"text", "output", "finish_reason": {"unified", "raw"}, "usage", "adjustments", "receipt"}`."""
    output: Any = response.output
    return {
        "text": response.text,
        "output": asdict(output) if is_dataclass(output) and not isinstance(output, type) else output,
        "finish_reason": {"unified": response.finish.reason, "raw": response.finish.raw},
        "usage": asdict(response.usage),
        "adjustments": [asdict(adjustment) for adjustment in response.adjustments],
        "receipt": response.receipt.as_dict(),
    }


__all__ = ["event_document", "response_document"]
