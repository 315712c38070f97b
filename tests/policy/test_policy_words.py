"""How a condition of a file is said to a person."""

from __future__ import annotations

import pytest

from ringfence.policy import read_policy
from ringfence.policy.document import Invariant
from ringfence.policy.prove import prove
from ringfence.policy.words import condition_words

FILE = """version: 1
recipients: {{mlx: {{ring: device, provider: mlx, model: m}}}}
facts:
  user.role: {{type: enum, values: [agent, trainee]}}
  device.managed: {{type: bool}}
  user.level: {{type: int}}
labels: {{public: {{}}, work: {{}}}}
unknown: work
flow: [{{id: any, allow: {{labels: "*", to: [device]}}}}]
route:
  - {{id: some, when: {when}, prefer: [mlx]}}
  - {{id: all, prefer: [mlx]}}
"""
WORDS = {
    "{task: [proofread]}": "task is proofread",
    "{task: [rewrite, proofread, embed]}": "task is embed, proofread or rewrite",
    "{modality: [image, file]}": "modality is file or image",
    "{labels: [work, public]}": "a label is public or work",
    "{input_tokens: {max: 1500}}": "input_tokens max 1500",
    "{user.level: {over: 1, max: 3}}": "user.level over 1 and max 3",
    "{user.role: [trainee]}": "user.role is trainee",
    "{device.managed: false}": "device.managed is false",
    '{cel: "input_tokens < 2000 &&\\n  !device.managed"}': "cel (input_tokens < 2000 && !device.managed)",
    "{task: [embed], device.managed: true}": "task is embed and device.managed is true",
    "{any: [{task: [embed]}, {task: [rewrite], device.managed: true}]}": (
        "task is embed or (task is rewrite and device.managed is true)"
    ),
    "{not: {any: [{task: [embed]}, {device.managed: true}]}}": "not (task is embed or device.managed is true)",
    "{all: [{any: [{task: [embed]}, {modality: [image]}]}, {not: {device.managed: true}}]}": (
        "(task is embed or modality is image) and not (device.managed is true)"
    ),
    '{time: {days: [mon, tue, wed, thu, fri], from: "07:00", to: "20:00", zone: Europe/Zurich}}': (
        "mon–fri 07:00–20:00 Europe/Zurich"
    ),
    '{time: {days: [sun, mon, wed, thu, fri], to: "06:30"}}': "mon, wed–fri, sun 00:00–06:30 UTC",
    '{time: {from: "22:00", to: "06:00"}}': "22:00–06:00 UTC",
    "{time: {days: [sat, sun]}}": "sat, sun UTC",
}


@pytest.mark.parametrize(("when", "words"), WORDS.items(), ids=WORDS)
def test_a_condition_is_said_in_words(when: str, words: str) -> None:
    document = read_policy(FILE.format(when=when)).document
    assert document.route[0].when is not None
    assert condition_words(document.route[0].when, document.zone) == words


def test_a_condition_prints_no_control_character() -> None:
    when = read_policy(FILE.format(when="{cel: \"'\\x1b[31m' == ''\"}")).document.route[0].when
    assert when is not None
    assert condition_words(when, None).isprintable()


def test_an_invariant_without_a_text_of_its_own_is_said_as_it_was_written() -> None:
    document = read_policy(FILE.format(when='{cel: "input_tokens > 3"}')).document
    asked = Invariant(kind="never", to=frozenset({"device"}), labels=frozenset({"work"}), when=document.route[0].when)
    assert [proof.text for proof in prove(document, [asked])] == ["never work to device, when cel (input_tokens > 3)"]
