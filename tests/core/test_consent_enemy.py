"""A yes counts for what it was given for: this policy, this recipient as it was, what was shown, and untouched."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import AsyncGenerator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.core.support import NO_WAIT

from ringfence import AsyncAssistant, ConsentRequest, Tool, tool
from ringfence.assistant.build import RequestOptions
from ringfence.assistant.tools import Approve
from ringfence.errors import ConsentRefused, PolicyInvalid, StoreError
from ringfence.grant import Grant
from ringfence.policy import load_policy, read_policy
from ringfence.policy.prove.settings import changed_identity
from ringfence.privacy.consent_record import identity_of
from ringfence.privacy.consent_seal import KEY_FILE
from ringfence.privacy.consent_store import FILE, ConsentStore
from ringfence.provider import Plan
from ringfence.recipient import IDENTITY, Recipient
from ringfence.request import ToolCallPart
from ringfence.response import ProviderEvent, Response
from ringfence.testing import ScriptedProvider, call_events, text_events

_POLICY = """version: 1
name: asks
recipients:
  out: {ring: partner, provider: out, model: m, region: eu, retention: none}
labels:
  public: {}
  contact: {detect: [email]}
  unclassified: {}
unknown: unclassified
clean: public
tools:
  search: {ring: partner}
flow:
  - {id: any, allow: {labels: [public, unclassified], to: [partner]}, consent: ask}
  - {id: masked, allow: {labels: [contact], to: [out]}, redact: pseudonym, consent: ask}
  - {id: tools, allow: {labels: [contact], to: [partner]}, consent: ask}
consent:
  partner: {per: recipient, lasts: 30d, show: [recipient]}
route:
  - {id: only, prefer: [out]}
"""
_NAMELESS = _POLICY.replace("name: asks\n", "")
_BUDGET = 'budgets:\n  - {id: few, of: partner, limit: "9 requests", per: day}\n'


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "state"
    monkeypatch.setenv("RINGFENCE_STATE_DIR", str(folder))
    return folder


class Person:
    """Says yes, and remembers what was shown."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, ...]] = []

    def __call__(self, asked: ConsentRequest) -> bool:
        self.asked.append(asked.show)
        return True


async def send(text: str, ask: Any) -> Response[None]:
    providers = {"out": ScriptedProvider("yes")}
    async with AsyncAssistant(read_policy(text), consent=ask, providers=providers, audit=False, retry=NO_WAIT) as it:
        return await it.respond("hello", labels=["public"])


# ------------------------------------------------------------------ under one policy
@pytest.mark.parametrize(
    ("text", "says"),
    [
        (_NAMELESS, "17:3: consent.partner.lasts needs a name: in this policy, since what is agreed to is kept under"),
        (_NAMELESS.replace("30d", "session") + _BUDGET, "budget 'few' needs a name: in this policy, since what is"),
    ],
    ids=["a stored yes", "a budget"],
)
def test_what_is_kept_is_kept_under_a_name_that_somebody_wrote(text: str, says: str) -> None:
    with pytest.raises(PolicyInvalid, match=re.escape(says)):
        read_policy(text)


@pytest.mark.parametrize("lasts", ["request", "session"])
def test_a_policy_that_keeps_nothing_needs_no_name(lasts: str) -> None:
    assert read_policy(_NAMELESS.replace("30d", lasts)).document.name is None


