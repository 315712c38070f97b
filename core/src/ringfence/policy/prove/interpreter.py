"""The interpreter as a witness: every counterexample is put to it before anybody is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

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


def ask(document: Document, target: Target, facts: Facts) -> Answer:
    """What flow says of `target`, whatever route says."""
    if target.tool:
        return _ask_tool(document, target, facts)
    alone = replace(document, route=(RouteRule(id="asked", prefer=(target.name,)),))
    decision = Compiled(alone, name="", digest="").decide(facts)
    if not decision.plan:
        return Answer(allowed=False, redact={})
    (step,) = decision.plan
    return Answer(
        allowed=True,
        consent="consent" in step.obligations,
        attest="attest" in step.obligations,
        redact=dict(step.redact),
        rules=decision.recipients[target.name].rules,
    )


def plan(document: Document, facts: Facts) -> tuple[str, tuple[str, ...]]:
    """The route of a request, "" where there is none, and every recipient of its plan."""
    decision = Compiled(document, name="", digest="").decide(facts)
    return decision.route or "", tuple(step.recipient for step in decision.plan)


def _ask_tool(document: Document, target: Target, facts: Facts) -> Answer:
    verdict = Compiled(document, name="", digest="").tool_verdict(target.ring, facts)
    return Answer(allowed=verdict.outcome != "deny", consent=verdict.outcome == "ask", redact=dict(verdict.redact))
