"""What the allows that match ask for before anything is sent: attestation, redaction, consent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from ringfence.policy.bits import Bits, from_flags
from ringfence.policy.decision import REDACTIONS, Redaction
from ringfence.policy.document import FlowRule

ATTEST, REDACT, CONSENT, BUDGET = 1, 2, 4, 8
"""One flag for each obligation, in the order in which a step names them."""

_NAMES: Final = ("attest", "redact", "consent", "budget")
OBLIGATIONS: Final[tuple[tuple[str, ...], ...]] = tuple(
    tuple(name for place, name in enumerate(_NAMES) if flags >> place & 1) for flags in range(1 << len(_NAMES))
)
"""At `flags`: the names of the obligations."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """Which allows ask for what."""

    attest: Bits
    consent: Bits
    redact: Bits
    """Those that ask for any kind of redaction."""
    any: Bits
    """Those that ask for anything."""
    by_kind: tuple[tuple[Redaction, Bits], ...]
    """Those that ask for each kind that any of them asks for, the strictest first."""

    def flags(self, matching: Bits) -> int:
        """The obligations of a recipient that the rules of `matching` allow.

        INVARIANT: one allow that asks is enough; no other allow takes an obligation away.
        """
        if not matching & self.any:  # as in most decisions
            return 0
        return (
            (ATTEST if matching & self.attest else 0)
            | (REDACT if matching & self.redact else 0)
            | (CONSENT if matching & self.consent else 0)
        )

    def redactions(
        self, labels: Sequence[str], counting: Bits, by_label: Mapping[str, Bits]
    ) -> tuple[tuple[str, Redaction], ...]:
        """By label, in the order given: the strictest kind that an allow of `counting` that covers it asks for."""
        found: list[tuple[str, Redaction]] = []
        for label in labels:
            covering = counting & by_label.get(label, 0)
            for kind, bits in self.by_kind:
                if covering & bits:
                    found.append((label, kind))
                    break
        return tuple(found)


def asking(rules: Iterable[FlowRule]) -> Asking:
    """What each of `rules`, all of them allows, asks for."""
    rules = tuple(rules)
    kinds: dict[Redaction, Bits] = {
        kind: from_flags(rule.redact == kind for rule in rules) for kind in reversed(REDACTIONS)
    }
    attest = from_flags(rule.require.attested for rule in rules)
    consent = from_flags(rule.consent for rule in rules)
    redact = from_flags(rule.redact is not None for rule in rules)
    return Asking(
        attest=attest,
        consent=consent,
        redact=redact,
        any=attest | consent | redact,
        by_kind=tuple((kind, bits) for kind, bits in kinds.items() if bits),
    )
