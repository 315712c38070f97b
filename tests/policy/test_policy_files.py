"""What a policy file may be made of: YAML 1.2 or TOML, text, bounded; everything else is one clear fault."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import pytest

from ringfence.errors import PolicyInvalid, PolicyNotReadable
from ringfence.policy import Facts, Policy, builtin_policy, check_file, load_policy, read_policy
from ringfence.policy.builtin import DIGEST, builtin_document
from ringfence.policy.source import MAX_POLICY_BYTES

HEAD = """version: 1
name: small
recipients: {mlx: {ring: device, provider: mlx, model: m}}
labels: {work: {}, unclassified: {}}
unknown: unclassified
"""
RULES = """flow:
  - {id: any, allow: {labels: "*", to: [device]}}
route:
  - {id: all, prefer: [mlx]}
"""
TOML = """# the same in TOML
version = 1
name = "small"
unknown = "unclassified"

[recipients.mlx]
ring = "device"
provider = "mlx"
model = "m"

[labels]
work = {}
unclassified = {}

[[flow]]
id = "any"
allow = { labels = "*", to = ["device"] }

[[route]]
id = "all"
prefer = ["mlx"]
"""
EXAMPLES = [
    path
    for path in sorted((Path(__file__).parents[2] / "examples" / "policies").glob("*.yaml"))
    if "\nrecipients:" in path.read_text(encoding="utf-8")  # a layer declares nothing and does not load alone
]


def faults_of(path: Path) -> list[str]:
    with pytest.raises(PolicyInvalid) as caught:
        load_policy(path)
    return [fault.removeprefix(f"{path}:") for fault in caught.value.faults]


def write(folder: Path, content: bytes | str, name: str = "policy.yaml") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


# ---------------------------------------------------------------- not a readable file


def test_a_missing_file_is_not_readable(tmp_path: Path) -> None:
    with pytest.raises(PolicyNotReadable, match="does not exist"):
        load_policy(tmp_path / "none.yaml")


def test_a_directory_is_not_readable(tmp_path: Path) -> None:
    with pytest.raises(PolicyNotReadable, match="is a directory"):
        load_policy(tmp_path)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read every file")
def test_a_file_without_permission_is_not_readable(tmp_path: Path) -> None:
    path = write(tmp_path, HEAD + RULES)
    path.chmod(0)
    with pytest.raises(PolicyNotReadable, match="may not be read"):
        load_policy(path)


def test_a_path_that_cannot_be_one_is_not_readable() -> None:
    with pytest.raises(PolicyNotReadable, match="not a usable path"):
        load_policy("a\0b")


# ---------------------------------------------------------------- not a policy's text

NO_TEXT = "not a text file. Write the policy as plain text, in YAML or TOML."
UNREADABLE: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "1:1: the file is empty."),
    "blank": (b" \n\n", "1:1: the file is empty."),
    "only a comment": (b"# nothing\n", "1:1: the file is empty."),
    "null": (b"~\n", "1:1: a policy file must be a mapping, not empty."),
    "a list": (b"- version: 1\n", "1:1: a policy file must be a mapping, not a list."),
    "text": (b"hello\n", "1:1: a policy file must be a mapping, not text."),
    "latin-1": (b"version: 1\nname: caf\xe9\n", "2:10: not UTF-8 text."),
    "utf-16": ("version: 1".encode("utf-16"), "1:1: not UTF-8 text."),
    "binary": (b"\x7fELF\x02\x01\x01\x00", "1:1: not a text file: it holds control characters."),
    "a word processor's": (b"PK\x03\x04\x14\x00\xc3\x28", f"1:1: {NO_TEXT}"),
    "TOML": (b"# ours\nversion = 1\n", "1:1: this looks like TOML: name the file .toml."),
    "TOML with a table first": (
        b'[recipients.mlx]\nring = "device"\n',
        "1:1: this looks like TOML: name the file .toml.",
    ),
    "a list that is not closed": (
        b"version: 1\ntasks: [minutes\nname: x\n",
        "3:5: not valid YAML: the '[' on line 2 is not closed before this. Add ']', or a comma between items.",
    ),
    "brackets that do not match": (
        b"version: 1\nlabels: {a: {detect: [email}}\n",
        "2:28: not valid YAML: '}' does not close the '[' on line 2. Add ']' before it, or take it out.",
    ),
    "no colon": (
        b"version: 1\nunknown a\nname: x\n",
        "2:1: not valid YAML: a colon is missing. Write NAME: VALUE, with a space after the colon.",
    ),
    "a quote that is not closed": (
        b'version: 1\nname: "acme\n',
        "2:7: not valid YAML: a quote opens here and is never closed. Write a second one.",
    ),
    "indentation": (
        b"version: 1\nlabels:\n  a: {}\n   b: {}\n",
        "4:4: not valid YAML: the indentation is wrong. Begin in the column of its neighbours, or close a quote above.",
    ),
    "curly quotes": (
        "version: 1\nname: “acme: one”\n".encode(),
        "2:12: not valid YAML: curly quotes are part of the text here. Write straight ones, \" or '.",
    ),
    "a bell": (b"version: 1\nname: \x07\n", "2:7: not a text file: it holds control characters."),
    "too large": (
        b"#" * (MAX_POLICY_BYTES + 1),
        "1:1: the file is larger than 262,144 bytes. A policy must stay readable.",
    ),
    "broken": (
        b"version: 1\nlabels: {a: [}\n",
        "2:14: not valid YAML: a value is missing here, or a bracket above is not closed.",
    ),
    "a tab": (b"version: 1\n\tname: x\n", "2:1: not valid YAML: a tab cannot indent. Use spaces."),
    "a colon": (
        b"version: 1\nname: a: b\n",
        "2:8: not valid YAML: a colon cannot stand here. Check the line above, or put the text in quotes.",
    ),
    "two documents": (b"version: 1\n---\nversion: 1\n", "2:1: a policy file holds one document; this is a second one."),
    "an anchor": (
        b"version: 1\nlabels: &all {}\n",
        "2:9: anchors and aliases are not read in a policy file. Write the value out.",
    ),
    "an alias": (
        b"version: 1\nlabels: *all\n",
        "2:9: anchors and aliases are not read in a policy file. Write the value out.",
    ),
    "a tag": (b"version: !!python/object:os.system 1\n", "1:10: tags are not read in a policy file. Remove it."),
    "a list as a key": (b"version: 1\n? [a]\n: b\n", "2:3: a key must be a word."),
    "deep": (b"a: " + b"[" * 40 + b"]" * 40, "1:36: nested more than 32 deep."),
    "very deep": (b"a: " + b"[" * 100_000, "1:36: nested more than 32 deep."),
    "an old version of YAML": (b"%YAML 1.1\n---\nversion: 1\nlabels: {a: {declare: yes}}\n", ""),
}


@pytest.mark.parametrize(("content", "fault"), UNREADABLE.values(), ids=UNREADABLE)
def test_what_is_not_a_policy_is_one_clear_fault(tmp_path: Path, content: bytes, fault: str) -> None:
    found = faults_of(write(tmp_path, content))
    if fault:
        assert found == [fault]
    else:
        assert "4:23: labels.a.declare must be true or false, not 'yes'." in found


def test_aliases_cannot_grow(tmp_path: Path) -> None:
    bomb = "a: &a [x, x]\n" + "".join(f"{b}: &{b} [*{a}, *{a}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True))
    assert faults_of(write(tmp_path, bomb)) == [
        "1:4: anchors and aliases are not read in a policy file. Write the value out."
    ]


def test_a_byte_order_mark_is_no_fault(tmp_path: Path) -> None:
    assert load_policy(write(tmp_path, b"\xef\xbb\xbf" + (HEAD + RULES).encode())).name == "small"


@pytest.mark.parametrize("word", ["yes", "no", "on", "off", "True", "FALSE", "y"])
def test_only_true_and_false_are_booleans(tmp_path: Path, word: str) -> None:
    text = HEAD.replace("work: {}", f"work: {{declare: {word}}}") + RULES
    assert faults_of(write(tmp_path, text)) == [f"4:26: labels.work.declare must be true or false, not '{word}'."]


def test_a_number_that_looks_octal_is_decimal() -> None:
    text = HEAD + RULES.replace("id: all, ", "id: a, when: {input_tokens: {max: 010}}, prefer: [mlx]}\n  - {id: all, ")
    policy = read_policy(text)
    routes = [policy.decide(facts(tokens)).route for tokens in (8, 10, 11)]
    assert routes == ["a", "a", "all"]


def facts(tokens: int = 1) -> Facts:
    return Facts(task="rewrite", labels=frozenset({"work"}), input_tokens=tokens)


# ---------------------------------------------------------------- TOML


def test_toml_loads_into_the_same_model(tmp_path: Path) -> None:
    from_toml = load_policy(write(tmp_path, TOML, "policy.toml"))
    from_yaml = load_policy(write(tmp_path, HEAD + RULES))
    assert from_toml.document == from_yaml.document
    assert from_toml.digest == from_yaml.digest


IN_TOML = {
    "a key": (
        TOML.replace('id = "any"', 'id = "any"\nredcat = "x"'),
        "17: unknown key 'redcat' in flow rule 'any'. Did you mean 'redact'?",
    ),
    "a value": (
        TOML.replace('provider = "mlx"', "provider = 1"),
        "8: recipients.mlx.provider must be text, not a number. Put it in quotes.",
    ),
    "inside a line": (
        TOML.replace('"*"', '["wrok"]'),
        "17: label 'wrok' is not declared under labels:. Did you mean 'work'?",
    ),
    "a second table": (
        TOML + '[[route]]\nid = "x"\nprefer = ["mlx"]\n',
        "22: rule 'x' can never be reached: rule 'all' before it has no when:.",
    ),
    "a late section": (
        TOML + '[audit]\nkeep = "400"\n',
        (
            "23: audit.keep must be a time such as 400d, not '400'. "
            "Its units are s, m, h, d and w: seconds, minutes, hours, days and weeks."
        ),
    ),
    "one budget in one bracket": (
        TOML + '[budgets]\nid = "x"\nof = "house"\nlimit = "1 requests"\nper = "day"\n',
        "22: budgets is a list: TOML writes each as [[budgets]], in two brackets.",
    ),
    "after a long text": (
        TOML.replace('id = "any"', 'id = "any"\nreason = """\nid = 1\nx"""\nxyz = 1'),
        (
            "20: unknown key 'xyz' in flow rule 'any'. Write 'id', 'allow', 'deny', 'when', "
            "'require', 'redact', 'consent' or 'reason'."
        ),
    ),
    "YAML": ("# ours\nversion: 1\n", "1:1: this looks like YAML: name the file .yaml."),
    "one rule in one bracket": (
        TOML.replace("[[route]]", "[route]"),
        "19: route is a list of rules: TOML writes each as [[route]], in two brackets.",
    ),
    "curly quotes": (
        "version = 1\nname = “x”\n",
        "2:8: not valid TOML: curly quotes are part of the text here. Write straight ones, \" or '.",
    ),
    "not TOML": ("version = \n", "1:11: not valid TOML: invalid value."),
    "a key twice": ("version = 1\nversion = 1\n", "2:12: not valid TOML: cannot overwrite a value."),
    "empty": ("# nothing\n", "1:1: the file is empty."),
    "deep": ("a = " + "[" * 50 + "]" * 50 + "\n", "1: nested more than 32 deep."),
    "a number without end": ("version = " + "9" * 5000, "1:1: not valid TOML: a number is too long."),
    "very deep": ("a = " + "[" * 20_000 + "]" * 20_000, "1:1: nested more than 32 deep."),
}


@pytest.mark.parametrize(("text", "expected"), IN_TOML.values(), ids=IN_TOML)
def test_a_fault_in_toml_has_its_line_and_no_invented_column(tmp_path: Path, text: str, expected: str) -> None:
    assert expected in faults_of(write(tmp_path, text, "policy.toml"))


def test_a_date_in_toml_is_read_as_it_is_written(tmp_path: Path) -> None:
    text = TOML.replace('name = "small"', "name = 2026-01-01")
    assert load_policy(write(tmp_path, text, "policy.toml")).name == "2026-01-01"


def test_a_fault_at_a_text_in_curly_quotes_says_what_to_do(tmp_path: Path) -> None:
    text = (HEAD + RULES).replace("name: small", "name: “my acme”", 1)
    says = "'“my acme”' cannot be a name in name: write 1 to 64 letters, digits, '_', '-' and '.'."
    assert faults_of(write(tmp_path, text)) == [f"2:7: {says} Use straight quotes."]


def test_a_word_in_curly_quotes_is_pointed_at_beside_another_fault(tmp_path: Path) -> None:
    text = (HEAD + RULES).replace("version: 1", "version: 2", 1).replace("model: m", "model: “m”", 1)
    found = faults_of(write(tmp_path, text))
    assert any(one.endswith("curly quotes are part of the text here. Write straight ones, \" or '.") for one in found)


def test_curly_quotes_in_a_text_are_no_fault(tmp_path: Path) -> None:
    rules = TOML.replace('id = "any"', 'id = "any"\nreason = "“ours”"')
    assert load_policy(write(tmp_path, rules, "policy.toml")).document.flow[0].reason == "“ours”"


# ---------------------------------------------------------------- what is loaded


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_the_examples_load(path: Path) -> None:
    assert check_file(path).fault_lines == ()
    assert load_policy(path).name == path.stem.removesuffix("-next")  # the next version of a policy has its name


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 2


def test_the_built_in_policy_is_what_its_file_says() -> None:
    path = Path(__file__).parents[2] / "core/src/ringfence/policy/builtin.yaml"
    loaded, built_in = load_policy(path), builtin_policy()
    assert loaded.document == builtin_document()
    assert loaded.digest == built_in.digest == DIGEST
    assert loaded.name == built_in.name == built_in.source == "built-in"
    assert check_file(path).policy is not None


def test_the_built_in_policy_keeps_everything_on_the_device() -> None:
    policy = builtin_policy()
    assert {recipient.ring for recipient in policy.recipients.values()} == {"device"}
    for label in policy.labels:
        for task in (*policy.tasks, "no such task"):
            decision = policy.decide(Facts(task=task, labels=frozenset({label}), input_tokens=1))
            expected = "mlx-embed" if task == "embed" else "mlx"
            assert [step.recipient for step in decision.plan] == [expected]
            assert decision.recipients[expected].rules == ("device-any",)


def test_a_policy_without_a_name_is_named_like_its_file(tmp_path: Path) -> None:
    text = HEAD.replace("name: small\n", "") + RULES
    assert load_policy(write(tmp_path, text, "acme.yaml")).name == "acme"


def test_the_attributes_of_a_policy() -> None:
    policy = load_policy(next(path for path in EXAMPLES if path.name == "home.yaml"))
    assert policy.unknown == "unclassified"
    assert policy.clean == "public"
    assert policy.detect_kinds == {"email", "phone", "credit_card", "iban"}
    assert "meeting_minutes" in policy.tasks
    assert "open_question" in policy.tasks
    assert policy.labels["credentials"].declare
    assert policy.recipients["mlx"].ring == "device"
    assert policy.facts == {}


SAME = {
    "a comment": HEAD + "# a comment\n" + RULES,
    "the layout": HEAD.replace("{work: {}, unclassified: {}}", "\n  unclassified: {}\n  work: {}") + RULES,
    "the order of keys": RULES + HEAD,
    "a default": HEAD + RULES.replace("[mlx]", "[mlx], fallback: none, on_broken_stream: fail"),
}
OTHER = {
    "the model": HEAD.replace("model: m", "model: n") + RULES,
    "the name": HEAD.replace("small", "large") + RULES,
    "a reason": HEAD + RULES.replace('labels: "*", to: [device]}', 'labels: "*", to: [device]}, reason: x'),
    "a label": HEAD.replace("work: {}", "work: {declare: true}") + RULES,
    "a rule's id": HEAD + RULES.replace("id: any", "id: every"),
    "named labels": HEAD + RULES.replace('"*"', "[work, unclassified]"),
    "a region": HEAD.replace("model: m", "model: m, region: eu") + RULES,
    "a tool": HEAD + RULES + "tools: {search: {ring: partner}}\n",
    "consent": HEAD + RULES.replace("to: [device]}", "to: [device]}, consent: ask"),
    "how consent is asked": HEAD + RULES + "consent: {device: {per: ring}}\n",
    "fallback": HEAD + RULES.replace("prefer: [mlx]", "prefer: [mlx], fallback: [mlx]"),
}


@pytest.mark.parametrize("text", SAME.values(), ids=SAME)
def test_the_digest_does_not_change_with(text: str) -> None:
    assert read_policy(text).digest == read_policy(HEAD + RULES).digest


@pytest.mark.parametrize("text", OTHER.values(), ids=OTHER)
def test_the_digest_changes_with(text: str) -> None:
    assert read_policy(text).digest != read_policy(HEAD + RULES).digest


def test_a_policy_and_its_decisions_cannot_be_changed() -> None:
    policy: Any = read_policy(HEAD + RULES)
    with pytest.raises(AttributeError):
        policy.unknown = "work"
    with pytest.raises(TypeError):
        policy.labels["more"] = policy.labels["work"]
    decision: Any = policy.decide(facts())
    with pytest.raises(TypeError):
        decision.recipients["mlx"] = None


def test_a_decision_survives_pickling() -> None:
    decision = read_policy(HEAD + RULES).decide(facts())
    assert pickle.loads(pickle.dumps(decision)) == decision


def test_the_shape_of_a_decision() -> None:
    policy: Policy = read_policy(HEAD + RULES)
    assert policy.decide(facts()).as_dict() == {
        "policy": {"name": "small", "digest": policy.digest},
        "task": "rewrite",
        "labels": ["work"],
        "outcome": "allow",
        "route": "all",
        "plan": [{"recipient": "mlx", "ring": "device", "obligations": []}],
        "recipients": {
            "mlx": {"ring": "device", "verdict": "allow", "rules": ["any"], "reason": "allowed by rule 'any'"}
        },
    }
