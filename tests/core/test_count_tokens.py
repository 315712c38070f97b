"""Counting tokens is a send: decided, granted, consented to and on record, and never an answer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.core.support import NO_WAIT, assistant, policy, records
from typing_extensions import override

from ringfence import Assistant, AsyncAssistant, ConsentRequest, Message, Policy, TextPart
from ringfence.errors import Closed, ConsentRefused, Denied, InvalidRequest, Overloaded, ProtocolViolated, Unsupported
from ringfence.grant import Grant
from ringfence.policy import read_policy
from ringfence.provider import ModelCard, Plan
from ringfence.recipient import Recipient
from ringfence.response import Usage
from ringfence.testing import ScriptedProvider

ASKING = """\
version: 1
recipients:
  out: {ring: partner, provider: out, model: m}
labels:
  unclassified: {}
unknown: unclassified
flow:
  - {id: asked, allow: {labels: "*", to: [partner]}, consent: ask}
route:
  - {id: only, prefer: [out]}
"""


class Counting(ScriptedProvider):
    """Counts the characters of the prompt, or what `count` says, after it has sent the prompt."""

    def __init__(self, count: Callable[[], int] | None = None, *, sends: bool = True) -> None:
        super().__init__("an answer")
        self.counted: list[Plan[object]] = []
        self._count = count
        self._sends = sends

    @override
    async def card(self, recipient: Recipient) -> ModelCard:
        return ModelCard(name=recipient.model, context_tokens=100, capabilities=frozenset({"text", "count_tokens"}))

    async def count_tokens(self, plan: Plan[object], grant: Grant) -> int:
        self.grants.append(grant)
        if self._sends:
            grant.spend(plan.request)
        self.counted.append(plan)
        return self._count() if self._count else sum(len(message.text) for message in plan.request.messages)

    def price_usd(self, recipient: Recipient, usage: Usage) -> float | None:
        return 1.0


def asking() -> Policy:
    return read_policy(ASKING)


async def test_the_count_is_the_providers_and_on_record(tmp_path: Path) -> None:
    first = Counting()
    async with assistant(policy("first"), tmp_path, first=first) as it:
        assert await it.count_tokens("four", instructions="six") == 7
        assert await it.count_tokens([Message("user", (TextPart("12"),))]) == 2
    assert first.requests == []
    plan = first.counted[0]
    assert [message.role for message in plan.request.messages] == ["system", "user"]
    assert not plan.request.stream
    record = records(tmp_path)[0]
    assert (record["outcome"], record["recipient"], record["task"]) == ("answered", "first", "open_question")
    assert (record["input_bytes"], record["output_bytes"]) == (7, 0)
    assert (record["input_tokens"], record["output_tokens"]) == (7, None)
    assert record["cost_usd"] is None
    assert all(repr(grant).endswith("over)") for grant in first.grants)


async def test_one_that_counts_without_sending_is_on_record_too(tmp_path: Path) -> None:
    async with assistant(policy("first"), tmp_path, first=Counting(sends=False)) as it:
        assert await it.count_tokens("four") == 4
    assert [record["recipient"] for record in records(tmp_path)] == ["first"]


async def test_a_recipient_that_cannot_count_is_passed_over() -> None:
    first, second = ScriptedProvider(), Counting()
    async with assistant(policy("first", "second"), first=first, second=second) as it:
        assert await it.count_tokens("four") == 4
        with pytest.raises(Unsupported, match="the tokens of model 'm' cannot be counted"):
            await it.count_tokens("four", to="first")
    assert first.requests == []
    assert first.grants == []


async def test_a_count_that_may_not_leave_is_denied() -> None:
    first = Counting()
    flow = "flow:\n  - {id: some, allow: {labels: [public], to: [house]}}\n"
    async with assistant(policy("first", flow=flow), first=first) as it:
        with pytest.raises(Denied):
            await it.count_tokens("four")
    assert first.counted == []


@pytest.mark.parametrize("answer", [True, False])
async def test_a_person_is_asked_where_the_policy_says_so(answer: bool) -> None:
    asked: list[ConsentRequest] = []

    async def ask(request: ConsentRequest) -> bool:
        asked.append(request)
        return answer

    out = Counting()
    async with AsyncAssistant(asking(), providers={"out": out}, audit=False, consent=ask) as it:
        if answer:
            assert await it.count_tokens("four") == 4
        else:
            with pytest.raises(ConsentRefused):
                await it.count_tokens("four")
    assert [request.preview for request in asked] == ["four"]
    assert len(out.counted) == int(answer)


async def test_a_count_is_tried_again() -> None:
    left = [Overloaded("full")]

    def count() -> int:
        if left:
            raise left.pop()
        return 3

    first = Counting(count)
    async with assistant(policy("first"), retry=NO_WAIT, first=first) as it:
        assert await it.count_tokens("four") == 3
    assert len(first.counted) == 2


@pytest.mark.parametrize("count", [-1, True, 1.5, None])
async def test_what_is_no_count_is_refused(count: int) -> None:
    async with assistant(policy("first"), first=Counting(lambda: count)) as it:
        with pytest.raises(ProtocolViolated, match="counted no number"):
            await it.count_tokens("four")


async def test_the_arguments_are_those_of_a_request() -> None:
    first = Counting()
    async with assistant(policy("first"), first=first) as it:
        for wrong in ({"given": ""}, {"given": "x", "to": "nobody"}, {"given": "x", "colour": "blue"}):
            with pytest.raises(InvalidRequest):
                await it.count_tokens(**wrong)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    assert first.counted == []
    with pytest.raises(Closed):
        await it.count_tokens("x")


def test_counting_without_await() -> None:
    with Assistant(policy("first"), providers={"first": Counting()}, audit=False) as it:
        assert it.count_tokens("four") == 4
