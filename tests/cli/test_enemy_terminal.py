"""What others wrote never drives the terminal: an answer as JSON, the labels of a conversation, the name of a file."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from ringfence.cli import terminal
from ringfence.policy import load_policy

if TYPE_CHECKING:
    from tests.cli.conftest import Machine, Run

_TITLE = "\x1b]0;taken\x07"
_UPPER_CONTROLS = "".join(map(chr, range(127, 160)))


def test_json_holds_no_control_character(capsys: pytest.CaptureFixture[str]) -> None:
    text = f"{_TITLE}{_UPPER_CONTROLS}é漢"
    terminal.write_json({"text": text})
    written = capsys.readouterr().out
    assert json.loads(written) == {"text": text}
    assert written.removesuffix("\n").isprintable()


def test_the_labels_of_a_loaded_conversation_are_shown_harmlessly(run: Run, machine: Machine) -> None:
    saved = machine.folder / "talk.json"
    saved.write_text(json.dumps({"version": 1, "instructions": None, "labels": [_TITLE], "messages": []}))
    said = run("chat", stdin=f"/load {saved}\n/labels\n").stderr
    assert "the conversation carries: " in said
    assert "\x1b" not in said


def test_a_policy_without_a_name_gets_a_printable_one(machine: Machine) -> None:
    hostile = machine.folder / f"a{_TITLE}.yaml"
    hostile.write_text(
        """\
version: 1
recipients:
  here: {ring: device, provider: mlx, model: m}
labels: {any: {}}
unknown: any
flow:
  - id: stay
    allow: {labels: "*", to: [device]}
route:
  - id: only
    prefer: [here]
"""
    )
    assert load_policy(hostile).name == r"a\x1b]0;taken\x07"
