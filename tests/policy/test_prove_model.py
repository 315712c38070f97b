"""The proof and the interpreter speak of the same language: request by request, on random policies."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from dataclasses import replace
from random import Random

from hypothesis import given
from hypothesis import strategies as st
from tests.policy import drawn_policies as drawn

from ringfence.policy.compiled import Compiled
from ringfence.policy.decision import REDACTIONS
from ringfence.policy.facts import Facts
from ringfence.policy.prove.diagram import NOTHING, Set
from ringfence.policy.prove.model import (
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
from ringfence.policy.prove.variables import Value, Variable


def place_of(variable: Variable, request: Facts, model: Model) -> int:  # noqa: PLR0911  (one for each kind)
    """Which of the values of a variable a request has."""
    kind, name = variable.key
    value: Value
    if kind == "fact":
        value = request.values.get(name)
        if not model.document.facts[name].admits(value):
            value = None
        if value is not None and variable.blocks:
            (_, whole), (first, broken) = variable.blocks
            if isinstance(value, float):
                return first + min(bisect_left(broken, value), len(broken) - 1)
            assert isinstance(value, int)
            return max(bisect_right(whole, value) - 1, 0)
        return variable.values.index(value)
    if kind in ("tokens", "minute"):
        number = request.input_tokens if kind == "tokens" else (request.minute or 0) % 1440
        return max(bisect_right(variable.blocks[0][1], number) - 1, 0)
    if kind == "task":
        return variable.values.index(request.task) if request.task in variable.values else len(variable.values) - 1
    if kind == "day":
        return 7 if request.minute is None else request.minute // 1440
    return variable.values.index(request.modality if kind == "modality" else name in request.labels)


class Asked:
    """One request, put to the sets of a proof."""

    def __init__(self, model: Model, request: Facts) -> None:
        self._model, self._request = model, request
        sets = model.world.diagrams
        places = [place_of(variable, request, model) for variable in model.world.variables]
        self._point = sets.both(*(sets.within(place, at, at + 1) for place, at in enumerate(places)))

    def is_in(self, one: Set) -> bool:
        return self._model.world.diagrams.both(self._point, one) != NOTHING

    def allowed(self, target: Target) -> bool:
        return all(self.is_in(self._model.reaches(target, label)) for label in self._request.labels)

    def consent(self, target: Target) -> bool:
        return any(self.is_in(self._model.obliged(target, one, asks_consent)) for one in self._request.labels)

    def attest(self, target: Target) -> bool:
        return any(self.is_in(self._model.obliged(target, one, attests)) for one in self._request.labels)

    def redact(self, target: Target) -> Mapping[str, str]:
        found = {
            label: kind
            for label in self._request.labels
            for kind in REDACTIONS
            if self.is_in(self._model.obliged(target, label, redacts(kind)))
        }
        return dict(sorted(found.items()))

    def plan(self) -> tuple[str, ...]:
        (rule,) = (rule for rule, routed in self._model.routed() if self.is_in(routed))
        alone = self._allowed_of(planned(rule))
        beside = self.is_in(self._model.hedgeable) and not set(hedged(rule)).isdisjoint(alone)
        return (*alone, *(self._allowed_of(only_hedges(rule)) if beside else ()))

    def _allowed_of(self, names: tuple[str, ...]) -> tuple[str, ...]:
        recipients = self._model.document.recipients
        return tuple(name for name in names if self.allowed(self._model.recipient(recipients[name])))


@given(st.integers(0, 2**32))
def test_the_proof_and_the_interpreter_agree_on_every_request(seed: int) -> None:
    random = Random(seed)
    document = opaque(drawn.document(random, cel=True))
    model = Model(World((document,)), document)
    compiled = Compiled(document, name="drawn", digest="")
    hidden = [name for name in document.facts if name.startswith("cel ")]
    for _ in range(25):
        request = drawn.request(random)
        values = {**request.values, **{name: random.random() < 0.5 for name in hidden if random.random() < 0.8}}
        request = replace(request, values=values)
        asked, decision = Asked(model, request), compiled.decide(request)
        for name, recipient in document.recipients.items():
            assert asked.allowed(model.recipient(recipient)) == (decision.recipients[name].verdict == "allow")
        assert set(asked.plan()) == {step.recipient for step in decision.plan}
        for step in decision.plan:
            target = model.recipient(document.recipients[step.recipient])
            assert asked.consent(target) == ("consent" in step.obligations)
            assert asked.attest(target) == ("attest" in step.obligations)
            assert asked.redact(target) == dict(step.redact)
        for name in document.tools:
            target, verdict = model.tool(name), compiled.tool_verdict(document.tools[name].ring, request)
            assert asked.allowed(target) == (verdict.outcome != "deny")
            assert verdict.outcome == "deny" or asked.consent(target) == (verdict.outcome == "ask")
            assert verdict.outcome == "deny" or asked.redact(target) == dict(verdict.redact)
