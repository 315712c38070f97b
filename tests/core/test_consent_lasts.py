"""How long a yes counts: a request, a session, or so many seconds in every process; and that it can be taken back."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from tests.core.support import NO_WAIT, Acting

from ringfence import Assistant, AsyncAssistant, ConsentRequest, InvalidRequest, Policy
from ringfence.assistant.build import RequestOptions
from ringfence.errors import ConsentRefused, GateError, Overloaded, StoreError
from ringfence.grant import Grant
from ringfence.policy import read_policy
from ringfence.policy.decision import ConsentRule
from ringfence.policy.policy import enforce
from ringfence.privacy.consent import ONCE, Once
from ringfence.privacy.consent_store import FILE, ConsentStore
from ringfence.provider import Plan
from ringfence.response import ProviderEvent
from ringfence.testing import ScriptedProvider, failing, text_events

_POLICY = """
version: 1
name: asks
recipients:
  out:   {ring: partner, provider: out, model: m1}
  other: {ring: partner, provider: other, model: m2}
labels:
  public: {}
  contact: {declare: true}
  unclassified: {}
unknown: unclassified
flow:
  - id: partners
    allow: {labels: [public, contact], to: [partner]}
    consent: ask
route:
  - {id: other, when: {task: [extract]}, prefer: [other]}
  - {id: only, prefer: [out]}
