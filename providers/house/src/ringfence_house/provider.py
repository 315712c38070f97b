"""`HouseProvider`: Chat Completions, as the provider `openai` speaks them, sealed for verified nodes of the house.

The provider `openai` plans, sends and reads as it does for any server. Its network client is one of ours, which takes
each request, seals it for a node and opens the answer. Everything heavy is imported when a recipient is first used.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, replace
from importlib import import_module
from typing import TYPE_CHECKING, ClassVar, cast

from ringfence.errors import Closed, InvalidRequest, ProviderError, StreamBroken, Unavailable
from ringfence.grant import Grant
from ringfence.provider import (
    Availability,
    Available,
    Embeddings,
    Finding,
    Manifest,
    ModelCard,
    NotAvailable,
    Plan,
    Provider,
    ProviderContext,
)
from ringfence.recipient import Recipient
from ringfence.registry import load_manifest
from ringfence.request import Request
from ringfence.response import Finish, ProviderEvent, Usage
from ringfence_house.errors import ASK_AGAIN, closed_error
from ringfence_openai.provider import OpenAIProvider

if TYPE_CHECKING:
    import httpx2

    from ringfence.receipt import Attestation
    from ringfence_house.client.answer import Answer
    from ringfence_house.client.house import House
    from ringfence_openai.native import Native

_INNER_URL = "https://house.ringfence.invalid/v1"
"""Where the inner request goes: nowhere that can be looked up (`names.AUTHORITY`)."""


@dataclass(slots=True)
class _Run:
    """One run: its answer once there is one, and whether an event of it was given out."""

    answer: Answer | None = None
    begun: bool = False


class HouseProvider(Provider):
    """In-house models on attested servers: nothing leaves but ciphertext for a node that proved what it is."""

    manifest: ClassVar[Manifest] = load_manifest("ringfence_house")

    def __init__(self) -> None:
        self._context: ProviderContext | None = None
        self._inner = OpenAIProvider()
        self._client: httpx2.AsyncClient | None = None
        self._houses: dict[str, House] = {}
        self._making = asyncio.Lock()
        self._runs: dict[Grant, _Run] = {}
        # Names of tenants are told apart by it as long as this object lives, and by nobody afterwards.
        self._secret = secrets.token_bytes(32)

    # ------------------------------------------------------------ life

    async def open(self, context: ProviderContext) -> None:
        """Takes the context; reads and imports nothing else.

        Raises:
            InvalidRequest: there is an option; a recipient has options, the provider none.
        """
        if context.options:
            raise InvalidRequest(
                f"unknown option '{next(iter(context.options))}' of house",
                way_out="the options of a recipient stand in the policy, under options:",
            )
        self._making = asyncio.Lock()
        await self._inner.open(replace(context, http=self._sealing))
        self._context = context

    async def close(self) -> None:
        """Ends every run with `Closed`, and every look at a house. Idempotent."""
        self._context = self._client = None
        await self._inner.close()
        while self._houses:
            _, house = self._houses.popitem()
            await house.close()

    # ------------------------------------------------------------ models

    async def models(self) -> Sequence[ModelCard]:
        """None that can be named without a house to ask."""
        return ()

    async def availability(self, recipient: Recipient) -> Availability:
        """Whether it is declared so that it can be asked; sends nothing. Whether it is reached, `card` finds out."""
        try:
            await self._house(recipient)
        except Unavailable as error:
            return NotAvailable(reason=error.reason, detail=error.message, way_out=error.way_out or "mend the policy")
        secret = recipient.secret
        if secret is not None and not secret.present():
            return NotAvailable(
                reason="not_configured", detail=f"the secret '{secret.source}' is not set", way_out=secret.way_out
            )
        return Available()

    async def card(self, recipient: Recipient) -> ModelCard:
        """What its verified nodes can do; looks at the house if nobody did, and sends nothing of any request.

        INVARIANT: a house that does not prove what it is never passes for one that cannot be reached, which would call
        for its overflow.

        Raises:
            AttestationFailed: no node proved what it is.
            HouseUnreachable: nobody answers there, as a look has just found out.
            Unavailable: the recipient cannot be used as it is declared.
        """
        card = await (await self._house(recipient)).card()
        # A release may list what only a later version of this provider knows.
        return replace(card, capabilities=card.capabilities & self.manifest.capabilities)

    # ------------------------------------------------------------ requests

    def plan(self, request: Request, recipient: Recipient, card: ModelCard) -> Plan[object]:
        """Translates; pure. Inside, an answer is always streamed: it is padded and released as it is made.

        Raises:
            Unsupported: a setting, part or tool that this model cannot honour.
            InvalidRequest: a provider option; the house has none.
        """
        if request.provider_options.get(self.manifest.name):
            raise InvalidRequest("the house takes no provider options", way_out="use the settings of the request")
        asked = replace(request, stream=True, provider_options={})
        plan = self._inner.plan(asked, _inner_recipient(recipient), card)
        return replace(plan, request=request)

    async def run(self, plan: Plan[object], grant: Grant) -> AsyncGenerator[ProviderEvent, None]:
        """Answers `plan` under `grant`; closing the generator hangs up, and the node sees it.

        INVARIANT: the finish is given out only after the answer came to its authenticated end.
        """
        from ringfence_house.client.adjusted import telling  # noqa: PLC0415  (with msgspec)

        asked = replace(plan, native=telling(cast("Native", plan.native), grant.adjust))
        with self._running(grant) as run:
            async with aclosing(self._inner.run(asked, grant)) as events:
                async for event in events:
                    if isinstance(event, Finish):
                        await self._settled(run)
                    run.begun = True
                    yield event

    async def embed(self, plan: Plan[object], grant: Grant) -> Embeddings:
        """Vectors of the texts of `plan`, in order.

        Raises:
            Unsupported: the plan is for something else.
        """
        with self._running(grant) as run:
            embeddings = await self._inner.embed(plan, grant)
            await self._settled(run)
            return embeddings

    # ------------------------------------------------------------ facts

    def utilisation(self, recipient: Recipient) -> float | None:
        """The share of the house's capacity in use, as its nodes last said inside of the encryption."""
        house = self._known(recipient)
        return None if house is None else house.nodes.standing.utilisation(house.nodes.valid)

    def price_usd(self, recipient: Recipient, usage: Usage) -> float | None:
        """0 for machines of one's own, which cost the same whether or not they answer; `None` for rented ones."""
        del usage
        return 0.0 if recipient.capacity == "owned" else None

    def attestations(self, recipient: Recipient) -> tuple[Attestation, ...]:
        """What is verified of `recipient` now; sends nothing."""
        house = self._known(recipient)
        return () if house is None else house.attestations()

    async def diagnose(self) -> Sequence[Finding]:
        """How each house that was used through this object stands; sends nothing."""
        if not self._houses:
            detail = "none was looked at yet: a house is, with the first request that goes there"
            from ringfence_house.client.reaching import VERIFY  # noqa: PLC0415  (with what looks, on first use)

            way_out = f"{VERIFY}, with directory: and trust: of the policy"
            return [Finding(level="ok", subject="nodes", detail=detail, way_out=way_out)]
        return [house.finding() for house in self._houses.values()]

    # ------------------------------------------------------------ inside

    def _known(self, recipient: Recipient) -> House | None:
        house = self._houses.get(recipient.name)
        return house if house is not None and house.recipient == recipient else None

    async def _house(self, recipient: Recipient) -> House:
        """The house of `recipient`, made on first use; where the policy changed it, the old one ends.

        Raises:
            Unavailable: the recipient cannot be used as it is declared.
            Closed: the provider is closed.
        """
        if house := self._known(recipient):
            return house
        async with self._making:
            context = self._context
            if context is None:
                raise closed_error()
            if house := self._known(recipient):
                return house
            # Certificates, HPKE and the repository's client: most of a second, in which the loop goes on.
            made = await asyncio.to_thread(_made, recipient, context)
            if self._context is not context:
                raise closed_error()
            former = self._houses.get(recipient.name)
            self._houses[recipient.name] = made
            if former is not None:
                await former.close()
            return made

    def _sealing(self, inner: Recipient) -> httpx2.AsyncClient:
        """The client that the provider `openai` gets for any recipient: the grant says into which house it goes."""
        del inner
        if self._client is None:
            import httpx2  # noqa: PLC0415  (with what seals, on first use)

            from ringfence_house.client.sealing import SealingTransport  # noqa: PLC0415

            transport = SealingTransport(self._house, secret=self._secret, began=self._began)
            self._client = httpx2.AsyncClient(transport=transport, timeout=None, trust_env=False)
        return self._client

    def _began(self, grant: Grant, answer: Answer) -> None:
        if (run := self._runs.get(grant)) is not None:
            run.answer = answer

    async def _settled(self, run: _Run) -> None:
        if run.answer is None:
            raise StreamBroken("the house gave no answer of its own")
        await run.answer.settle()

    @contextmanager
    def _running(self, grant: Grant) -> Generator[_Run]:
        """A run, whose errors are told in the words of the house and in the phase they happened in."""
        run = self._runs[grant] = _Run()
        failure: Exception
        try:
            yield run
        except (ProviderError, Closed) as error:
            failure = self._told(error, run)
        else:
            return
        finally:
            self._runs.pop(grant, None)
        raise failure

    def _told(self, error: ProviderError | Closed, run: _Run) -> Exception:
        if self._context is None:
            return closed_error()
        if isinstance(error, StreamBroken):
            error.phase = "mid_stream" if run.begun else "before_first_event"
            error.way_out = error.way_out or ASK_AGAIN
        return error


def _inner_recipient(recipient: Recipient) -> Recipient:
    """What the provider `openai` plans for: the same model behind an address that is nowhere."""
    return Recipient(
        name=recipient.name,
        ring=recipient.ring,
        provider="openai",
        model=recipient.model,
        url=_INNER_URL,
        secret=recipient.secret,
        options={"api": "chat", "extended_sampling": recipient.options.get("extended_sampling", True)},
    )


def _made(recipient: Recipient, context: ProviderContext) -> House:
    made: House = import_module("ringfence_house.client.house").make(recipient, context)
    return made


__all__ = ["HouseProvider"]
