"""The policy gate: the one place that decides a request and makes grants for it (invariants 3 and 4)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ringfence.errors import ConsentRefused, GateError
from ringfence.grant import _MINT, Grant  # pyright: ignore[reportPrivateUsage]  (the gate is the only mint)
from ringfence.privacy.labels import LARGE_CHARACTERS
from ringfence.privacy.material import request_texts
from ringfence.request import Message, Part, ReasoningPart, Request, ToolCallPart
from ringfence.response import Adjustment

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ringfence.policy import Policy
    from ringfence.policy.decision import Decision, Redaction, Step
    from ringfence.policy.facts import Facts
    from ringfence.privacy.consents import Consent, Consents
    from ringfence.privacy.labels import Labeller
    from ringfence.privacy.redaction.memory import Memory
    from ringfence.privacy.redaction.vault import Vault
    from ringfence.privacy.shadow import Shadow
    from ringfence.recipient import Recipient
    from ringfence.routing.budget import Reservation


ATTEST, CONSENT, BUDGET, REDACT = "attest", "consent", "budget", "redact"


@dataclass(frozen=True, slots=True, repr=False)
class Cleared:
    """A request that the gate labelled and decided. Only `Gate` makes one."""

    gate: Gate
    request: Request
    facts: Facts
    decision: Decision
    shadow: dict[str, Any] | None = None
    """Where the shadow policy differs, in names only."""

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
    needs_attestation: bool
    private: frozenset[str]
    """The providers that get options of their own, which no other's payload shows."""
    adjustments: tuple[Adjustment, ...]
    redactions: dict[str, int] = field(default_factory=dict[str, int])
    """How many values were redacted, by label."""
    hidden: frozenset[str] = frozenset()
    """The values that must not leave with it."""

    def __repr__(self) -> str:
        return f"Prepared({self.recipient.name})"


