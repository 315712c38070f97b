"""What an enemy of the core tried: a cancellation at the worst moment, options for others, content in settings."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from tests.core.support import ONCE, policy_text

from ringfence import AsyncAssistant, Settings
from ringfence.errors import InvalidRequest
from ringfence.grant import Grant
from ringfence.policy import Policy, read_policy
from ringfence.provider import Plan
from ringfence.request import Message, Request, TextPart, Tool
from ringfence.response import ProviderEvent, TextEnd
from ringfence.testing import ScriptedProvider


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
        await assistant.respond("hello", provider_options={"first": {"fast": True}, "second": {"user": "someone"}})
        await assistant.respond("hello", provider_options={"second": {"user": "someone"}})
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
