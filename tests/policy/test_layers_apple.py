"""Apple device profiles as layers: what is switched off for a device is refused, and nothing is ever widened."""

from __future__ import annotations

import json
import plistlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.policy.random_policies import allowed, decide, documents, requests
from tests.policy.test_layers_include import EVERYONE, POLICY, decided, faults, plan, written

from ringfence.errors import PolicyInvalid
from ringfence.policy import Facts, Policy, load_policy, read_policy
from ringfence.policy import cel as cel_conditions
from ringfence.policy.conditions import Cel
from ringfence.policy.document import Document
from ringfence.policy.faults import Faults
from ringfence.policy.layers.apple.rules import read_profile_layer
from ringfence.policy.layers.apple.settings import EXTERNAL, INTELLIGENCE, RESTRICTIONS, SETTINGS, SIRI, WORKSPACES
from ringfence.policy.layers.layer import combined, named
from ringfence.policy.layers.sections import Vocabulary

INSIDE = ["own-dc", "mlx"]


def profile(*payloads: Mapping[str, Any], fmt: plistlib.PlistFormat = plistlib.FMT_XML) -> bytes:
    """A configuration profile with payloads of the restrictions."""
    content = [{"PayloadType": RESTRICTIONS, "PayloadVersion": 1, **payload} for payload in payloads]
    return plistlib.dumps({"PayloadType": "Configuration", "PayloadVersion": 1, "PayloadContent": content}, fmt=fmt)


def declaration(kind: str, /, **payload: Any) -> bytes:
    return json.dumps({"Type": kind, "Identifier": "I", "ServerToken": "T", "Payload": payload}).encode()


def under(folder: Path, data: bytes, name: str = "managed.mobileconfig", policy: str = POLICY) -> Policy:
    (folder / name).write_bytes(data)
    return load_policy(written(folder, {}, policy=policy), layers=[folder / name])


def both_generations() -> Iterator[Any]:
    """Each switch that is off, in every generation that has it."""
    for setting in SETTINGS:
        for kind, key in setting.keys.items():
            value: Any = setting.narrows
            for name in reversed(key.split(".")):
                value = {name: value}
            data = profile(value) if kind == RESTRICTIONS else declaration(kind, **value)
            ending = "mobileconfig" if kind == RESTRICTIONS else "json"
            yield pytest.param(setting.id, data, f"managed.{ending}", id=f"{setting.id}-{ending}")


REFUSED: Mapping[str, tuple[Mapping[str, Any], list[str]]] = {
    "external-intelligence-off": ({}, INSIDE),
    "external-sign-in-off": ({}, INSIDE),
    "writing-tools-off": ({"task": "proofread"}, []),
    "image-playground-off": ({"task": "image"}, []),
    "genmoji-off": ({"task": "image"}, []),
    "image-wand-off": ({"task": "image"}, []),
    "visual-summary-off": ({"task": "article_summary", "modality": frozenset({"image"})}, []),
    "mail-summary-off": ({"task": "article_summary"}, []),
    "smart-replies-off": ({"task": "smart_reply"}, []),
    "safari-summary-off": ({"task": "article_summary"}, []),
    "notes-transcription-off": ({"task": "transcribe"}, []),
    "notes-summary-off": ({"task": "article_summary"}, []),
    "calendar-editing-off": ({"task": "action"}, []),
    "dictation-on-device": ({"task": "transcribe"}, ["mlx"]),
    "translation-on-device": ({"task": "translate"}, ["mlx"]),
    "assistant-off": ({}, []),
    "assistant-model-off": ({}, []),
    "dictation-off": ({"task": "transcribe"}, []),
}
"""A request that each switch bears on, and who is left to it."""


def test_every_switch_is_in_the_table_of_this_test() -> None:
    assert [setting.id for setting in SETTINGS] == list(REFUSED)


