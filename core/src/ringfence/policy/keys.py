"""Every key a policy file may hold, in one place: those that work, and those that this version refuses by name.

A key of the second kind is part of the policy language and does nothing yet. It is never accepted and ignored: a rule
that a person wrote and nothing enforces would be worse than no rule.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

from ringfence.provider import Capability
from ringfence.request import TASKS

MODALITIES = ("text", "image", "file", "audio")
BROKEN_STREAM = ("fail", "restart", "continue")
CAPABILITIES: tuple[str, ...] = get_args(Capability)
PER = ("recipient", "ring")
SHOWN = ("recipient", "labels", "preview")


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """The keys of one kind of mapping."""

    works: tuple[str, ...]
    needed: tuple[str, ...] = ()
    later: tuple[str, ...] = ()

    @property
    def known(self) -> tuple[str, ...]:
        """All that a person may have meant."""
        return self.works + self.later


TOP = Keys(
    works=(
        *("version", "name", "recipients", "labels", "unknown", "clean", "tasks", "facts", "tools", "flow"),
        *("consent", "route"),
    ),
    needed=("version", "recipients", "labels", "unknown", "flow", "route"),
    later=("budgets", "audit", "invariants", "tests", "include", "shadow"),
)
RECIPIENT = Keys(
    works=("ring", "provider", "model", "url", "secret", "region", "retention", "capabilities", "options"),
    needed=("ring", "provider", "model"),
    later=("capacity", "directory", "trust", "min_tier"),
)
LABEL = Keys(works=("detect", "declare"))
FACT = Keys(works=("type", "values", "min", "max"), needed=("type",))
TOOL = Keys(works=("ring",), needed=("ring",))
FLOW = Keys(works=("id", "allow", "deny", "when", "require", "consent", "reason"), needed=("id",), later=("redact",))
SCOPE = Keys(works=("labels", "to"), needed=("labels", "to"))
REQUIRE = Keys(works=("attested", "retention", "region"))
CONSENT = Keys(works=("per", "lasts", "show", "when_no_ui"))
ROUTE = Keys(
    works=("id", "when", "prefer", "fallback", "on_broken_stream"), needed=("id", "prefer"), later=("overflow",)
)
RANGE = Keys(works=("over", "max"))
WHEN = ("task", "modality", "input_tokens", "all", "any", "not")
WHEN_LATER = ("cel", "time")
LATER_FACTS = ("device.", "app.", "time.")
FACT_PREFIX = "user."
BUILT_IN_TASKS = TASKS
OTHER_TASK = "other"
"""What a task that the file does not know is matched as."""
