"""Every key that a policy file may hold, in one place: the readers and the JSON Schema are made from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

from ringfence.policy.decision import REDACTIONS
from ringfence.provider import Capability
from ringfence.recipient import Capacity
from ringfence.request import TASKS

MODALITIES = ("text", "image", "file", "audio")
BROKEN_STREAM = ("fail", "restart", "continue")
CAPABILITIES: tuple[str, ...] = get_args(Capability)
CAPACITIES: tuple[str, ...] = get_args(Capacity)
PER = ("recipient", "ring")
SHOWN = ("recipient", "labels", "preview")
REDACT = tuple(reversed(REDACTIONS))
"""From the strictest to the weakest, as a person is told of them."""
UNITS = ("USD", "tokens", "requests")
PERIODS = ("hour", "day", "week", "month", "year", "total")
OUTCOMES = ("allow", "ask", "deny")
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """The keys of one kind of mapping, and those of them that must be there."""

    works: tuple[str, ...]
    needed: tuple[str, ...] = ()


TOP = Keys(
    works=(
        *("version", "name", "include", "shadow", "recipients", "facts", "labels", "unknown", "clean", "tasks"),
        *("tools", "flow", "consent", "route", "budgets", "audit", "invariants", "tests"),
    ),
    needed=("version", "recipients", "labels", "unknown", "flow", "route"),
)
BEYOND_THE_DEVICE = ("url", "secret", "directory", "trust", "min_tier")
"""The keys of a recipient that none on the device has."""
OF_A_HOUSE = ("directory", "trust", "min_tier")
"""Those of them that none but one of the house has."""
RECIPIENT = Keys(
    works=(
        *("ring", "provider", "model", "url", "secret", "region", "retention", "capacity", "directory", "trust"),
        *("min_tier", "capabilities", "options"),
    ),
    needed=("ring", "provider", "model"),
)
LABEL = Keys(works=("detect", "declare"))
FACT = Keys(works=("type", "values", "min", "max"), needed=("type",))
TOOL = Keys(works=("ring",), needed=("ring",))
FLOW = Keys(works=("id", "allow", "deny", "when", "require", "redact", "consent", "reason"), needed=("id",))
SCOPE = Keys(works=("labels", "to"), needed=("labels", "to"))
REQUIRE = Keys(works=("attested", "retention", "region"))
CONSENT = Keys(works=("per", "lasts", "show", "when_no_ui"))
ROUTE = Keys(
    works=("id", "when", "prefer", "overflow", "hedge", "fallback", "on_broken_stream"), needed=("id", "prefer")
)
OVERFLOW = Keys(works=("to", "when_utilisation_over"), needed=("to", "when_utilisation_over"))
HEDGE = Keys(works=("to", "after"), needed=("to", "after"))
BUDGET = Keys(works=("id", "of", "limit", "per", "when_spent"), needed=("id", "of", "limit", "per"))
AUDIT = Keys(works=("content", "keep"))
INVARIANT = Keys(works=("never", "consent", "only"))
NEVER = Keys(works=("labels", "to", "when", "unless"), needed=("labels", "to"))
ONLY_WITH_CONSENT = Keys(works=("labels", "to", "when"), needed=("to",))
ONLY = Keys(works=("task", "labels", "to", "when"), needed=("to",))
TEST = Keys(works=("name", "request", "expect"), needed=("name", "request", "expect"))
TEST_REQUEST = Keys(
    works=("task", "text", "labels", "modality", "input_tokens", "user", "device", "app", "to", "at"),
)
EXPECT = Keys(works=("labels", "outcome", "route", "plan", "allowed", "never", "consent", "redact"))
RANGE = Keys(works=("over", "max"))
TIME = Keys(works=("days", "from", "to", "zone"))
WHEN = ("task", "modality", "input_tokens", "time", "cel", "all", "any", "not")
FACT_GROUPS = ("user", "device", "app")
FACT_PREFIXES = tuple(f"{group}." for group in FACT_GROUPS)
BUILT_IN_TASKS = TASKS
UNHEDGED_TASKS = frozenset({"image", "embed", "speak"})
"""Their answer comes in one piece, so that nothing says early who is slow, and all of the work is done twice."""
OTHER_TASK = "other"
"""What a task that the file does not know is matched as."""
