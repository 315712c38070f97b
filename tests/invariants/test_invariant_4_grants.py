"""Invariants 3 and 4: no bytes without a grant; every send has its own; nothing leaves the plan."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.support import CANARY, NO_WAIT, ONCE, Acting, assistant, drain, policy, records, until

from ringfence.assistant.build import RequestOptions
from ringfence.errors import (
    Denied,
    GateError,
    InvalidRequest,
    Overloaded,
    ProviderError,
    RingfenceError,
    StreamBroken,
    Unavailable,
)
from ringfence.grant import Grant
from ringfence.privacy.gate import Gate
from ringfence.privacy.labels import Labeller
from ringfence.provider import Embeddings, ModelCard, NotAvailable, Plan
from ringfence.receipt import Receipt
from ringfence.recipient import Recipient
from ringfence.request import Message, ReasoningPart, Request, TextPart
from ringfence.response import ProviderEvent
from ringfence.testing import Script, ScriptedProvider, failing, text_events


def gate(*recipients: str) -> Gate:
    rules = policy(*recipients)
    return Gate(rules, Labeller(rules))


def asked(text: str = "hello") -> Request:
    return Request(messages=(Message("user", (TextPart(text),)),))


def granted(request: Request | None = None) -> tuple[Grant, Request]:
    door = gate("first")
    prepared = door.prepare(door.clear(request or asked()), "first")
    return door.grant(prepared), prepared.request


# ------------------------------------------------------------------ the grant
def test_no_bytes_without_a_grant_a_spent_one_is_refused() -> None:
    grant, request = granted()
    grant.spend(request)
    with pytest.raises(GateError, match="is spent"):
        grant.spend(request)


def test_no_bytes_without_a_grant_a_revoked_one_is_refused() -> None:
    grant, request = granted()
    grant.revoke()
    with pytest.raises(GateError, match="is revoked"):
        grant.spend(request)
    assert not grant.spent


def test_no_bytes_without_a_grant_one_for_an_equal_but_other_request_is_refused() -> None:
    grant, request = granted()
    with pytest.raises(GateError, match="another request"):
        grant.spend(asked())
    assert request == asked()
    assert not grant.spent


def test_revoking_a_spent_grant_does_not_hide_that_something_was_sent() -> None:
    grant, request = granted()
    grant.spend(request)
    grant.revoke()
    assert grant.spent


@pytest.mark.parametrize("mint", [None, object(), "mint", 0])
def test_no_bytes_without_a_grant_only_the_gate_mints(mint: object) -> None:
    with pytest.raises(GateError, match="only the policy gate"):
        Grant(mint, asked(), recipient=policy("first").recipients["first"])


def test_a_grant_names_its_recipient_and_no_content() -> None:
    grant, _ = granted(asked(CANARY))
    assert (grant.recipient.name, grant.recipient.ring, grant.recipient.model) == ("first", "house", "m")
    assert CANARY not in repr(grant)


# ------------------------------------------------------------------ the gate
def test_the_gate_prepares_nothing_outside_the_plan() -> None:
    door = gate("first")
    with pytest.raises(GateError, match="does not send this request to recipient 'second'"):
        door.prepare(door.clear(asked()), "second")


def test_the_gate_prepares_nothing_that_another_gate_cleared() -> None:
    with pytest.raises(GateError, match="another gate"):
        gate("first").prepare(gate("first").clear(asked()), "first")


def test_the_gate_grants_nothing_that_another_gate_prepared() -> None:
    other = gate("first")
    prepared = other.prepare(other.clear(asked()), "first")
    with pytest.raises(GateError, match="another gate"):
        gate("first").grant(prepared)


def test_each_grant_of_one_payload_is_its_own() -> None:
    door = gate("first")
    prepared = door.prepare(door.clear(asked()), "first")
    one, two = door.grant(prepared), door.grant(prepared)
    one.spend(prepared.request)
    assert not two.spent


async def test_a_cancelled_attempt_leaves_a_grant_that_is_useless() -> None:
    async def waits_unspent(plan: Plan[object], grant: Grant) -> AsyncGenerator[ProviderEvent, None]:
        await asyncio.sleep(60)
        for event in text_events("never"):
            yield event

    provider = Acting(waits_unspent)
    async with assistant(policy("first"), first=provider) as it:
        task = asyncio.create_task(it.respond("x"))
        await until(lambda: bool(provider.grants))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    with pytest.raises(GateError, match="is revoked"):
        provider.grants[0].spend(provider.requests[0])


async def test_a_plan_that_swaps_the_request_cannot_be_sent() -> None:
    class Swapping(ScriptedProvider):
        def plan(self, request: Request, recipient: Recipient, card: ModelCard) -> Plan[object]:
            return Plan(request=asked("something else"), card=card, native=None)

    provider = Swapping("hi")
    async with assistant(policy("first"), first=provider) as it:
        with pytest.raises(GateError, match="another request"):
            await it.respond("x")
    assert provider.requests == []


async def test_an_answer_that_was_made_without_spending_the_grant_is_refused() -> None:
    async def unspent(plan: Plan[object], grant: Grant) -> AsyncGenerator[ProviderEvent, None]:
        for event in text_events("sent without asking"):
            yield event

    async with assistant(policy("first"), first=Acting(unspent)) as it:
        with pytest.raises(RingfenceError):
            await it.respond("x")


async def test_vectors_that_were_made_without_spending_the_grant_are_refused() -> None:
    class Embedding(ScriptedProvider):
        async def card(self, recipient: Recipient) -> ModelCard:
            return ModelCard(name=recipient.model, context_tokens=1, capabilities=frozenset({"embed"}))

        async def embed(self, plan: Plan[object], grant: Grant) -> Embeddings:
            return Embeddings(vectors=((1.0,),), dimensions=1, input_tokens=1)

    async with assistant(policy("first"), first=Embedding()) as it:
        with pytest.raises(RingfenceError):
            await it.embed("x")


# ------------------------------------------------------------------ denied
_HEALTH_STAYS = """\
flow:
  - id: device-any
    allow: {labels: "*", to: [device]}
  - id: house-rest
    allow: {labels: [public, work, unclassified], to: [house]}
