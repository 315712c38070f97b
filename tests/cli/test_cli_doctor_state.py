"""`ringfence doctor` on the policy in force, the keys that it needs, detectors, and what is kept on the machine."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.privacy.test_consent_store import record

from ringfence.policy import load_policy
from ringfence.privacy.consent_store import FILE as CONSENTS
from ringfence.privacy.consent_store import ConsentStore
from ringfence.routing.budget import Cost
from ringfence.routing.ledger import FILE as BUDGETS
from ringfence.routing.ledger import Ledger

if TYPE_CHECKING:
    from tests.cli.conftest import Machine, Run

POLICY = """\
version: 1
name: careful
recipients:
  echo: {ring: house, provider: tiny, model: echo}
  one: {ring: partner, provider: openai, model: gpt-5.2}
  two: {ring: partner, provider: openai, model: gpt-5-mini}
labels: {public: {}, unclassified: {}}
unknown: unclassified
flow:
  - {id: inside, allow: {labels: "*", to: [house]}}
  - {id: out, allow: {labels: [public], to: [partner]}, consent: ask}
budgets:
  - {id: once, of: partner, limit: "1 requests", per: total, when_spent: deny}
  - {id: daily, of: partner, limit: "2 requests", per: day, when_spent: deny}
invariants:
  - never: {labels: [unclassified], to: [partner]}
route:
  - {id: all, prefer: [echo, one, two]}
