"""The verdicts of one decision, each with its sentence.

What was decided is fixed when this is made; only the putting into words waits until somebody reads it, because most
decisions are acted on and never read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from ringfence.policy import reasons
from ringfence.policy.bits import Bits, lowest
from ringfence.policy.conditions import TimeIn, fact_names, matchers, reads_task
from ringfence.policy.decision import Verdict
from ringfence.policy.document import Document, FlowRule
from ringfence.policy.obligations import OBLIGATIONS, Asking
from ringfence.policy.tables import RuleTable, naming
from ringfence.recipient import Recipient

_Unmet: TypeAlias = Callable[[FlowRule], str]
"""What an allow asks of its recipient in vain, in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """Which rules name one recipient, and what it always needs."""

    recipient: Recipient
    denies: Bits
    named: Bits
    """Every allow that names it."""
    allows: Bits
    """Those of them whose requirements on the recipient are met."""
    flags: int
    """Its obligations whatever rules match."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """The rules whose conditions let them count for one request, whatever its labels."""

    allows: Bits
    unclear_allows: Bits
    denies: Bits
    """Those that are not evaluable included."""
    unclear_denies: Bits


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One request, as far as its verdicts need it. `unknown` names the declared facts that are not known."""

    document: Document
    allows: RuleTable
    denies: RuleTable
    asking: Asking
    labels: Sequence[str]
    live: Live
    unknown: frozenset[str]
    knows_task: bool
    knows_time: bool

    def verdict(self, reach: Reach) -> Verdict:
        """The verdict for one recipient, from the same sets that decided."""
        hits, uncovered = self._hits(reach.denies), self._uncovered(reach.allows)
        if hits or any(uncovered.values()):
            return self._refused(reach, hits, uncovered)
        return self._allowed(reach, reach.allows & self.live.allows & self.allows.with_labels(self.labels))

    def tool_refusal(self, *, denies: Bits, named: Bits, allows: Bits) -> str:
        """Why the tools of a ring are refused, which the rules `denies` and `named` name; `allows` require nothing."""
        return "; ".join(
            self._sentences(self._hits(denies), self._uncovered(allows), named, allows, reasons.unmet_by_tool)
        )

    def allowing(self, reach: Reach) -> tuple[str, ...]:
        """The ids of the rules that allow a recipient of the plan."""
        return self.allows.chosen_ids(reach.allows & self.live.allows & self.allows.with_labels(self.labels))

    def _allowed(self, reach: Reach, matching: Bits) -> Verdict:
        ids = self.allows.chosen_ids(matching)
        obligations = OBLIGATIONS[self.asking.flags(matching) | reach.flags]
        redact = self.asking.redactions(self.labels, matching, self.allows.by_label)
        reason = reasons.allowed(ids) + reasons.obliged(obligations, redact)
        return Verdict(ring=reach.recipient.ring, verdict="allow", rules=ids, reason=reason)

    def _hits(self, denies: Bits) -> Bits:
        return denies & self.live.denies & self.denies.with_labels(self.labels)

    def _uncovered(self, allows: Bits) -> dict[str, list[str]]:
        """By layer, the labels that none of `allows` covers."""
        counting = allows & self.live.allows
        return {
            layer: [label for label in self.labels if not counting & by_label.get(label, 0)]
            for layer, by_label in self.allows.layers.items()
        }

    def _refused(self, reach: Reach, hits: Bits, uncovered: Mapping[str, Sequence[str]]) -> Verdict:
        def unmet(rule: FlowRule) -> str:
            return reasons.unmet(rule, reach.recipient)

        sentences = self._sentences(hits, uncovered, reach.named, reach.allows, unmet)
        missing = frozenset[str]().union(*uncovered.values())
        return Verdict(
            ring=reach.recipient.ring,
            verdict="deny",
            rules=self.denies.chosen_ids(hits),
            reason="; ".join(sentences),
            missing=tuple(label for label in self.labels if label in missing),
        )

    def _sentences(
        self, hits: Bits, uncovered: Mapping[str, Sequence[str]], named: Bits, allows: Bits, unmet: _Unmet
    ) -> list[str]:
        sentences = self._denials(hits)
        for layer, labels in uncovered.items():
            if labels:
                sentences.append(reasons.uncovered(labels, self.document.labels, layer))
                sentences += self._near_misses(named & naming(self.allows.layers[layer], labels), allows, unmet)
        return sentences

    def _denials(self, hits: Bits) -> list[str]:
        clear = hits & ~self.live.unclear_denies
        sentences = [
            *(reasons.denied(rule, self.labels) for rule in self._first(self.denies, clear)),
            *(
                reasons.denied(rule, self.labels, self._unknowns(rule))
                for rule in self._first(self.denies, hits & self.live.unclear_denies)
            ),
        ]
        left = hits.bit_count() - len(sentences)
        return [*sentences, f"{left} more deny it"] if left else sentences

    def _near_misses(self, near: Bits, allows: Bits, unmet_words: _Unmet) -> list[str]:
        """The allows that would cover what is not covered, each with the first thing that keeps it from counting."""
        unmet = near & ~allows
        left = near & allows
        unclear = left & self.live.unclear_allows
        sentences = [
            *(unmet_words(rule) for rule in self._first(self.allows, unmet)),
            *(reasons.unclear(rule, self._unknowns(rule)) for rule in self._first(self.allows, unclear)),
            *(reasons.false(rule) for rule in self._first(self.allows, left & ~unclear)),
        ]
        more = near.bit_count() - len(sentences)
        return [*sentences, f"{more} more do not count"] if more else sentences

    def _first(self, table: RuleTable, bits: Bits) -> tuple[FlowRule, ...]:
        return table.chosen(lowest(bits, reasons.MOST_SENTENCES)) if bits else ()

    def _unknowns(self, rule: FlowRule) -> list[str]:
        """What keeps the condition of `rule` from being evaluated."""
        if rule.when is None:
            return []
        unknown = sorted(self.unknown & fact_names(rule.when))
        if not self.knows_time and any(isinstance(found, TimeIn) for found in matchers(rule.when)):
            unknown.append("the time")
        if not self.knows_task and reads_task(rule.when):
            unknown.append("the task")
        return unknown


class Verdicts(Mapping[str, Verdict]):
    """The verdict for every recipient, in the order of the file. Read-only, equal to a dict with the same verdicts."""

    __slots__ = ("_case", "_made", "_reaches")

    def __init__(self, case: Case, reaches: Mapping[str, Reach]) -> None:
        self._case = case
        self._reaches = reaches
        self._made: dict[str, Verdict] = {}

    def __getitem__(self, name: str) -> Verdict:
        made = self._made.get(name)
        if made is None:
            # Two threads may both make it; they make the same.
            made = self._made[name] = self._case.verdict(self._reaches[name])
        return made

    def allowing(self, name: str) -> tuple[str, ...]:
        """The rules of the verdict for a recipient of the plan, without putting anything into words."""
        return self._case.allowing(self._reaches[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._reaches)

    def __len__(self) -> int:
        return len(self._reaches)

    def __repr__(self) -> str:
        return repr(dict(self))

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (dict(self),)
