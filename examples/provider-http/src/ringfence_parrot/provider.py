"""The provider `parrot`: sends one request under one grant, and passes on what comes."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from typing import cast

import httpx2
from ringfence.errors import Closed, ConnectFailed, InvalidRequest, RingfenceError
from ringfence.grant import Grant
from ringfence.provider import Availability, Available, ModelCard, NotAvailable, Plan, Provider, ProviderContext
from ringfence.recipient import Recipient
from ringfence.registry import load_manifest
from ringfence.request import Request
from ringfence.response import ProviderEvent

from ringfence_parrot.answer import Answer, lines
from ringfence_parrot.failures import broken, refusal
from ringfence_parrot.planning import Call, make_plan

CARD = ModelCard(name="parrot-1", context_tokens=32_768, capabilities=frozenset({"text"}))
HTTP_OK = 200


class ParrotProvider(Provider):
    """The service parrot."""

    manifest = load_manifest("ringfence_parrot")

    def __init__(self) -> None:
        self._context: ProviderContext | None = None
        self._running: set[httpx2.Response] = set()

    async def open(self, context: ProviderContext) -> None:
        """Takes no options."""
        if context.options:
            raise InvalidRequest(f"parrot has no option '{next(iter(context.options))}'")
        self._context = context

    async def close(self) -> None:
        """Ends what runs; its requests raise `Closed`."""
        self._context = None
        for response in tuple(self._running):
            await response.aclose()

    async def models(self) -> Sequence[ModelCard]:
        """The models known by name."""
        return [CARD]

    async def availability(self, recipient: Recipient) -> Availability:
        """Whether there is a key; sends nothing."""
        if recipient.options:
            return NotAvailable(
                reason="not_configured", detail="parrot has no options", way_out="remove options: from the policy"
            )
        secret = recipient.credential(self.manifest.secret)
        if secret is None:
            return NotAvailable(
                reason="not_configured",
                detail=f"the policy names no key for '{recipient.name}'",
                way_out='secret: "env:PARROT_API_KEY" in the policy',
            )
        if not secret.present():
            return NotAvailable(
                reason="not_configured", detail=f"there is no key in {secret.source}", way_out=secret.way_out
            )
        return Available()

    async def card(self, recipient: Recipient) -> ModelCard:
        """The same facts for every model of the service."""
        return replace(CARD, name=recipient.model)

    def plan(self, request: Request, recipient: Recipient, card: ModelCard) -> Plan[object]:
        """Translates; pure."""
        return make_plan(request, recipient, card)

    async def run(self, plan: Plan[object], grant: Grant) -> AsyncGenerator[ProviderEvent, None]:
        """One request under `grant`; closing this generator closes the connection."""
        response = await self._send(plan, grant)
        self._running.add(response)
        answer = Answer()
        try:
            if response.status_code != HTTP_OK:
                raise refusal(response.status_code, response.headers)
            grant.connected = True
            async for line in lines(response):
                for event in answer.events(line):
                    yield event
            for event in answer.end():
                yield event
        except httpx2.HTTPError:
            raise self._failure(broken(answer)) from None
        finally:
            self._running.discard(response)
            await response.aclose()

    async def _send(self, plan: Plan[object], grant: Grant) -> httpx2.Response:
        call = cast("Call", plan.native)
        # First of all: without a live grant nothing is read, made or sent.
        sending = grant.spend(plan.request)
        if self._context is None:
            raise Closed("the provider parrot is closed")
        client = self._context.http(call.recipient)
        secret = call.recipient.credential(self.manifest.secret)
        headers = {} if secret is None else {"Authorization": f"Bearer {secret.read()}"}
        request = client.build_request("POST", call.url, json=call.body, headers=headers)
        try:
            with sending:
                return await client.send(request, stream=True)
        except httpx2.HTTPError:
            # The vendor's exception may hold the request: nothing of it is passed on.
            raise self._failure(ConnectFailed("the service parrot did not answer")) from None

    def _failure(self, error: RingfenceError) -> RingfenceError:
        return error if self._context is not None else Closed("the provider parrot was closed")