"""


async def test_denied_opens_no_provider_and_sends_nothing(tmp_path: Path) -> None:
    provider = ScriptedProvider("no")
    async with assistant(policy("first", flow=_HEALTH_STAYS), tmp_path, first=provider) as it:
        with pytest.raises(Denied) as caught:
            await it.respond(CANARY, labels={"health"})
    assert (provider.opened, provider.requests) == (0, [])
    assert caught.value.decision.recipients["first"].verdict == "deny"
    assert caught.value.receipt is not None
    assert [receipt["outcome"] for receipt in records(tmp_path)] == ["denied"]


@pytest.mark.parametrize("verb", ["respond", "summarize", "rewrite", "proofread", "reply", "embed"])
async def test_denied_by_every_verb(verb: str) -> None:
    provider = ScriptedProvider("no")
    async with assistant(policy("first", flow=_HEALTH_STAYS), first=provider) as it:
        with pytest.raises(Denied):
            await getattr(it, verb)("text", labels={"health"})
    assert provider.opened == 0


async def test_denied_in_a_stream_and_in_a_session() -> None:
    provider = ScriptedProvider("no")
    async with assistant(policy("first", flow=_HEALTH_STAYS), first=provider) as it:
        _, error = await drain(it.stream("text", labels={"health"}))
        assert isinstance(error, Denied)
        session = it.session(labels={"health"})
        with pytest.raises(Denied):
            await session.respond("text")
        assert session.messages == ()
    assert provider.opened == 0


@pytest.mark.parametrize("to", ["second", "nobody", ["second", "nobody"], ()])
async def test_to_only_filters_and_never_adds(to: Any) -> None:
    first, second = ScriptedProvider("1"), ScriptedProvider("2")
    rules = policy("first", "second", flow=_HEALTH_STAYS, rings={"first": "device"})
    async with assistant(rules, first=first, second=second) as it:
        with pytest.raises(InvalidRequest if "nobody" in to else Denied):
            await it.respond("text", labels={"health"}, to=to)
    assert first.requests == second.requests == []


async def test_an_obligation_that_cannot_be_met_sends_nothing() -> None:
    flow = 'flow:\n  - id: attested\n    allow: {labels: "*", to: [house]}\n    require: {attested: true}\n'
    provider = ScriptedProvider("no")
    async with assistant(policy("first", flow=flow), first=provider) as it:
        with pytest.raises(GateError, match="attest"):
            await it.respond("x")
    assert provider.requests == []


async def test_explain_opens_and_sends_nothing() -> None:
    provider = ScriptedProvider("no")
    async with assistant(policy("first"), first=provider) as it:
        assert it.explain("x").outcome == "allow"
    assert (provider.opened, provider.requests) == (0, [])


# ------------------------------------------------------------------ every send has its own grant
async def test_retries_use_a_new_grant_each_spent_once() -> None:
    provider = ScriptedProvider(failing(Overloaded("full")), failing(Overloaded("full")), "done")
    async with assistant(policy("first"), first=provider) as it:
        assert (await it.respond("x")).text == "done"
    assert len(provider.grants) == 3
    assert len({id(grant) for grant in provider.grants}) == 3
    assert all(grant.spent for grant in provider.grants)


async def test_fallback_uses_a_grant_of_its_own_made_out_to_that_recipient() -> None:
    first, second = ScriptedProvider(failing(ProviderError("no"))), ScriptedProvider("2")
    rules = policy("first", "second", fallback=["second"])
    async with assistant(rules, first=first, second=second) as it:
        await it.respond("x")
    assert [grant.recipient.name for grant in (*first.grants, *second.grants)] == ["first", "second"]
    assert all(grant.spent for grant in (*first.grants, *second.grants))


@pytest.mark.parametrize("how", ["restart", "continue"])
async def test_going_on_after_a_break_uses_a_grant_of_its_own(how: str) -> None:
    broken = failing(StreamBroken("gone"), after=text_events("Hello wor")[:2])
    first, second = ScriptedProvider(broken), ScriptedProvider("ld")
    rules = policy("first", "second", fallback=["second"], on_broken_stream=how)
    async with assistant(rules, first=first, second=second) as it:
        await it.respond("x")
    assert first.grants[0] is not second.grants[0]
    assert second.grants[0].recipient.name == "second"
    assert first.grants[0].spent
    assert second.grants[0].spent


# ------------------------------------------------------------------ never outside the plan
class _Outcome:
    """What one recipient does when it is its turn."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def provider(self) -> ScriptedProvider:
        match self.kind:
            case "answers":
                return ScriptedProvider("ok")
            case "absent":
                away = NotAvailable(reason="no_model", detail="away", way_out="pull it")
                return ScriptedProvider(availability={"m": away})
            case "busy":
                return ScriptedProvider(failing(Overloaded("full")))
            case "fails":
                return ScriptedProvider(failing(ProviderError("no")))
            case _:
                return ScriptedProvider(failing(StreamBroken("cut"), after=text_events("some")[:2]))

    def __repr__(self) -> str:
        return self.kind


