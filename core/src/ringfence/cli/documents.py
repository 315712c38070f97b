"""Events and answers as JSON-ready data: what `--json` prints."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from pathlib import Path

    from ringfence.response import Event, Response


def event_document(event: Event) -> dict[str, Any]:
    """`{"type": …}` and the fields of the event, whichever it is; bytes in base64."""
    return {"type": event.type, **plain(event)}


def response_document(
    response: Response[Any], *, media: bool = False, files: Sequence[Path] | None = None
) -> dict[str, Any]:
    """`{"text", "output", "finish_reason": {"unified", "raw"}, "usage", "adjustments", "receipt"}`.

    With `media` also the pictures and sounds of an answer that holds some; with `files` where they were written.
    """
    document = {
        "text": response.text,
        "output": plain(response.output),
        "finish_reason": {"unified": response.finish.reason, "raw": response.finish.raw},
        "usage": plain(response.usage),
        "adjustments": plain(response.adjustments),
        "receipt": response.receipt.as_dict(),
    }
    if files is not None:
        document["files"] = [str(path) for path in files]
    elif media and (parts := (*response.images, *response.files)):
        document["media"] = plain(parts)
    return document


def plain(value: object) -> Any:
    """`value` as JSON data: dataclasses as objects, bytes in base64, sets in order."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, bytes):
        return b64encode(value).decode()
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in cast("Mapping[object, object]", value).items()}
    if isinstance(value, AbstractSet):
        return sorted((plain(item) for item in cast("AbstractSet[object]", value)), key=str)
    if isinstance(value, list | tuple):
        return [plain(item) for item in cast("Sequence[object]", value)]
    return value


__all__ = ["event_document", "plain", "response_document"]
