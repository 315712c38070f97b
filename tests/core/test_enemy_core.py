"""What an enemy of the core tried: a cancellation at the worst moment, options for others, content in settings."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any, cast

import pytest
from tests.core.support import CANARY, ONCE, policy_text, shown, until

from ringfence import AsyncAssistant, Settings
from ringfence.errors import InvalidRequest, ProtocolViolated, StreamBroken
from ringfence.grant import Grant
from ringfence.policy import Policy, read_policy
from ringfence.provider import Embeddings, ModelCard, Plan
from ringfence.recipient import Recipient
from ringfence.request import Message, Request, TextPart, Tool
from ringfence.response import (
    Finish,
    ProviderEvent,
    ReasoningEnd,
    ReasoningStart,
    TextEnd,
    ToolCallEnd,
    ToolCallStart,
    Usage,
    UsageReport,
)
from ringfence.testing import Script, ScriptedProvider


class SlowToClose(ScriptedProvider):
    """Breaks the grammar at once, then takes its time to clean up."""

    def __init__(self) -> None:
        super().__init__()
        self.closing = asyncio.Event()

    async def run(self, plan: Plan[object], grant: Grant) -> AsyncGenerator[ProviderEvent, None]:
        grant.spend(plan.request)
        try:
            yield TextEnd(0)
        finally:
            self.closing.set()
            await asyncio.sleep(60)


async def test_a_request_cancelled_while_its_provider_cleans_up_is_on_record_as_sent() -> None:
    provider = SlowToClose()
    async with AsyncAssistant(
        read_policy(policy_text()), providers={"first": provider}, audit=False, retry=ONCE
    ) as assistant:
        stream = assistant.stream("hello")
        drawing = asyncio.create_task(stream.response())
        await provider.closing.wait()
        drawing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await drawing
    receipt = stream.receipt
    assert receipt is not None
    assert (receipt.outcome, receipt.recipient, receipt.input_bytes) == ("cancelled", "first", 5)
    assert [attempt.recipient for attempt in receipt.attempts] == ["first"]


async def test_the_options_for_one_provider_never_reach_another() -> None:
    provider = ScriptedProvider("an answer")
    async with AsyncAssistant(read_policy(policy_text()), providers={"first": provider}, audit=False) as assistant:
        await assistant.respond("hello", provider_options={"first": {"fast": True}, "openai": {"user": "someone"}})
        await assistant.respond("hello", provider_options={"openai": {"user": "someone"}})
    assert [request.provider_options for request in provider.requests] == [{"first": {"fast": True}}, {}]


_HEAD_WITH_DETECTOR = """\
version: 1
labels:
  public: {}
  contact: {detect: [email]}
  unclassified: {}
unknown: unclassified
clean: public
"""
_ONLY_PUBLIC = """\
flow:
  - id: public-only
    allow: {labels: [public], to: [house]}
