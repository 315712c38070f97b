"""Consent: nothing goes to a recipient that needs it before a person said yes; no answer and failure mean no."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import Any

import pytest
from tests.core.support import CANARY, NO_WAIT, shown

from ringfence import AsyncAssistant, Policy, Retry, Timeouts
from ringfence.errors import ConsentRefused, Overloaded, StreamBroken
from ringfence.policy import read_policy
from ringfence.privacy.consent import ConsentRequest
from ringfence.privacy.consent_record import ConsentRecord, identity_of
from ringfence.privacy.consents import Consent, ConsentDesk, Held
from ringfence.privacy.gate import Gate
from ringfence.privacy.labels import Labeller
from ringfence.provider import NotAvailable
from ringfence.request import Message, Request, TextPart
from ringfence.testing import ScriptedProvider, failing

_POLICY = """
version: 1
name: asks
recipients:
  first:  {ring: partner, provider: first, model: m1}
  second: {ring: partner, provider: second, model: m2}
  mlx:    {ring: device, provider: mlx, model: m3}
labels:
  public: {}
  contact: {declare: true}
  unclassified: {}
unknown: unclassified
flow:
  - id: device-any
    allow: {labels: "*", to: [device]}
  - id: partners
    allow: {labels: [public, contact], to: [partner]}
    consent: ask
PER
route:
  - id: only
    prefer: [first]
    fallback: [second, mlx]
