"""The smallest honest provider: every setting is honoured, reported or refused, and nothing runs without a grant."""

from collections.abc import AsyncGenerator, Sequence
from typing import cast

from ringfence.errors import Closed, InvalidRequest, Unsupported
from ringfence.grant import Grant
from ringfence.provider import Availability, Available, ModelCard, NotAvailable, Plan, Provider, ProviderContext
from ringfence.recipient import Recipient
from ringfence.registry import load_manifest
from ringfence.request import Request, TextPart
from ringfence.response import Adjustment, Finish, ProviderEvent, TextDelta, TextEnd, TextStart, Usage, UsageReport

CARD = ModelCard(name="echo-1", context_tokens=4096, capabilities=frozenset({"text"}))
OTHER_TASKS = {"image", "embed", "transcribe", "speak"}


class EchoProvider(Provider):
    """Says the last message again."""

    manifest = load_manifest("ringfence_echo")

    def __init__(self) -> None:
        self._open = False

    async def open(self, context: ProviderContext) -> None:
        """Takes no options."""
        if context.options:
            raise InvalidRequest(f"echo has no option '{next(iter(context.options))}'")
        self._open = True

    async def close(self) -> None:
        """Refuses what comes later; there is nothing to free."""
        self._open = False

    async def models(self) -> Sequence[ModelCard]:
        """One."""
        return [CARD]

    async def availability(self, recipient: Recipient) -> Availability:
        """Always, unless the policy gives it options, of which it has none."""
        if recipient.options:
            return NotAvailable(reason="not_configured", detail="echo has no options", way_out="remove the options")
        return Available()

    async def card(self, recipient: Recipient) -> ModelCard:
        """The same for every name."""
        return CARD

    def plan(self, request: Request, recipient: Recipient, card: ModelCard) -> Plan[object]:
        """Translates; pure. Every setting is honoured, listed in `adjustments`, or refused."""
        refuse_what_echo_cannot(request)
        settings = request.settings
        asked = [name for name in type(settings).__slots__ if getattr(settings, name) not in (None, ())]
        ignored = tuple(Adjustment(setting=name, action="ignored", detail="echo only echoes") for name in asked)
        return Plan(request=request, card=card, native=request.messages[-1].text.split(), adjustments=ignored)

    async def run(self, plan: Plan[object], grant: Grant) -> AsyncGenerator[ProviderEvent, None]:
        """The only execution path; closing it is cancelling."""
        grant.spend(plan.request)  # first of all: without it nothing may be sent
        if not self._open:
            raise Closed("echo is closed")
        grant.connected = True  # the backend has the request
        words = cast("list[str]", plan.native)  # what plan() made
        yield TextStart(0)
        for word in words:
            yield TextDelta(0, f"{word} ")
        yield TextEnd(0)
        yield UsageReport(usage=Usage(input_tokens=len(words), output_tokens=len(words)))
        yield Finish("stop", "end of echo")


def refuse_what_echo_cannot(request: Request) -> None:
    """Raises Unsupported for all but text: what is left out silently would be another answer."""
    if request.task in OTHER_TASKS:
        raise Unsupported("echo only echoes text", setting="task")
    if request.tools or request.output is not None:
        raise Unsupported("echo has no tools and no structured output", setting="tools")
    if request.provider_options:
        raise Unsupported("echo has no options", setting="provider_options")
    if any(not isinstance(part, TextPart) for message in request.messages for part in message.parts):
        raise Unsupported("echo reads nothing but text", setting="messages")