class Gate:
    """Decides requests under one policy, and grants the sends that its decisions allow."""

    def __init__(self, policy: Policy, labeller: Labeller, shadow: Shadow | None = None) -> None:
        self.policy = policy
        self.redacts = any(rule.redact for rule in policy.document.flow)
        """Whether the policy redacts anything anywhere."""
        self._labeller = labeller
        self._shadow = shadow
        self._known: Memory | None = None

    def clear(self, request: Request) -> Cleared:
        """Labels and decides `request`. Pure but for detectors; safe in a thread.

        Raises:
            InvalidRequest: a declared label that the policy does not know.
        """
        return self._decided(request, self._labeller.facts(request, self._labeller.label(request)))

    def _decided(self, request: Request, facts: Facts) -> Cleared:
        decision = self.policy.decide(facts)
        beside = None if self._shadow is None else self._shadow.beside(request, facts, decision)
        return Cleared(self, request, facts, decision, beside)

    def scans_long(self, request: Request) -> bool:
        """Whether `clear` may take so long now that it belongs into a thread."""
        return self._labeller.scans_long(request) or (self._shadow is not None and self._shadow.scans_long(request))

    def prepares_long(self, cleared: Cleared) -> bool:
        """Whether redacting may take so long that `prepare` belongs into a thread: all of it is scanned, and again."""
        return self._labeller.slow or sum(map(len, request_texts(cleared.request))) > LARGE_CHARACTERS

    def clear_again(self, earlier: Cleared, request: Request) -> Cleared:
        """Decides a payload that grew out of `earlier`, such as a continuation.

        INVARIANT: its labels are never fewer than before; the other facts are computed once a request and stay.
        """
        labels = earlier.facts.labels | self._labeller.label(request)
        return self._decided(request, replace(earlier.facts, labels=labels))

    def prepare(self, cleared: Cleared, recipient: str, vault: Vault | None = None) -> Prepared:
        """The payload as `recipient` may see it: redacted, without another provider's options and opaque reasoning.

        `vault` is that of the user's request; without one, nothing can be restored. Safe in a thread.

        Raises:
            GateError: the decision does not plan this recipient, or an obligation cannot be met.
        """
        # INVARIANT: nothing outside the plan of a decision that this gate made for this very payload.
        if cleared.gate is not self:
            raise GateError("this request was cleared by another gate")
        step = _step_to(recipient, cleared.decision.plan)
        if step is None:
            raise GateError(f"the policy does not send this request to recipient '{recipient}'")
        for name in step.obligations:
            if name not in (ATTEST, CONSENT, BUDGET, REDACT):
                raise GateError(f"recipient '{recipient}' needs '{name}', which this version cannot do")
        declared = self.policy.recipients[recipient]
        private = frozenset(cleared.request.provider_options)
        request = _without_foreign_options(cleared.request, declared.provider)
        request, dropped = _without_foreign_reasoning(request, declared)
        adjustments = (_DROPPED,) if dropped else ()
        prepared = Prepared(
            self,
            request,
            declared,
            cleared.decision.labels,
            dict(step.redact),
            CONSENT in step.obligations,
            BUDGET in step.obligations,
            ATTEST in step.obligations,
            private,
            adjustments,
        )
        if step.redact or REDACT in step.obligations:
            return self._redacted(prepared, vault)
        if vault is not None and (vault.issued or self._known is not None):
            # INVARIANT: who may see the values gets them, and never a placeholder meant for somebody else, whether
            # this request issued it or an earlier one of the conversation.
            from ringfence.privacy.redaction.reveal import Reveal  # noqa: PLC0415  (few policies redact)

            return replace(prepared, request=Reveal(vault, frozenset(prepared.labels), self._known).request(request))
        return prepared

    def _redacted(self, prepared: Prepared, vault: Vault | None) -> Prepared:
        from ringfence.privacy.redaction.redactor import Redactor  # noqa: PLC0415  (few policies redact)
        from ringfence.privacy.redaction.vault import Vault  # noqa: PLC0415

        name = prepared.recipient.name
        if not prepared.redact:
            raise GateError(f"recipient '{name}' needs '{REDACT}', and no rule says of what")
        redactor = Redactor(
            self._labeller,
            self._memory(),
            vault or Vault(),
            prepared.redact,
            labels=frozenset(prepared.labels),
            recipient=name,
        )
        redacted = redactor.request(prepared.request)
        return replace(
            prepared,
            request=redacted.request,
            adjustments=prepared.adjustments + redacted.adjustments,
            redactions=redacted.counts,
            hidden=redacted.hidden,
        )

    def tool_call(
        self, call: ToolCallPart, facts: Facts, vault: Vault, unseen: frozenset[str], *, asked: bool = False
    ) -> ToolCallPart:
        """The call as its tool may see it; `unseen` are the labels of which the model that wrote it saw nothing.

        Restored is only what flow allows to the ring of the tool as it is; where flow wants a person's consent, only if
        somebody is `asked` before the tool gets it. A tool that the policy does not declare or does not allow gets
        placeholders for all that was redacted in this request.

        Raises:
            GateError: its arguments cannot be redacted in full.
        """
        # What the model wrote of its own accord counts too.
        facts = replace(facts, labels=facts.labels | self._labeller.carried(call))
        verdict = self.policy.tool_verdict(call.name, facts)
        # INVARIANT: what needs a yes is restored for no tool that gets its calls without anybody being asked.
        ruled = verdict.declared and (verdict.outcome == "allow" or (verdict.outcome == "ask" and asked))
        redact: dict[str, Redaction] = dict(verdict.redact)
        untold = frozenset[str]() if ruled else frozenset(label for entry in vault.entries for label in entry.labels)
        untold -= redact.keys()
        redact |= dict.fromkeys(untold, "pseudonym")
        if not (redact or vault.issued):
            return call
        from ringfence.privacy.redaction.memory import Known  # noqa: PLC0415  (few policies redact)
        from ringfence.privacy.redaction.redactor import Redactor  # noqa: PLC0415

        # A name that no policy declares is what a model wrote, and in no error.
        name = call.name if verdict.declared else "a tool"
        known = Known(unseen=unseen | untold)
        redactor = Redactor(self._labeller, self._memory(), vault, redact, labels=facts.labels, recipient=name)
        return redactor.call(call, known)

    def remember(self, message: Message, unseen: frozenset[str], vault: Vault) -> None:
        """Notes that who wrote `message` saw nothing of the labels `unseen`, but what `vault` restored in it."""
        from ringfence.privacy.redaction.memory import Known  # noqa: PLC0415  (few policies redact)

        self._memory().keep(message, Known(unseen=unseen, restored=vault.issued))

    def labels_told(self, call: ToolCallPart, vault: Vault) -> frozenset[str]:
        """The labels of the values of `vault` that stand in the arguments of `call`, and so were told to its tool."""
        from ringfence.privacy.redaction.spans import Literals  # noqa: PLC0415  (few policies redact)

        literals = Literals(vault.entries, anywhere=vault.issued)
        return frozenset[str]().union(*(span.labels for span in literals.spans(call.arguments)))

    def unseen(self, message: Message) -> frozenset[str]:
        """The labels of which who wrote `message` saw nothing."""
        return frozenset() if self._known is None else self._known.of(message).unseen

    def _memory(self) -> Memory:
        if self._known is None:
            from ringfence.privacy.redaction.memory import Memory  # noqa: PLC0415  (few policies redact)

            self._known = Memory()
        return self._known

    async def consent(self, prepared: Prepared, consents: Consents) -> Consent | None:
        """The consent that sending `prepared` needs, asked for unless it was given; `None` where none is needed.

        Raises:
            ConsentRefused: a person said no, or there is nobody to ask.
        """
        if not prepared.needs_consent:
            return None
        to = prepared.recipient
        rule = self.policy.consent_rule(to.name)
        covered: tuple[Recipient, ...] = (to,)
        if rule.per == "ring":
            # INVARIANT: a yes covers nothing that was not shown, so nobody with options of its own.
            unseen = prepared.private - {to.provider}
            ring = (one for one in self.policy.recipients.values() if one.ring == to.ring)
            # Nor anybody whose own rule asks otherwise, such as one that a layer made stricter.
            covered = tuple(
                one for one in ring if one.provider not in unseen and self.policy.consent_rule(one.name) == rule
            )
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
        require = None if consent is None else consent.require
        return Grant(
            _MINT,
            prepared.request,
            recipient=to,
            require=require,
            hidden=prepared.hidden,
            must_attest=prepared.needs_attestation,
        )