"""


def _policy(per: str = "") -> Policy:
    return read_policy(_POLICY.replace("PER", per))


class Person:
    """Answers in turn, and remembers what was asked."""

    def __init__(self, *answers: object) -> None:
        self.answers = list(answers)
        self.asked: list[ConsentRequest] = []

    async def __call__(self, asked: ConsentRequest) -> bool:
        self.asked.append(asked)
        answer = self.answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return answer  # type: ignore[return-value]  # an app may answer anything

    @property
    def names(self) -> list[str]:
        return [one.recipient for one in self.asked]


def _assistant(person: Any, policy: Policy | None = None, retry: Retry = NO_WAIT, **providers: Any) -> AsyncAssistant:
    every = {"first": ScriptedProvider("1"), "second": ScriptedProvider("2"), "mlx": ScriptedProvider("3"), **providers}
    return AsyncAssistant(policy or _policy(), consent=person, providers=every, audit=False, retry=retry)


async def test_a_yes_lets_the_request_through_and_the_receipt_says_so() -> None:
    person = Person(True)
    async with _assistant(person) as it:
        response = await it.respond("hello", labels={"public"})
    assert response.text == "1"
    assert response.receipt.consented
    assert person.names == ["first"]


async def test_the_question_says_who_what_and_shows_exactly_what_would_be_sent() -> None:
    person, first = Person(True), ScriptedProvider("1")
    async with _assistant(person, first=first) as it:
        await it.respond("hello you", labels={"contact"}, task="rewrite")
    asked = person.asked[0]
    assert (asked.recipient, asked.ring, asked.model, asked.task) == ("first", "partner", "m1", "rewrite")
    assert asked.labels == ("contact",)
    assert asked.payload is first.requests[0]
    assert "hello you" in asked.preview
    assert "hello you" not in repr(asked)


@pytest.mark.parametrize("answer", [False, None, 1, "yes", ValueError(CANARY)], ids=repr)
async def test_anything_but_true_is_a_no_and_nothing_is_sent_there(answer: object) -> None:
    person, first = Person(answer, True), ScriptedProvider("1")
    async with _assistant(person, first=first) as it:
        response = await it.respond("hello", labels={"public"})
    assert first.requests == []
    assert (response.text, person.names) == ("2", ["first", "second"])
    assert response.receipt.attempts[0].error == "ConsentRefused"


async def test_without_a_callback_only_what_needs_no_consent_is_asked() -> None:
    first, second = ScriptedProvider("1"), ScriptedProvider("2")
    async with _assistant(None, first=first, second=second) as it:
        response = await it.respond("hello", labels={"public"})
    assert response.text == "3"
    assert not response.receipt.consented
    assert first.requests == second.requests == []


async def test_a_no_everywhere_is_an_error_that_says_so_and_holds_no_content() -> None:
    async with _assistant(Person(False, False)) as it:
        with pytest.raises(ConsentRefused) as caught:
            await it.respond(CANARY, labels={"public"}, to=["first", "second"])
    assert CANARY not in shown(caught.value)
    assert caught.value.receipt is not None
    assert [attempt.error for attempt in caught.value.receipt.attempts] == ["ConsentRefused"] * 2


async def test_nobody_is_asked_about_a_recipient_that_cannot_serve() -> None:
    gone = NotAvailable(reason="not_configured", detail="no key", way_out="set it")
    person = Person(True)
    async with _assistant(person, first=ScriptedProvider("1", availability={"m1": gone})) as it:
        assert (await it.respond("hello", labels={"public"})).text == "2"
    assert person.names == ["second"]


async def test_a_retry_asks_no_second_question() -> None:
    first = ScriptedProvider(failing(Overloaded("full")), "1")
    person = Person(True)
    async with _assistant(person, first=first) as it:
        assert (await it.respond("hello", labels={"public"})).text == "1"
    assert len(first.requests) == 2
    assert person.names == ["first"]


async def test_the_next_request_asks_again() -> None:
    person = Person(True, True)
    async with _assistant(person) as it:
        await it.respond("hello", labels={"public"})
        await it.respond("hello", labels={"public"})
    assert person.names == ["first", "first"]


@pytest.mark.parametrize(("answer", "text"), [(True, "2"), (False, "3")])
async def test_per_ring_one_answer_counts_for_every_recipient_of_the_ring(answer: bool, text: str) -> None:
    rules = _policy("consent:\n  partner: {per: ring, lasts: request}\n")
    person, first = Person(answer), ScriptedProvider(failing(StreamBroken("gone", phase="before_first_event")))
    async with _assistant(person, rules, first=first) as it:
        assert (await it.respond("hello", labels={"public"})).text == text
    assert person.names == ["first"]


async def test_per_recipient_the_next_one_is_asked_about_too() -> None:
    person, first = Person(True, True), ScriptedProvider(failing(StreamBroken("gone", phase="before_first_event")))
    async with _assistant(person, first=first) as it:
        assert (await it.respond("hello", labels={"public"})).text == "2"
    assert person.names == ["first", "second"]


async def test_a_question_may_take_longer_than_the_time_limits() -> None:
    async def slow(_: ConsentRequest) -> bool:
        await asyncio.sleep(0.2)
        return True

    every = {"first": ScriptedProvider("1"), "second": ScriptedProvider("2"), "mlx": ScriptedProvider("3")}
    limits = Timeouts(connect_s=0.1, first_event_s=0.1, total_s=0.15)
    async with AsyncAssistant(_policy(), consent=slow, providers=every, audit=False, timeouts=limits) as it:
        assert (await it.respond("hello", labels={"public"})).text == "1"


async def test_a_plain_function_is_asked_in_a_thread_and_may_block() -> None:
    def slow(_: ConsentRequest) -> bool:
        time.sleep(0.2)
        return True

    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.01)
            ticks += 1

    ticking = asyncio.create_task(tick())
    async with _assistant(slow) as it:
        assert (await it.respond("hello", labels={"public"})).text == "1"
    ticking.cancel()
    assert ticks > 3


async def test_cancelling_at_the_question_sends_nothing() -> None:
    asked = asyncio.Event()

    async def never(_: ConsentRequest) -> bool:
        asked.set()
        await asyncio.Event().wait()
        return True

    first = ScriptedProvider("1")
    async with _assistant(never, first=first) as it:
        task = asyncio.create_task(it.respond("hello", labels={"public"}))
        await asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert first.requests == []


# ------------------------------------------------------------------ the gate
def _prepared(gate: Gate, labels: frozenset[str] = frozenset({"public"})) -> Any:
    request = Request(messages=(Message("user", (TextPart("x", labels=labels),)),))
    return gate.prepare(gate.clear(request), "first")


def test_no_grant_without_the_consent_that_the_decision_asks_for() -> None:
    rules = _policy()
    gate = Gate(rules, Labeller(rules))
    with pytest.raises(ConsentRefused):
        gate.grant(_prepared(gate))


def _given(**changes: Any) -> Consent:
    """A yes of this moment for `contact` at `first`, but for `changes`."""
    rules = _policy()
    said: dict[str, Any] = {
        "recipient": "first",
        "ring": "partner",
        "labels": ("contact",),
        "task": "open_question",
        "policy": rules.name,
        "policy_digest": rules.digest,
        "covered": {"first": identity_of(rules.recipients["first"])},
        "given_at": time.time(),
        **changes,
    }
    held = Held()
    held.add(record := ConsentRecord(**said))
    return Consent(record, held)


def test_a_grant_takes_the_yes_that_was_given_for_it() -> None:
    rules = _policy()
    gate = Gate(rules, Labeller(rules))
    assert not gate.grant(_prepared(gate, frozenset({"contact"})), _given()).spent


@pytest.mark.parametrize(
    "changes",
    [
        {"covered": {"second": identity_of(_policy().recipients["second"])}},
        {"covered": {"first": identity_of(replace(_policy().recipients["first"], model="another"))}},
        {"labels": ("public",)},
        {"labels": ()},
        {"task": "rewrite"},
        {"redact": {"contact": "pseudonym"}},
    ],
    ids=["another recipient", "another model", "other labels", "no labels", "another task", "it was to be redacted"],
)
def test_a_consent_counts_only_for_what_it_was_given_for(changes: dict[str, Any]) -> None:
    rules = _policy()
    gate = Gate(rules, Labeller(rules))
    with pytest.raises(ConsentRefused):
        gate.grant(_prepared(gate, frozenset({"contact"})), _given(**changes))


async def test_when_the_labels_grow_the_question_is_asked_again_and_never_when_they_do_not() -> None:
    rules = _policy()
    gate, person = Gate(rules, Labeller(rules)), Person(True, True)
    consents = ConsentDesk(person).request()
    both = frozenset({"public", "contact"})
    for labels in (frozenset({"public"}), frozenset({"public"}), both, frozenset({"contact"})):
        prepared = _prepared(gate, labels)
        gate.grant(prepared, await gate.consent(prepared, consents))
    assert [one.labels for one in person.asked] == [("public",), ("contact", "public")]


async def test_a_no_stands_whatever_the_ring_is_agreed_to_afterwards() -> None:
    text = _POLICY.replace("PER", "consent:\n  partner: {per: ring}\n  first: {per: recipient}\n")
    rules = read_policy(text)
    gate, person = Gate(rules, Labeller(rules)), Person(False, True)
    consents = ConsentDesk(person).request()
    prepared = _prepared(gate)
    with pytest.raises(ConsentRefused):
        await gate.consent(prepared, consents)
    second = gate.prepare(gate.clear(prepared.request), "second")
    gate.grant(second, await gate.consent(second, consents))
    with pytest.raises(ConsentRefused, match="refused before"):
        await gate.consent(_prepared(gate), consents)
    assert person.names == ["first", "second"]


async def test_a_yes_for_a_ring_covers_no_recipient_with_options_that_were_not_shown() -> None:
    rules = _policy("consent:\n  partner: {per: ring}\n")
    gate, person = Gate(rules, Labeller(rules)), Person(True, True)
    request = Request(
        messages=(Message("user", (TextPart("x", labels=frozenset({"public"})),)),),
        labels=frozenset({"public"}),
        provider_options={"second": {"user": "somebody"}},
    )
    consents = ConsentDesk(person).request()
    for name in ("first", "second"):
        prepared = gate.prepare(gate.clear(request), name)
        gate.grant(prepared, await gate.consent(prepared, consents))
    assert person.names == ["first", "second"]
    assert [dict(one.payload.provider_options) for one in person.asked] == [{}, {"second": {"user": "somebody"}}]