_NAMES = ("d1", "h1", "h2", "h3")
_RINGS = {"d1": "device"}
_kinds = st.sampled_from(["answers", "absent", "busy", "fails", "breaks"]).map(_Outcome)


@given(
    order=st.permutations(_NAMES),
    prefer_count=st.integers(1, 4),
    outcomes=st.lists(_kinds, min_size=4, max_size=4),
    labels=st.sets(st.sampled_from(["public", "work", "health"])),
    forbidden=st.sets(st.sampled_from(_NAMES)),
    broken=st.sampled_from(["fail", "restart", "continue"]),
    to=st.none() | st.sets(st.sampled_from(_NAMES), min_size=1),
)
def test_fallback_never_leaves_the_plan(  # noqa: PLR0917  (what Hypothesis draws)
    order: list[str],
    prefer_count: int,
    outcomes: list[_Outcome],
    labels: set[str],
    forbidden: set[str],
    broken: str,
    to: set[str] | None,
) -> None:
    flow = _HEALTH_STAYS
    if forbidden:
        flow += f"  - id: forbidden\n    deny: {{labels: [work], to: [{', '.join(sorted(forbidden))}]}}\n"
    rules = policy(
        *_NAMES,
        prefer=order[:prefer_count],
        fallback=order[prefer_count:],
        flow=flow,
        rings=_RINGS,
        on_broken_stream=broken,
    )
    sent_to: list[str] = []
    providers: dict[str, Any] = {}
    scripted: dict[str, ScriptedProvider] = {}
    for name, outcome in zip(_NAMES, outcomes, strict=True):
        provider = outcome.provider()
        providers[name] = scripted[name] = provider

    async def ask() -> None:
        async with assistant(rules, retry=NO_WAIT, **providers) as it:
            options: RequestOptions = {"labels": labels} if to is None else {"labels": labels, "to": to}
            plan = it.explain("x", **options).plan
            error: RingfenceError | None = None
            try:
                response = await it.respond("x", **options)
                receipt: Receipt | None = response.receipt
            except RingfenceError as caught:
                error, receipt = caught, caught.receipt
            assert receipt is not None
            sent_to.extend(attempt.recipient for attempt in receipt.attempts)
            _check(plan_names := [step.recipient for step in plan], {s.recipient: s.stage for s in plan})
            if error is not None and plan_names:
                assert receipt.outcome == "failed"

    def _check(plan: list[str], stages: dict[str, str]) -> None:
        asked_ones = {name for name, provider in scripted.items() if provider.requests}
        assert asked_ones <= set(plan)
        assert set(sent_to) <= set(plan)
        assert {name for name, p in scripted.items() if p.opened} <= set(plan)
        # In the order of the plan, each recipient's attempts side by side.
        visited = list(dict.fromkeys(sent_to))
        assert visited == sorted(visited, key=plan.index)
        assert sent_to == [name for name in visited for _ in range(sent_to.count(name))]
        # After the first recipient that really got the request, only steps of the fallback stage.
        first_sent = next((n for n, name in enumerate(visited) if scripted[name].requests), len(visited))
        assert all(stages[name] == "fallback" for name in visited[first_sent + 1 :])
        # One grant a send, spent once and made out to its recipient.
        for name, provider in scripted.items():
            assert all(grant.spent and grant.recipient.name == name for grant in provider.grants)
            assert len({id(grant) for grant in provider.grants}) == len(provider.requests)
        if "health" in labels:
            assert asked_ones <= {"d1"}
        if "work" in labels:
            assert not asked_ones & forbidden

    asyncio.run(ask())