def test_a_budget_that_a_layer_adds_needs_a_name_too(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text("version: 1\n" + _BUDGET)
    included = (_POLICY + "include: [base.yaml]\n").replace("30d", "session")
    (tmp_path / "policy.yaml").write_text(included)
    assert load_policy(tmp_path / "policy.yaml").document.budgets
    (tmp_path / "policy.yaml").write_text(included.replace("name: asks\n", ""))
    with pytest.raises(PolicyInvalid, match=r"base.yaml.*needs a name: in this policy"):
        load_policy(tmp_path / "policy.yaml")


# ------------------------------------------------------------------ for one recipient, as it was
_OTHERWISE: dict[str, Any] = {
    "ring": "house",
    "provider": "other",
    "model": "n",
    "url": "https://example.org",
    "region": "us",
    "retention": "forever",
    "capacity": "rented",
    "directory": "https://house.example",
    "trust_digest": "sha256:1",
    "min_tier": "attested",
    "options": {"store": True},
}


@pytest.mark.parametrize("name", IDENTITY)
def test_what_diff_calls_another_recipient_is_another_for_a_yes(name: str) -> None:
    one = Recipient(name="out", ring="partner", provider="out", model="m")
    other = replace(one, **{name: _OTHERWISE[name]})
    assert changed_identity(one, other) == (name,)
    assert identity_of(one) != identity_of(other)


async def test_a_recipient_that_now_keeps_what_it_gets_elsewhere_is_asked_about_anew() -> None:
    person = Person()
    await send(_POLICY, person)
    await send(_POLICY, None)
    moved = _POLICY.replace("region: eu, retention: none", "region: us, retention: forever")
    with pytest.raises(ConsentRefused):
        await send(moved, None)
    await send(moved, person)
    assert len(person.asked) == 2


async def test_a_yes_of_somebody_who_saw_less_is_asked_for_anew() -> None:
    person = Person()
    await send(_POLICY, person)
    more = _POLICY.replace("show: [recipient]", "show: [recipient, preview]")
    with pytest.raises(ConsentRefused):
        await send(more, None)
    await send(more, person)
    # Who saw more has seen enough.
    await send(_POLICY, None)
    assert person.asked == [("recipient",), ("recipient", "preview")]


# ------------------------------------------------------------------ the store, edited by another hand
def edit(state: Path, statement: str) -> None:
    with sqlite3.connect(state / FILE) as raw:
        assert raw.execute(statement).rowcount == 1
    raw.close()


_REST = (
    "given_at, expires_at, revoked_at, expired, recipient, ring, labels, shown, redact, task, per, tenant, policy, "
    "policy_digest, covered, seal"
)


@pytest.mark.parametrize(
    "statement",
    [
        """UPDATE consents SET labels='["public", "contact", "unclassified"]'""",
        "UPDATE consents SET task='extract'",
        """UPDATE consents SET shown='["recipient", "labels", "preview"]'""",
        """UPDATE consents SET redact='{"contact": "pseudonym"}'""",
        "UPDATE consents SET policy='another'",
        "UPDATE consents SET tenant='somebody'",
        "UPDATE consents SET given_at=given_at-1",
        "UPDATE consents SET expires_at=expires_at+86400",
        "UPDATE consents SET per='ring'",
        "UPDATE consents SET seal=''",
        f"INSERT INTO consents SELECT 'made-up', {_REST} FROM consents",
    ],
)
async def test_a_row_that_was_edited_is_no_yes_and_is_told(state: Path, statement: str) -> None:
    await send(_POLICY, Person())
    edit(state, statement)
    store = ConsentStore(state)
    with pytest.raises(StoreError, match="damaged"):
        store.list()
    store.close()
    if not statement.startswith("INSERT"):  # which leaves the row beside it as it was
        with pytest.raises(ConsentRefused):
            await send(_POLICY, None)


@pytest.mark.parametrize("ended", ["revoked", "expired"])
async def test_what_is_over_cannot_be_brought_back_in_the_file(
    state: Path, ended: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await send(_POLICY, Person())
    store = ConsentStore(state)
    (yes,) = store.list()
    if ended == "revoked":
        store.revoke(yes.id)
    else:
        with monkeypatch.context() as later:
            later.setattr("time.time", lambda: yes.given_at + 31 * 86_400)
            assert not store.holds(yes)
    assert [one.state(yes.given_at) for one in store.list(ended=True)] == [ended]
    edit(state, "UPDATE consents SET revoked_at=NULL, expired=0")
    # Also for a request that found it before.
    assert not store.holds(yes)
    store.close()
    with pytest.raises(ConsentRefused):
        await send(_POLICY, None)


@pytest.mark.parametrize("key", [None, b"", b"00" * 32 + b"\n", b"no key"])
async def test_a_yes_of_another_key_or_of_none_does_not_count_and_the_next_does(state: Path, key: bytes | None) -> None:
    person = Person()
    await send(_POLICY, person)
    (state / KEY_FILE).unlink()
    if key is not None:
        (state / KEY_FILE).write_bytes(key)
    with pytest.raises(ConsentRefused):
        await send(_POLICY, None)
    (state / FILE).unlink()
    await send(_POLICY, person)
    await send(_POLICY, None)
    assert len(person.asked) == 2


# ------------------------------------------------------------------ a tool that needs a yes
_PLACEHOLDER = re.compile(r"\[EMAIL-[^\]]+\]")


class Calling(ScriptedProvider):
    """A model that passes the placeholder it sees on to the tool, and then answers."""

    async def run(self, plan: Plan[object], grant: Grant) -> AsyncGenerator[ProviderEvent, None]:
        grant.spend(plan.request)
        self.requests.append(plan.request)
        (seen,) = set(_PLACEHOLDER.findall(plan.request.messages[0].text))
        for event in call_events("search", q=seen) if len(self.requests) == 1 else text_events("done"):
            yield event


async def mail(tools: list[Any], approve: Approve | None = None) -> Response[None]:
    providers = {"out": Calling()}
    policy = read_policy(_POLICY)
    async with AsyncAssistant(policy, consent=Person(), providers=providers, audit=False, retry=NO_WAIT) as it:
        options: RequestOptions = {"instructions": "", "tools": tools}
        if approve is not None:
            options["approve"] = approve
        return await it.respond("write to anna@example.com", **options)


async def test_a_tool_that_needs_a_yes_and_that_the_app_answers_gets_placeholders() -> None:
    (call,) = (await mail([Tool(name="search")])).tool_calls
    assert "anna" not in call.arguments
    assert _PLACEHOLDER.search(call.arguments)


@pytest.mark.parametrize("answer", [True, False])
async def test_a_function_that_needs_a_yes_gets_the_value_after_somebody_saw_it_and_agreed(answer: bool) -> None:
    got: list[str] = []
    shown: list[str] = []

    @tool
    def search(q: str) -> str:
        """Searches."""
        got.append(q)
        return "found"

    def approve(call: ToolCallPart) -> bool:
        shown.append(call.arguments)
        return answer

    await mail([search], approve=approve)
    assert "anna@example.com" in shown[0]
    assert got == (["anna@example.com"] if answer else [])


@pytest.mark.parametrize("beside", [True, False], ids=["a plain tool beside it", "nobody to ask"])
async def test_a_function_about_which_nobody_may_be_asked_gets_placeholders(beside: bool) -> None:
    calls: list[str] = []

    @tool
    def search(q: str) -> str:
        """Searches."""
        calls.append(q)
        return "found"

    def agree(_: ToolCallPart) -> bool:
        return True

    plain = [Tool(name="plain")] if beside else []
    response = await mail([search, *plain], approve=agree if beside else None)
    parts = [part for message in response.messages for part in message.parts]
    arguments = [part.arguments for part in parts if isinstance(part, ToolCallPart)]
    assert arguments
    assert not [one for one in (*arguments, *calls) if "anna" in one]
