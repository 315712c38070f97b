"""What a policy decides on: computed once, before `decide`, by the core alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ringfence.request import Modality


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Facts:
    """One request as a policy sees it. `labels` is never empty; `input_tokens` = ceil(UTF-8 bytes of all text / 3).

    `modality` holds every modality in the input or asked for as output. `values` are the app's declared facts; one that
    is absent is not evaluable. `to` filters the plan and never adds. `minute` is the moment in the policy's zone as
    minutes since Monday 00:00 (0 … 10079); `None` is not evaluable.
    """

    task: str
    labels: frozenset[str]
    input_tokens: int
    modality: frozenset[Modality] = frozenset({"text"})
    values: Mapping[str, str | int | float | bool] = field(default_factory=dict[str, "str | int | float | bool"])
    to: frozenset[str] | None = None
    minute: int | None = None

    def __repr__(self) -> str:
        return f"Facts(task={self.task}, labels={sorted(self.labels)}, input_tokens={self.input_tokens})"
