"""The policy gate: the one place that decides a request and makes grants for it (invariants 3 and 4)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ringfence.errors import ConsentRefused, GateError
from ringfence.grant import _MINT, Grant  # pyright: ignore[reportPrivateUsage]  (the gate is the only mint)
from ringfence.request import Message, Part, ReasoningPart, Request, TextPart
from ringfence.response import Adjustment

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ringfence.policy import Policy
    from ringfence.policy.decision import Decision, Redaction
    from ringfence.policy.facts import Facts
    from ringfence.privacy.consents import Consent, Consents
    from ringfence.privacy.labels import Labeller
    from ringfence.recipient import Recipient
    from ringfence.routing.budgets import Reservation


CONSENT, BUDGET = "consent", "budget"


@dataclass(frozen=True, slots=True, repr=False)
class Cleared:
    """A request that the gate labelled and decided. Only `Gate` makes one."""

    gate: Gate
    request: Request
    facts: Facts
    decision: Decision

    def __repr__(self) -> str:
        return f"Cleared({self.decision.outcome}, {[step.recipient for step in self.decision.plan]})"


@dataclass(frozen=True, slots=True, repr=False)
class Prepared:
    """A payload ready for one recipient. Only `Gate` makes one."""

    gate: Gate
    request: Request
    recipient: Recipient
    labels: tuple[str, ...]
    redact: Mapping[str, Redaction]
    needs_consent: bool
    needs_budget: bool
    private: frozenset[str]
    """The providers that get options of their own, which no other's payload shows."""
    adjustments: tuple[Adjustment, ...]

    def __repr__(self) -> str:
        return f"Prepared({self.recipient.name})"


class Gate:
    """Decides requests under one policy, and grants the sends that its decisions allow."""

    def __init__(self, policy: Policy, labeller: Labeller) -> None:
        self.policy = policy
        self._labeller = labeller

    def clear(self, request: Request) -> Cleared:
        """Labels and decides `request`. Pure but for detectors; safe in a thread.

        Raises:
            InvalidRequest: a declared label that the policy does not know.
        """
        facts = self._labeller.facts(request, self._labeller.label(request))
        return Cleared(self, request, facts, self.policy.decide(facts))

    def unscanned_characters(self, request: Request) -> int:
        """How much text `clear` would scan: 0 where the policy names no detector, or all of it was scanned before."""
        return self._labeller.unscanned_characters(request)

    def clear_again(self, earlier: Cleared, request: Request) -> Cleared:
        """Decides a payload that grew out of `earlier`, such as a continuation.

        INVARIANT: its labels are never fewer than before; the other facts are computed once a request and stay.
        """
        facts = replace(earlier.facts, labels=earlier.facts.labels | self._labeller.label(request))
        return Cleared(self, request, facts, self.policy.decide(facts))

    def prepare(self, cleared: Cleared, recipient: str) -> Prepared:
        """The payload as `recipient` may see it, without another provider's options and opaque reasoning.

        Raises:
            GateError: the decision does not plan this recipient, or an obligation cannot be met.
        """
        # INVARIANT: nothing outside the plan of a decision that this gate made for this very payload.
        if cleared.gate is not self:
            raise GateError("this request was cleared by another gate")
        step = next((step for step in cleared.decision.plan if step.recipient == recipient), None)
        if step is None:
            raise GateError(f"the policy does not send this request to recipient '{recipient}'")
        if unmet := [name for name in step.obligations if name not in (CONSENT, BUDGET)]:
            # Nothing attests in this version.
            raise GateError(f"recipient '{recipient}' needs '{unmet[0]}', which this version cannot do")
        declared = self.policy.recipients[recipient]
        private = frozenset(cleared.request.provider_options)
        request = _without_foreign_options(cleared.request, declared.provider)
        request, dropped = _without_foreign_reasoning(request, declared)
        adjustments = (_DROPPED,) if dropped else ()
        return Prepared(
            self,
            request,
            declared,
            cleared.decision.labels,
            dict(step.redact),
            CONSENT in step.obligations,
            BUDGET in step.obligations,
            private,
            adjustments,
        )

    async def consent(self, prepared: Prepared, consents: Consents) -> Consent | None:
        """The consent that sending `prepared` needs, asked for unless it was given; `None` where none is needed.

        Raises:
            ConsentRefused: a person said no, or there is nobody to ask.
        """
        if not prepared.needs_consent:
            return None
        to = prepared.recipient
        rule = self.policy.consent_rule(to.name)
        covered = (to,)
        if rule.per == "ring":
            # INVARIANT: a yes covers nothing that was not shown, so nobody with options of its own.
            unseen = prepared.private - {to.provider}
            ring = (one for one in self.policy.recipients.values() if one.ring == to.ring)
            covered = tuple(one for one in ring if one.provider not in unseen)
        from ringfence.privacy.consents import Question  # noqa: PLC0415  (most requests ask nobody)

        question = Question(
            policy=self.policy,
            recipient=to,
            rule=rule,
            payload=prepared.request,
            labels=prepared.labels,
            redact=prepared.redact,
            covered=covered,
        )
        return await consents.obtain(question)

    def grant(
        self, prepared: Prepared, consent: Consent | None = None, reservation: Reservation | None = None
    ) -> Grant:
        """A new grant to send what was prepared. A retry, a fallback and a restart each prepare and ask again.

        Raises:
            ConsentRefused: what was prepared needs a consent, and `consent` is not the one or was taken back.
            GateError: a budget is over the recipient, and `reservation` holds no room for this send.
        """
        if prepared.gate is not self:
            raise GateError("this payload was prepared by another gate")
        # INVARIANT: no grant without the consent that the decision asked for.
        to = prepared.recipient
        if not prepared.needs_consent:
            consent = None
        elif consent is None or not consent.covers(to, prepared.request.task, prepared.labels, prepared.redact):
            raise ConsentRefused(f"recipient '{to.name}' needs a consent that was not given")
        else:
            consent.require()
        # INVARIANT: no grant without room in every budget over the recipient.
        if prepared.needs_budget and (reservation is None or reservation.recipient != to.name):
            raise GateError(f"recipient '{to.name}' needs room in a budget, and none was reserved")
        return Grant(_MINT, prepared.request, recipient=to, require=None if consent is None else consent.require)


_DROPPED = Adjustment(setting="reasoning", action="ignored", detail="reasoning of another recipient is never replayed")


def _without_foreign_options(request: Request, provider: str) -> Request:
    options = request.provider_options
    if not options or (len(options) == 1 and provider in options):
        return request
    return replace(request, provider_options={provider: options[provider]} if provider in options else {})


def _without_foreign_reasoning(request: Request, to: Recipient) -> tuple[Request, bool]:
    # INVARIANT: the reasoning of one company's server goes to no other, also where one provider speaks to both.
    def foreign(part: Part) -> bool:
        return isinstance(part, ReasoningPart) and (part.provider, part.origin) != (to.provider, to.url)

    if not any(type(part) is not TextPart and foreign(part) for message in request.messages for part in message.parts):
        return request, False
    kept = (Message(m.role, tuple(part for part in m.parts if not foreign(part))) for m in request.messages)
    return replace(request, messages=tuple(message for message in kept if message.parts)), True