_DROPPED = Adjustment(setting="reasoning", action="ignored", detail="reasoning of another recipient is never replayed")


def _step_to(recipient: str, plan: tuple[Step, ...]) -> Step | None:
    for step in plan:  # no generator: this is asked for each send
        if step.recipient == recipient:
            return step
    return None


def _without_foreign_options(request: Request, provider: str) -> Request:
    options = request.provider_options
    if not options or (len(options) == 1 and provider in options):
        return request
    return replace(request, provider_options={provider: options[provider]} if provider in options else {})


def _without_foreign_reasoning(request: Request, to: Recipient) -> tuple[Request, bool]:
    # INVARIANT: the reasoning of one company's server goes to no other, also where one provider speaks to both.
    if not any(map(_has_reasoning, request.messages)):
        return request, False

    def foreign(part: Part) -> bool:
        return isinstance(part, ReasoningPart) and (part.provider, part.origin) != (to.provider, to.url)

    if not any(foreign(part) for message in request.messages for part in message.parts):
        return request, False
    kept = (Message(m.role, tuple(part for part in m.parts if not foreign(part))) for m in request.messages)
    return replace(request, messages=tuple(message for message in kept if message.parts)), True


def _has_reasoning(message: Message) -> bool:
    return any(type(part) is ReasoningPart for part in message.parts)
