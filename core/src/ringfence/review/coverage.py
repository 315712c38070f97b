"""Which rules of a policy its own tests make matter, and which of them no test would miss."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from ringfence.policy.decision import Decision
    from ringfence.policy.document import Document

RuleKind: TypeAlias = Literal["allow", "deny", "route"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleCoverage:
    """One rule of the file, and the names of the tests in which it mattered.

    An allow matters where it contributes to a recipient that is allowed, a deny where it fires, a route where it is the
    one that is taken.
    """

    kind: RuleKind
    id: str
    tests: tuple[str, ...]

    @property
    def covered(self) -> bool:
        """Whether there is such a test."""
        return bool(self.tests)


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """Every rule of the file itself, flow before route, in file order; rules of its layers are not its own."""

    rules: tuple[RuleCoverage, ...]

    @property
    def covered(self) -> int:
        """How many rules are covered."""
        return sum(rule.covered for rule in self.rules)

    @property
    def percent(self) -> float:
        """The share of rules that are covered, 0 … 100; a file without rules has all of them covered."""
        return 100 * self.covered / len(self.rules) if self.rules else 100.0

    def reaches(self, percent: float) -> bool:
        """Whether at least `percent` of the rules are covered."""
        return 100 * self.covered >= percent * len(self.rules)


def coverage_of(document: Document, decisions: Iterable[tuple[str, Decision]]) -> Coverage:
    """The coverage by `decisions`, each with the name of its test."""
    tests: dict[tuple[RuleKind, str], list[str]] = {
        **{(rule.effect, rule.id): [] for rule in document.flow if not rule.layer},
        **{("route", rule.id): [] for rule in document.route},
    }
    for name, decision in decisions:
        for rule in _mattered(decision):
            if rule in tests:
                tests[rule].append(name)
    return Coverage(
        rules=tuple(RuleCoverage(kind=kind, id=rule, tests=tuple(names)) for (kind, rule), names in tests.items())
    )


def _mattered(decision: Decision) -> frozenset[tuple[RuleKind, str]]:
    """The rules that made the decision what it is: the allows of whom it allows, the denies of whom it refuses."""
    found: set[tuple[RuleKind, str]] = set()
    for verdict in decision.recipients.values():
        found.update((verdict.verdict, rule) for rule in verdict.rules)
    if decision.route is not None:
        found.add(("route", decision.route))
    return frozenset(found)


__all__ = ["Coverage", "RuleCoverage", "RuleKind", "coverage_of"]
