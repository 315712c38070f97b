"""`ringfence report` in a window of any width: the layout changes, and nothing is left out."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ringfence.cli import terminal
from ringfence.privacy.audit import AuditLog
from ringfence.receipt import Attempt, Receipt

if TYPE_CHECKING:
    from tests.cli.conftest import Run

FACTS = (
    *("openai", "partner", "3 (1 failed)", "contact 3, public 3", "consented", "6 email", "2,100 → 30", "$0.0375"),
    *("openai/gpt-one 2", "openai/gpt-another-one 1", "DEVELOPMENT (software-dev)"),
)


def _receipt(model: str, error: str | None = None, phase: str | None = None) -> Receipt:
    attempt = Attempt(recipient="openai", ring="partner", duration_s=0.1, error=error, phase=phase)
    return Receipt(
        id="01JDA0000000000000000000",
        started_at=time.time(),
        outcome="failed" if error else "answered",
        policy="small",
        policy_digest="sha256:" + "a" * 64,
        task="open_question",
        labels=("contact", "public"),
        recipient="openai",
        ring="partner",
        provider="openai",
        model=model,
        consented=True,
        input_tokens=700,
        output_tokens=10,
        cost_usd=0.0125,
        redactions={"email": 2},
        attestation_digest="sha256:ab",
        attestation="DEVELOPMENT (software-dev)",
        attempts=(attempt,),
    )


@pytest.fixture
def log(tmp_path: Path) -> str:
    """Three requests to one recipient, to two models."""
    audit = AuditLog(tmp_path / "audit")
    for receipt in (
        _receipt("gpt-one"),
        _receipt("gpt-another-one"),
        _receipt("gpt-one", "StreamBroken", "mid_stream"),
    ):
        audit.append(receipt)
    audit.close()
    return str(tmp_path / "audit")


def _narrow(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setattr(terminal, "is_terminal", bool)


@pytest.mark.parametrize("width", [40, 60, 80, 100, 140, 200, 300])
def test_no_width_loses_a_fact(run: Run, log: str, monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    _narrow(monkeypatch, width)
    shown = run("report", "--log", log).stdout
    tables = shown.split("\n\n", 1)[1].splitlines()
    assert max(map(len, tables)) <= width
    # What is folded goes on in the next line.
    unfolded = "".join(" ".join(tables).split())
    assert [fact for fact in FACTS if "".join(fact.split()) not in unfolded] == []
    assert "…" not in shown


def test_a_row_each_where_there_is_room_and_a_line_for_each_fact_where_not(
    run: Run, log: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _narrow(monkeypatch, 250)
    assert any(line.startswith("recipient  ring") for line in run("report", "--log", log).stdout.splitlines())
    _narrow(monkeypatch, 80)
    lines = [line.split() for line in run("report", "--log", log).stdout.splitlines()]
    assert ["recipient", "openai"] in lines
    assert ["cost", "$0.0375"] in lines


def test_every_model_of_a_recipient_is_counted_in_the_data_and_on_the_page(run: Run, log: str, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    document = json.loads(run("report", "--log", log, "--json", "--html", str(page)).stdout)
    assert document["recipients"][0]["models"] == {"openai/gpt-one": 2, "openai/gpt-another-one": 1}
    assert "openai/gpt-one 2, openai/gpt-another-one 1" in page.read_text()


def test_a_model_that_was_not_reached_is_not_counted(run: Run, tmp_path: Path) -> None:
    audit = AuditLog(tmp_path / "audit")
    for receipt in (_receipt("gpt-one"), _receipt("gpt-never", "ConnectFailed", "connect")):
        audit.append(receipt)
    audit.close()
    document = json.loads(run("report", "--log", str(tmp_path / "audit"), "--json").stdout)
    assert document["recipients"][0]["models"] == {"openai/gpt-one": 1}


def test_a_file_in_the_place_of_the_log_is_told_from_a_folder_without_one(run: Run, log: str) -> None:
    result = run("report", "--log", f"{log}/audit.jsonl")
    assert (result.exit_code, result.stderr) == (
        2,
        f"error: '{log}/audit.jsonl' is a file, and an audit log is a folder\ntry: --log {log}\n",
    )
