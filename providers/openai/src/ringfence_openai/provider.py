"""`OpenAIProvider`: the provider interface on the vendor's own client. The client is imported when it is first used."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, ClassVar, TypeAlias, TypeVar, cast

from ringfence.errors import InvalidRequest, Phase, StreamBroken, Unavailable, Unsupported
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
from ringfence.recipient import Recipient, Secret
from ringfence.registry import load_manifest
from ringfence.request import Request
from ringfence.response import ProviderEvent, Usage, UsageReport
from ringfence_openai.native import Native
from ringfence_openai.options import OptionFault, RecipientOptions, read_options
from ringfence_openai.running import Running, Runs, closed_error
from ringfence_openai.streaming import Stream

if TYPE_CHECKING:
    import httpx2

    from ringfence_openai.sdk import Client

Planner: TypeAlias = Callable[[Request, Recipient, ModelCard, RecipientOptions], Plan[object]]

_DRAIN_S = 0.2
"""How long the last bytes of a complete answer are waited for, so that its connection can be used again."""

_WHOLE = frozenset({"application/json", "text/plain"})
"""Media types of an answer that came whole although a stream was asked for: some models and servers know no other."""

_ALIVE = (UsageReport(usage=Usage()),)

ResultT = TypeVar("ResultT")


@dataclass(slots=True)
class _Progress:
    """How far one run is."""

    phase: Phase = "connect"

    @property
    def begun(self) -> bool:
        """Whether an event has come."""
        return self.phase == "mid_stream"


class OpenAIProvider(Provider):
    """OpenAI, and every server that speaks its API."""

    manifest: ClassVar[Manifest] = load_manifest("ringfence_openai")

    def __init__(self) -> None:
        self._context: ProviderContext | None = None
        self._runs = Runs()
        self._options: dict[Recipient, RecipientOptions] = {}
        self._clients: dict[Recipient, Client] = {}
        self._cards: dict[Recipient, ModelCard] = {}

    # ------------------------------------------------------------ life

    async def open(self, context: ProviderContext) -> None:
        """Takes the context; imports nothing of the vendor.

        Raises:
            InvalidRequest: there is an option; a recipient has options, the provider none.
        """
        if context.options:
            raise InvalidRequest(
                f"unknown option '{next(iter(context.options))}' of openai",
                way_out="the options of a recipient stand in the policy, under options:",
            )
        self._context = context

    async def close(self) -> None:
        """Ends every run with `Closed`. The connections are the core's to close. Idempotent."""
        self._context = None
        self._clients.clear()
        await self._runs.close()

    # ------------------------------------------------------------ models

    async def models(self) -> Sequence[ModelCard]:
        """The vendor's current models."""
        from ringfence_openai.cards import NAMED, card_of  # noqa: PLC0415  (with the sizes of genai-prices)

        return await asyncio.to_thread(lambda: [card_of(name, vendor=True, api="responses") for name in NAMED])

    async def availability(self, recipient: Recipient) -> Availability:
        """Whether the options make sense and the key is there; sends nothing."""
        try:
            options = self._read(recipient)
        except OptionFault as fault:
            return NotAvailable(reason="not_configured", detail=fault.detail, way_out=fault.way_out)
        secret = recipient.credential(self.manifest.secret)
        if secret is None and options.vendor:
            return NotAvailable(
                reason="not_configured",
                detail=f"recipient '{recipient.name}' has a url and no key",
                way_out=f"secret: {self.manifest.secret}, beside its url:",
            )
        if secret is not None and not secret.present():
            return NotAvailable(
                reason="not_configured", detail=f"the secret '{secret.source}' is not set", way_out=secret.way_out
            )
        return Available()

    async def card(self, recipient: Recipient) -> ModelCard:
        """The facts of the model of `recipient`, as far as they are known; a name that is not known is no fault."""
        card = self._cards.get(recipient)
        if card is None:
            from ringfence_openai.cards import card_of  # noqa: PLC0415  (with the sizes of genai-prices)

            options = self._settled(recipient)
            card = await asyncio.to_thread(card_of, recipient.model, vendor=options.vendor, api=options.api)
            self._cards[recipient] = card
        return card

    # ------------------------------------------------------------ requests

    def plan(self, request: Request, recipient: Recipient, card: ModelCard) -> Plan[object]:
        """Translates; pure.

        Raises:
            Unsupported: a setting, part or tool that this model cannot honour.
            InvalidRequest: a provider option that is not the app's to set, or text that is no valid Unicode.
        """
        options = self._settled(recipient)
        return _planner(request.task, options)(request, recipient, card, options)

    async def run(self, plan: Plan[object], grant: Grant) -> AsyncGenerator[ProviderEvent, None]:
        """Answers `plan` under `grant`; closing the generator hangs up, and the backend sees it."""
        progress = _Progress()
        running = self._runs.begin()
        failure: Exception | None = None
        try:
            async with aclosing(self._batches(plan, grant, running, progress)) as batches:
                async for batch in batches:
                    for event in batch:
                        running.check()
                        progress.phase = "mid_stream"
                        yield event
        except Exception as error:  # noqa: BLE001  (told below, outside of the handler)
            failure = self._told(error, progress, plan)
        finally:
            await running.aclose()
        if failure is not None:
            # INVARIANT 7: not even the context of an error of ours holds one of the vendor's.
            raise failure

    async def embed(self, plan: Plan[object], grant: Grant) -> Embeddings:
        """Vectors of the texts of `plan`, in order.

        Raises:
            Unsupported: the plan is for something else.
        """
        from ringfence_openai.embedding import ROUTE, embeddings  # noqa: PLC0415  (with msgspec)

        native = cast("Native", plan.native)
        if native.route != ROUTE:
            raise Unsupported("the plan is not for embeddings", setting="task", way_out='task="embed"')
        inputs = cast("Sequence[object]", native.body["input"])
        return await self._whole(native, plan, grant, lambda body: embeddings(body, expected=len(inputs)))

    async def count_tokens(self, plan: Plan[object], grant: Grant) -> int:
        """The tokens of the prompt of `plan`, counted by the vendor, which is sent the prompt for it.

        Raises:
            Unsupported: the API counts nothing.
        """
        from ringfence_openai.counting import count_of, counting  # noqa: PLC0415  (with msgspec)

        return await self._whole(counting(cast("Native", plan.native)), plan, grant, count_of)

    # ------------------------------------------------------------ facts

    def price_usd(self, recipient: Recipient, usage: Usage) -> float | None:
        """What `usage` costs, from the tables of genai-prices; `None` where they do not have it."""
        from ringfence_openai.prices import price_usd  # noqa: PLC0415  (with genai-prices)

        return price_usd(recipient, usage)

    async def diagnose(self) -> Sequence[Finding]:
        """Which packages are there, and which of the vendor's variables are set and ignored; no request."""
        from ringfence_openai.diagnosis import diagnose  # noqa: PLC0415  (only doctor asks)

        return diagnose(self.manifest)

    # ------------------------------------------------------------ inside

    def _read(self, recipient: Recipient) -> RecipientOptions:
        options = self._options.get(recipient)
        if options is None:
            options = self._options[recipient] = read_options(recipient)
        return options

    def _settled(self, recipient: Recipient) -> RecipientOptions:
        try:
            return self._read(recipient)
        except OptionFault as fault:
            raise Unavailable(fault.detail, reason="not_configured", way_out=fault.way_out) from None

    async def _client(self, recipient: Recipient) -> Client:
        context = self._context
        if context is None:
            raise closed_error()
        client = self._clients.get(recipient)
        if client is None:
            # First the core's client: it takes care of what the libraries below both read from the environment.
            http = context.http(recipient)
            # The vendor's SDK, on first use: half a second, in which the loop goes on.
            sdk = await asyncio.to_thread(import_module, "ringfence_openai.sdk")
            if self._context is not context:
                raise closed_error()
            client = self._clients.get(recipient) or sdk.Client(self._settled(recipient), http)
            self._clients[recipient] = client
        return client

    async def _send(self, native: Native, plan: Plan[object], grant: Grant, running: Running) -> httpx2.Response:
        """The answer to `native`, its headers only."""
        # INVARIANT 4: nothing of the request leaves before the grant is spent, and only inside its block.
        with grant.spend(plan.request):
            key = _key(native.recipient.credential(self.manifest.secret))
            client = await running.wait(self._client(native.recipient))
            response = running.response = await running.wait(client.send(native, key))
        grant.connected = True
        return response

    async def _batches(
        self, plan: Plan[object], grant: Grant, running: Running, progress: _Progress
    ) -> AsyncGenerator[Sequence[ProviderEvent], None]:
        """The events of the answer to `plan`, as many at once as the network brings."""
        native = cast("Native", plan.native)
        response = await self._send(native, plan, grant, running)
        progress.phase = "before_first_event"
        if native.decoder is None or _media_type(response) in _WHOLE:
            body = await running.wait(response.aread())
            _check_end(response)
            yield native.whole(body, _media_type(response))
            return
        stream = Stream(response, native.decoder(), running)
        async with aclosing(stream.chunks):
            while not stream.finished:
                events = await stream.next()
                # A sign of life counts for the time limit between events, so the app is given one too.
                yield events if events or not progress.begun else _ALIVE
            await stream.drain(_DRAIN_S)

    async def _whole(
        self, native: Native, plan: Plan[object], grant: Grant, read: Callable[[bytes], ResultT]
    ) -> ResultT:
        """What `read` makes of the whole answer."""
        progress = _Progress()
        running = self._runs.begin()
        try:
            response = await self._send(native, plan, grant, running)
            progress.phase = "before_first_event"
            return read(await running.wait(response.aread()))
        except Exception as error:  # noqa: BLE001  (told below, outside of the handler)
            failure = self._told(error, progress, plan)
        finally:
            await running.aclose()
        # INVARIANT 7: not even the context of an error of ours holds one of the vendor's.
        raise failure

    def _told(self, error: Exception, progress: _Progress, plan: Plan[object]) -> Exception:
        """`error` in the words of the provider interface, in the phase it happened in."""
        from ringfence_openai.errors import as_provider_error  # noqa: PLC0415  (with the vendor's SDK)

        if self._context is None:
            return closed_error()
        return as_provider_error(error, progress.phase, plan.card.context_tokens) or error


