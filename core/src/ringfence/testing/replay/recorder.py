"""A provider that passes everything on to another, and writes down what it answered."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from dataclasses import asdict
from pathlib import Path
from typing import ClassVar

from ringfence.errors import Unsupported
from ringfence.grant import Grant
from ringfence.provider import (
    Availability,
    CountsTokens,
    Embeddings,
    Embeds,
    Manifest,
    ModelCard,
    Plan,
    Prewarms,
    Prices,
    Provider,
    ProviderContext,
    ReportsUtilisation,
)
from ringfence.recipient import Recipient
from ringfence.request import Request, label_set
from ringfence.response import Finish, ProviderEvent, Usage
from ringfence.testing.replay import file
from ringfence.testing.replay.event_json import Plain, described_to_plain, event_to_plain
from ringfence.testing.replay.fingerprint import fingerprint
from ringfence.testing.replay.scrub import SCRUBBED, Rule, scrubbed_embeddings, scrubbed_events


def recording(
    provider: Provider,
    path: str | os.PathLike[str],
    *,
    allow_labels: Iterable[str] = (),
    allow_unlabelled: bool = False,
) -> Provider:
    """`provider`, recording each complete answer at the end of the file at `path`.

    An answer is written as it is only if every part, tool and output schema of its request carries labels, all of them
    in `allow_labels`; `allow_unlabelled` lets those pass that carry none. Labels are those that the app declares: what
    detectors find does not reach a provider. What failed or was cut off is not recorded.

    Raises:
        InvalidRequest: the file is of another provider, or was made under other labels.
    """
    rule = Rule(allow_labels=label_set(tuple(allow_labels)), allow_unlabelled=allow_unlabelled)

    class Recording(_Recorder):
        manifest: ClassVar[Manifest] = provider.manifest

    file.begin(Path(path), provider.manifest, rule)
    return Recording(provider, Path(path), rule)


class _Recorder(Provider):
    def __init__(self, inner: Provider, path: Path, rule: Rule) -> None:
        self._inner = inner
        self._path = path
        self._rule = rule

    async def open(self, context: ProviderContext) -> None:
        await self._inner.open(context)

    async def close(self) -> None:
        await self._inner.close()

    async def models(self) -> Sequence[ModelCard]:
        return await self._inner.models()

    async def availability(self, recipient: Recipient) -> Availability:
        return await self._inner.availability(recipient)

    async def card(self, recipient: Recipient) -> ModelCard:
        return await self._inner.card(recipient)

    def plan(self, request: Request, recipient: Recipient, card: ModelCard) -> Plan[object]:
        return self._inner.plan(request, recipient, card)

    async def run(self, plan: Plan[object], grant: Grant) -> AsyncGenerator[ProviderEvent, None]:
        events: list[ProviderEvent] = []
        async with aclosing(self._inner.run(plan, grant)) as answer:
            async for event in answer:
                events.append(event)
                if isinstance(event, Finish):
                    # Now, because nobody need draw another event after the last.
                    whole = self._rule.keeps_all(plan.request)
                    kept = events if whole else scrubbed_events(events, plan.request)
                    marked: Plain = {} if whole else {SCRUBBED: True}
                    self._write(plan, grant, {**marked, "events": [event_to_plain(one) for one in kept]})
                yield event

    async def embed(self, plan: Plan[object], grant: Grant) -> Embeddings:
        if not isinstance(self._inner, Embeds):
            raise Unsupported(f"model '{plan.card.name}' makes no embeddings", setting="task")
        embeddings = await self._inner.embed(plan, grant)
        kept = embeddings if self._rule.keeps_all(plan.request) else scrubbed_embeddings(embeddings)
        self._write(plan, grant, {"embeddings": asdict(kept)})
        return embeddings

    async def count_tokens(self, plan: Plan[object], grant: Grant) -> int:
        if not isinstance(self._inner, CountsTokens):
            raise Unsupported(f"model '{plan.card.name}' does not count tokens", setting="task")
        tokens = await self._inner.count_tokens(plan, grant)
        self._write(plan, grant, {"tokens": tokens})
        return tokens

    async def prewarm(self, recipient: Recipient) -> None:
        if isinstance(self._inner, Prewarms):
            await self._inner.prewarm(recipient)

    def price_usd(self, recipient: Recipient, usage: Usage) -> float | None:
        return self._inner.price_usd(recipient, usage) if isinstance(self._inner, Prices) else None

    def utilisation(self, recipient: Recipient) -> float | None:
        return self._inner.utilisation(recipient) if isinstance(self._inner, ReportsUtilisation) else None

    def _write(self, plan: Plan[object], grant: Grant, answer: Plain) -> None:
        model = grant.recipient.model
        exchange: Plain = {
            "model": model,
            "card": described_to_plain(plan.card),
            "request": fingerprint(plan.request, model, self._rule),
            "adjustments": [asdict(adjustment) for adjustment in plan.adjustments],
            **answer,
        }
        file.append(self._path, exchange)