@pytest.mark.parametrize(("switch", "data", "file"), [*both_generations()])
def test_a_switch_that_is_off_refuses_and_the_reason_names_its_key(
    tmp_path: Path, switch: str, data: bytes, file: str
) -> None:
    facts, left = REFUSED[switch]
    policy = under(tmp_path, data, file)
    assert plan(policy, "public", **facts) == left
    refused = next(name for name in EVERYONE if name not in left)
    verdict = decided(policy, "public", **facts).recipients[refused]
    setting = next(one for one in SETTINGS if one.id == switch)
    assert f"managed/{switch}" in verdict.rules
    assert any(key in verdict.reason for key in setting.keys.values())
    assert str(tmp_path) not in verdict.reason


@pytest.mark.parametrize(("switch", "data", "file"), [*both_generations()])
def test_a_switch_bears_on_no_other_task(tmp_path: Path, switch: str, data: bytes, file: str) -> None:
    facts, _ = REFUSED[switch]
    policy = under(tmp_path, data, file)
    if facts:
        assert plan(policy, "public", task="extract") == EVERYONE


def test_what_is_switched_on_changes_nothing(tmp_path: Path) -> None:
    on = {setting.keys[RESTRICTIONS]: not setting.narrows for setting in SETTINGS if RESTRICTIONS in setting.keys}
    policy = under(tmp_path, profile(on | {"allowCamera": False, "ratingApps": 1000}))
    assert policy.digest == load_policy(tmp_path / "policy.yaml").digest


def test_a_task_of_the_policy_that_is_a_translation_stays_on_the_device(tmp_path: Path) -> None:
    data = declaration(INTELLIGENCE, ForceOnDeviceOnlyTranslation=True)
    policy = under(tmp_path, data, "managed.json", f"{POLICY}tasks: [translate, minutes]\n")
    assert plan(policy, "public", task="translate") == ["mlx"]
    assert plan(policy, "public", task="minutes") == EVERYONE


def test_a_partner_that_is_sent_no_key_is_not_signed_in_to(tmp_path: Path) -> None:
    anonymous = POLICY.replace("provider: gemini,", "provider: gemini, url: http://localhost:9,")
    policy = under(tmp_path, profile({"allowExternalIntelligenceIntegrationsSignIn": False}), policy=anonymous)
    assert plan(policy, "public") == ["gemini", *INSIDE]


# ---------------------------------------------------------------- workspaces, and several profiles

WORKSPACE = POLICY.replace("model: gpt-5.2", "model: gpt-5.2, options: {workspace: acme}").replace(
    "model: gemini-3-flash", "model: gemini-3-flash, options: {workspace: other}"
)


LISTS: list[tuple[list[list[str]], list[str]]] = [
    ([["acme"]], ["openai", *INSIDE]),
    ([["acme", "other"]], EVERYONE),
    ([["acme", "other"], ["other"]], ["gemini", *INSIDE]),
    ([["acme"], ["other"]], INSIDE),
    ([[]], INSIDE),
]


@pytest.mark.parametrize(("lists", "left"), LISTS)
def test_only_partners_of_an_allowed_workspace_are_left(
    tmp_path: Path, lists: list[list[str]], left: list[str]
) -> None:
    payloads = [{WORKSPACES[RESTRICTIONS]: ids} for ids in lists]
    assert plan(under(tmp_path, profile(*payloads), policy=WORKSPACE), "public") == left
    declarations = b"[" + b",".join(declaration(EXTERNAL, AllowedWorkspaceIDs=ids) for ids in lists) + b"]"
    assert plan(under(tmp_path, declarations, "managed.json", WORKSPACE), "public") == left


def test_a_partner_without_a_workspace_is_in_none(tmp_path: Path) -> None:
    policy = under(tmp_path, profile({WORKSPACES[RESTRICTIONS]: ["acme"]}))
    assert plan(policy, "public") == INSIDE
    assert WORKSPACES[RESTRICTIONS] in decided(policy, "public").recipients["openai"].reason


