"""Every key a policy file may hold, in one place: those that work, and those that this version refuses by name.

A key of the second kind is part of the policy language and does nothing yet. It is never accepted and ignored: a rule
that a person wrote and nothing enforces would be worse than no rule.
"""

from __future__ import annotations

from dataclasses import dataclass

from ringfence.request import TASKS

MODALITIES = ("text", "image", "file", "audio")
BROKEN_STREAM = ("fail", "restart", "continue")


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
    works=("version", "name", "recipients", "labels", "unknown", "clean", "tasks", "facts", "flow", "route"),
    needed=("version", "recipients", "labels", "unknown", "flow", "route"),
    later=("consent", "tools", "budgets", "audit", "invariants", "tests", "include", "shadow"),
)
RECIPIENT = Keys(
    works=("ring", "provider", "model"),
    needed=("ring", "provider", "model"),
    later=(
        *("url", "secret", "region", "retention", "capacity", "directory", "trust", "min_tier"),
        *("capabilities", "options"),
    ),
)
LABEL = Keys(works=("detect", "declare"))
FACT = Keys(works=("type", "values", "min", "max"), needed=("type",))
FLOW = Keys(works=("id", "allow", "deny", "when", "require", "reason"), needed=("id",), later=("redact", "consent"))
SCOPE = Keys(works=("labels", "to"), needed=("labels", "to"))
REQUIRE = Keys(works=("attested", "retention", "region"))
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
