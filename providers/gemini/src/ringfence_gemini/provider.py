"""`GeminiProvider`: the provider interface on the vendor's SDK, through the guarded client of each recipient."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, ClassVar, cast

from ringfence.errors import Closed, GateError, InvalidRequest, Phase, ProviderError, RingfenceError, Unsupported
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
from ringfence.registry import load_manifest
from ringfence_gemini.answer import Answer
from ringfence_gemini.diagnosis import sdk
from ringfence_gemini.embedding import count_of, embeddings_of
from ringfence_gemini.exchange import Exchanges
from ringfence_gemini.failures import as_provider_error
from ringfence_gemini.models import KNOWN_MODELS, card_of
from ringfence_gemini.options import model_path, place_of, server_tools_of
from ringfence_gemini.planning import NativePlan, make_plan
from ringfence_gemini.prices import price_usd
from ringfence_gemini.reading import Streamed, Whole
from ringfence_gemini.sound import Recording

if TYPE_CHECKING:
    from ringfence.grant import Grant
    from ringfence.recipient import Recipient
    from ringfence.request import Request
    from ringfence.response import ProviderEvent, Usage


class GeminiProvider(Provider):
    """Gemini models at Google, or at a `url` that speaks the same API."""

    manifest: ClassVar[Manifest] = load_manifest("ringfence_gemini")

    def __init__(self) -> None:
        self._exchanges: Exchanges | None = None

    # ------------------------------------------------------------ life

    async def open(self, context: ProviderContext) -> None:
        """Takes the context. Imports no SDK and reaches nothing.

        Raises:
            InvalidRequest: there are options; this provider has none.
        """
        if context.options:
            raise InvalidRequest(
                f"the provider gemini has no option '{next(iter(context.options))}'",
                way_out="options: of the recipient in the policy",
            )
        self._exchanges = Exchanges(context, self.manifest)

    async def close(self) -> None:
        """Ends every exchange; running requests get `Closed`. Idempotent."""
        exchanges, self._exchanges = self._exchanges, None
        if exchanges is not None:
            await exchanges.close()

    # ------------------------------------------------------------ models

    async def models(self) -> Sequence[ModelCard]:
        """The models known by name; another name is used as it is."""
        return [card_of(name) for name in KNOWN_MODELS]

    async def availability(self, recipient: Recipient) -> Availability:
        """Whether there is a key, and whether the options make sense; sends nothing."""
        try:
            place_of(recipient)
            model_path(recipient.model)
        except InvalidRequest as error:
            return NotAvailable(reason="not_configured", detail=error.message, way_out=error.way_out or "")
        secret = recipient.credential(self.manifest.secret)
        if secret is not None and not secret.present():
            return NotAvailable(reason="not_configured", detail=f"no key in '{secret.source}'", way_out=secret.way_out)
        return Available()

    async def card(self, recipient: Recipient) -> ModelCard:
        """The facts of the model of `recipient`; little is promised of a name that is not known."""
        return card_of(recipient.model)

    def price_usd(self, recipient: Recipient, usage: Usage) -> float | None:
        """The price of `usage` in US dollars; `None` where it is not known."""
        return price_usd(recipient, usage)

    # ------------------------------------------------------------ requests

    def plan(self, request: Request, recipient: Recipient, card: ModelCard) -> Plan[object]:
        """Translates; pure.

        Raises:
            Unsupported: a setting, part or tool that this model cannot honour.
        """
        return make_plan(request, card, server_tools_of(recipient))

    async def run(self, plan: Plan[object], grant: Grant) -> AsyncGenerator[ProviderEvent, None]:
        """Answers `plan` under `grant`; closing the generator cuts the connection at once."""
        # INVARIANT 4: nothing leaves before the grant is spent.
        sending = grant.spend(plan.request)
        native = _native(plan, "generate")
        exchanges = self._here()
        reader = _reader(native)
        phase: Phase = "connect"
        failure: RingfenceError | None = None
        try:
            with sending:
                response = await exchanges.begin(grant, native.path, native.body)
            phase = "before_first_event"
            try:
                async with aclosing(response.aiter_bytes()) as pieces:
                    async for piece in pieces:
                        for event in reader.feed(piece):
                            phase = "mid_stream"
                            yield event
                for event in reader.end():
                    phase = "mid_stream"
                    yield event
            finally:
                await exchanges.end(response)
        except Exception as error:  # noqa: BLE001  (whatever it is, it becomes one of ours)
            failure = _mapped(error, phase, exchanges)
        # INVARIANT 7: raised out here, it has no foreign exception behind it that holds the request or the key.
        if failure is not None:
            raise failure

    async def embed(self, plan: Plan[object], grant: Grant) -> Embeddings:
        """Vectors of the texts of `plan`, in order, scaled to norm 1. Tokens that the API does not count are 0."""
        sending = grant.spend(plan.request)
        native = _native(plan, "embed")
        with sending:
            body = await self._ask(grant, native.path, native.body)
        return embeddings_of(body, native.texts)

    async def count_tokens(self, plan: Plan[object], grant: Grant) -> int:
        """The tokens of the prompt of `plan` as the API counts them, instructions and tools included."""
        sending = grant.spend(plan.request)
        path, body = _native(plan, "generate").counting()
        with sending:
            return count_of(await self._ask(grant, path, body))

    async def diagnose(self) -> Sequence[Finding]:
        """Whether the SDK can be found; imports nothing, sends nothing."""
        return [sdk()]

    # ------------------------------------------------------------ inside

    def _here(self) -> Exchanges:
        if self._exchanges is None:
            raise Closed("the provider gemini is closed", way_out="make a new assistant")
        return self._exchanges

    async def _ask(self, grant: Grant, path: str, body: bytes) -> bytes:
        exchanges = self._here()
        try:
            return await exchanges.ask(grant, path, body)
        except Exception as error:  # noqa: BLE001  (as in run)
            failure = _mapped(error, "connect", exchanges)
        raise failure


def _mapped(error: Exception, phase: Phase, exchanges: Exchanges) -> RingfenceError:
    mapped = as_provider_error(error, phase)
    if exchanges.closed and not isinstance(mapped, Closed | GateError):
        return Closed("the provider gemini was closed during the request", way_out="make a new assistant")
    if isinstance(mapped, ProviderError) and phase in {"before_first_event", "mid_stream"}:
        mapped.phase = phase
    return mapped


def _reader(native: NativePlan) -> Streamed | Whole:
    answer = Answer(None if native.sound_format is None else Recording(native.sound_format))
    return Streamed(answer) if native.streamed else Whole(answer)


def _native(plan: Plan[object], kind: str) -> NativePlan:
    native = cast("NativePlan", plan.native)
    if native.kind != kind:
        raise Unsupported(f"the plan is for '{native.kind}'", setting="task", way_out=f"use it for {native.kind}")
    return native


__all__ = ["GeminiProvider"]