async def test_a_house_that_is_down_never_pushes_its_data_to_another_recipient() -> None:
    flow = (
        "flow:\n"
        "  - id: one-house\n    allow: {labels: [work, unclassified, public], to: [first]}\n"
        "  - id: device\n    allow: {labels: [public], to: [device]}\n"
    )
    rules = policy("first", "phone", fallback=["phone"], flow=flow, rings={"phone": "device"})
    first, phone = ScriptedProvider(failing(Overloaded("down"))), ScriptedProvider("leaked")
    async with assistant(rules, first=first, phone=phone) as it:
        with pytest.raises(Overloaded):
            await it.respond("x", labels={"work"})
    assert phone.requests == []
    assert phone.opened == 0


async def test_a_continuation_whose_text_has_a_label_the_next_may_not_see_is_not_sent_there() -> None:
    head = (
        "version: 1\nname: detecting\nunknown: unclassified\nclean: public\n"
        "labels: {public: {}, contact: {detect: [email]}, unclassified: {}}\n"
    )
    flow = (
        'flow:\n  - id: device\n    allow: {labels: "*", to: [device]}\n'
        "  - id: clean\n    allow: {labels: [public], to: [house]}\n"
    )
    broken = failing(StreamBroken("cut"), after=text_events("Write to ann.smith@example.com, she")[:2])
    phone, house = ScriptedProvider(broken), ScriptedProvider("leaked")
    rules = policy(
        "phone",
        "house1",
        fallback=["house1"],
        flow=flow,
        head=head,
        rings={"phone": "device"},
        on_broken_stream="continue",
    )
    async with assistant(rules, phone=phone, house1=house) as it:
        assert [step.recipient for step in it.explain("Who is she?").plan] == ["phone", "house1"]
        with pytest.raises(StreamBroken) as caught:
            await it.respond("Who is she?")
    assert house.requests == []
    assert caught.value.partial_text == "Write to ann.smith@example.com, she"