@pytest.mark.parametrize(("first", "second"), [(True, False), (False, True), (False, False)])
def test_one_payload_that_narrows_is_enough(tmp_path: Path, first: bool, second: bool) -> None:
    data = profile({"allowAssistant": first}, {"allowAssistant": second})
    assert plan(under(tmp_path, data), "public") == []
    both = b"[" + declaration(SIRI, Enabled=first) + b"," + declaration(SIRI, Enabled=second) + b"]"
    assert plan(under(tmp_path, both, "managed.json"), "public") == []


def test_two_profiles_narrow_together(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(declaration(EXTERNAL, AllowedWorkspaceIDs=["acme"]))
    (tmp_path / "b.json").write_bytes(declaration(EXTERNAL, AllowedWorkspaceIDs=["other"]))
    path = written(tmp_path, {}, policy=WORKSPACE)
    assert plan(load_policy(path, layers=[tmp_path / "a.json", tmp_path / "b.json"]), "public") == INSIDE


# ---------------------------------------------------------------- the kinds of file


def restricted(**keys: Any) -> dict[str, Any]:
    return {"allowWritingTools": False, **keys}


MCX = {
    "PayloadType": "com.apple.ManagedClient.preferences",
    "PayloadContent": {RESTRICTIONS: {"Forced": [{"mcx_preference_settings": restricted()}]}},
}


@pytest.mark.parametrize(
    ("file", "data"),
    [
        ("m.mobileconfig", profile(restricted())),
        ("m.mobileconfig", profile(restricted(), fmt=plistlib.FMT_BINARY)),
        ("m.plist", plistlib.dumps(restricted(allowCamera=True))),
        ("M.PLIST", plistlib.dumps(restricted())),
        ("m.mobileconfig", plistlib.dumps({"PayloadType": "Configuration", "PayloadContent": [MCX]})),
        ("m.json", b"\xef\xbb\xbf" + declaration(INTELLIGENCE, AllowWritingTools=False)),
    ],
    ids=["xml", "binary", "managed preferences", "upper case", "forced", "json with a mark"],
)
def test_every_form_of_a_profile_is_read(tmp_path: Path, file: str, data: bytes) -> None:
    assert plan(under(tmp_path, data, file), "public", task="rewrite") == []


NO_PAYLOAD = f"this file holds no payload of {RESTRICTIONS} and no declaration about intelligence or Siri."


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "this file is not a property list."),
        (b"{", "this file is not valid JSON."),
        (b"[" * 100_000, "this file is not valid JSON."),
        (b'{"allowAssistant": true, "allowAssistant": false}', "this file has the key 'allowAssistant' twice."),
        (b"<plist><dict><key>a", "this file is not a property list."),
        (b"bplist00nonsense", "this file is not a property list."),
        (plistlib.dumps({"PayloadType": "Configuration", "PayloadContent": []}), NO_PAYLOAD),
        (plistlib.dumps({"allowCamera": False}), NO_PAYLOAD),
        (b"[1, null, {}]", NO_PAYLOAD),
        (plistlib.dumps({"EncryptedPayloadContent": b"x"}), "this file is encrypted for one device."),
        (
            b"0\x82\x12\x34\x06\x09",
            "this file is signed. Extract what was signed, and name the file that it makes: sec",
        ),
        (profile({"allowAssistant": "false"}), "allowAssistant must be true or false."),
        (profile({"allowAssistant": 0}), "allowAssistant must be true or false."),
        (
            profile({"allowedExternalIntelligenceWorkspaceIDs": "acme"}),
            "allowedExternalIntelligenceWorkspaceIDs must be",
        ),
        (
            profile({"allowWritingTool": False}),
            f"unknown key 'allowWritingTool' in {RESTRICTIONS}. Did you mean 'allowWrit",
        ),
        (
            profile({"AllowWritingTools": False}),
            f"unknown key 'AllowWritingTools' in {RESTRICTIONS}. Did you mean 'allowW",
        ),
        (
            declaration(INTELLIGENCE, allowGenmoji=False),
            f"unknown key 'allowGenmoji' in {INTELLIGENCE}. Did you mean 'Allo",
        ),
        (declaration(INTELLIGENCE, Apps={"Mail": {"AllowSumary": False}}), "unknown key 'Apps.Mail.AllowSumary' in"),
        (declaration(INTELLIGENCE, Apps=[]), "unknown key 'Apps (which must be a dictionary)' in"),
        (json.dumps({"Type": SIRI, "Payload": []}).encode(), "this file has a Payload that is no dictionary."),
    ],
)
def test_a_profile_that_cannot_be_used_lets_nothing_load(tmp_path: Path, data: bytes, said: str) -> None:
    (tmp_path / "managed.mobileconfig").write_bytes(data)
    path = written(tmp_path, {}, "managed.mobileconfig")
    lines = faults(path)
    assert [line for line in lines if line.startswith(f"managed.mobileconfig: {said}")], lines
    with pytest.raises(PolicyInvalid):
        load_policy(path)