"""


@pytest.fixture
def only_public() -> Policy:
    return read_policy(policy_text(flow=_ONLY_PUBLIC, head=_HEAD_WITH_DETECTOR))


_PLAIN = "How tall is Mount Fuji?"
_ADDRESS = "someone@example.com"
_CARRIERS: dict[str, dict[str, Any]] = {
    "a stop sequence": {"settings": Settings(stop=("end", _ADDRESS))},
    "a provider option": {"provider_options": {"first": {"metadata": {"user": [_ADDRESS]}}}},
    "the name of a provider option": {"provider_options": {"first": {_ADDRESS: 1}}},
}


@pytest.mark.parametrize("carrier", _CARRIERS.values(), ids=_CARRIERS)
async def test_what_stands_in_settings_is_labelled_too(only_public: Policy, carrier: dict[str, Any]) -> None:
    async with AsyncAssistant(only_public, audit=False) as assistant:
        assert assistant.explain(_PLAIN, **carrier).labels == ("contact", "public")


async def test_provider_options_that_cannot_be_read_are_unknown(only_public: Policy) -> None:
    options: Any = {"first": {"key": object()}}
    async with AsyncAssistant(only_public, audit=False) as assistant:
        assert assistant.explain(_PLAIN, provider_options=options).labels == ("public", "unclassified")


async def test_plain_settings_bring_no_label(only_public: Policy) -> None:
    async with AsyncAssistant(only_public, audit=False) as assistant:
        decision = assistant.explain(
            _PLAIN, settings=Settings(stop=("\n",)), provider_options={"first": {"fast": True}}
        )
    assert decision.labels == ("public",)


@pytest.mark.parametrize(
    "fields", [{"name": 1}, {"name": ""}, {"name": "t", "description": b"x"}, {"name": "t", "parameters": 3}]
)
def test_a_tool_of_wrong_types_is_refused_where_it_is_made(fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        Tool(**fields)


def test_recipients_of_a_request_are_names_and_no_text_that_holds_them() -> None:
    to: Any = "first-and-second"
    with pytest.raises(InvalidRequest):
        Request(messages=(Message("user", (TextPart("hello"),)),), to=to)


_NEVER_RECORDED: dict[str, tuple[Any, ...]] = {
    "usage that is no usage": (UsageReport(usage=cast("Any", CANARY)), Finish("stop")),
    "tokens that are words": (UsageReport(usage=Usage(input_tokens=cast("Any", CANARY))), Finish("stop")),
    "fewer than no tokens": (UsageReport(usage=Usage(output_tokens=-1)), Finish("stop")),
    "a reason of its own": (Finish(cast("Any", CANARY)),),
    "a reason that is a list": (Finish(cast("Any", [CANARY])),),
}


@pytest.mark.parametrize("events", _NEVER_RECORDED.values(), ids=_NEVER_RECORDED)
async def test_a_provider_writes_nothing_of_its_own_into_a_receipt(events: tuple[Any, ...]) -> None:
    provider = ScriptedProvider(events)
    async with AsyncAssistant(read_policy(policy_text()), providers={"first": provider}, audit=False) as assistant:
        with pytest.raises(StreamBroken) as caught:
            await assistant.respond("hello")
    assert CANARY not in repr((caught.value, caught.value.receipt))
    assert caught.value.receipt is not None
    assert caught.value.receipt.outcome == "failed"


async def test_embeddings_that_are_no_counts_are_no_answer() -> None:
    class Embedder(ScriptedProvider):
        async def card(self, recipient: Recipient) -> ModelCard:
            return ModelCard(name=recipient.model, context_tokens=512, capabilities=frozenset({"embed"}))

        async def embed(self, plan: Plan[object], grant: Grant) -> Embeddings:
            grant.spend(plan.request)
            return Embeddings(vectors=((1.0,),), dimensions=1, input_tokens=cast("Any", CANARY))

    async with AsyncAssistant(read_policy(policy_text()), providers={"first": Embedder()}, audit=False) as assistant:
        with pytest.raises(StreamBroken):
            await assistant.embed("hello")


_NO_TEXT: dict[str, tuple[Any, ...]] = {
    "a tool without a name": (ToolCallStart(0, "id", cast("Any", 2)), ToolCallEnd(0), Finish("tool_calls")),
    "a state that is no text": (ReasoningStart(0), ReasoningEnd(0, state=cast("Any", 5)), Finish("stop")),
}


@pytest.mark.parametrize("events", _NO_TEXT.values(), ids=_NO_TEXT)
async def test_a_fault_of_a_provider_is_never_laid_at_the_callers_door(events: tuple[Any, ...]) -> None:
    provider = ScriptedProvider(events)
    async with AsyncAssistant(read_policy(policy_text()), providers={"first": provider}, audit=False) as assistant:
        with pytest.raises(StreamBroken, match="broke the event grammar"):
            await assistant.respond("hello")


async def test_a_stream_may_be_closed_by_several_at_once() -> None:
    provider = ScriptedProvider(Script(delay_s=60))
    async with AsyncAssistant(read_policy(policy_text()), providers={"first": provider}, audit=False) as assistant:
        stream = assistant.stream("hello")
        drawing = asyncio.create_task(anext(stream, None))
        await until(lambda: bool(provider.requests))
        async with asyncio.timeout(5):
            await asyncio.gather(stream.aclose(), stream.aclose(), stream.aclose())
            assert await drawing is None
    assert provider.cancelled == 1


async def test_a_close_that_was_cancelled_can_be_done_again() -> None:
    class Slow(ScriptedProvider):
        closed = 0

        async def close(self) -> None:
            await asyncio.sleep(0.02)
            self.closed += 1

    providers = {"first": Slow(), "second": Slow()}
    assistant = AsyncAssistant(read_policy(policy_text(providers)), providers=providers, audit=False)
    for name in providers:
        await assistant.respond("hello", to=name)
    closing = asyncio.create_task(assistant.close())
    await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    await assistant.close()
    assert [provider.closed for provider in providers.values()] == [1, 1]


@pytest.mark.parametrize("fails_in", ["open", "availability", "prewarm"])
async def test_what_a_plugin_raises_while_it_is_prewarmed_is_not_shown(fails_in: str) -> None:
    async def fail(*_: object) -> None:
        raise ValueError(CANARY)

    provider = ScriptedProvider()
    setattr(provider, fails_in, fail)
    async with AsyncAssistant(read_policy(policy_text()), providers={"first": provider}, audit=False) as assistant:
        with pytest.raises(ProtocolViolated) as caught:
            await assistant.prewarm("first")
    assert CANARY not in shown(caught.value)
