"""The interpreter as a witness: every counterexample is put to it before anybody is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from ringfence.policy.compiled import Compiled
from ringfence.policy.decision import Redaction
from ringfence.policy.document import Document, RouteRule
from ringfence.policy.facts import Facts
from ringfence.policy.prove.model import Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the interpreter says of one request and one target."""

    allowed: bool
    consent: bool = False
    attest: bool = False
    redact: Mapping[str, Redaction]
    rules: tuple[str, ...] = ()


class Interpreter:
    """One document, compiled when it is first asked."""

    def __init__(self, document: Document) -> None:
        self._document = document

    def ask(self, target: Target, facts: Facts) -> Answer:
        """What flow says of `target`, whatever route says."""
        if target.tool:
            verdict = self._everywhere.tool_verdict(target.ring, facts)
            allowed, consent = verdict.outcome != "deny", verdict.outcome == "ask"
            return Answer(allowed=allowed, consent=consent, redact=dict(verdict.redact))
        decision = self._everywhere.decide(facts)
        step = next((step for step in decision.plan if step.recipient == target.name), None)
        if step is None:
            return Answer(allowed=False, redact={})
        return Answer(
            allowed=True,
            consent="consent" in step.obligations,
            attest="attest" in step.obligations,
            redact=dict(step.redact),
            rules=decision.recipients[target.name].rules,
        )

    def plan(self, facts: Facts) -> tuple[str, tuple[str, ...]]:
        """The route of a request, "" where there is none, and every recipient of its plan."""
        decision = self._itself.decide(facts)
        return decision.route or "", tuple(step.recipient for step in decision.plan)

    @cached_property
    def _itself(self) -> Compiled:
        return Compiled(self._document, name="", digest="")

    @cached_property
    def _everywhere(self) -> Compiled:
        """The document with one route, to every recipient."""
        route = RouteRule(id="everywhere", prefer=tuple(self._document.recipients))
        return Compiled(replace(self._document, route=(route,)), name="", digest="")
