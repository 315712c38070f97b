"""Policy: file → model → compiled → decision. Pure; no I/O but reading the named file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ringfence.policy.builtin import builtin_policy
from ringfence.policy.conditions import Fact
from ringfence.policy.decision import Decision, OnBrokenStream, Outcome, Step, Verdict
from ringfence.policy.document import Document, Label
from ringfence.policy.facts import Facts
from ringfence.policy.faults import Fault, did_you_mean, nearest
from ringfence.policy.loading import Report, check_file, load_policy, read_policy
from ringfence.policy.policy import Policy
from ringfence.recipient import RINGS, Recipient, Ring

if TYPE_CHECKING:
    from ringfence.policy.schema import json_schema

__all__ = [
    "RINGS",
    "Decision",
    "Document",
    "Fact",
    "Facts",
    "Fault",
    "Label",
    "OnBrokenStream",
    "Outcome",
    "Policy",
    "Recipient",
    "Report",
    "Ring",
    "Step",
    "Verdict",
    "builtin_policy",
    "check_file",
    "did_you_mean",
    "json_schema",
    "load_policy",
    "nearest",
    "read_policy",
]


def __getattr__(name: str) -> Any:
    """The schema, imported when it is asked for: no request needs it."""
    if name == "json_schema":
        from ringfence.policy.schema import json_schema  # noqa: PLC0415

        return json_schema
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
