"""A provider that answers from a recording."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Literal, TypeAlias, cast

from ringfence.errors import Unavailable
from ringfence.grant import Grant
from ringfence.provider import (
    Availability,
    Available,
    Embeddings,
    Manifest,
    ModelCard,
    NotAvailable,
    Plan,
    Provider,
    ProviderContext,
)
from ringfence.recipient import Recipient
from ringfence.request import Request
from ringfence.response import ProviderEvent
from ringfence.testing.replay import file
from ringfence.testing.replay.event_json import (
    Plain,
    adjustments_from_plain,
    card_from_plain,
    embeddings_from_plain,
    event_from_plain,
)
from ringfence.testing.replay.fingerprint import Fingerprint, differences, fingerprint
from ringfence.testing.replay.scrub import SCRUBBED, Rule, fitted_events

_Kind: TypeAlias = Literal["events", "embeddings", "tokens"]
_WAY_OUT = "record it: recording(provider, path) in place of replaying(path)"


def replaying(path: str | os.PathLike[str]) -> Provider:
    """The provider that was recorded in the file at `path`, without it: no key, no network.

    A request that was recorded several times gets its answers in their order, the last again and again.

    Raises:
        InvalidRequest: there is no recording, or one of a version that is not known here.
    """
    recorded = file.read(Path(path))
    manifest_ = replace(recorded.manifest, hosts=())

    class Replaying(_Replayer):
        manifest: ClassVar[Manifest] = manifest_

    return Replaying(Path(path).name, recorded.rule, recorded.exchanges)


class _Replayer(Provider):
    def __init__(self, name: str, rule: Rule, exchanges: Sequence[Plain]) -> None:
        self._name = name
        self._rule = rule
        self._exchanges = exchanges
        self._cards = {exchange["model"]: card_from_plain(exchange["card"]) for exchange in exchanges}
        self._played: dict[tuple[str, _Kind], int] = {}

    async def open(self, context: ProviderContext) -> None:
        # The options are the recorded provider's: an app gives both the same.
        pass

    async def close(self) -> None:
        pass

    async def models(self) -> Sequence[ModelCard]:
        return list(self._cards.values())

    async def availability(self, recipient: Recipient) -> Availability:
        if recipient.model in self._cards:
            return Available()
        detail = f"the recording '{self._name}' has no answer of model '{recipient.model}'"
        return NotAvailable(reason="no_model", detail=detail, way_out=_WAY_OUT)

    async def card(self, recipient: Recipient) -> ModelCard:
        if recipient.model in self._cards:
            return self._cards[recipient.model]
        raise Unavailable(
            f"the recording '{self._name}' has no answer of model '{recipient.model}'",
            reason="no_model",
            way_out=_WAY_OUT,
        )

    def plan(self, request: Request, recipient: Recipient, card: ModelCard) -> Plan[object]:
        asked = fingerprint(request, recipient.model, self._rule)
        found = [exchange for exchange in self._exchanges if exchange["request"] == asked]
        if not found:
            raise self._unknown(asked)
        adjustments = adjustments_from_plain(found[0]["adjustments"])
        return Plan(request=request, card=card, native=found, adjustments=adjustments)

    def _unknown(self, asked: Fingerprint) -> Unavailable:
        distances = [differences(asked, exchange["request"]) for exchange in self._exchanges]
        nearest = min(distances, key=len) if distances else ["everything"]
        return Unavailable(
            f"the recording '{self._name}' has no answer to this request; "
            f"the nearest of {len(distances)} differs in: {', '.join(nearest)}",
            reason="not_configured",
            way_out=_WAY_OUT,
        )

    async def run(self, plan: Plan[object], grant: Grant) -> AsyncGenerator[ProviderEvent, None]:
        exchange = self._take(plan, grant, "events")
        events = [event_from_plain(event) for event in exchange["events"]]
        for event in fitted_events(events, plan.request) if exchange.get(SCRUBBED) else events:
            yield event

    async def embed(self, plan: Plan[object], grant: Grant) -> Embeddings:
        return embeddings_from_plain(self._take(plan, grant, "embeddings")["embeddings"])

    async def count_tokens(self, plan: Plan[object], grant: Grant) -> int:
        tokens: int = self._take(plan, grant, "tokens")["tokens"]
        return tokens

    def _take(self, plan: Plan[object], grant: Grant, kind: _Kind) -> Plain:
        """The exchange with the next answer of this kind to the planned request."""
        grant.spend(plan.request)
        found = [exchange for exchange in cast("list[Plain]", plan.native) if kind in exchange]
        if not found:
            raise Unavailable(
                f"the recording '{self._name}' has an answer to this request, but no {kind}",
                reason="not_configured",
                phase="before_first_event",
                way_out=_WAY_OUT,
            )
        grant.connected = True
        key = (json.dumps(found[0]["request"], sort_keys=True), kind)
        turn = self._played.get(key, 0)
        self._played[key] = turn + 1
        return found[min(turn, len(found) - 1)]
