"""Redaction of large payloads: steps, not seconds, are bounded, and what comes out is the same."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable

import pytest
from tests.privacy.test_redaction_laws import POLICY, PSEUDONYMS, redacted

from ringfence.policy import read_policy
from ringfence.privacy.forms import unescaped_places
from ringfence.privacy.redaction.restoring import Restorer
from ringfence.privacy.redaction.rewriting import json_cuts, rewritten
from ringfence.privacy.redaction.spans import Span
from ringfence.privacy.redaction.vault import Entry, Vault
from ringfence.request import TextPart, ToolResultPart
from ringfence.tripwire import trips


def _seconds(work: Callable[[], object]) -> float:
    """The time of this process alone, the least of two: others on the machine do not count."""
    taken: list[float] = []
    for _ in range(2):
        began = time.process_time()
        work()
        taken.append(time.process_time() - began)
    return min(taken)


def _full_of_escapes(count: int) -> tuple[str, list[Span]]:
    text = json.dumps({"t": "".join(f"\\n x{number}@example.com \n" for number in range(count))})
    spans = [
        Span(start=match.start(), end=match.end(), labels=frozenset({"contact"}), name="email")
        for match in re.finditer(r"x\d+@example\.com", text)
    ]
    return text, spans


def test_a_string_full_of_escapes_and_hits_is_rewritten_in_linear_time() -> None:
    text, spans = _full_of_escapes(4_000)
    cuts = json_cuts(text, spans)
    assert json.loads(rewritten(text, cuts, lambda _: "*")) == {"t": "\\n * \n" * 4_000}
    # With a walk over all escapes for each hit this takes half a minute.
    assert _seconds(lambda: json_cuts(text, spans)) < 3


@pytest.mark.parametrize("write", [str, json.dumps], ids=["json", "json in json"])
def test_thousands_of_hits_in_one_json_string_are_redacted_in_linear_time(write: Callable[[str], str]) -> None:
    policy = read_policy(POLICY)

    def redact(count: int) -> tuple[str, Vault]:
        said = "\n".join(f"{chr(97 + number % 26)}{'abcdefghij'[number % 10]}@mail.io" for number in range(count))
        vault = Vault()
        result = ToolResultPart("c", "look", json.dumps({"t": write(said)}))
        request = redacted(policy, vault, PSEUDONYMS, TextPart("go"), result).request
        part = request.messages[0].parts[1]
        assert isinstance(part, ToolResultPart)
        assert Restorer(vault, in_json=True).whole(part.text) == result.text
        return part.text, vault

    text, _ = redact(3_000)
    assert "@" not in text
    assert text.count("[EMAIL-") == 3_000
    # About 0.05 ms a hit; what walks over all hits for each takes minutes.
    assert _seconds(lambda: redact(3_000)) < 6


def test_backslashes_without_end_take_linear_time() -> None:
    text = "\\" * 1_000_000
    assert _seconds(lambda: unescaped_places(text)) < 5
    forms, complete = unescaped_places("\\\\n" * 3 + "x")
    assert complete
    assert [places(form.index("x")) for form, places in forms] == [9, 9, 9]


def _vault(count: int) -> Vault:
    vault = Vault()
    vault.begin(())
    for number in range(count):
        vault.note(Entry(value=f"x{number}@example.com", labels=frozenset({"contact"}), name="email"))
        vault.placeholder(f"x{number}@example.com")
    return vault


def test_a_bracket_in_each_piece_does_not_cost_a_look_at_every_value() -> None:
    restorer = Restorer(_vault(2_000))
    assert _seconds(lambda: [restorer.feed("[") for _ in range(5_000)]) < 0.5


@pytest.mark.parametrize("alike", [True, False])
def test_many_values_are_looked_for_in_one_pass(alike: bool) -> None:
    values = [f"value{number}!" if alike else f"{number:06}!value" for number in range(5_000)]
    body = ("value of it, and 12345 more. " * 30_000).encode()
    assert not trips(values, body)
    assert trips(values, body + values[-1].encode())
    assert _seconds(lambda: trips(values, body)) < 5


def _restored(said: str, value: str) -> str:
    vault = Vault()
    vault.begin(())
    vault.note(Entry(value=value, labels=frozenset({"work"}), name="work"))
    placeholder = vault.placeholder(value)
    came = Restorer(vault, in_json=True).whole(said.replace("[]", placeholder))
    restorer = Restorer(vault, in_json=True)
    assert "".join(map(restorer.feed, said.replace("[]", placeholder))) + restorer.end() == came
    return came.replace(placeholder, "[]")


INJECTED = 'hello","to":"everyone'


@pytest.mark.parametrize(
    "inner",
    [
        '{"to": "team", "text": "[]"}',
        '["[]"]',
        '"[]"',
        ' {"text": []}',
        'payload: {"text": "[]"}',
        '{"a": "C:\\\\", "text": "[]"}',
        json.dumps({"text": '{"text": "[]"}'}),
    ],
)
def test_a_value_never_becomes_structure_of_json_inside_json(inner: str) -> None:
    said = json.dumps({"payload": inner})
    for value in (INJECTED, "ends in a backslash\\", "two\nlines"):
        assert _restored(said, value) == said


@pytest.mark.parametrize("inner", ["[]", "see [] there", 'he said "so" to []', "[], [] and {}"])
def test_a_value_is_restored_in_a_string_that_is_prose(inner: str) -> None:
    said = json.dumps({"payload": inner, "next": 'a "b"', "last": "[]"})
    assert json.loads(_restored(said, INJECTED)) == {
        "payload": inner.replace("[]", INJECTED),
        "next": 'a "b"',
        "last": INJECTED,
    }


def test_a_value_without_a_quote_is_restored_at_any_depth() -> None:
    said = json.dumps({"payload": json.dumps({"text": "[]"})})
    assert json.loads(json.loads(_restored(said, "anna@example.com"))["payload"]) == {"text": "anna@example.com"}
