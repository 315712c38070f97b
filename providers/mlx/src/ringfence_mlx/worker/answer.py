"""One answer while it is made: from tokens of the batch to the events the app reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from ringfence_mlx.worker.constrain import ConstraintProcessor
from ringfence_mlx.worker.guard import Guarded
from ringfence_mlx.worker.job import Job
from ringfence_mlx.worker.text import StopMatcher, TextDecoder


class TextEvents(Protocol):
    """Turns detokenized text into events: text, reasoning and tool calls told apart."""

    def feed(self, text: str) -> list[dict[str, Any]]:
        """The events that `text`, which is not empty, completes."""
        ...

    def finish(self, reason: str) -> list[dict[str, Any]]:
        """The last events; `reason` is why generation ended."""
        ...


@dataclass(slots=True, kw_only=True, repr=False)
class Answer:
    """The state of one answer."""

    job: Job
    prompt: Sequence[int]
    limit_tokens: int
    arrived_s: float
    decoder: TextDecoder
    events: TextEvents
    constraint: ConstraintProcessor | None = None
    guards: list[Guarded] = field(default_factory=list[Guarded])
    uid: int = -1
    cached_tokens: int = 0
    output_tokens: int = 0
    called_tools: bool = False
    stops: StopMatcher = field(init=False)

    def __post_init__(self) -> None:
        self.stops = StopMatcher(self.job.stop)

    @property
    def failure(self) -> str | None:
        """What kept a processor from doing its work, as a type's name or a sentence free of content; else `None`."""
        if self.constraint is not None and self.constraint.failure is not None:
            return self.constraint.failure
        return next((guard.failure for guard in self.guards if guard.failure is not None), None)

    @property
    def total_tokens(self) -> int:
        """The longest that prompt and answer together can become."""
        return len(self.prompt) + self.limit_tokens

    def push(self, token: int) -> tuple[list[dict[str, Any]], bool]:
        """Takes a token that is not the end: the events it completes, and whether a stop sequence ended the answer."""
        self.output_tokens += 1
        return self._deliver(self.decoder.push(token))

    def finish(self, reason: str, raw: str) -> list[dict[str, Any]]:
        """The last events. `reason` is `stop` or `length`; a stop sequence in what was held back still counts."""
        frames: list[dict[str, Any]] = []
        if raw != "stop_sequence":
            frames, stopped = self._deliver(self.decoder.finish(is_cut_off=reason == "length"))
            if stopped:
                reason, raw = "stop", "stop_sequence"
            elif rest := self.stops.finish():
                frames += self._events(rest)
        frames += self._framed(self.events.finish(reason))
        if self.called_tools and reason == "stop":
            reason = "tool_calls"
        return [*frames, self._done(reason, raw)]

    def _deliver(self, text: str) -> tuple[list[dict[str, Any]], bool]:
        if not text:
            return [], False
        found = self.stops.push(text)
        return (self._events(found.text) if found.text else []), found.stopped

    def _events(self, text: str) -> list[dict[str, Any]]:
        return self._framed(self.events.feed(text))

    def _framed(self, events: list[dict[str, Any]]) -> list[dict[str, Any]]:
        frames: list[dict[str, Any]] = []
        for event in events:
            if event["type"] == "tool_call_start":
                self.called_tools = True
                frames.append({**event, "ev": "event", "id": self.job.id, "id_of_call": event["id"]})
            else:
                frames.append({"ev": "event", "id": self.job.id, **event})
        return frames

    def _done(self, reason: str, raw: str) -> dict[str, Any]:
        return {
            "id": self.job.id,
            "ev": "done",
            "reason": reason,
            "raw": raw,
            "input_tokens": len(self.prompt),
            "output_tokens": self.output_tokens,
            "cached_input_tokens": self.cached_tokens,
        }


__all__ = ["Answer", "TextEvents"]
