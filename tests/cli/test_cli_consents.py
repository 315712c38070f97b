"""`ringfence consent list/revoke` and `ringfence budget list`: what a person sees of it, and takes back."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from tests.cli.conftest import Machine
from tests.privacy.test_consent_store import record

from ringfence.privacy.consent_store import FILE, ConsentStore

Run = Callable[..., Result]

POLICY = """\
version: 1
name: careful
recipients:
  gpt: {ring: partner, provider: tiny, model: echo, url: "https://api.example.test/v1"}
labels: {public: {}, unclassified: {}}
unknown: unclassified
flow:
  - {id: out, allow: {labels: "*", to: [partner]}, consent: ask}
consent:
  partner: {lasts: 30d}
budgets:
  - {id: daily, of: partner, limit: "2 requests", per: day, when_spent: deny}
route:
  - {id: all, prefer: [gpt]}
"""


@pytest.fixture
def store(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> ConsentStore:
    return ConsentStore(Path(machine.environment()["RINGFENCE_STATE_DIR"]))


def test_without_any_it_says_so(run: Run, machine: Machine) -> None:
    assert run("consent", "list").stderr == "no stored consent holds\n"
    assert run("consent", "list", "--all").stderr == "no consent is stored\n"
    assert json.loads(run("consent", "list", "--json").stdout) == {"consents": []}
    assert run("consent", "revoke", "--all").stderr == "0 consents revoked\n"


def test_the_list_shows_what_holds_and_with_all_what_does_not(run: Run, store: ConsentStore) -> None:
    now = time.time()
    held = record(redact={"contact": "mask"}, per="ring", covered={"openai": "d", "gemini": "e"})
    over = record(recipient="gemini", given_at=now - 100, expires_at=now - 50)
    store.add(held)
    store.add(over)
    shown = run("consent", "list").stdout.splitlines()
    assert re.split(r"  +", shown[0].strip()) == [
        "id",
        "recipient",
        "ring",
        "labels",
        "task",
        "given",
        "expires",
        "state",
    ]
    assert len(shown) == 2
    for cell in (held.id[:8], "openai and 1 more of its ring", "partner", "contact (mask), public", "rewrite", "given"):
        assert cell in shown[1]
    assert held.id not in shown[1]
    every = run("consent", "list", "--all").stdout
    assert "expired" in every
    (first, second) = json.loads(run("consent", "list", "--all", "--json").stdout)["consents"]
    assert (first["id"], first["state"], second["state"]) == (over.id, "expired", "given")
    assert second["covered"] == {"openai": "d", "gemini": "e"}


def test_revoking_by_the_id_that_is_shown_by_recipient_and_all(run: Run, store: ConsentStore) -> None:
    records = [record(), record(), record(recipient="gemini", covered={"gemini": "d"}), record()]
    for one in records:
        store.add(one)
    assert run("consent", "revoke", records[0].id[:8]).stderr == "1 consent revoked\n"
    assert run("consent", "revoke", "--recipient", "gemini").stderr == "1 consent revoked\n"
    assert [store.holds(one) for one in records] == [False, True, False, True]
    result = run("consent", "revoke", "--all", "--json")
    assert (result.exit_code, json.loads(result.stdout)) == (0, {"revoked": 2})
    assert not any(store.holds(one) for one in records)


def test_a_recipient_that_no_consent_covers_is_a_failure_that_names_those_that_are(
    run: Run, store: ConsentStore
) -> None:
    result = run("consent", "revoke", "--recipient", "opanai")
    assert (result.exit_code, result.stderr) == (1, "no consent is stored\n")
    one, other = record(), record(recipient="gemini", covered={"gemini": "d", "grok": "e"})
    store.add(one)
    store.add(other)
    result = run("consent", "revoke", "--recipient", "opanai")
    assert (result.exit_code, result.stderr) == (1, "no consent covers 'opanai'. Stored: gemini, grok, openai\n")
    result = run("consent", "revoke", "--recipient", "opanai", "--json")
    assert (result.exit_code, json.loads(result.stdout)) == (1, {"revoked": 0})
    # What was named rightly is taken back all the same.
    result = run("consent", "revoke", other.id, "--recipient", "opanai")
    assert (result.exit_code, result.stderr.splitlines()[0]) == (1, "1 consent revoked")
    assert (store.holds(one), store.holds(other)) == (True, False)
    assert run("consent", "revoke", "--recipient", "openai").exit_code == 0
    result = run("consent", "revoke", "--recipient", "openai")
    assert (result.exit_code, result.stderr) == (1, "no stored consent holds\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "name an ID, --recipient NAME or --all"),
        (("0123456789abcdef",), "there is no consent '0123456789abcdef'"),
        (("",), "there is no consent ''"),
    ],
)
def test_what_names_nothing_is_wrong_usage_and_revokes_nothing(
    run: Run, store: ConsentStore, arguments: tuple[str, ...], said: str
) -> None:
    store.add(held := record())
    result = run("consent", "revoke", *arguments)
    assert result.exit_code == 2
    assert said in result.stderr
    assert store.holds(held)


def test_a_damaged_store_is_an_error_with_a_way_out(run: Run, store: ConsentStore, machine: Machine) -> None:
    folder = Path(machine.environment()["RINGFENCE_STATE_DIR"])
    folder.mkdir(exist_ok=True)
    (folder / FILE).write_bytes(b"this is no database" * 99)
    for arguments in (("list",), ("revoke", "--all")):
        result = run("consent", *arguments)
        assert result.exit_code == 1
        assert "is damaged" in result.stderr
        assert "try: move consent.db away" in result.stderr


# ------------------------------------------------------------------ asking, with a policy that stores consents
@pytest.fixture
def careful(machine: Machine) -> Machine:
    machine.policy.write_text(POLICY)
    return machine


def test_what_was_agreed_to_beforehand_counts_once_and_a_stored_yes_is_used(
    run: Run, careful: Machine, store: ConsentStore
) -> None:
    assert run("ask", "--consent", "gpt", "hello").exit_code == 0
    assert store.list() == ()
    assert "was refused" in run("ask", "hello").stderr


def _budgets(run: Run) -> list[dict[str, Any]]:
    return list(json.loads(run("budget", "list", "--json").stdout)["budgets"])


def test_a_spent_budget_is_said_and_shown(run: Run, careful: Machine) -> None:
    assert _budgets(run)[0]["spent"] == 0
    for _ in range(2):
        assert run("ask", "--consent", "gpt", "hello").exit_code == 0
    result = run("ask", "--consent", "gpt", "hello")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "error: budget 'daily' of 2 requests per day has no room for this request\n" in result.stderr
    assert re.search(r"try: again after \d{4}-\d\d-\d\d 00:00 UTC\n", result.stderr)
    (state,) = _budgets(run)
    assert (state["id"], state["of"], state["spent"], state["reserved"], state["limit"]) == (
        "daily",
        ["partner"],
        2,
        0,
        2,
    )
    shown = run("budget", "list").stdout.splitlines()
    assert re.split(r"  +", shown[0].strip()) == ["id", "of", "spent", "reserved", "limit", "per", "resets"]
    assert re.split(r"  +", shown[1].strip())[:6] == ["daily", "partner", "2", "0", "2 requests", "day"]


def test_a_policy_without_budgets_says_so(run: Run, machine: Machine) -> None:
    result = run("budget", "list")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr.endswith("has no budgets (try: --policy FILE)\n")