def _planner(task: str, options: RecipientOptions) -> Planner:
    """What plans requests of `task`. Imported here, on first use, for what it brings along (msgspec)."""
    match task:
        case "image" | "speak" | "transcribe":
            from ringfence_openai import media  # noqa: PLC0415

            return {"image": media.plan_image, "speak": media.plan_speak, "transcribe": media.plan_transcribe}[task]
        case "embed":
            from ringfence_openai.embedding import plan_embed  # noqa: PLC0415

            return plan_embed
        case _ if options.api == "responses":
            from ringfence_openai.responses.request import plan_responses  # noqa: PLC0415

            return plan_responses
        case _:
            from ringfence_openai.chat.request import plan_chat  # noqa: PLC0415

            return plan_chat


def _key(secret: Secret | None) -> str | None:
    """Read now, when something is sent."""
    return None if secret is None else secret.read()


def _check_end(response: httpx2.Response) -> None:
    """Does nothing if the end of the body is the end of the answer.

    Raises:
        StreamBroken: the body ends with the connection, and is no JSON: half of it looks like all of it.
    """
    headers = response.headers
    # INVARIANT: an answer that did not say that it is complete never passes for one.
    framed = "content-length" in headers or "chunked" in headers.get("transfer-encoding", "").lower()
    if not framed and _media_type(response) != "application/json":
        raise StreamBroken(
            "nothing tells whether the answer came to its end",
            phase="before_first_event",
            way_out="let the server send a Content-Length, or chunks",
        )


def _media_type(response: httpx2.Response) -> str:
    header: str = response.headers.get("content-type", "")
    return header.partition(";")[0].strip().lower()


__all__ = ["OpenAIProvider"]