"""
LAYER = "version: 1\nname: department\nflow: [{id: none-out, deny: {labels: [public], to: [two]}}]\n"


@pytest.fixture(autouse=True)
def state(machine: Machine) -> Path:
    machine.policy.write_text(POLICY)
    return machine.state


def findings(run: Run) -> dict[str, Any]:
    found = json.loads(run("doctor", "--json").stdout)["findings"]
    by_subject = {finding["subject"]: finding for finding in found}
    assert len(by_subject) == len(found)
    return by_subject


def said(run: Run, subject: str) -> tuple[str, str]:
    """The level of one finding, and what it says."""
    finding = findings(run)[subject]
    return finding["level"], finding["detail"]


# ---------------------------------------------------------------- the policy
def test_it_says_what_is_proved_of_the_policy(run: Run, machine: Machine) -> None:
    proved = "and what every policy keeps, proved: of the rules, not the detectors"
    assert said(run, "proof") == ("ok", f"1 invariant of the policy, {proved}")
    machine.policy.write_text(POLICY.replace("invariants:\n  - never: {labels: [unclassified], to: [partner]}\n", ""))
    assert said(run, "proof") == ("ok", f"no invariant of its own, {proved}")


def test_a_policy_whose_invariant_does_not_hold_is_a_fault_and_nothing_is_said_to_be_proved(
    run: Run, machine: Machine
) -> None:
    machine.policy.write_text(POLICY.replace("labels: [unclassified], to: [partner]", "labels: [public], to: [house]"))
    found = findings(run)
    assert found["policy"]["level"] == "fault"
    assert "does not hold" in found["policy"]["detail"]
    assert not {"proof", "layers"} & found.keys()


def test_it_names_the_layers_that_narrow_the_policy(
    run: Run, machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert said(run, "layers") == ("ok", "none narrows the policy")
    layer = tmp_path / "department.yaml"
    layer.write_text(LAYER)
    machine.policy.write_text(f"include: [department.yaml]\n{POLICY}")
    assert said(run, "layers") == ("ok", "department.yaml included by the policy: 1 rule in all")
    other = tmp_path / "other.yaml"
    other.write_text(LAYER.replace("department", "other"))
    monkeypatch.setenv("RINGFENCE_LAYERS", str(other))
    both = f"{other} named by RINGFENCE_LAYERS; department.yaml included by the policy: 2 rules in all"
    assert said(run, "layers") == ("ok", both)


# ---------------------------------------------------------------- keys
@pytest.mark.parametrize("key", [None, "sk-canary-4711"])
def test_a_key_that_recipients_share_is_named_once(run: Run, monkeypatch: pytest.MonkeyPatch, key: str | None) -> None:
    if key is None:
        monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    else:
        monkeypatch.setenv("OPENAI_API_KEY", key)
    found = findings(run)
    naming = [subject for subject, finding in found.items() if "OPENAI_API_KEY" in finding["detail"]]
    assert naming == ["recipients one, two"]
    assert found["recipients one, two"]["level"] == ("warning" if key is None else "ok")
    assert "canary" not in json.dumps(found)


def test_a_key_that_houses_share_is_named_once(run: Run, machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOUSE_KEY", raising=False)
    house = '{ring: house, provider: tiny, model: homeless, directory: "https://h.test", secret: "env:HOUSE_KEY"}'
    houses = f"  north: {house}\n  south: {house}\n"
    machine.policy.write_text(POLICY.replace("recipients:\n", f"recipients:\n{houses}"))
    naming = [subject for subject, finding in findings(run).items() if "HOUSE_KEY" in json.dumps(finding)]
    assert naming == ["recipients north, south"]
    monkeypatch.setenv("HOUSE_KEY", "canary-key")
    found = findings(run)
    assert found["recipients north, south"]["level"] == "ok"
    # With its key, how a house stands is said again.
    assert found["tiny recipient 'north'"]["detail"] == "not enough memory"
    assert "canary" not in json.dumps(found)


# ---------------------------------------------------------------- detectors
def test_detectors_are_listed_with_who_brings_them(run: Run) -> None:
    level, detail = said(run, "detectors")
    kinds = dict(part.split(": ") for part in detail.split("; "))
    assert level == "ok"
    assert {"email", "phone"} <= set(kinds["ringfence-detectors"].split(", "))


# ---------------------------------------------------------------- what is kept
def test_it_counts_the_consents_that_hold(run: Run, state: Path) -> None:
    path = state / CONSENTS
    assert said(run, "consents") == ("ok", f"none is stored yet; they will be kept in {path}")
    assert not path.exists()
    now = time.time()
    store = ConsentStore(state)
    store.add(record())
    store.add(record(given_at=now - 100, expires_at=now - 50))
    assert said(run, "consents") == ("ok", f"1 holds, kept in {path}")
    store.add(record())
    assert said(run, "consents") == ("ok", f"2 hold, kept in {path}")
    store.close()


def test_it_says_which_budgets_are_spent(run: Run, machine: Machine, state: Path) -> None:
    path = state / BUDGETS
    empty = f"the policy has 2; nothing was spent yet; it will be kept in {path}"
    assert said(run, "budgets") == ("ok", empty)
    assert not path.exists()
    rules = load_policy(machine.policy)
    ledger = Ledger(state)
    cost = Cost(usd=0.0, tokens=0)
    ledger.settle(ledger.reserve(rules.name, rules.document.budgets, "one", cost), cost)
    found = findings(run)
    assert found["budgets"]["detail"] == f"the policy has 2; what was spent is kept in {path}"
    until = "it is spent: nothing goes to partner until its limit is raised"
    assert (found["budget once"]["level"], found["budget once"]["detail"]) == ("warning", until)
    assert "budget daily" not in found
    ledger.settle(ledger.reserve(rules.name, rules.document.budgets[1:], "one", cost), cost)
    assert said(run, "budget daily")[1].endswith("until it resets")
    ledger.close()


def test_a_policy_without_budgets_has_none(run: Run, machine: Machine) -> None:
    before, after = POLICY.split("budgets:\n")
    machine.policy.write_text(before + after[after.index("invariants:") :])
    assert said(run, "budgets")[1].startswith("the policy has none; ")


@pytest.mark.parametrize(("file", "subject"), [(CONSENTS, "consents"), (BUDGETS, "budgets")])
def test_a_file_that_cannot_be_read_is_a_fault_that_hides_nothing(
    run: Run, state: Path, file: str, subject: str
) -> None:
    state.mkdir(exist_ok=True)
    (state / file).write_bytes(b"this is no database, whatever its name is" * 100)
    found = findings(run)
    assert found[subject]["level"] == "fault"
    assert found[subject]["way_out"]
    assert found["audit log"]["level"] == "ok"
