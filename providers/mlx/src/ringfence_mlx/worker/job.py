"""What the app asks of a worker, read from the wire and checked; and the faults it is told in return."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

FaultKind: TypeAlias = Literal[
    "rejected", "overloaded", "unsupported", "context_length", "no_memory", "engine", "no_package", "no_model", "closed"
]


class JobFault(Exception):
    """A job cannot be done. `kind` is what the app maps to an error class; the message never holds what was asked."""

    def __init__(self, kind: FaultKind, message: str, **facts: int | str) -> None:
        super().__init__(message)
        self.kind: FaultKind = kind
        self.message = message
        self.facts = facts

    def frame(self) -> dict[str, Any]:
        """The fault as the app reads it."""
        return {"ev": "fault", "kind": self.kind, "message": self.message, **self.facts}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """Settings of one job, within the bounds of `ringfence.request.Settings`; `None` leaves the model's default."""

    max_output_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    seed: int | None = None
    logit_bias: Mapping[int, float] = field(default_factory=dict[int, float])


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Job:
    """One request as the engine sees it. `id` is the app's; `tenant` `None` reuses and keeps no prefix."""

    id: int
    messages: Sequence[dict[str, Any]]
    tools: Sequence[dict[str, Any]] = ()
    tool_required: bool = False
    schema: Mapping[str, Any] | None = None
    stop: tuple[str, ...] = ()
    sampling: Sampling = field(default_factory=Sampling)
    adapter: str | None = None
    tenant: str | None = None
    thinking: bool | None = None

    @property
    def forced(self) -> bool:
        """Whether a grammar decides from the first token on, so that no reasoning can come before."""
        return self.schema is not None or (bool(self.tools) and self.tool_required)

    @classmethod
    def from_frame(cls, number: int, body: Mapping[str, Any]) -> Job:
        """The job in a frame's body.

        Raises:
            JobFault: a key or a type is not what the app writes.
        """
        try:
            settings = dict(body.get("sampling", {}))
            bias = {int(token): float(value) for token, value in settings.pop("logit_bias", {}).items()}
            stop = tuple(body.get("stop", ()))
            if not all(isinstance(text, str) and text for text in stop):
                raise JobFault("rejected", "every stop sequence must be a non-empty string")
            return cls(
                id=number,
                messages=list(body["messages"]),
                tools=list(body.get("tools", ())),
                tool_required=bool(body.get("tool_required", False)),
                schema=body.get("schema"),
                stop=stop,
                sampling=Sampling(**settings, logit_bias=bias),
                adapter=body.get("adapter"),
                tenant=body.get("tenant"),
                thinking=body.get("thinking"),
            )
        except (KeyError, TypeError, ValueError, AttributeError):
            raise JobFault("rejected", "the job is malformed") from None


__all__ = ["FaultKind", "Job", "JobFault", "Sampling"]
