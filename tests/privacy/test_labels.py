"""Each sentence of policy.md's "The labels of a request", and the facts that go with them."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterable
from dataclasses import replace
from types import MappingProxyType
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ringfence.errors import InvalidRequest
from ringfence.policy import Policy, builtin_policy
from ringfence.privacy.detection import DetectorSet
from ringfence.privacy.detector import Hit
from ringfence.privacy.labels import Labeller, label_text
from ringfence.request import (
    FilePart,
    ImagePart,
    Message,
    OutputSchema,
    Part,
    ReasoningPart,
    Request,
    Settings,
    TextPart,
    Tool,
    ToolCallPart,
    ToolResultPart,
)

CARD = "4111 1111 1111 1111"
PLAIN = "How tall is Mount Fuji?"
PICTURE = b"\x89PNG\r\n\x1a\n"


class _Word:
    """A detector that finds a word, and counts what it reads."""

    def __init__(self, word: str) -> None:
        self.word = word
        self.characters = 0

    def detect(self, text: str) -> Iterable[Hit]:
        self.characters += len(text)
        start = text.find(self.word)
        return [Hit(start, start + len(self.word))] if start >= 0 else []


class _Failing:
    def detect(self, text: str) -> Iterable[Hit]:
        raise RuntimeError(text)


def _words(**others: object) -> DetectorSet:
    detectors = {kind: _Word(kind) for kind in ("email", "phone", "credit_card", "iban")}
    return DetectorSet({**detectors, **others})  # type: ignore[dict-item]  # pyright: ignore[reportArgumentType]


def _ask(*parts: Part, **fields: object) -> Request:
    return Request(messages=(Message("user", parts),), **fields)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


# ---------------------------------------------------------------- the union over all parts

CARRIERS: list[Callable[[str], Request]] = [
    lambda text: Request(messages=(Message("system", (TextPart(text),)), Message("user", (TextPart(PLAIN),)))),
    lambda text: _ask(TextPart(text)),
    lambda text: _ask(TextPart(PLAIN), tools=(Tool(name="pay", description=text),)),
    lambda text: _ask(TextPart(PLAIN), tools=(Tool(name="pay", parameters={"default": [text]}),)),
    lambda text: _ask(TextPart(PLAIN), tools=(Tool(name=text),)),
    lambda text: _ask(TextPart(PLAIN), output=OutputSchema(schema={"enum": [text]})),
    lambda text: _ask(TextPart(PLAIN), ToolResultPart("1", "look_up", text)),
    lambda text: _ask(TextPart(PLAIN), ToolCallPart("1", "pay", f'{{"card": "{text}"}}')),
    lambda text: _ask(TextPart(PLAIN), ReasoningPart("mlx", text)),
    lambda text: _ask(TextPart(PLAIN), FilePart(text.encode(), media_type="text/plain")),
    lambda text: _ask(TextPart(PLAIN), FilePart(f'"{text}"'.encode(), media_type="application/json; charset=utf-8")),
    lambda text: _ask(TextPart(PLAIN), FilePart(b"PK\x03", media_type="application/zip", name=f"{text}.zip")),
    lambda text: _ask(TextPart(PLAIN), ImagePart(PICTURE, name=f"{text}.png")),
    lambda text: Request(
        messages=(
            Message("user", (TextPart(text),)),
            Message("assistant", (TextPart("thanks"),)),
            Message("user", (TextPart(PLAIN),)),
        )
    ),
]


@pytest.mark.parametrize("carrier", CARRIERS)
def test_a_hit_counts_in_every_part_of_a_request(carrier: Callable[[str], Request], detecting: Policy) -> None:
    assert "financial" in Labeller(detecting).label(carrier(CARD))
    assert "financial" not in Labeller(detecting).label(carrier("nothing"))


def test_labels_of_the_conversation_are_added(declaring: Policy) -> None:
    request = _ask(TextPart("hello", labels=frozenset({"contact"})), labels=frozenset({"health"}))
    assert Labeller(declaring).label(request) == {"contact", "health"}


def test_an_identifier_split_over_two_parts_is_found(detecting: Policy) -> None:
    assert "financial" in Labeller(detecting).label(_ask(TextPart("4111 1111"), TextPart(" 1111 1111")))


# ---------------------------------------------------------------- what one part carries


def test_a_part_carries_what_is_declared_and_every_hit(detecting: Policy) -> None:
    text = f"Card {CARD}, write to ann@example.com"
    assert label_text(detecting, text, {"health"}) == {"health", "financial", "contact"}


def test_a_declaration_never_removes_a_hit(detecting: Policy) -> None:
    assert label_text(detecting, CARD, {"public"}) == {"public", "financial"}


def test_a_text_that_every_detector_scanned_without_a_hit_is_clean(detecting: Policy) -> None:
    assert label_text(detecting, PLAIN, ()) == {"public"}


def test_without_a_clean_label_a_text_without_hits_is_unknown(detecting_without_clean: Policy) -> None:
    assert label_text(detecting_without_clean, PLAIN, ()) == {"unclassified"}


def test_a_declared_text_without_hits_carries_what_is_declared_alone(detecting: Policy) -> None:
    assert label_text(detecting, PLAIN, {"health"}) == {"health"}


@pytest.mark.parametrize(
    "part",
    [
        ImagePart(PICTURE, labels=frozenset({"health"})),
        FilePart(b"%PDF-1.7", media_type="application/pdf", labels=frozenset({"health"})),
        FilePart(b"caf\xe9", media_type="text/plain", labels=frozenset({"health"})),
        FilePart(b"abc", media_type="text/plain; charset=utf-16", labels=frozenset({"health"})),
        FilePart("a4111".encode("utf-16-le"), media_type="text/plain", labels=frozenset({"health"})),
    ],
    ids=["image", "pdf", "not utf-8", "other charset", "utf-16 as text"],
)
def test_a_part_that_cannot_be_scanned_carries_unknown_even_if_declared(part: Part, detecting: Policy) -> None:
    labels = Labeller(detecting).label(_ask(TextPart(PLAIN, labels=frozenset({"contact"})), part))
    assert labels == {"health", "unclassified", "contact"}


def test_opaque_reasoning_carries_the_labels_of_its_answer_and_unknown_without_any(detecting: Policy) -> None:
    text = TextPart(PLAIN, labels=frozenset({"contact"}))
    answered = ReasoningPart("openai", state="opaque", labels=frozenset({"health"}))
    assert Labeller(detecting).label(_ask(text, answered)) == {"health", "contact"}
    assert Labeller(detecting).label(_ask(text, ReasoningPart("openai", state="opaque"))) == {"unclassified", "contact"}


@pytest.mark.parametrize("policy_of", ["detecting", "without a detector"])
def test_a_tool_and_an_output_schema_carry_what_is_declared_for_them(policy_of: str, detecting: Policy) -> None:
    rules = detecting if policy_of == "detecting" else builtin_policy()
    labels = frozenset({"health"})
    request = Request(
        messages=(Message("user", (TextPart(PLAIN, labels=labels),)),),
        tools=(Tool(name="look_up", labels=labels),),
        output=OutputSchema(schema={"type": "object"}, labels=labels),
    )
    assert Labeller(rules).label(request) == {"health"}


def test_a_declared_tool_still_carries_what_is_found_in_it(detecting: Policy) -> None:
    tool = Tool(name="pay", description="pays to DE89 3704 0044 0532 0130 00", labels=frozenset({"health"}))
    assert "financial" in Labeller(detecting).label(replace(_ask(TextPart(PLAIN)), tools=(tool,)))


def test_a_failed_detector_makes_even_a_declared_part_unknown(detecting: Policy) -> None:
    labeller = Labeller(detecting, _words(phone=_Failing()))
    assert labeller.label_text("iban", {"health"}) == {"health", "financial", "unclassified"}


class _FailingOnLong:
    def detect(self, text: str) -> Iterable[Hit]:
        if len(text) > 10:
            raise ValueError
        return []


def test_a_detector_that_fails_on_parts_read_together_makes_them_unknown(detecting: Policy) -> None:
    labeller = Labeller(detecting, _words(phone=_FailingOnLong()))
    parts = (TextPart("12345678"), TextPart("12345678"))
    assert [labeller.label(_ask(part)) for part in parts] == [{"public"}, {"public"}]
    assert labeller.label(_ask(*parts)) == {"public", "unclassified"}


def test_a_detector_that_is_not_installed_makes_even_a_declared_part_unknown(detecting: Policy) -> None:
    only_some = DetectorSet({"email": _Word("email"), "iban": _Word("iban")})
    assert Labeller(detecting, only_some).label_text("email", {"health"}) == {"health", "contact", "unclassified"}


def test_where_the_policy_names_no_detector_declared_labels_stand_alone(declaring: Policy) -> None:
    picture = ImagePart(PICTURE, labels=frozenset({"health"}))
    assert Labeller(declaring).label(_ask(picture)) == {"health"}
    assert label_text(declaring, CARD, {"contact"}) == {"contact"}


def test_where_the_policy_names_no_detector_an_undeclared_part_is_unknown(declaring: Policy) -> None:
    request = _ask(TextPart(PLAIN, labels=frozenset({"contact"})), TextPart("and this"))
    assert Labeller(declaring).label(request) == {"contact", "unclassified"}
    assert Labeller(declaring).label(_ask(TextPart(PLAIN))) == {"unclassified"}


def test_a_tool_definition_that_nothing_scanned_is_unknown(declaring: Policy) -> None:
    request = _ask(TextPart(PLAIN, labels=frozenset({"contact"})), tools=(Tool(name="pay"),))
    assert Labeller(declaring).label(request) == {"contact", "unclassified"}


def test_an_undeclared_label_is_refused_by_name(declaring: Policy) -> None:
    part = TextPart("x", labels=frozenset({"heatlh"}))
    with pytest.raises(InvalidRequest) as caught:
        Labeller(declaring).label(_ask(part))
    assert str(caught.value) == "label 'heatlh' is not declared in policy 'labelled' (try: 'health')"


@pytest.mark.parametrize("detects", [False, True])
def test_an_undeclared_label_is_refused_wherever_it_stands(detects: bool, declaring: Policy, detecting: Policy) -> None:
    labeller = Labeller(detecting if detects else declaring)
    with pytest.raises(InvalidRequest):
        labeller.label(_ask(TextPart("x"), labels=frozenset({"secret"})))
    with pytest.raises(InvalidRequest):
        labeller.label(_ask(TextPart("x"), ImagePart(PICTURE, labels=frozenset({"secret"}))))
    with pytest.raises(InvalidRequest):
        labeller.label_text("x", {"secret"})


def test_what_is_declared_for_no_text_stands_alone(detecting: Policy) -> None:
    assert label_text(detecting, "", {"health"}) == {"health"}


# ---------------------------------------------------------------- JSON escapes


@pytest.mark.parametrize(
    "arguments",
    [
        '{"card": "\\u0034\\u0031\\u0031\\u0031 1111 1111 1111"}',
        '{"card": "4111\\t1111\\u00a01111 1111"}',
        '{"inner": "{\\"card\\": \\"\\\\u0034111 1111 1111 1111\\"}"}',
        '{"card": "\\ud835\\udfd2111 1111 1111 1111"}',
        '{"broken": "\\u0034111 1111 1111 1111',
    ],
    ids=["escaped digits", "escaped spaces", "json in json", "surrogate pair", "not valid json"],
)
def test_a_number_behind_json_escapes_is_found(arguments: str, detecting: Policy) -> None:
    assert "financial" in Labeller(detecting).label(_ask(TextPart("x"), ToolCallPart("1", "pay", arguments)))


def test_a_text_escaped_too_often_is_unknown(detecting: Policy) -> None:
    text = "\\" * 2**9 + "u0034"
    assert "unclassified" in label_text(detecting, text, ())


# ---------------------------------------------------------------- laws

LABELS = st.frozensets(st.sampled_from(["public", "contact", "financial", "health", "unclassified"]))
TEXTS = st.sampled_from(["", PLAIN, CARD, "ann@example.com", "call +41 44 668 18 00", "\\u0034111", "é" * 3])


def _text_part(text: str, labels: frozenset[str]) -> Part:
    return TextPart(text, labels=labels)


def _file_part(text: str, labels: frozenset[str]) -> Part:
    return FilePart(text.encode(), media_type="text/plain", labels=labels)


def _image_part(name: str, labels: frozenset[str]) -> Part:
    return ImagePart(PICTURE, name=name, labels=labels)


def _tool_result(text: str, labels: frozenset[str]) -> Part:
    return ToolResultPart("1", "look_up", text, labels=labels)


PARTS: st.SearchStrategy[Part] = st.one_of(
    *(st.builds(make, TEXTS, LABELS) for make in (_text_part, _file_part, _image_part, _tool_result))
)
LAW = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@LAW
@given(parts=st.lists(PARTS, min_size=1, max_size=4), more=PARTS, mark=LABELS)
def test_one_more_turn_never_removes_a_label(
    parts: list[Part], more: Part, mark: frozenset[str], detecting: Policy
) -> None:
    labeller = Labeller(detecting)
    turns = (Message("user", (ToolResultPart("0", "t", "x"), *parts)),)
    before = labeller.label(Request(messages=turns, labels=mark))
    assert mark <= before
    for longer in ((*turns, Message("user", (more,))), (Message("system", (more,)), *turns)):
        assert before <= labeller.label(Request(messages=longer, labels=mark))


@LAW
@given(parts=st.lists(PARTS, min_size=1, max_size=5))
def test_what_a_part_carries_does_not_depend_on_the_parts_beside_it(parts: list[Part], detecting: Policy) -> None:
    labeller = Labeller(detecting)
    filler = ToolResultPart("0", "t", "x")
    alone = [labeller.label(_ask(filler, part)) for part in parts]
    assert frozenset().union(*alone) <= labeller.label(_ask(filler, *parts))


@LAW
@given(text=TEXTS, declared=LABELS, more=LABELS, mark=LABELS)
def test_a_declared_label_never_removes_a_known_one(
    text: str, declared: frozenset[str], more: frozenset[str], mark: frozenset[str], detecting: Policy
) -> None:
    labeller = Labeller(detecting)
    hits = labeller.label_text(CARD + text, ()) - {"public"}
    assert declared | hits <= labeller.label_text(CARD + text, declared)
    known = labeller.label_text(CARD + text, declared) - {"public"} | declared
    assert known <= labeller.label_text(CARD + text, declared | more)
    request, wider = _ask(TextPart(text + "x"), labels=mark), _ask(TextPart(text + "x"), labels=mark | more)
    assert labeller.label(request) <= labeller.label(wider)


@LAW
@given(parts=st.lists(PARTS, min_size=1, max_size=4))
def test_labels_are_never_empty_and_always_of_the_policy(
    parts: list[Part], declaring: Policy, detecting: Policy
) -> None:
    for policy in (declaring, detecting):
        labels = Labeller(policy).label(_ask(TextPart("x"), *parts))
        assert labels
        assert labels <= set(policy.labels)


# ---------------------------------------------------------------- scanning once


def _counting() -> tuple[DetectorSet, _Word]:
    counter = _Word("email")
    return _words(email=counter), counter


def test_earlier_turns_are_scanned_once(detecting: Policy) -> None:
    detectors, counter = _counting()
    labeller = Labeller(detecting, detectors)
    turns: tuple[Message, ...] = ()
    for _ in range(20):
        turns = (*turns, Message("user", (TextPart("x" * 100),)))
        labeller.label(Request(messages=turns))
    assert counter.characters == 20 * 100


def test_what_is_remembered_does_not_keep_a_message_alive(detecting: Policy) -> None:
    labeller = Labeller(detecting, _words())
    for _ in range(50):
        labeller.label(_ask(TextPart("hello")))
    gc.collect()
    assert not labeller._messages  # pyright: ignore[reportPrivateUsage]


def test_a_new_message_at_an_old_address_is_scanned(detecting: Policy) -> None:
    labeller = Labeller(detecting, _words())
    for turn in range(200):
        word = "iban" if turn % 2 else "email"
        expected = {"financial"} if turn % 2 else {"contact"}
        assert labeller.label(_ask(TextPart(word))) == expected


def test_a_schema_that_was_scanned_does_not_stand_for_one_that_could_not_be(detecting: Policy) -> None:
    """Their texts are the same: the name and `{}`."""
    labeller = Labeller(detecting)
    whole = _ask(TextPart("x"), output=OutputSchema(name="pay", schema={}))
    broken = _ask(
        TextPart("x"), tools=(Tool(name="pay", description="{}", parameters=cast("Any", {"default": object()})),)
    )
    assert labeller.label(whole) == {"public"}
    assert "unclassified" in labeller.label(broken)


def test_a_schema_that_the_app_changes_later_is_sent_as_it_was_scanned(detecting: Policy) -> None:
    inner: dict[str, str] = {"description": "plain"}
    request = _ask(TextPart("x"), tools=(Tool(name="pay", parameters={"properties": inner}),))
    assert "financial" not in Labeller(detecting).label(request)
    inner["description"] = CARD
    assert request.tools[0].parameters == {"properties": {"description": "plain"}}


@pytest.mark.parametrize(
    "parameters",
    [
        MappingProxyType({"properties": MappingProxyType({"card": CARD})}),
        {"enum": (1, CARD)},
        {"enum": {CARD}},
        {CARD: True},
        {"const": 4111111111111111},
    ],
    ids=["proxies", "tuple", "set", "key", "number"],
)
def test_a_schema_is_scanned_whatever_it_is_made_of(parameters: Any, detecting: Policy) -> None:
    request = _ask(TextPart("x"), tools=(Tool(name="pay", parameters=parameters),))
    assert Labeller(detecting).label(request) == {"public", "financial"}


def _in_itself() -> dict[str, Any]:
    schema: dict[str, Any] = {}
    schema["properties"] = schema
    return schema


def test_a_schema_that_holds_itself_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="nested too deeply"):
        Tool(name="pay", parameters=_in_itself())


@pytest.mark.parametrize("schema", [{"default": object()}, {"default": b"\x00"}], ids=["object", "bytes"])
def test_a_schema_that_is_not_json_is_unknown(schema: Any, detecting: Policy) -> None:
    labeller = Labeller(detecting)
    assert "unclassified" in labeller.label(_ask(TextPart("x"), tools=(Tool(name="pay", parameters=schema),)))
    assert "unclassified" in labeller.label(_ask(TextPart("x"), output=OutputSchema(schema=schema)))


def test_characters_left_to_scan_tell_when_a_thread_is_worth_it(detecting: Policy, declaring: Policy) -> None:
    request = _ask(TextPart("x" * 1_000), FilePart(b"y" * 500, media_type="text/plain"))
    labeller = Labeller(detecting, _words())
    assert labeller.unscanned_characters(request) == 1_500
    labeller.label(request)
    assert labeller.unscanned_characters(request) == 0
    assert Labeller(declaring).unscanned_characters(request) == 0


def test_threads_label_alike(detecting: Policy) -> None:
    labeller = Labeller(detecting)
    requests = [_ask(TextPart(CARD if number % 2 else PLAIN)) for number in range(40)]
    found: list[list[frozenset[str]]] = []
    threads = [
        threading.Thread(target=lambda: found.append([labeller.label(request) for request in requests]))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [[frozenset({"financial" if number % 2 else "public"}) for number in range(40)]] * 8


# ---------------------------------------------------------------- facts


@pytest.mark.parametrize(
    ("text", "tokens"), [("abc", 1), ("abcd", 2), ("你好", 2), ("\ud800", 1), ("a" * 3000, 1000)], ids=repr
)
def test_input_tokens_are_a_third_of_the_utf8_bytes_rounded_up(text: str, tokens: int, declaring: Policy) -> None:
    labeller = Labeller(declaring)
    assert labeller.facts(_ask(TextPart(text)), frozenset({"contact"})).input_tokens == tokens


@pytest.mark.parametrize("carrier", CARRIERS)
def test_input_tokens_count_the_text_of_every_part(carrier: Callable[[str], Request], declaring: Policy) -> None:
    labeller = Labeller(declaring)
    short, long = carrier("y"), carrier("y" * 301)
    assert labeller.facts(long, frozenset()).input_tokens - labeller.facts(short, frozenset()).input_tokens == 100


def test_facts_are_the_request_seen_by_a_policy(declaring: Policy) -> None:
    request = _ask(TextPart("hi"), task="rewrite", facts={"user.age_band": "adult"}, to=frozenset({"mlx"}))
    facts = Labeller(declaring).facts(request, frozenset({"contact"}))
    assert facts.task == "rewrite"
    assert facts.labels == {"contact"}
    assert facts.to == frozenset({"mlx"})
    assert facts.values == {"user.age_band": "adult"}


@pytest.mark.parametrize(
    ("parts", "task", "modality"),
    [
        ((TextPart("x"),), "open_question", {"text"}),
        ((TextPart("x"), ImagePart(PICTURE)), "open_question", {"text", "image"}),
        ((TextPart("x"),), "image", {"text", "image"}),
        ((TextPart("x"),), "speak", {"text", "audio"}),
        ((FilePart(b"RIFF", media_type="audio/wav"),), "transcribe", {"text", "audio"}),
        ((FilePart(b"PK", media_type="application/zip"),), "open_question", {"text", "file"}),
        ((FilePart(b"PK", media_type="image/tiff"),), "open_question", {"text", "image"}),
        ((ImagePart(PICTURE),), "embed", {"image"}),
    ],
)
def test_modality_is_of_the_input_and_of_what_is_asked_for(
    parts: tuple[Part, ...], task: str, modality: set[str], declaring: Policy
) -> None:
    assert Labeller(declaring).facts(_ask(*parts, task=task), frozenset()).modality == modality


# ---------------------------------------------------------------- what is said beside the parts

BESIDE: list[dict[str, Any]] = [
    {"settings": Settings(stop=("John Doe",))},
    {"provider_options": {"openai": {"metadata": {"note": "John Doe"}}}},
]


@pytest.mark.parametrize("beside", BESIDE, ids=["stop", "options"])
def test_what_is_said_beside_the_parts_is_as_the_parts_are(beside: dict[str, Any], declaring: Policy) -> None:
    labeller = Labeller(declaring)
    declared = TextPart(PLAIN, labels=frozenset({"health"}))
    assert labeller.label(_ask(declared, **beside)) == {"health"}
    assert labeller.label(_ask(declared, TextPart(PLAIN), **beside)) == {"health", "unclassified"}


@pytest.mark.parametrize("beside", BESIDE, ids=["stop", "options"])
def test_input_tokens_count_what_is_said_beside_the_parts(beside: dict[str, Any], declaring: Policy) -> None:
    labeller = Labeller(declaring)
    plain = labeller.facts(_ask(TextPart(PLAIN)), frozenset({"public"})).input_tokens
    assert labeller.facts(_ask(TextPart(PLAIN), **beside), frozenset({"public"})).input_tokens >= plain + 2


def test_input_tokens_count_options_as_json(declaring: Policy) -> None:
    request = _ask(TextPart("x"), settings=Settings(stop=("ä",)), provider_options={"a": {"b": 1}})
    assert Labeller(declaring).facts(request, frozenset({"public"})).input_tokens == -(-(1 + 2 + 15) // 3)


class _Slow:
    slow = True

    def detect(self, text: str) -> list[Hit]:
        return []


def test_a_text_is_scanned_in_a_thread_where_it_is_long_or_a_detector_slow(detecting: Policy) -> None:
    short, long = _ask(TextPart("x")), _ask(TextPart("x" * 20_001))
    assert [Labeller(detecting, _words()).scans_long(one) for one in (short, long)] == [False, True]
    assert Labeller(detecting, _words(email=_Slow())).scans_long(short)


def test_the_first_scan_loads_detectors_and_is_made_in_a_thread(detecting: Policy) -> None:
    assert Labeller(detecting, DetectorSet()).scans_long(_ask(TextPart("x")))
