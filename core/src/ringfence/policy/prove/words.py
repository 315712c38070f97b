"""How what is proved of a file is said."""

from __future__ import annotations

from collections.abc import Iterable

from ringfence.policy.document import Invariant
from ringfence.policy.faults import listed
from ringfence.policy.words import joined, under

COVERS = "This covers the rules, not the detectors: a label that no detector finds and no app declares is not seen."


def by(what: str, rules: Iterable[str]) -> str:
    """` by rule 'x'`, ` by rules 'x' and 'y'`, or nothing."""
    names = tuple(rules)
    return f" by {what}{'s' if len(names) > 1 else ''} {listed(names)}" if names else ""


def _unless(invariant: Invariant) -> str:
    return " unless redacted" if invariant.unless_redacted else " unless attested" if invariant.unless_attested else ""


def invariant_words(invariant: Invariant, zone: str | None = None) -> str:
    """An invariant as a person would say it: `never health to partner`; `zone` is the time zone of its file."""
    to, labels = joined(sorted(invariant.to), "or"), joined(sorted(invariant.labels or ()), "or")
    said = {
        "never": f"never {labels or 'anything'} to {to}{_unless(invariant)}",
        "consent": f"{f'{labels} ' if labels else ''}to {to} only with consent",
        "only": f"{f'{labels} ' if labels else ''}only to {to}",
    }[invariant.kind]
    tasks = f" for {joined(sorted(invariant.tasks), 'or')}" if invariant.tasks is not None else ""
    return f"{said}{tasks}{under(invariant.when, zone)}"
