"""The invariants of a document, each proved for every request or refuted by one."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import product
from typing import Final

from ringfence.policy.conditions import LabelIn, TaskIn, matchers
from ringfence.policy.document import Document, Invariant, RouteRule
from ringfence.policy.facts import Facts
from ringfence.policy.faults import Faults
from ringfence.policy.prove.diagram import NOTHING, Set, TooHard
from ringfence.policy.prove.interpreter import Answer, Interpreter
from ringfence.policy.prove.model import (
    WORK_LIMIT,
    Chooses,
    Model,
    Target,
    World,
    asks_consent,
    attests,
    hedged,
    only_hedges,
    planned,
    redacts,
)
from ringfence.policy.prove.opaque import opaque
from ringfence.policy.prove.witness import Witness, witness_of
from ringfence.policy.prove.words import by, invariant_words
from ringfence.policy.words import plain


@dataclass(frozen=True, slots=True, kw_only=True)
class Counterexample:
    """A request for which an invariant does not hold; the interpreter confirmed it."""

    facts: Facts
    target: str
    rules: tuple[str, ...]
    says: str
    """Without a full stop: `labels=[health] task=open_question reaches openai by rule 'x'`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What came of one invariant: it holds, or it has a counterexample, or it was too hard to prove."""

    invariant: Invariant
    text: str
    counterexample: Counterexample | None = None
    too_hard: bool = False

    @property
    def holds(self) -> bool:
        """Whether it was proved."""
        return self.counterexample is None and not self.too_hard


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    """One way in which an invariant could fail: content with `label`, which reaches `target`."""

    bad: Set
    label: str
    target: Target


def prove(document: Document, invariants: Iterable[Invariant] | None = None, *, limit: int = WORK_LIMIT) -> list[Proof]:
    """Each of `invariants`, those of `document` where none are given, proved or refuted. Exact and pure.

    All of them together may take `limit` steps; what is beyond is not proved.
    """
    asked = document.invariants if invariants is None else tuple(invariants)
    opened = opaque(replace(document, invariants=asked))
    prover: _Prover | None = None
    proofs: list[Proof] = []
    for invariant, written in zip(opened.invariants, asked, strict=True):
        proof = Proof(invariant=invariant, text=written.text or invariant_words(written, document.zone))
        try:
            prover = prover or _Prover(opened, limit)
            proofs.append(replace(proof, counterexample=prover.refute(invariant)))
        # More variables than Python has frames are too hard as well.
        except (TooHard, RecursionError):
            proofs.append(replace(proof, too_hard=True))
    return proofs


LAWS: Final = (
    Invariant(kind="consent", to=frozenset({"partner"}), text="every policy: nothing to a partner without consent"),
)
"""What every policy keeps, asked for or not."""


def check_invariants(document: Document, faults: Faults) -> None:
    """Notes a fault for each invariant of `document` that does not hold, or cannot be proved."""
    for proof in prove(document) if document.invariants else ():
        name = f'invariant "{plain(proof.text)}"'
        if proof.counterexample is not None:
            faults.add(proof.invariant.at, f"{name} does not hold: {proof.counterexample.says}.")
        elif proof.too_hard:
            # INVARIANT: what is not proved does not load.
            faults.add(proof.invariant.at, f"{name} is too hard to prove: simplify the conditions of the rules.")


class _Prover:
    """One document, whose sets are shared by all its invariants."""

    def __init__(self, document: Document, limit: int) -> None:
        self._document = document
        self._world = World((document,), limit=limit)
        self._model = Model(self._world, document)
        self._interpreter = Interpreter(document)

    def refute(self, invariant: Invariant) -> Counterexample | None:
        """The plainest request for which `invariant` does not hold; `None` where there is none."""
        scope = self._scope(invariant)
        cases = self._strays(invariant, scope) if invariant.kind == "only" else self._leaks(invariant, scope)
        found = [case for case in cases if case.bad != NOTHING]
        if not found:
            return None
        witnesses = {bad: witness_of(self._world, bad) for bad in {case.bad for case in found}}
        refutations = [(case, witnesses[case.bad]) for case in found]
        case, witness = min(refutations, key=lambda one: (len(one[1].labels | {one[0].label}), one[1].cost))
        return self._confirmed(invariant, case, witness)

    def _scope(self, invariant: Invariant) -> Set:
        """The requests that an invariant speaks of, whatever their labels."""
        tasks = None if invariant.tasks is None else TaskIn(invariant.tasks)
        return self._world.diagrams.both(self._model.truth(tasks).true, self._model.truth(invariant.when).true)

    def _leaks(self, invariant: Invariant, scope: Set) -> Iterator[_Case]:
        """Every way in which flow lets through what a `never` or `consent` forbids."""
        excused = _excused(invariant)
        sets, model = self._world.diagrams, self._model
        reads_labels = invariant.when is not None and any(isinstance(one, LabelIn) for one in matchers(invariant.when))
        for target in self._targets(invariant.to):
            for label in self._carried(invariant):
                bad = sets.both(scope, model.reaches(target, label))
                if bad != NOTHING and excused is not None:
                    bad = sets.both(bad, sets.outside(model.obliged(target, label, excused)))
                yield _Case(bad=self._together(bad, target, label) if reads_labels else bad, label=label, target=target)

    def _strays(self, invariant: Invariant, scope: Set) -> Iterator[_Case]:
        """Every way in which a plan leads elsewhere than an `only` says."""
        sets, model, inside = self._world.diagrams, self._model, self._document.reached(invariant.to)
        for rule, routed in model.routed():
            here = sets.both(scope, routed)
            outside = [name for name in planned(rule) if name not in inside] if here != NOTHING else []
            for target in (model.recipient(self._document.recipients[name]) for name in outside):
                for label in self._carried(invariant):
                    bad = sets.both(here, model.reaches(target, label))
                    yield _Case(bad=self._together(bad, target, label), label=label, target=target)
            yield from self._hedges(rule, sets.both(here, model.hedgeable), inside, self._carried(invariant))

    def _hedges(self, rule: RouteRule, here: Set, inside: Container[str], labels: Iterable[str]) -> Iterator[_Case]:
        """Every way in which a hedge of `rule` leads elsewhere than `inside`: beside one that is in the plan."""
        sets, model, recipients = self._world.diagrams, self._model, self._document.recipients
        outside = [name for name in only_hedges(rule) if name not in inside] if here != NOTHING else []
        pairs = product(outside, hedged(rule), labels)
        for name, other, label in pairs:
            target, beside = model.recipient(recipients[name]), model.recipient(recipients[other])
            bad = sets.both(here, model.reaches(target, label), model.reaches(beside, label))
            bad = self._together(self._together(bad, target, label), beside, label)
            yield _Case(bad=bad, label=label, target=target)

    def _together(self, bad: Set, target: Target, label: str) -> Set:
        """Those of `bad`, all of which carry `label`, whose other labels reach `target` as well.

        Only labels that some condition reads are variables; a request need have no others.
        """
        sets = self._world.diagrams
        for (kind, other), place in self._world.place.items():
            if kind == "label" and bad != NOTHING:
                absent = sets.within(place, 0, 1)
                reaches = self._model.reaches(target, other)
                bad = sets.both(bad, sets.outside(absent) if other == label else sets.either(absent, reaches))
        return bad

    def _targets(self, to: frozenset[str]) -> Iterator[Target]:
        """Every recipient and every tool that `to` names, by name or by ring. A tool is a recipient too."""
        inside = self._document.reached(to)
        for name, recipient in self._document.recipients.items():
            if name in inside:
                yield self._model.recipient(recipient)
        yield from (self._model.tool(name) for name, tool in self._document.tools.items() if tool.ring in to)

    def _carried(self, invariant: Invariant) -> list[str]:
        return sorted(self._document.labels if invariant.labels is None else invariant.labels)

    def _confirmed(self, invariant: Invariant, case: _Case, witness: Witness) -> Counterexample:
        """INVARIANT: no counterexample is told that the interpreter does not confirm.

        Raises:
            AssertionError: it does not; the proof and the interpreter disagree, and nothing may be loaded.
        """
        facts, target = witness.facts({case.label}), case.target
        if invariant.kind == "only":
            route, plan = self._interpreter.plan(facts)
            confirmed, what, rules = target.name in plan, "route", tuple[str, ...]((route,))
        else:
            answer = self._interpreter.ask(target, facts)
            confirmed, what, rules = _leaks_so(invariant, case.label, answer), "rule", answer.rules
        if not confirmed:
            raise AssertionError("the interpreter does not confirm a counterexample of the proof")
        reaches = f"reaches {'tool ' if target.tool else ''}{plain(target.name)}{_without(invariant, case.label)}"
        return Counterexample(
            facts=facts,
            target=target.name,
            rules=rules,
            says=f"{witness.words({case.label})} {reaches}{by(what, rules)}",
        )


def _excused(invariant: Invariant) -> Chooses | None:
    """What an allow must want for the invariant to let it be."""
    if invariant.unless_redacted:
        return redacts()
    if invariant.unless_attested:
        return attests
    return asks_consent if invariant.kind == "consent" else None


def _leaks_so(invariant: Invariant, label: str, answer: Answer) -> bool:
    excused = (
        (invariant.unless_redacted and label in answer.redact)
        or (invariant.unless_attested and answer.attest)
        or (invariant.kind == "consent" and answer.consent)
    )
    return answer.allowed and not excused


def _without(invariant: Invariant, label: str) -> str:
    if invariant.unless_redacted:
        return f" with {plain(label)} not redacted"
    if invariant.unless_attested:
        return " without attestation"
    return " without consent" if invariant.kind == "consent" else ""