# ------------------------------------------------------------------ opaque reasoning
_THOUGHT = ReasoningPart("first", "thinking", state="opaque-state")


@pytest.mark.parametrize(("recipient", "kept"), [("first", True), ("second", False)])
async def test_opaque_reasoning_goes_only_to_its_own_provider(recipient: str, kept: bool) -> None:
    first, second = ScriptedProvider("1"), ScriptedProvider("2")
    turns = (Message("assistant", (_THOUGHT, TextPart("hm"))), Message("user", (TextPart("go on"),)))
    async with assistant(policy("first", "second"), first=first, second=second) as it:
        response = await it.respond(turns, to=recipient)
    (sent,) = (*first.requests, *second.requests)
    parts = [part for message in sent.messages for part in message.parts]
    assert (_THOUGHT in parts) is kept
    assert ("reasoning" in {one.setting for one in response.adjustments}) is not kept
    assert ("reasoning" in response.receipt.adjustments) is not kept


async def test_opaque_reasoning_is_dropped_for_the_fallback_and_a_message_of_nothing_else_too() -> None:
    first, second = ScriptedProvider(failing(ProviderError("no"))), ScriptedProvider("2")
    turns = (Message("assistant", (_THOUGHT,)), Message("user", (TextPart("go on"),)))
    rules = policy("first", "second", fallback=["second"])
    async with assistant(rules, first=first, second=second) as it:
        response = await it.respond(turns)
    assert [m.role for m in first.requests[0].messages] == ["assistant", "user"]
    assert [m.role for m in second.requests[0].messages] == ["user"]
    assert [one.setting for one in response.adjustments] == ["reasoning"]


async def test_unavailable_before_anything_was_sent_is_passed_over_and_on_record(tmp_path: Path) -> None:
    away = ScriptedProvider(availability={"m": NotAvailable(reason="no_memory", detail="full", way_out="close apps")})
    second = ScriptedProvider("2")
    async with assistant(policy("first", "second"), tmp_path, first=away, second=second) as it:
        assert (await it.respond("x")).text == "2"
    (receipt,) = records(tmp_path)
    assert [(a["recipient"], a["error"], a["phase"]) for a in receipt["attempts"]] == [
        ("first", "Unavailable", "plan"),
        ("second", None, None),
    ]


async def test_after_a_failed_send_a_preferred_recipient_is_not_tried() -> None:
    first, second = ScriptedProvider(failing(ProviderError("no"))), ScriptedProvider("2")
    async with assistant(policy("first", "second"), first=first, second=second, retry=ONCE) as it:
        with pytest.raises(ProviderError):
            await it.respond("x")
    assert second.requests == []


async def test_the_error_told_is_that_of_the_recipient_that_was_really_asked() -> None:
    first = ScriptedProvider(Script(events=(), error=Overloaded("busy")))
    away = ScriptedProvider(availability={"m": NotAvailable(reason="no_model", detail="none", way_out="pull")})
    rules = policy("first", "second", fallback=["second"])
    async with assistant(rules, first=first, second=away) as it:
        with pytest.raises(Overloaded) as caught:
            await it.respond("x")
    assert caught.value.recipient == "first"


async def test_all_unavailable_says_why_and_how_to_mend_it() -> None:
    away = ScriptedProvider(availability={"m": NotAvailable(reason="no_model", detail="none", way_out="pull it")})
    async with assistant(policy("first"), first=away) as it:
        with pytest.raises(Unavailable) as caught:
            await it.respond("x")
    assert (caught.value.reason, caught.value.way_out, caught.value.recipient) == ("no_model", "pull it", "first")
