"""One send to one recipient: ready? plan, grant, run. What it was is kept for the receipt."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Literal, TypeAlias

from ringfence.errors import GateError, Phase, ProtocolViolated, Unavailable, Unsupported, describe
from ringfence.policy.prices import Price, asked_price, plugin_price
from ringfence.provider import Attests, CountsTokens, Embeddings, Embeds
from ringfence.receipt import Attempt
from ringfence.request import TextPart
from ringfence.response import Finish, ProviderEvent, Usage, UsageReport

if TYPE_CHECKING:
    from ringfence.grant import Grant
    from ringfence.policy.decision import Step
    from ringfence.privacy.consents import Consent, Consents
    from ringfence.privacy.gate import Cleared, Gate, Prepared
    from ringfence.privacy.redaction.vault import Vault
    from ringfence.provider import Plan, Provider
    from ringfence.receipt import Attestation
    from ringfence.recipient import Recipient
    from ringfence.request import Request
    from ringfence.response import Adjustment
    from ringfence.routing.ledger import Ledger
    from ringfence.routing.providers import Providers
    from ringfence.routing.spending import Spending

_log = logging.getLogger("ringfence")

_CLOSE_S = 5.0
"""How long a provider may take to end a run before that is cancelled too."""

_FREE = Price(0.0)
_NOT_KNOWN = Price()

_CANCELLED = (GeneratorExit, asyncio.CancelledError)

Yielded: TypeAlias = ProviderEvent | Embeddings
"""What a send draws from a provider: the events of an answer, or the vectors of an `embed` request."""

Kind: TypeAlias = Literal["answer", "count"]
"""What is wanted of a recipient: an answer, or only how many tokens it would read for one."""


class Send:
    """One attempt: `ready`, then `consent`, then `open`, whose events are the answer; `close` ends it everywhere."""

    __slots__ = (
        "_began",
        "_consent",
        "_gate",
        "_grant",
        "_kind",
        "_plan",
        "_planned",
        "_prepared",
        "_provider",
        "_providers",
        "_vault",
        "beaten",
        "cleared",
        "preparing",
        "run",
        "spending",
        "step",
    )

    def __init__(
        self,
        gate: Gate,
        providers: Providers,
        cleared: Cleared,
        step: Step,
        kind: Kind = "answer",
        *,
        vault: Vault | None = None,
    ) -> None:
        self._gate = gate
        self._vault = vault
        self._providers = providers
        self._began = time.perf_counter()
        self._consent: Consent | None = None
        self._grant: Grant | None = None
        self._kind: Kind = kind
        self._plan: Plan[object] | None = None
        self._prepared: Prepared | None = None
        self._provider: Provider | None = None
        self.cleared = cleared
        self.step = step
        self.beaten = False
        """Whether another recipient, sent to at the same time, answered first."""
        self.preparing: asyncio.Future[Prepared] | None = None
        """The thread that redacts, if one does. It is not cancelled, and uses the vault until it is done."""
        self._planned: tuple[Adjustment, ...] = ()
        self.run: AsyncGenerator[Yielded, None] | None = None
        self.spending: Spending | None = None
        """The room reserved in budgets, to be settled however the send ends; `None` where no budget was looked at."""

    async def ready(self) -> bool:
        """Readies the recipient and plans; whether a person must be asked before `open`.

        Raises:
            Unavailable: the recipient cannot serve now.
            Unsupported: its model cannot honour the request.
            GateError: the gate refuses.
        """
        prepared = self._prepared = await self._prepare()
        provider, card = await self._providers.ready(prepared.recipient)
        if prepared.needs_attestation and not isinstance(provider, Attests):
            raise GateError(
                f"recipient '{prepared.recipient.name}' has to be attested, which provider"
                f" '{prepared.recipient.provider}' cannot do",
                way_out="a recipient of provider 'house', or a rule without attested: true",
            )
        plan = provider.plan(prepared.request, prepared.recipient, card)
        self._provider, self._plan = provider, plan
        self._planned = prepared.adjustments + plan.adjustments
        return prepared.needs_consent

    async def _prepare(self) -> Prepared:
        gate, cleared, recipient = self._gate, self.cleared, self.step.recipient
        if self.step.redact and gate.prepares_long(cleared):
            loop, work = asyncio.get_running_loop(), partial(gate.prepare, cleared, recipient, self._vault)
            self.preparing = loop.run_in_executor(None, copy_context().run, work)
            return await asyncio.shield(self.preparing)
        return gate.prepare(cleared, recipient, self._vault)

    async def until_prepared(self) -> None:
        """Waits until no thread of this send uses the vault any more."""
        if self.preparing is not None and not self.preparing.done():
            await asyncio.wait((self.preparing,))

    async def consent(self, consents: Consents) -> None:
        """Asks a person, unless it was asked before, and takes as long as they do.

        Raises:
            ConsentRefused: a person said no, or there is nobody to ask.
        """
        assert self._prepared is not None  # noqa: S101  (ready() came first)
        self._consent = await self._gate.consent(self._prepared, consents)

    async def reserve(self, ledger: Ledger) -> None:
        """Reserves the most that it can cost in every budget over the recipient.

        Raises:
            BudgetSpent: a budget has not that much left.
            GateError: what it can cost, or what was spent, is not known.
        """
        from ringfence.routing.spending import Spending  # noqa: PLC0415  (few policies have budgets)

        plan, prepared = self._plan, self._prepared
        assert plan is not None and prepared is not None  # noqa: S101, PT018  (ready() came first)
        self.spending = Spending(ledger, self.price)
        await self.spending.reserve(self._gate.policy, prepared.recipient, plan, answers=self._kind == "answer")

    def open(self) -> tuple[AsyncGenerator[Yielded, None], Grant]:
        """Asks the gate for the grant. Sends nothing yet: the first event drawn from the run does.

        Raises:
            GateError: the gate refuses.
        """
        provider, plan, prepared = self._provider, self._plan, self._prepared
        assert provider is not None and plan is not None and prepared is not None  # noqa: S101, PT018  (ready() came first)
        reservation = None if self.spending is None else self.spending.reservation
        self._grant = self._gate.grant(prepared, self._consent, reservation)
        run = self._begin(provider, plan, self._grant)
        made: object = run
        if not isinstance(made, AsyncGenerator):
            raise ProtocolViolated("the provider's run() is no async generator", phase="plan")
        self.run = run
        return run, self._grant

    def _begin(self, provider: Provider, plan: Plan[object], grant: Grant) -> AsyncGenerator[Yielded, None]:
        if self._kind == "count":
            return _count(provider, plan, grant)
        if plan.request.task == "embed":
            return _embed(provider, plan, grant)
        return provider.run(plan, grant)

    @property
    def adjustments(self) -> tuple[Adjustment, ...]:
        """What is not honoured as asked, each once: as it was planned, and as the recipient said with its answer."""
        told = () if self._grant is None else self._grant.adjustments
        return (*self._planned, *(one for one in told if one not in self._planned)) if told else self._planned

    @property
    def redactions(self) -> dict[str, int]:
        """How many values were redacted in what was prepared, by label."""
        return self._prepared.redactions if self._prepared is not None else {}

    @property
    def payload(self) -> Request:
        """What is sent: as it was prepared, else as it was decided on."""
        return self._prepared.request if self._prepared is not None else self.cleared.request

    @property
    def consented(self) -> bool:
        """Whether a person consented to this send."""
        return self._consent is not None

    def price_usd(self, usage: Usage | None) -> float | None:
        """What `usage` costs at this recipient; `None` where nobody knows."""
        price = self.price(usage)
        if price.why is not None:
            _log.warning("the price at %s is not known: %s", self.step.recipient, price.why)
        return price.usd

    def price(self, usage: Usage | None) -> Price:
        """The same, and why where the plugin failed. Where the provider has no prices, those of its plugin count."""
        if self.step.ring == "device":
            return _FREE
        prepared = self._prepared
        # A count has input tokens too, but nobody answers for them.
        if self._kind == "count" or usage is None or prepared is None:
            return _NOT_KNOWN
        # What `isinstance(…, Prices)` asks, in a twentieth of its time.
        asked: Callable[[Recipient, Usage], float | None] | None = getattr(self._provider, "price_usd", None)
        if asked is None:
            return plugin_price(prepared.recipient, usage)
        name = f"price_usd of provider '{prepared.recipient.provider}'"
        return asked_price(asked, name, prepared.recipient, usage)

    @property
    def attestation(self) -> Attestation | None:
        """What was verified of the machine that it was sent to."""
        return None if self._grant is None else self._grant.attestation

    @property
    def sent(self) -> bool:
        """Whether anything may have left."""
        return self._grant is not None and self._grant.spent

    async def close(self) -> None:
        """Cancels what still runs and makes the grant useless. What a provider raises here is only logged."""
        try:
            # A generator that ran to its end has no frame any more, and nothing to close.
            if self.run is not None and getattr(self.run, "ag_frame", self.run) is not None:
                async with asyncio.timeout(_CLOSE_S):
                    await self.run.aclose()
        except Exception as error:  # noqa: BLE001  (a plugin may raise anything, and its message may hold content)
            _log.warning("the provider of %s raised %s while it was closed", self.step.recipient, describe(error))
        finally:
            if self._grant is not None:
                self._grant.revoke()

    def attempt(self, failure: BaseException | None, far: Phase, *, alone: bool) -> Attempt:
        """The record of this send, which `failure` ended when it was so `far`; `alone` if no other was under way."""
        error = None if failure is None else type(failure).__name__
        if isinstance(failure, _CANCELLED):
            error = "beaten" if self.beaten else "cancelled"
        return Attempt(
            recipient=self.step.recipient,
            ring=self.step.ring,
            duration_s=time.perf_counter() - self._began,
            error=error,
            phase=self._phase(failure, far, alone=alone),
            reason=failure.reason if isinstance(failure, Unavailable) else None,
        )

    def _phase(self, failure: BaseException | None, far: Phase, *, alone: bool) -> Phase | None:
        """The phase in which `failure` came.

        INVARIANT: an attempt that may have sent something does not say that it sent nothing, whatever a plugin raises.
        """
        if isinstance(failure, _CANCELLED):
            # Where two are under way, each says whether it was sent: the receipt tells of one of them only.
            return None if alone else far if self.sent else "plan"
        said: Phase | None = getattr(failure, "phase", None)
        # Before an event has come the gate refuses only what has not left.
        refused = isinstance(failure, GateError) and far == "before_first_event"
        return far if failure is not None and self.sent and said in (None, "plan") and not refused else said


async def _count(provider: Provider, plan: Plan[object], grant: Grant) -> AsyncGenerator[Yielded, None]:
    """The tokens of the prompt as a stream without a part, so that they take the same way as an answer."""
    if not isinstance(provider, CountsTokens) or "count_tokens" not in plan.card.capabilities:
        raise Unsupported(
            f"the tokens of model '{plan.card.name}' cannot be counted", setting="count_tokens", way_out="to=…"
        )
    count: object = await provider.count_tokens(plan, grant)
    if not isinstance(count, int) or isinstance(count, bool) or count < 0:
        raise ProtocolViolated("the provider counted no number of tokens", phase="before_first_event")
    if not grant.spent:
        # It counted without sending. What it was handed is on record all the same.
        grant.spend(plan.request)
    yield UsageReport(usage=Usage(input_tokens=count))
    yield Finish("stop")


async def _embed(provider: Provider, plan: Plan[object], grant: Grant) -> AsyncGenerator[Yielded, None]:
    """Vectors as a stream of one, so that they take the same way as an answer."""
    if not isinstance(provider, Embeds) or "embed" not in plan.card.capabilities:
        raise Unsupported(
            f"model '{plan.card.name}' makes no embeddings", setting="task", way_out="route task embed elsewhere"
        )
    embeddings = await provider.embed(plan, grant)
    if len(embeddings.vectors) != sum(isinstance(p, TextPart) for m in plan.request.messages for p in m.parts):
        raise ProtocolViolated("the provider made another number of vectors than texts", phase="before_first_event")
    yield embeddings
    yield UsageReport(usage=Usage(input_tokens=embeddings.input_tokens))
    yield Finish("stop")
