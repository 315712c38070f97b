"""Tools under a policy: what may reach them, what their results carry, and where that ends the loop."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.core.support import records, shown
from tests.core.tool_support import SaysYes, calls, look_up, one, results

from ringfence import (
    AsyncAssistant,
    ConsentRequest,
    InvalidRequest,
    Policy,
    ToolCallPart,
    ToolResult,
    tool,
)
from ringfence.errors import Denied
from ringfence.policy import read_policy
from ringfence.testing import ScriptedProvider

DETECTING = """\
version: 1
name: detecting
recipients:
  first: {ring: partner, provider: first, model: m}
labels:
  public: {}
  contact: {detect: [email]}
  work: {declare: true}
  unclassified: {}
unknown: unclassified
clean: public
tools:
  look_up: {ring: device}
  publish: {ring: house}
flow:
  - {id: device-any, allow: {labels: "*", to: [device]}}
  - {id: partner-some, allow: {labels: [public, work], to: [partner]}, consent: ask}
route:
  - {id: only, prefer: [first]}
"""


def detecting() -> Policy:
    return read_policy(DETECTING)


def consenting(provider: ScriptedProvider, audit: Path | bool = False) -> AsyncAssistant:
    return AsyncAssistant(detecting(), providers={"first": provider}, audit=audit, consent=lambda _: True)


async def test_a_result_that_carries_more_than_the_recipient_may_have_ends_the_request(tmp_path: Path) -> None:
    provider = ScriptedProvider(calls(("look_up", {"name": "ada"})), "never")
    async with consenting(provider, tmp_path) as it:
        with pytest.raises(Denied) as caught:
            await it.respond("Who is that?", tools=[look_up])
    assert len(provider.requests) == 1
    assert caught.value.decision.labels == ("contact", "public")
    assert caught.value.receipt is not None
    assert caught.value.receipt.outcome == "denied"
    assert [record["outcome"] for record in records(tmp_path)] == ["answered", "denied"]
    assert "ada" not in shown(caught.value)


async def test_a_clean_result_goes_back_and_carries_the_labels_of_the_request() -> None:
    provider = ScriptedProvider(calls(("look_up", {"name": "bob"})), "Done.")
    async with consenting(provider) as it:
        response = await it.respond("Who is that?", tools=[look_up], labels={"work"})
    (result,) = results(provider)
    assert result.labels == {"work"}
    assert response.labels == result.labels


async def test_a_consent_covers_the_later_calls_of_the_same_request() -> None:
    person = SaysYes[ConsentRequest]()
    provider = ScriptedProvider(calls(("look_up", {"name": "bob"})), calls(("look_up", {"name": "eve"})), "Done.", "b")
    async with AsyncAssistant(detecting(), providers={"first": provider}, audit=False, consent=person) as it:
        response = await it.respond("Who is that?", tools=[look_up])
        assert [request.labels for request in person.asked] == [("public",)]
        assert [receipt.consented for receipt in response.receipts] == [True, True, True]
        await it.respond("And now?", tools=[look_up])
    assert [request.labels for request in person.asked] == [("public",), ("public",)]


async def test_a_result_with_a_new_label_is_asked_about_again() -> None:
    person = SaysYes[ConsentRequest]()

    @tool(name="look_up")
    def diary(day: str) -> ToolResult:
        return ToolResult(f"{day}: meeting", labels=frozenset({"work"}))

    provider = ScriptedProvider(calls(("look_up", {"day": "Monday"})), "Done.")
    async with AsyncAssistant(detecting(), providers={"first": provider}, audit=False, consent=person) as it:
        await it.respond("x", tools=[diary])
    assert [request.labels for request in person.asked] == [("public",), ("public", "work")]
    assert results(provider)[0].labels == {"public", "work"}


def on_the_device(house_may_have: str) -> Policy:
    """The model may have everything; the tool `publish`, in the house, what is given."""
    text = DETECTING.replace("ring: partner, provider", "ring: device, provider")
    flow = f"  - {{id: house-some, allow: {{labels: [{house_may_have}], to: [house]}}}}\n"
    return read_policy("".join(flow if "partner-some" in line else line for line in text.splitlines(keepends=True)))


@pytest.mark.parametrize(
    ("house_may_have", "written", "allowed"),
    [
        ("work", "hello", False),
        ("public", "hello", True),
        # The model's own words hold an address: they count for the tool too.
        ("public", "ada@example.org", False),
        ("public, contact", "ada@example.org", True),
    ],
)
async def test_a_declared_tool_gets_only_what_the_policy_lets_it_reach(
    house_may_have: str, written: str, allowed: bool
) -> None:
    ran: list[str] = []
    person = SaysYes[ToolCallPart]()

    def publish(text: str) -> str:
        ran.append(text)
        return "out"

    provider = ScriptedProvider(calls(("publish", {"text": written})), "Done.")
    async with AsyncAssistant(on_the_device(house_may_have), providers={"first": provider}, audit=False) as it:
        await it.respond("x", tools=[publish], approve=person)
    assert ran == ([written] if allowed else [])
    labels = {"public", "contact"} if "@" in written else {"public"}
    assert [call.labels for call in person.asked] == ([labels] if allowed else [])
    (result,) = results(provider)
    assert result.is_error is not allowed
    assert result.text == ("out" if allowed else "the policy does not let this conversation reach this tool")


class SaysIt:
    """An app that answers every question alike."""

    def __init__(self, answer: bool) -> None:
        self.answer = answer

    def __call__(self, call: ToolCallPart) -> bool:
        return self.answer


@pytest.mark.parametrize("answer", [True, False, None], ids=["approved", "refused", "nobody to ask"])
async def test_a_tool_that_flow_lets_through_only_with_consent_needs_approval(answer: bool | None) -> None:
    ran: list[str] = []

    def publish(text: str) -> str:
        ran.append(text)
        return "out"

    text = DETECTING.replace("publish: {ring: house}", "publish: {ring: partner}")
    options: Any = {} if answer is None else {"approve": SaysIt(answer)}
    provider = ScriptedProvider(calls(("publish", {"text": "hello"})), "Done.")
    async with AsyncAssistant(
        read_policy(text), providers={"first": provider}, audit=False, consent=lambda _: True
    ) as it:
        await it.respond("x", tools=[publish], **options)
    assert ran == (["hello"] if answer else [])
    assert results(provider)[0].is_error is not bool(answer)


async def test_the_result_of_an_undeclared_tool_is_unknown() -> None:
    def other() -> str:
        return "nothing special"

    provider = ScriptedProvider(calls(("other", {}), ("look_up", {"name": "bob"})), "never")
    async with consenting(provider) as it:
        with pytest.raises(Denied) as caught:
            await it.respond("x", tools=[other, look_up])
    assert caught.value.decision.labels == ("public", "unclassified")


async def test_a_label_that_the_policy_does_not_know_is_the_apps_mistake() -> None:
    def odd() -> ToolResult:
        return ToolResult("x", labels=frozenset({"heatlh"}))

    async with one(ScriptedProvider(calls(("odd", {})), "never")) as it:
        with pytest.raises(InvalidRequest, match="label 'heatlh' is not declared"):
            await it.respond("x", tools=[odd])
