"""The listings in a window of any width: the layout changes, and nothing is left out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.privacy.test_consent_store import record

from ringfence.cli import terminal
from ringfence.privacy.consent_store import ConsentStore

if TYPE_CHECKING:
    from tests.cli.conftest import Machine, Run

POLICY = """\
version: 1
name: listed
recipients:
  a-partner-of-ours: {ring: partner, provider: tiny, model: echo, url: "https://api.example.test/v1"}
labels: {public: {}, a-label-of-some-length: {declare: true}, unclassified: {}}
unknown: unclassified
flow:
  - {id: all-that-may-go-out, allow: {labels: "*", to: [partner]}, consent: ask}
budgets:
  - {id: daily, of: partner, limit: "2 requests", per: day, when_spent: deny}
route:
  - {id: all, prefer: [a-partner-of-ours]}
"""
FACTS = {
    ("audit", "list"): (
        *("answered", "partner", "a-partner-of-ours/echo", "open_question"),
        *("a-label-of-some-length", "5 → 2", "all-that-may-go-out"),
    ),
    ("consent", "list"): (
        *("recipient", "openai and 1 more of its ring", "partner", "contact (mask), public"),
        *("rewrite", "2023-11-1", "2096-10-0", "given"),
    ),
    ("budget", "list"): ("daily", "partner", "spent", "reserved", "2 requests", "day", "resets"),
    ("providers",): (
        *("tiny", "0.3", "installed", "no lock", "a-partner-of-ours (partner)", "answers in a small way"),
        "download, file_input, image_input, output_schema, text",
    ),
}


@pytest.fixture
def listed(run: Run, machine: Machine, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Something was asked, and something agreed to."""
    # A lock is written and looked for here, and nowhere of the person who runs the tests.
    monkeypatch.delenv("RINGFENCE_LOCK", raising=False)
    monkeypatch.setenv("RINGFENCE_CONFIG_DIR", str(machine.folder / "config"))
    machine.policy.write_text(POLICY)
    assert run("ask", "--consent", "a-partner-of-ours", "--label", "a-label-of-some-length", "x").exit_code == 0
    store = ConsentStore(Path(machine.environment()["RINGFENCE_STATE_DIR"]))
    store.add(
        record(
            redact={"contact": "mask"},
            per="ring",
            covered={"openai": "d", "gemini": "e"},
            given_at=1.7e9,
            expires_at=4e9,
        )
    )
    store.close()
    return run


def _window(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setattr(terminal, "is_terminal", bool)


@pytest.mark.parametrize("width", [40, 60, 80, 120, 400])
def test_no_width_loses_a_fact(listed: Run, monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    _window(monkeypatch, width)
    for command, facts in FACTS.items():
        lines = listed(*command).stdout.splitlines()
        assert max(map(len, lines)) <= width
        assert not any("…" in line for line in lines)
        # What is folded goes on in the next line.
        unfolded = "".join(" ".join(lines).split())
        assert [fact for fact in facts if "".join(fact.split()) not in unfolded] == [], command


def test_a_row_each_where_there_is_room_and_a_line_for_each_fact_where_not(
    listed: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    _window(monkeypatch, 400)
    wide = {command: listed(*command).stdout.splitlines()[0].split() for command in FACTS}
    _window(monkeypatch, 40)
    narrow = {command: [line.split()[:1] for line in listed(*command).stdout.splitlines()] for command in FACTS}
    for command, names in wide.items():
        assert len(names) >= 7
        assert [names[0]] in narrow[command]
        assert [names[1]] in narrow[command]


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_a_lock_names_every_plugin_whole(listed: Run, monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    _window(monkeypatch, width)
    lines = listed("providers", "lock").stdout.splitlines()
    assert max(map(len, lines)) <= width
    unfolded = "".join(" ".join(lines).split())
    assert [fact for fact in ("ringfence-tiny", "0.3", "tiny(device)") if fact not in unfolded] == []
