"""Every way to hold a function wrong is refused before anything is sent, with a way out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.core.support import assistant, policy, policy_text

from ringfence import Assistant, AsyncAssistant, Settings, load_policy
from ringfence.assistant.stream import AsyncStream
from ringfence.errors import InvalidRequest, PolicyError, RingfenceError
from ringfence.request import FilePart, ImagePart, Message, Request, TextPart, Tool
from ringfence.testing import ScriptedProvider


def untyped(value: object) -> Any:
    return value


NAN, INF = float("nan"), float("inf")

OPTIONS: dict[str, Mapping[str, Any]] = {
    "misspelt": {"lables": {"work"}},
    "unknown": {"stream": True},
    "a vendor's word": {"temperature": 0.5},
    "task empty": {"task": ""},
    "task None": {"task": None},
    "task a number": {"task": 5},
    "task a list": {"task": ["rewrite"]},
    "labels one string": {"labels": "work"},
    "labels None": {"labels": None},
    "labels a number": {"labels": 5},
    "labels numbers": {"labels": [1]},
    "labels with an empty name": {"labels": ["work", ""]},
    "labels of lists": {"labels": [["work"]]},
    "label undeclared": {"labels": {"wrok"}},
    "instructions a number": {"instructions": 5},
    "instructions a part": {"instructions": TextPart("be brief")},
    "settings a dict": {"settings": {"temperature": 0.5}},
    "settings None": {"settings": None},
    "settings the class": {"settings": Settings},
    "tools one tool": {"tools": Tool(name="look")},
    "tools dicts": {"tools": [{"name": "look"}]},
    "tools names": {"tools": ["look"]},
    "tools a string": {"tools": "look"},
    "tools None": {"tools": None},
    "tools twice the same": {"tools": [Tool(name="look"), Tool(name="look")]},
    "tool choice": {"tool_choice": "always"},
    "tool choice None": {"tool_choice": None},
    "attachments one": {"attachments": ImagePart(b"x")},
    "attachments paths": {"attachments": ["picture.png"]},
    "attachments bytes": {"attachments": b"picture"},
    "attachments None": {"attachments": None},
    "facts a string": {"facts": "adult"},
    "facts None": {"facts": None},
    "facts a list": {"facts": ["adult"]},
    "to a number": {"to": 5},
    "to numbers": {"to": [5]},
    "tenant a number": {"tenant": 5},
    "provider options a string": {"provider_options": "fast"},
    "provider options None": {"provider_options": None},
    "provider options flat": {"provider_options": {"first": "fast"}},
}

GIVEN: dict[str, Any] = {
    "empty": "",
    "blank": " \n\t",
    "None": None,
    "a number": 5,
    "bytes": b"hello",
    "an empty list": [],
    "a dict": {"role": "user", "content": "hi"},
    "dicts": [{"role": "user", "content": "hi"}],
    "strings": ["hello", "there"],
    "a mixture": [TextPart("a"), Message("user", (TextPart("b"),))],
    "a part with text beside it": [TextPart("a"), "b"],
    "a path": Path("letter.txt"),
    "an empty part": TextPart(""),
    "an empty image": ImagePart(b""),
    "an empty message": [Message("user", ())],
    "the class": TextPart,
    "a function": print,
}


async def refused(ask: Callable[[AsyncAssistant], Any]) -> InvalidRequest:
    provider = ScriptedProvider("never")
    async with assistant(policy("first"), first=provider) as it:
        with pytest.raises(InvalidRequest) as caught:
            await ask(it)
    assert provider.requests == []
    assert provider.opened == 0
    return caught.value


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS.keys())
async def test_a_wrong_option_is_refused_with_a_way_out_and_nothing_is_sent(options: Mapping[str, Any]) -> None:
    def ask(it: Any) -> Any:
        return it.respond("hello", **options)

    error = await refused(ask)
    assert error.message[0].islower() or error.message[0] in "'\""
    assert not str(error).endswith(".")
    assert error.way_out


@pytest.mark.parametrize("given", GIVEN.values(), ids=GIVEN.keys())
async def test_wrong_input_is_refused_with_a_way_out_and_nothing_is_sent(given: Any) -> None:
    assert (await refused(lambda it: it.respond(given))).way_out


@pytest.mark.parametrize("verb", ["respond", "summarize", "rewrite", "proofread", "reply"])
async def test_every_verb_refuses_an_unknown_option_and_an_empty_text(verb: str) -> None:
    assert "temprature" in (await refused(lambda it: getattr(it, verb)("hello", temprature=1))).message
    assert "empty" in (await refused(lambda it: getattr(it, verb)(""))).message


async def test_a_stream_refuses_wrong_arguments_at_once() -> None:
    async with assistant(policy("first"), first=ScriptedProvider("x")) as it:
        wrong: tuple[dict[str, Any], ...] = ({"labels": "work"}, {"temperature": 1})
        for options in wrong:
            with pytest.raises(InvalidRequest):
                it.stream("hello", **options)


async def test_an_undeclared_label_is_named_with_the_nearest() -> None:
    error = await refused(lambda it: it.respond("hello", labels={"helth"}))
    assert "'helth' is not declared in policy 'under-test'" in error.message
    assert error.way_out == "'health'"


@pytest.mark.parametrize("repair", ["1", None, 1.5], ids=repr)
async def test_a_repair_that_is_no_count_is_refused(repair: Any) -> None:
    provider = ScriptedProvider("no json")
    async with assistant(policy("first"), first=provider) as it:
        with pytest.raises(InvalidRequest):
            await it.respond("x", output={"type": "object"}, repair=repair)


async def test_prewarm_of_an_unknown_recipient_names_those_there_are() -> None:
    async with assistant(policy("first", "second"), first=ScriptedProvider("x")) as it:
        with pytest.raises(InvalidRequest) as caught:
            await it.prewarm("frist")
    assert caught.value.way_out == "one of first, second"


# ------------------------------------------------------------------ making an assistant
MADE_WRONG: dict[str, Mapping[str, Any]] = {
    "providers the class": {"providers": {"first": ScriptedProvider}},
    "providers a name": {"providers": {"first": "scripted"}},
    "providers a string": {"providers": "first"},
    "providers a list": {"providers": [ScriptedProvider()]},
    "timeouts a number": {"timeouts": 5},
    "timeouts a dict": {"timeouts": {"total_s": 5}},
    "retry a number": {"retry": 3},
    "audit None": {"audit": None},
    "audit a number": {"audit": 5},
    "tenant a number": {"tenant": 5},
}


@pytest.mark.parametrize("face", [AsyncAssistant, Assistant])
@pytest.mark.parametrize("wrong", MADE_WRONG.values(), ids=MADE_WRONG.keys())
def test_an_assistant_made_wrong_is_refused_at_once(face: Any, wrong: Mapping[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        face(policy("first"), **{"audit": False, **wrong})


@pytest.mark.parametrize("given", ["", "missing.yaml", "/", 5, {"version": 1}, b"policy"], ids=repr)
def test_a_policy_that_is_none_is_refused_and_the_built_in_never_stands_in(given: Any) -> None:
    with pytest.raises((PolicyError, InvalidRequest)):
        AsyncAssistant(given, audit=False)


def test_a_policy_named_by_the_environment_that_cannot_be_read_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    for named in ("", "missing.yaml"):
        monkeypatch.setenv("RINGFENCE_POLICY", named)
        with pytest.raises(PolicyError):
            AsyncAssistant(audit=False)


def test_without_any_policy_only_the_device_is_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("RINGFENCE_POLICY", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "policy.yaml").write_text("version: 1\n")
    made = AsyncAssistant(audit=False)
    assert made.policy.name == "built-in"
    assert {recipient.ring for recipient in made.policy.recipients.values()} == {"device"}


# ------------------------------------------------------------------ settings
IN_BOUNDS: list[Mapping[str, Any]] = [
    {},
    {"max_output_tokens": 1},
    {"temperature": 0},
    {"temperature": 2.0},
    {"top_p": 1},
    {"top_p": 1e-9},
    {"top_k": 1},
    {"min_p": 0},
    {"min_p": 1},
    {"repetition_penalty": 0.01},
    {"presence_penalty": -2},
    {"frequency_penalty": 2},
    {"seed": 0},
    {"seed": 2**63 - 1},
    {"stop": ("a",) * 16},
    {"stop": "one"},
    {"stop": ["a", "b"]},
    {"logit_bias": {0: -100, 5: 100.0}},
    {"reasoning_effort": "none"},
]
_LOGIT_BIASES: list[Any] = [{-1: 0}, {1: 101}, {1: NAN}, {"1": 1}, {True: 1}, {1: True}, {1: "1"}, [1, 2], "1", 5]
_STOPS: list[Any] = [("a",) * 17, ("",), "", (1,), (None,), b"x", 5, None]
_COUNTS: list[Any] = [0, -1, 1.0, True, "1", NAN, []]
_EFFORTS: list[Any] = ["extreme", "", 1, [], True]
OUT_OF_BOUNDS: list[Mapping[str, Any]] = [
    *({name: value} for name in ("max_output_tokens", "top_k") for value in _COUNTS),
    *({"temperature": value} for value in (-0.001, 2.001, NAN, INF, -INF, True, "0.5", [0.5], 1j)),
    *({"top_p": value} for value in (0, 0.0, 1.001, -1, NAN, INF, False)),
    *({"min_p": value} for value in (-0.001, 1.001, NAN, True)),
    *({"repetition_penalty": value} for value in (0, -1, NAN, INF, True, "1")),
    *({"presence_penalty": value} for value in (-2.001, 2.001, NAN, True)),
    *({"frequency_penalty": value} for value in (-2.001, 2.001, NAN, "0")),
    *({"seed": value} for value in (-1, 2**63, 1.0, True, "7", NAN)),
    *({"stop": value} for value in _STOPS),
    *({"logit_bias": value} for value in _LOGIT_BIASES),
    *({"reasoning_effort": value} for value in _EFFORTS),
]


@pytest.mark.parametrize("values", IN_BOUNDS, ids=str)
def test_settings_at_their_bounds_are_taken(values: Mapping[str, Any]) -> None:
    made = Settings(**values)
    assert all(getattr(made, name) is not None for name in values)


@pytest.mark.parametrize("values", OUT_OF_BOUNDS, ids=lambda one: str(one)[:50])
def test_settings_out_of_bounds_are_refused_by_name(values: Mapping[str, Any]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        Settings(**values)
    assert next(iter(values)) in str(caught.value).replace("stop sequence", "stop")


def test_every_fault_of_settings_is_named() -> None:
    with pytest.raises(InvalidRequest) as caught:
        Settings(temperature=3, top_p=0, seed=-1, stop=("",))
    for name in ("temperature", "top_p", "seed", "stop"):
        assert name in str(caught.value)


def test_stop_as_one_string_is_one_sequence() -> None:
    assert Settings(stop=untyped("END")).stop == ("END",)


# ------------------------------------------------------------------ parts and messages
@pytest.mark.parametrize(
    "make",
    [
        lambda: TextPart(untyped(b"bytes")),
        lambda: TextPart(untyped(None)),
        lambda: ImagePart(untyped("picture.png")),
        lambda: ImagePart(untyped(bytearray(b"x"))),
        lambda: FilePart(untyped(Path("x"))),
        lambda: Message(untyped("robot"), (TextPart("x"),)),
        lambda: Message("user", untyped("hello")),
        lambda: Message("user", untyped(None)),
        lambda: Message("user", untyped(TextPart("x"))),
        lambda: Message("user", untyped((b"x",))),
        lambda: TextPart("x", labels=untyped("work")),
        lambda: Request(messages=()),
        lambda: Request(messages=(Message("user", (TextPart(" "),)),)),
        lambda: Request(messages=untyped("hello")),
        lambda: Request(messages=untyped((TextPart("x"),))),
    ],
    ids=map(str, range(15)),
)
def test_a_part_message_or_request_made_wrong_is_refused(make: Callable[..., object]) -> None:
    with pytest.raises(RingfenceError):
        make()


async def test_a_required_call_without_a_tool_is_refused() -> None:
    provider = ScriptedProvider("x")
    async with assistant(policy("first"), first=provider) as it:
        with pytest.raises(InvalidRequest, match="there is no tool"):
            await it.respond("x", tool_choice="required")
    assert provider.requests == []


async def test_an_undeclared_fact_is_named_with_the_nearest() -> None:
    head = policy_text().partition("recipients:")[0] + "facts:\n  user.age_band: {type: enum, values: [adult, minor]}\n"
    provider = ScriptedProvider("x")
    async with assistant(policy("first", head=head), first=provider) as it:
        for ask in (it.respond, it.stream, it.explain, it.count_tokens):
            with pytest.raises(InvalidRequest) as caught:
                await _done(ask("hello", facts={"user.age": "adult"}))
            assert caught.value.message == (
                "fact 'user.age' is not declared in policy 'under-test': did you mean 'user.age_band'?"
            )
        assert provider.requests == []
        await it.respond("hello", facts={"user.age_band": "adult"})
    assert len(provider.requests) == 1


async def _done(asked: Any) -> None:
    if isinstance(asked, AsyncStream):
        await asked.response()
    else:
        await asked


async def test_facts_that_no_rule_reads_change_nothing() -> None:
    """An app says what it knows: it does not know which policy asks for what."""
    head = policy_text().partition("recipients:")[0] + "facts:\n  user.age_band: {type: enum, values: [adult, minor]}\n"
    more: dict[str, str | int | float | bool] = {"user.age": 7, "user.age_band": "adult"}
    for rules, facts in ((policy("first"), {"user.age": 7}), (policy("first", head=head), more)):
        async with assistant(rules, first=ScriptedProvider("x")) as it:
            assert (await it.respond("hello", facts=facts)).text == "x"


async def test_a_fact_that_only_the_shadow_declares_is_taken(tmp_path: Path) -> None:
    declared = "facts:\n  user.age: {type: int}\nrecipients:"
    (tmp_path / "shadow.yaml").write_text(policy_text().replace("recipients:", declared))
    (tmp_path / "policy.yaml").write_text(policy_text().replace("recipients:", "shadow: shadow.yaml\nrecipients:"))
    async with assistant(load_policy(tmp_path / "policy.yaml"), first=ScriptedProvider("x")) as it:
        assert (await it.respond("hello", facts={"user.age": 7})).text == "x"


async def test_a_ring_in_place_of_a_recipient_is_answered_with_its_recipients() -> None:
    rules = policy("first", "second", "third", rings={"first": "device", "second": "device"})
    async with assistant(rules, first=ScriptedProvider("x")) as it:
        for ring, way_out in (
            ("device", "a recipient on it: first, second"),
            ("house", "a recipient on it: third"),
            ("partner", "one of first, second, third"),
        ):
            with pytest.raises(InvalidRequest) as caught:
                await it.respond("x", to=ring)
            assert caught.value.message == f"'{ring}' is a ring, and no recipient of the policy"
            assert caught.value.way_out == way_out


@pytest.mark.parametrize("face", [AsyncAssistant, Assistant])
def test_a_provider_that_nobody_knows_is_refused_with_the_nearest(face: Any) -> None:
    with pytest.raises(InvalidRequest) as caught:
        face(policy("first"), providers={"opnai": ScriptedProvider("x")}, audit=False)
    assert caught.value.message == "there is no provider 'opnai': did you mean 'openai'?"
    assert "first" in str(caught.value.way_out)


@pytest.mark.parametrize("name", ["first", "second", "openai"])
async def test_a_provider_of_the_policy_of_its_shadow_or_installed_is_taken(name: str, tmp_path: Path) -> None:
    (tmp_path / "shadow.yaml").write_text(policy_text(("second",)))
    (tmp_path / "policy.yaml").write_text(policy_text().replace("recipients:", "shadow: shadow.yaml\nrecipients:"))
    rules = load_policy(tmp_path / "policy.yaml")
    provider = ScriptedProvider("x")
    async with AsyncAssistant(rules, providers={name: provider}, audit=False) as it:
        assert it.policy is rules


def test_the_class_of_a_provider_is_answered_with_how_to_make_one() -> None:
    with pytest.raises(InvalidRequest) as caught:
        Assistant(policy("first"), providers={"first": untyped(ScriptedProvider)}, audit=False)
    assert caught.value.message == "providers['first'] is the class ScriptedProvider, not a provider made of it"
    assert caught.value.way_out == 'make an instance: providers={"first": ScriptedProvider(…)}'


async def test_options_for_a_provider_that_nobody_knows_are_refused() -> None:
    provider = ScriptedProvider("x")
    async with assistant(policy("first"), first=provider) as it:
        with pytest.raises(InvalidRequest, match="there is no provider 'opnai'"):
            await it.respond("x", provider_options={"opnai": {"user": "somebody"}})
    assert provider.requests == []


@pytest.mark.parametrize("task", ["", "a task", "my secret: 42", "x" * 65, "_private", "line\nbreak"])
def test_a_task_is_a_name_and_never_a_text(task: str) -> None:
    """Receipts, the audit log and consents keep the name of the task."""
    with pytest.raises(InvalidRequest, match="task"):
        Request(messages=(Message("user", (TextPart("x"),)),), task=task)


@pytest.mark.parametrize("text", ["version: 1\nname: canary\n", "version: 1\r\nname: canary", "name: canary\r"])
def test_the_text_of_a_policy_in_place_of_its_path_is_refused_and_never_shown(text: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        AsyncAssistant(text)
    assert caught.value.message == "policy= is a path, not its text"
    assert caught.value.way_out == "read_policy(text)"
    assert "canary" not in f"{caught.value!s}{caught.value!r}"
