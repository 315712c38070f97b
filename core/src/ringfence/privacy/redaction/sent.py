"""What of a request is sent as text: all of it has to be clean after redaction."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ringfence.privacy.material import request_texts
from ringfence.request import Request, TextPart, ToolCallPart, ToolResultPart

_OPAQUE = re.compile(r"[A-Za-z0-9_.:|/+=~-]{0,4096}")


def every_text(request: Request) -> Iterator[str]:
    """Every text that is sent, also those that a model reads on as one, and the identifiers of calls."""
    yield from request_texts(request)
    for message in request.messages:
        texts = [part.text for part in message.parts if isinstance(part, TextPart)]
        if len(texts) > 1 and request.task != "embed":
            yield "".join(texts)
    yield from _call_ids(request)


def has_opaque_ids(request: Request) -> bool:
    """Whether the identifiers of its calls look as backends make them, and not as words do."""
    return all(map(_OPAQUE.fullmatch, _call_ids(request)))


def _call_ids(request: Request) -> Iterator[str]:
    for message in request.messages:
        for part in message.parts:
            if isinstance(part, ToolCallPart):
                yield part.id
            elif isinstance(part, ToolResultPart):
                yield part.call_id


__all__ = ["every_text", "has_opaque_ids"]