@given(st.binary(max_size=200), st.sampled_from([b"", b"{", b"[", b"bplist00", b"<?xml ", b"0\x82"]))
def test_no_bytes_make_a_profile_raise_anything_but_faults(data: bytes, start: bytes) -> None:
    found = Faults()
    layer = read_profile_layer(start + data, "m.plist", VOCABULARY, found)
    assert (layer is None) is bool(found.found)


# ---------------------------------------------------------------- the law

KEYS: Mapping[str, list[str]] = {
    kind: [setting.keys[kind] for setting in SETTINGS if kind in setting.keys]
    for kind in (EXTERNAL, INTELLIGENCE, SIRI, RESTRICTIONS)
}


@st.composite
def profiles(draw: st.DrawFn) -> bytes:
    """Random values of random keys, of both generations."""
    flat = draw(st.dictionaries(st.sampled_from(KEYS[RESTRICTIONS]), st.booleans(), min_size=1))
    if draw(st.booleans()):
        flat[WORKSPACES[RESTRICTIONS]] = draw(st.lists(st.sampled_from(["acme", "other"])))  # type: ignore[assignment]
    if draw(st.booleans()):
        return profile(flat)
    kind = draw(st.sampled_from([EXTERNAL, INTELLIGENCE, SIRI]))
    payload: dict[str, Any] = {}
    for key, value in draw(st.dictionaries(st.sampled_from(KEYS[kind]), st.booleans())).items():
        *folders, name = key.split(".")
        inner = payload
        for folder in folders:
            inner = inner.setdefault(folder, {})
        inner[name] = value
    return declaration(kind, **payload)


VOCABULARY = Vocabulary.of(read_policy(POLICY).document)


@pytest.fixture
def cel_stub(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for the engine of CEL, an extra: what the random policies write, and nothing else."""
    answers: dict[str, bool | None] = {"yes": True, "no": False}

    def compiled(condition: Cel, _facts: object) -> Callable[[Facts], bool | None]:
        return lambda _request: answers.get(condition.expression)

    monkeypatch.setattr(cel_conditions, "compile_cel", compiled)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(documents(), requests(), st.lists(profiles(), min_size=1, max_size=3))
@pytest.mark.usefixtures("cel_stub")
def test_a_profile_never_widens_a_decision(document: Document, request: Facts, given_profiles: list[bytes]) -> None:
    before = decide(document, request)
    for number, data in enumerate(given_profiles):
        found = Faults()
        layer = read_profile_layer(data, "m.plist", Vocabulary.of(document), found)
        assert layer is not None, found.found
        document = combined(document, [named(layer, f"m{number}")])
        after = decide(document, request)
        assert allowed(after) <= allowed(before)
        assert [step for step in after.plan if step not in before.plan] == []
        before = after
