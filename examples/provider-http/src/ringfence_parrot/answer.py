"""What the service answers, as events. Streamed it is one JSON object a line; whole, it is all in one."""

import json
from collections.abc import AsyncGenerator, Mapping
from typing import Any, cast

import httpx2
from ringfence.response import (
    Finish,
    FinishReason,
    ProviderEvent,
    TextDelta,
    TextEnd,
    TextStart,
    Usage,
    UsageReport,
)

from ringfence_parrot.failures import broken, failed

FINISH: Mapping[str, FinishReason] = {"stop": "stop", "max_tokens": "length", "filtered": "content_filter"}


class Answer:
    """Adds the lines of one answer up. `begun` says whether the app has seen an event of it."""

    def __init__(self) -> None:
        self.begun = False
        self._in_text = False
        self._end: str | None = None

    def events(self, line: bytes) -> list[ProviderEvent]:
        """The events of one line."""
        found = list(self._events(self._said(line)))
        self.begun = self.begun or bool(found)
        return found

    def _said(self, line: bytes) -> dict[str, Any]:
        try:
            said: object = json.loads(line)
        except ValueError:
            raise broken(self) from None
        if not isinstance(said, dict):
            raise broken(self)
        return cast("dict[str, Any]", said)

    def _events(self, said: dict[str, Any]) -> list[ProviderEvent]:
        if "failed" in said:
            raise failed(self)
        events: list[ProviderEvent] = []
        if said.get("text"):
            if not self._in_text:
                events.append(TextStart(0))
                self._in_text = True
            events.append(TextDelta(0, said["text"]))
        if "usage" in said:
            events.append(UsageReport(usage=_usage(said["usage"])))
        self._end = said.get("end", self._end)
        return events

    def end(self) -> list[ProviderEvent]:
        """The last events. An answer whose end was not said is no answer, however much of it came.

        Raises:
            StreamBroken: the end is missing.
        """
        if self._end is None:
            raise broken(self)
        last: list[ProviderEvent] = [TextEnd(0)] if self._in_text else []
        return [*last, Finish(FINISH.get(self._end, "other"), self._end)]


def _usage(said: Mapping[str, int]) -> Usage:
    return Usage(
        input_tokens=said.get("input"),
        output_tokens=said.get("output"),
        cached_input_tokens=said.get("cached"),
        reasoning_tokens=said.get("reasoning"),
    )


async def lines(response: httpx2.Response) -> AsyncGenerator[bytes, None]:
    """The lines as they come. Only a line feed ends one: a text may hold other characters that look like an end."""
    rest = b""
    async for piece in response.aiter_bytes():
        *whole, rest = (rest + piece).split(b"\n")
        for line in whole:
            if line.strip():
                yield line
    if rest.strip():
        yield rest
