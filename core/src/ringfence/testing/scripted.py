"""A scripted provider: the double that apps and plugin authors test against. It speaks the real interface."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, cast, get_args

from ringfence.errors import Closed, InvalidRequest, ProviderError
from ringfence.grant import Grant
from ringfence.provider import (
    INTERFACE_VERSION,
    Availability,
    Available,
    Manifest,
    ModelCard,
    Plan,
    Provider,
    ProviderContext,
)
from ringfence.recipient import Recipient
from ringfence.request import Request
from ringfence.response import (
    Finish,
    ProviderEvent,
    TextDelta,
    TextEnd,
    TextStart,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    Usage,
    UsageReport,
)


def text_events(*chunks: str, finish: Finish | None = None) -> tuple[ProviderEvent, ...]:
    """The events of a plain text answer in the given chunks."""
    return (
        TextStart(0),
        *(TextDelta(0, chunk) for chunk in chunks),
        TextEnd(0),
        UsageReport(usage=Usage(input_tokens=1, output_tokens=len(chunks))),
        finish or Finish("stop", "stop"),
    )


def call_events(name: str, /, **arguments: object) -> tuple[ProviderEvent, ...]:
    """The events of an answer that calls the tool `name` once."""
    return (
        ToolCallStart(0, f"call-{name}", name),
        ToolCallDelta(0, json.dumps(arguments)),
        ToolCallEnd(0),
        UsageReport(usage=Usage(input_tokens=1, output_tokens=1)),
        Finish("tool_calls", "tool_calls"),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """What one send does: yields `events`, each after `delay_s`, then raises `error` if there is one.

    `error_at` is the index of the event in whose place the error comes; by default it comes after the last.
    """

    events: Sequence[ProviderEvent] = field(default_factory=lambda: text_events("scripted"))
    error: BaseException | None = None
    error_at: int | None = None
    delay_s: float = 0.0


class ScriptedProvider(Provider):
    """Plays scripts in order, the last one again and again; `requests` keeps what it was sent, `cancelled` counts.

    `utilisations` are what it reports of each model, from the moment it is open; a test may change them. Every answer
    costs `cost_usd` dollars, by default nothing, so that a policy with a budget of money can be tried; `None` is a
    price that nobody knows. What is no script is refused here, with `InvalidRequest`.
    """

    manifest: ClassVar[Manifest] = Manifest(
        name="scripted",
        interface=INTERFACE_VERSION,
        summary="answers from a script",
        capabilities=frozenset({"text", "tools", "output_schema", "reasoning"}),
    )

    def __init__(
        self,
        *scripts: Script | Sequence[ProviderEvent] | str,
        availability: Mapping[str, Availability] | None = None,
        utilisation: Mapping[str, float] | None = None,
        cost_usd: float | None = 0.0,
    ) -> None:
        self._scripts = [_as_script(script) for script in scripts] or [Script()]
        self._availability = dict(availability or {})
        self._closed = False
        self.utilisations: dict[str, float] = dict(utilisation or {})
        self.cost_usd = cost_usd
        self.requests: list[Request] = []
        self.grants: list[Grant] = []
        self.opened = 0
        self.cancelled = 0

    async def open(self, context: ProviderContext) -> None:
        """Takes no options.

        Raises:
            InvalidRequest: there are some.
        """
        if context.options:
            raise InvalidRequest(f"the scripted provider has no option '{next(iter(context.options))}'")
        self.opened += 1
        self._closed = False

    async def close(self) -> None:
        """Refuses what comes later."""
        self._closed = True

    async def models(self) -> Sequence[ModelCard]:
        """One."""
        return [_card("scripted", self.manifest)]

    async def availability(self, recipient: Recipient) -> Availability:
        """What the test said of the model, else available."""
        return self._availability.get(recipient.model, Available())

    def utilisation(self, recipient: Recipient) -> float | None:
        """What the test said of the model, else not known."""
        return self.utilisations.get(recipient.model)

    def price_usd(self, recipient: Recipient, usage: Usage) -> float | None:  # noqa: ARG002  (the same for all)
        """What the test said."""
        return self.cost_usd

    async def card(self, recipient: Recipient) -> ModelCard:
        """A card for any name."""
        return _card(recipient.model, self.manifest)

    def plan(self, request: Request, recipient: Recipient, card: ModelCard) -> Plan[object]:  # noqa: ARG002
        """Takes every setting."""
        return Plan(request=request, card=card, native=None)

    async def run(self, plan: Plan[object], grant: Grant) -> AsyncGenerator[ProviderEvent, None]:
        """Plays the next script.

        Raises:
            BaseException: what the script says.
        """
        grant.spend(plan.request)
        if self._closed:
            raise Closed("the scripted provider is closed")
        grant.connected = True
        self.requests.append(plan.request)
        self.grants.append(grant)
        script = self._scripts[min(len(self.requests), len(self._scripts)) - 1]
        try:
            for index, event in enumerate(script.events):
                if script.delay_s:
                    await asyncio.sleep(script.delay_s)
                if script.error is not None and index == script.error_at:
                    raise script.error
                yield event
            if script.error is not None and script.error_at is None:
                raise script.error
        except (GeneratorExit, asyncio.CancelledError):
            self.cancelled += 1
            raise


def _card(model: str, manifest: Manifest) -> ModelCard:
    return ModelCard(name=model, context_tokens=1_000_000, capabilities=manifest.capabilities)


def _as_script(given: Script | Sequence[ProviderEvent] | str) -> Script:
    if isinstance(given, Script):
        return given
    events = text_events(given) if isinstance(given, str) else given
    if not _are_events(events):
        raise _no_script(given)
    return Script(events=events)


def _are_events(given: object) -> bool:
    kinds = get_args(ProviderEvent)
    return isinstance(given, Sequence) and all(isinstance(one, kinds) for one in cast("Sequence[object]", given))


def _no_script(given: object) -> InvalidRequest:
    """Names types alone: what a test answers with may be content."""
    kind = type(given).__name__
    what, way_out = f"'{kind}'", 'a text, events such as text_events("Paris."), or failing(error)'
    match given:
        case BaseException():
            way_out = f"failing({kind}(…))"
        case Sequence():
            what = f"'{kind}' that holds what is no event"
            way_out = 'ScriptedProvider("one answer", "the next"), or text_events("chunk", "chunk")'
        case _:
            pass
    return InvalidRequest(f"a script of the scripted provider cannot be {what}", way_out=way_out)


def failing(error: ProviderError, *, after: Sequence[ProviderEvent] = ()) -> Script:
    """A send that yields `after` and then fails with `error`."""
    return Script(events=after, error=error)