"""


def rules(lasts: Any, *, per: Any = "recipient", **out: Any) -> Policy:
    """The policy whose consents last so long; `out` changes what the recipient of that name is."""
    document = read_policy(_POLICY).document
    recipients = {**document.recipients, "out": replace(document.recipients["out"], **out)}
    told = {"partner": ConsentRule(lasts=lasts, per=per)}
    return enforce(replace(document, recipients=recipients, consent=told), source="test", name="asks")


class Person:
    """Says yes, and remembers the questions."""

    def __init__(self, answer: bool = True) -> None:
        self.asked: list[ConsentRequest] = []
        self.answer = answer

    async def __call__(self, asked: ConsentRequest) -> bool:
        self.asked.append(asked)
        return self.answer


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "state"
    monkeypatch.setenv("RINGFENCE_STATE_DIR", str(folder))
    return folder


def assistant(person: Any, policy: Policy, *, out: Any = None, **more: Any) -> AsyncAssistant:
    named = {one.provider for one in policy.recipients.values()}
    made = {"out": out or ScriptedProvider("1"), "other": ScriptedProvider("2")}
    providers = {name: provider for name, provider in made.items() if name in named}
    return AsyncAssistant(policy, consent=person, providers=providers, audit=False, retry=NO_WAIT, **more)


def untouched(path: Path) -> bool:
    return not path.exists()


def damage(state: Path) -> None:
    state.mkdir(exist_ok=True)
    (state / FILE).write_bytes(b"this is no database" * 100)


PUBLIC: RequestOptions = {"labels": {"public"}}


# ------------------------------------------------------------------ a session
async def test_a_yes_for_a_session_counts_in_it_and_in_no_other(state: Path) -> None:
    person = Person()
    async with assistant(person, rules("session")) as it:
        one, two = it.session(), it.session()
        for _ in range(3):
            assert (await one.respond("x", **PUBLIC)).receipt.consented
        assert len(person.asked) == 1
        await two.respond("x", **PUBLIC)
        assert len(person.asked) == 2
        await it.respond("x", **PUBLIC)
        assert len(person.asked) == 3
    assert [asked.lasts for asked in person.asked] == ["session"] * 3
    assert untouched(state)


async def test_without_a_session_the_assistant_is_one() -> None:
    person = Person()
    async with assistant(person, rules("session")) as it:
        await it.respond("x", **PUBLIC)
        await it.respond("x", **PUBLIC)
        person.answer = False
        with pytest.raises(ConsentRefused):
            await it.respond("x", task="rewrite", labels={"public"})
    assert [asked.task for asked in person.asked] == ["open_question", "rewrite"]


# ------------------------------------------------------------------ stored
async def test_a_stored_yes_is_used_without_asking_and_without_anybody_to_ask() -> None:
    person = Person()
    async with assistant(person, rules(3600)) as it:
        await it.respond("x", **PUBLIC)
    async with assistant(None, rules(3600)) as it:
        response = await it.respond("something else", **PUBLIC)
    assert response.receipt.consented
    assert [(asked.recipient, asked.lasts) for asked in person.asked] == [("out", 3600)]


@pytest.mark.parametrize(
    ("policy", "how"),
    [
        (rules(3600), {"task": "rewrite"}),
        (rules(3600), {"labels": {"public", "contact"}}),
        (rules(3600), {"tenant": "somebody"}),
        (rules(3600, model="m9"), {}),
        (rules(3600, provider="other"), {}),
        (rules(3600, url="https://elsewhere.example/v1"), {}),
        (rules("request"), {}),
        (rules("session"), {}),
    ],
    ids=["task", "labels", "tenant", "model", "provider", "address", "for a request", "for a session"],
)
async def test_for_anything_else_a_person_is_asked_anew(policy: Policy, how: dict[str, Any]) -> None:
    async with assistant(Person(), rules(3600)) as it:
        await it.respond("x", **PUBLIC)
    out = ScriptedProvider("1")
    async with assistant(None, policy, out=out) as it:
        with pytest.raises(ConsentRefused, match="nobody to ask"):
            await it.respond("x", **cast("RequestOptions", {**PUBLIC, **how}))
    assert out.requests == []


async def test_a_stored_yes_of_a_tenant_is_that_tenants_in_a_session_too() -> None:
    person = Person()
    async with assistant(person, rules(3600), tenant="acme") as it:
        await it.session().respond("x", **PUBLIC)
        await it.respond("x", **PUBLIC)
        await it.session(tenant="acme").respond("x", **PUBLIC)
        assert len(person.asked) == 1
        await it.session(tenant="another").respond("x", **PUBLIC)
    assert len(person.asked) == 2


async def test_a_stored_yes_expires(monkeypatch: pytest.MonkeyPatch) -> None:
    person = Person()
    async with assistant(person, rules(60)) as it:
        await it.respond("x", **PUBLIC)
        later = time.time() + 61
        monkeypatch.setattr(time, "time", lambda: later)
        await it.respond("x", **PUBLIC)
    assert len(person.asked) == 2


async def test_a_no_is_stored_nowhere(state: Path) -> None:
    person = Person(answer=False)
    async with assistant(person, rules(3600)) as it:
        for _ in range(2):
            with pytest.raises(ConsentRefused):
                await it.respond("x", **PUBLIC)
        assert await it.consents(ended=True) == ()
    assert len(person.asked) == 2
    assert untouched(state)


@pytest.mark.parametrize("lasts", ["session", 3600])
async def test_a_yes_for_once_counts_for_this_request_only(lasts: Any, state: Path) -> None:
    asked: list[str] = []

    def once(question: ConsentRequest) -> Once:
        asked.append(question.recipient)
        return ONCE

    out = ScriptedProvider(failing(Overloaded("full")), "1")
    async with assistant(once, rules(lasts), out=out) as it:
        assert (await it.respond("x", **PUBLIC)).receipt.consented
        assert (len(out.requests), asked) == (2, ["out"])
        await it.respond("x", **PUBLIC)
    assert asked == ["out", "out"]
    assert untouched(state / FILE)


async def test_requests_at_once_ask_one_question() -> None:
    class Slow(Person):
        async def __call__(self, asked: ConsentRequest) -> bool:
            await asyncio.sleep(0.02)
            return await super().__call__(asked)

    for lasts in ("session", 3600):
        person = Slow()
        async with assistant(person, rules(lasts)) as it:
            await asyncio.gather(*(it.respond("x", **PUBLIC) for _ in range(8)))
        assert len(person.asked) == 1


async def test_a_stored_yes_for_a_ring_covers_its_recipients_as_they_were() -> None:
    person = Person()
    async with assistant(person, rules(3600, per="ring")) as it:
        await it.respond("x", **PUBLIC)
        await it.respond("x", to="out", labels={"public"})
    moved = rules(3600, per="ring", model="m9")
    async with assistant(person, moved) as it:
        await it.respond("x", **PUBLIC)
    assert len(person.asked) == 2


# ------------------------------------------------------------------ faults of the store
async def test_a_store_that_cannot_be_used_means_asking_and_a_yes_for_this_request_only(
    state: Path, caplog: pytest.LogCaptureFixture
) -> None:
    damage(state)
    person, out = Person(), ScriptedProvider(failing(Overloaded("full")), "1")
    async with assistant(person, rules(3600), out=out) as it:
        with caplog.at_level(logging.WARNING, "ringfence"):
            assert (await it.respond("x", **PUBLIC)).text == "1"
        assert len(out.requests) == 2
        assert len(person.asked) == 1
        await it.respond("x", **PUBLIC)
        assert len(person.asked) == 2
        with pytest.raises(StoreError, match="is damaged"):
            await it.consents()
        with pytest.raises(StoreError, match="is damaged"):
            await it.revoke(everything=True)
    assert "stored consents are not used: the consent store in" in caplog.text
    assert "a consent counts for this request only" in caplog.text


async def test_a_store_that_breaks_after_the_yes_was_found_stops_the_send(state: Path) -> None:
    async with assistant(Person(), rules(3600)) as it:
        await it.respond("x", **PUBLIC)
    out = Breaking(lambda: damage(state))
    async with assistant(None, rules(3600), out=out) as it:
        with pytest.raises(ConsentRefused, match="cannot be looked up"):
            await it.respond("x", **PUBLIC)


# ------------------------------------------------------------------ taking it back
class Breaking(Acting):
    """Does something between the grant and its use."""

    def __init__(self, meanwhile: Any, *, network: bool = True) -> None:
        async def body(plan: Plan[object], grant: Grant) -> AsyncGenerator[ProviderEvent, None]:
            done = meanwhile()
            if asyncio.iscoroutine(done):
                await done
            self.given.append(grant)
            with grant.spend(plan.request):
                if network:
                    grant.claim(grant.recipient)
                self.left = True
            for event in text_events("sent"):
                yield event

        super().__init__(body)
        self.left = False
        self.given: list[Grant] = []


@pytest.mark.parametrize("lasts", ["request", "session", 3600])
async def test_what_is_revoked_between_the_grant_and_the_send_is_not_sent(lasts: Any) -> None:
    async def revoke() -> None:
        (held,) = await it.consents()
        assert held.lasts == ("stored" if lasts == 3600 else lasts)
        assert await it.revoke(held.id) == 1

    out = Breaking(revoke)
    async with assistant(Person(), rules(lasts), out=out) as it:
        with pytest.raises(ConsentRefused, match="taken back") as caught:
            await it.respond("x", **PUBLIC)
        assert not out.left
        (grant,) = out.given
        assert not grant.spent
        # Not even by a provider that tries again.
        with pytest.raises(GateError):
            grant.claim(grant.recipient)
    assert caught.value.receipt is not None
    assert caught.value.receipt.input_bytes == 0


async def test_a_provider_without_a_network_sends_nothing_either() -> None:
    async def revoke() -> None:
        await it.revoke(recipient="out")

    out = Breaking(revoke, network=False)
    async with assistant(Person(), rules("request"), out=out) as it:
        with pytest.raises(ConsentRefused, match="taken back"):
            await it.respond("x", **PUBLIC)
    assert not out.left


async def test_another_process_takes_it_back(state: Path) -> None:
    out = Breaking(lambda: ConsentStore(state).revoke(recipient="out"))
    async with assistant(Person(), rules(3600), out=out) as it:
        with pytest.raises(ConsentRefused, match="taken back"):
            await it.respond("x", **PUBLIC)
    assert not out.left


async def test_what_was_revoked_is_asked_again() -> None:
    person = Person()
    async with assistant(person, rules(3600)) as it:
        await it.respond("x", **PUBLIC)
        assert await it.revoke(recipient="other") == 0
        assert await it.revoke(recipient="out") == 1
        assert await it.revoke(everything=True) == 0
        assert await it.consents() == ()
        assert [held.state(time.time()) for held in await it.consents(ended=True)] == ["revoked"]
        await it.respond("x", **PUBLIC)
    assert len(person.asked) == 2


async def test_revoking_nothing_in_particular_or_what_is_not_there_is_an_error() -> None:
    async with assistant(Person(), rules(3600)) as it:
        with pytest.raises(InvalidRequest, match="ids, a recipient, or everything"):
            await it.revoke()
        with pytest.raises(InvalidRequest, match="no consent 'abc'"):
            await it.revoke("abc")


def test_the_sync_face_lists_and_revokes() -> None:
    with Assistant(rules(3600), consent=lambda _: True, providers={"out": ScriptedProvider("1")}, audit=False) as it:
        assert it.consents() == ()
        it.respond("a secret text", **PUBLIC)
        (held,) = it.consents()
        assert (held.recipient, held.labels, held.task, held.lasts) == ("out", ("public",), "open_question", "stored")
        assert "secret" not in repr(held)
        assert it.revoke(held.id) == 1
        assert it.consents() == ()
        assert it.budgets() == ()


async def test_a_policy_without_stored_consents_touches_no_file(state: Path) -> None:
    async with assistant(Person(), rules("request")) as it:
        await it.respond("x", **PUBLIC)
    assert untouched(state)
