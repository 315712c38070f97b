"""How names of a file, and what was proved of them, are said."""

from __future__ import annotations

from collections.abc import Iterable

from ringfence.policy.conditions import Condition, TokensIn, matchers
from ringfence.policy.document import Invariant
from ringfence.policy.faults import listed

COVERS = "This covers the rules, not the detectors: a label that no detector finds and no app declares is not seen."


def plain(name: str) -> str:
    """`name` safe to print in a terminal."""
    return name if name.isprintable() else ascii(name)[1:-1]


def joined(names: Iterable[str], last: str = "and") -> str:
    """`a, b and c`."""
    shown = [plain(name) for name in names]
    return f"{', '.join(shown[:-1])} {last} {shown[-1]}" if len(shown) > 1 else "".join(shown)


def by(what: str, rules: Iterable[str]) -> str:
    """` by rule 'x'`, ` by rules 'x' and 'y'`, or nothing."""
    names = tuple(rules)
    return f" by {what}{'s' if len(names) > 1 else ''} {listed(names)}" if names else ""


def invariant_words(invariant: Invariant) -> str:
    """An invariant as a person would say it: `never health to partner`."""
    to, labels = joined(sorted(invariant.to), "or"), joined(sorted(invariant.labels or ()), "or")
    said = {
        "never": f"never {labels or 'anything'} to {to}{' unless redacted' if invariant.unless_redacted else ''}",
        "consent": f"{f'{labels} ' if labels else ''}to {to} only with consent",
        "only": f"{f'{labels} ' if labels else ''}only to {to}",
    }[invariant.kind]
    tasks = f" for {joined(sorted(invariant.tasks), 'or')}" if invariant.tasks is not None else ""
    return f"{said}{tasks}{'' if invariant.when is None else _when(invariant.when)}"


def _when(when: Condition) -> str:
    parts = list(matchers(when))
    if isinstance(when, TokensIn):
        return f" where input_tokens {when.range}"
    return f" where {'its condition is' if len(parts) == 1 else 'its conditions are'} true"
