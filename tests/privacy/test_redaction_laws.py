"""Laws of redaction and of the way back, for any text: nothing stays, everything comes back, no split matters."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Literal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ringfence.errors import GateError
from ringfence.policy import Policy, read_policy
from ringfence.privacy.detection import DetectorSet
from ringfence.privacy.detector import Hit
from ringfence.privacy.labels import Labeller
from ringfence.privacy.material import request_texts, unescaped_forms, unescaped_places
from ringfence.privacy.redaction.memory import Known, Memory
from ringfence.privacy.redaction.redactor import Redacted, Redactor
from ringfence.privacy.redaction.restoring import Restorer
from ringfence.privacy.redaction.vault import Entry, Vault
from ringfence.request import FilePart, Message, Part, Request, TextPart, Tool, ToolCallPart, ToolResultPart

Kind = Literal["remove", "mask", "pseudonym"]

POLICY = """
version: 1
name: laws
recipients: {near: {ring: device, provider: near, model: m}}
labels:
  public: {}
  contact: {detect: [email, long]}
  names: {detect: [word, long, edge]}
  health: {declare: true}
  unclassified: {}
unknown: unclassified
clean: public
flow: [{id: any, allow: {labels: "*", to: [device]}}]
route: [{id: only, prefer: [near]}]
"""


class Pattern:
    """A detector of whatever matches."""

    def __init__(self, pattern: str) -> None:
        self._pattern = re.compile(pattern)

    def detect(self, text: str) -> Iterator[Hit]:
        return (Hit(match.start(), match.end()) for match in self._pattern.finditer(text))


DETECTORS = DetectorSet(
    {
        "email": Pattern(r"[a-zé]+@[a-z]+\.[a-z]+"),
        "word": Pattern(r"王伟|Zoë|é@mail"),
        "edge": Pattern(r"\bQ[0-9]\b"),
        "long": Pattern(r"Anna anna@mail\.io|\d{4} ?\d{4}"),
    }
)
VALUES = ["anna@mail.io", "é@mail.de", "Anna anna@mail.io", "王伟", "Zoë", "1234 5678", "12345678"]


@pytest.fixture(scope="module")
def policy() -> Policy:
    return read_policy(POLICY)


def redactor(policy: Policy, vault: Vault, redact: Mapping[str, Kind], labels: Iterable[str] = ()) -> Redactor:
    decided = frozenset(redact) | frozenset(labels) | {"public"}
    return Redactor(Labeller(policy, DETECTORS), Memory(), vault, redact, labels=decided, recipient="far")


def redacted(policy: Policy, vault: Vault, redact: Mapping[str, Kind], *parts: Part, **more: object) -> Redacted:
    request = Request(messages=(Message("user", parts),), **more)  # type: ignore[arg-type]
    return redactor(policy, vault, redact).request(request)


PSEUDONYMS: dict[str, Kind] = {"contact": "pseudonym", "names": "pseudonym", "health": "pseudonym"}

filler = st.text(st.sampled_from("ab Z王é\\\"'[]{}-_1\n\t\u200b😀/u0{"), max_size=12)
lookalike = st.sampled_from(["[EMAIL-1-kvxqz]", "[EMAIL-1-", "[LONG-12-bcdfg]", "[", "]", "\\u0061", '{"a": "b"}'])
escaped = st.sampled_from(VALUES).map(lambda value: json.dumps(json.dumps(value)))
pieces = st.lists(st.one_of(filler, lookalike, escaped, st.sampled_from(VALUES)), min_size=1, max_size=8)
text = pieces.map("".join)
other_text = st.lists(st.one_of(filler, st.just("berta@post.de")), min_size=1, max_size=8).map("".join)
"""Holds no value that a `text` holds."""


def everywhere(request: Request) -> Iterator[str]:
    for one in (*request_texts(request), repr(request), "".join(message.text for message in request.messages)):
        yield from unescaped_forms(one)[0]


@given(said=text, kind=st.sampled_from(["remove", "mask", "pseudonym"]), escape=st.booleans())
def test_no_value_is_left_anywhere_in_a_redacted_request(policy: Policy, said: str, kind: Kind, escape: bool) -> None:
    assume(said.strip())
    arguments = json.dumps({"to": said, said: [1234_5678, said]}, ensure_ascii=escape)
    vault = Vault()
    result, refusal = None, None
    try:
        result = redacted(
            policy,
            vault,
            {"contact": kind, "names": kind},
            TextPart("Please look: "),
            TextPart(said),
            ToolCallPart("c", "look", arguments),
            ToolResultPart("c", "look", said),
            FilePart(said.encode(), media_type="text/plain", name=f"{said}.txt"),
        )
    except GateError as error:
        refusal = error
    if result is None:
        assert not any(value in str(refusal) for value in VALUES)
        return
    for shown in everywhere(result.request):
        left = shown
        for start, end in reversed(list(vault.places(shown))):
            left = left[:start] + "\n" + left[end:]
        assert not any(list(one.detect(left)) for one in (Pattern(re.escape(value)) for value in VALUES))
    for part in result.request.messages[0].parts:
        if isinstance(part, ToolCallPart):
            json.loads(part.arguments)


@given(said=text)
def test_what_is_all_pseudonyms_comes_back_to_the_user_exactly(policy: Policy, said: str) -> None:
    assume(said.strip())
    vault = Vault()
    try:
        result = redacted(policy, vault, PSEUDONYMS, TextPart("So: "), TextPart(said))
    except GateError:
        assume(False)
        raise
    assert Restorer(vault).whole(result.request.messages[0].text) == "So: " + said


@given(said=text)
def test_arguments_come_back_with_the_values_they_had(policy: Policy, said: str) -> None:
    vault = Vault()
    call = ToolCallPart("c", "look", json.dumps({"to": [said, 7]}, ensure_ascii=False))
    try:
        result = redacted(policy, vault, PSEUDONYMS, TextPart("So"), call)
    except GateError:
        assume(False)
        raise
    sent = result.request.messages[0].parts[1]
    assert isinstance(sent, ToolCallPart)
    came = Restorer(vault, in_json=True).whole(sent.arguments)
    # Where a value could become structure of JSON inside a string, its placeholder stays.
    left = vault.pattern.sub(lambda found: json.dumps(vault.values()[found[0]])[1:-1], came)
    assert json.loads(left) == {"to": [said, 7]}
    if '"' not in said:
        assert left == came


@given(said=text)
def test_a_declared_label_that_nobody_finds_hides_the_whole_part(policy: Policy, said: str) -> None:
    assume(len(said.strip()) >= 5)
    vault = Vault()
    part = TextPart(said, labels=frozenset({"health"}))
    try:
        result = redacted(policy, vault, PSEUDONYMS, TextPart("What is this?"), part)
    except GateError:
        assume(False)
        raise
    first, second = result.request.messages[0].parts
    assert isinstance(first, TextPart)
    assert isinstance(second, TextPart)
    assert re.fullmatch(r"\[[A-Z-]+-\d+-[a-z]{5}\]", second.text)
    assert Restorer(vault).whole(second.text) == said


@given(first=text, second=other_text)
def test_unrelated_texts_are_redacted_as_if_alone(policy: Policy, first: str, second: str) -> None:
    """What stands in one message changes nothing in another, but for values that both hold."""
    assume(first.strip() and second.strip())
    only: dict[str, Kind] = {"contact": "mask", "names": "mask"}
    messages = tuple(Message("user", (TextPart(one),)) for one in ("Go", first, second))
    try:
        apart = [
            redactor(policy, Vault(), only).request(Request(messages=(messages[0], one))).request.messages[1:]
            for one in messages[1:]
        ]
        together = redactor(policy, Vault(), only).request(Request(messages=messages)).request.messages[1:]
    except GateError:
        assume(False)
        raise
    assert [m.text for m in together] == [m.text for alone in apart for m in alone]


@pytest.mark.parametrize(
    ("kinds", "shown"),
    [
        ({"contact": "pseudonym", "names": "remove"}, "to , now"),
        ({"contact": "mask", "names": "pseudonym"}, "to ****, now"),
        ({"contact": "remove", "names": "mask"}, "to , now"),
    ],
)
def test_where_spans_overlap_the_strictest_kind_wins(policy: Policy, kinds: dict[str, Kind], shown: str) -> None:
    result = redacted(policy, Vault(), kinds, TextPart("to Anna anna@mail.io, now"))
    assert result.request.messages[0].text == shown


def test_a_value_split_over_two_parts_stands_in_the_first_and_comes_back(policy: Policy) -> None:
    vault = Vault()
    result = redacted(policy, vault, PSEUDONYMS, TextPart("call 1234"), TextPart(" 5678 now"))
    assert [part.text for part in result.request.messages[0].parts if isinstance(part, TextPart)][1] == " now"
    assert Restorer(vault).whole(result.request.messages[0].text) == "call 1234 5678 now"


class Failing:
    """A detector that raises."""

    def detect(self, text: str) -> Iterator[Hit]:
        raise ValueError(text)


@pytest.mark.parametrize("decided", [frozenset({"contact"}), frozenset({"contact", "unclassified"})], ids=len)
def test_a_detector_that_fails_now_refuses_unless_that_was_decided_on(policy: Policy, decided: frozenset[str]) -> None:
    labeller = Labeller(policy, DetectorSet({"email": Failing(), "long": Failing(), "word": Failing()}))
    again = Redactor(labeller, Memory(), Vault(), {"contact": "mask"}, labels=decided, recipient="far")
    request = Request(messages=(Message("user", (TextPart("to anna@mail.io"),)),))
    if "unclassified" in decided:  # flow lets what could not be scanned through as it is
        assert again.request(request).request.messages[0].text == "to anna@mail.io"
        return
    with pytest.raises(GateError, match="could not be scanned again"):
        again.request(request)


def test_numbers_and_keys_of_json_are_redacted_and_it_stays_json(policy: Policy) -> None:
    said = '{"12345678": 12345678, "n": 12.5, "list": [true, "a\\nanna@mail.io"]}'
    result = redacted(policy, Vault(), {"contact": "mask"}, TextPart("So"), ToolResultPart("c", "look", said))
    part = result.request.messages[0].parts[1]
    assert isinstance(part, ToolResultPart)
    assert part.text == '{"****": "****", "n": 12.5, "list": [true, "a\\n****"]}'


@pytest.mark.parametrize("kind", ["mask", "remove"])
def test_a_call_of_which_nothing_was_left_can_be_redacted_again(policy: Policy, kind: Kind) -> None:
    """A session holds the call as its tool got it, and sends it in every turn."""
    call: Part = ToolCallPart("c", "look", '{"who": "limps"}', labels=frozenset({"health"}))
    for _ in range(2):
        result = redacted(policy, Vault(), {"health": kind}, TextPart("So"), call)
        call = result.request.messages[0].parts[1]
        assert isinstance(call, ToolCallPart)
        assert call.arguments == json.dumps({"redacted": "****" if kind == "mask" else ""})
        # The tripwire would stop a body over its own words.
        assert not any("redacted" in value for value in result.hidden)
        call = ToolCallPart("c", "look", call.arguments, labels=frozenset({"health"}))


@pytest.mark.parametrize("around", ["\u201c{}\u201d", "\u201c\u201c{}", "\\\u201c{}", "\U0001f4cc{}", "\t{}", "{}\n"])
@pytest.mark.parametrize("escape", [True, False])
def test_a_value_beside_an_escape_of_json_is_the_same_value(policy: Policy, around: str, escape: bool) -> None:
    r"""`\u201canna@mail.io` reads as an address that begins with a c, to whoever does not read it as JSON."""
    vault = Vault()
    said = json.dumps({"t": around.format("anna@mail.io")}, ensure_ascii=escape)
    result = redacted(policy, vault, PSEUDONYMS, TextPart("to anna@mail.io"), ToolResultPart("c", "look", said))
    part = result.request.messages[0].parts[1]
    assert isinstance(part, ToolResultPart)
    assert vault.values() == {result.request.messages[0].text.removeprefix("to "): "anna@mail.io"}
    assert json.loads(Restorer(vault, in_json=True).whole(part.text)) == json.loads(said)


def test_what_begins_in_an_escape_and_is_found_nowhere_else_goes_with_all_of_it(policy: Policy) -> None:
    vault, said = Vault(), json.dumps({"t": "see \u201c@mail.io"})
    result = redacted(policy, vault, PSEUDONYMS, TextPart("So"), ToolResultPart("c", "look", said))
    assert list(vault.values().values()) == ["\u201c@mail.io"]
    assert "mail" not in "".join(request_texts(result.request))


@pytest.mark.parametrize("part", [ToolCallPart("12345678", "look", "{}"), ToolCallPart("c", "anna@mail.io", "{}")])
def test_a_hit_in_an_identifier_of_a_call_refuses(policy: Policy, part: ToolCallPart) -> None:
    with pytest.raises(GateError, match="a value is left after redaction"):
        redacted(policy, Vault(), PSEUDONYMS, TextPart("So"), part)


def test_a_declared_label_of_a_tool_alone_refuses_and_beside_a_found_one_does_not(policy: Policy) -> None:
    tools = (Tool(name="look", labels=frozenset({"contact"})),)
    with pytest.raises(GateError, match=r"label 'contact'.*declared for a tool"):
        redacted(policy, Vault(), PSEUDONYMS, TextPart("So"), tools=tools)
    result = redacted(policy, Vault(), PSEUDONYMS, TextPart("to anna@mail.io"), tools=tools)
    assert result.request.tools == tools


def test_a_policy_without_detectors_redacts_what_is_declared_or_unknown() -> None:
    text = POLICY.replace("clean: public\n", "")
    declaring = read_policy(re.sub(r"\{detect: \[.*\]\}", "{}", text))
    how: dict[str, Kind] = {"unclassified": "mask", "health": "pseudonym"}
    again = Redactor(
        Labeller(declaring), Memory(), Vault(), how, labels=frozenset({"health", "unclassified"}), recipient="far"
    )
    parts = [TextPart("open ", labels=frozenset({"public"})), TextPart("who knows")]
    result = again.request(Request(messages=(Message("user", tuple(parts)),)))
    assert result.request.messages[0].text == "open ****"


def test_what_stands_in_one_part_is_found_though_it_reads_on(policy: Policy) -> None:
    result = redacted(policy, Vault(), {"names": "mask"}, TextPart("see Q1"), TextPart("0 more"))
    assert result.request.messages[0].text == "see ****0 more"


def test_what_was_restored_in_a_message_is_hidden_there_though_its_source_is_gone(policy: Policy) -> None:
    """A declared value that nobody finds, put into an answer by restoring, in a payload without the part it is from."""
    memory, answer = Memory(), Message("assistant", (TextPart("He limps a lot", labels=frozenset({"health"})),))
    earlier = Vault()
    earlier.begin(())
    earlier.note(Entry(value="He limps", labels=frozenset({"health"}), name="health", whole=True))
    earlier.placeholder("He limps")
    memory.keep(answer, Known(unseen=frozenset({"health"}), restored=earlier.issued))
    again = Redactor(
        Labeller(policy, DETECTORS), memory, Vault(), PSEUDONYMS, labels=frozenset({"health"}), recipient="far"
    )
    result = again.request(Request(messages=(answer, Message("user", (TextPart("And?"),)))))
    assert re.fullmatch(r"\[HEALTH-1-[a-z]{5}\] a lot", result.request.messages[0].text)


def test_the_same_value_has_the_same_placeholder_and_another_has_another(policy: Policy) -> None:
    result = redacted(policy, Vault(), PSEUDONYMS, TextPart("anna@mail.io, berta@mail.io, anna@mail.io"))
    first, second, third = result.request.messages[0].text.split(", ")
    assert first == third != second
    assert result.counts == {"contact": 2}


# ------------------------------------------------------------------ the way back


def vault_of(*values: str) -> tuple[Vault, list[str]]:
    vault = Vault()
    vault.begin(values)
    for value in values:
        vault.note(Entry(value=value, labels=frozenset({"contact"}), name="email"))
    return vault, [vault.placeholder(value) for value in values]


@given(
    data=st.data(), values=st.lists(st.text(min_size=1), min_size=1, max_size=12, unique=True), in_json=st.booleans()
)
def test_however_a_stream_is_split_the_same_is_restored(data: st.DataObject, values: list[str], in_json: bool) -> None:
    vault, placeholders = vault_of(*values)
    cut = st.sampled_from(placeholders).flatmap(lambda one: st.integers(0, len(one)).map(lambda end: one[:end]))
    pieces = st.lists(st.one_of(st.sampled_from(placeholders), cut, st.text(max_size=5), lookalike), max_size=10)
    said = "".join(data.draw(pieces))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(said)), max_size=8)))
    split = [said[start:end] for start, end in zip((0, *cuts), (*cuts, len(said)), strict=True)]
    restorer = Restorer(vault, in_json=in_json)
    came = "".join([*(restorer.feed(piece) for piece in split), restorer.end()])
    assert came == Restorer(vault, in_json=in_json).whole(said)
    known = dict(zip(placeholders, values, strict=True))
    at_once = re.sub(
        "|".join(map(re.escape, placeholders)),
        lambda found: json.dumps(known[found[0]], ensure_ascii=False)[1:-1] if in_json else known[found[0]],
        said,
    )
    if not in_json or '"' not in said:
        assert came == at_once


def test_what_was_restored_is_never_restored_again() -> None:
    vault, (placeholder,) = vault_of("anna@mail.io")
    vault.note(Entry(value=f"see {placeholder}", labels=frozenset(), name="note"))
    outer = vault.placeholder(f"see {placeholder}")
    assert Restorer(vault).whole(outer) == f"see {placeholder}"


@pytest.mark.parametrize("shape", ["{}1", "[EMAIL-1-{}", "[EMAIL-10-{}]", "[email-1-{}]", "\\[EMAIL-1-{}\\]"])
def test_what_only_looks_like_a_placeholder_stays(shape: str) -> None:
    vault, (placeholder,) = vault_of("anna@mail.io")
    said = shape.format(placeholder.removesuffix("]").rpartition("-")[2])
    assert Restorer(vault).whole(said) == said


def test_one_of_many_is_not_taken_for_the_beginning_of_another() -> None:
    values = [f"v{number}" for number in range(1, 13)]
    vault, placeholders = vault_of(*values)
    assert Restorer(vault).whole(" ".join(placeholders)) == " ".join(values)


def test_a_placeholder_of_another_vault_is_never_restored() -> None:
    vault, _ = vault_of("anna@mail.io")
    other, (foreign,) = vault_of("berta@mail.io")
    assert Restorer(vault).whole(foreign) == foreign
    assert "berta@" not in repr(other) + repr(other.entries)


def _next_of(letters: str) -> Callable[[str], str]:
    drawn = iter(letters)

    def choice(_: str) -> str:
        return next(drawn)

    return choice


def test_a_tag_that_stands_in_the_payload_is_drawn_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ringfence.privacy.redaction.vault.secrets.choice", _next_of("bbbbbccccc"))
    vault = Vault()
    vault.begin(["is [EMAIL-1-bbbbb] mine?"])
    vault.note(Entry(value="anna@mail.io", labels=frozenset(), name="email"))
    assert vault.placeholder("anna@mail.io") == "[EMAIL-1-ccccc]"


@given(said=text)
def test_the_forms_of_a_text_are_those_that_are_scanned_and_their_places_are_in_it(said: str) -> None:
    forms, complete = unescaped_places(said)
    assert ([form for form, _ in forms], complete) == unescaped_forms(said)
    for form, places in forms:
        starts = [places(place) for place in range(len(form) + 1)]
        assert starts == sorted(starts)
        assert (starts[0], starts[-1]) == (0, len(said))
