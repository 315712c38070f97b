"""Layers: what a policy includes or is put under only narrows it, and every fault of one names its file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.errors import PolicyInvalid, PolicyNotReadable
from ringfence.policy import Decision, Facts, Policy, check_file, load_policy, read_policy
from ringfence.policy.decision import ConsentRule, Shown
from ringfence.policy.layers.layer import Layer, combined, stricter
from ringfence.policy.place import NOWHERE
from ringfence.policy.policy import enforce

POLICY = """\
version: 1
name: acme
recipients:
  mlx:    {ring: device, provider: mlx, model: small}
  own-dc: {ring: house, provider: house, model: large}
  openai: {ring: partner, provider: openai, model: gpt-5.2}
  gemini: {ring: partner, provider: gemini, model: gemini-3-flash}
facts:
  user.age_band: {type: enum, values: [adult, minor]}
labels:
  public: {}
  work: {declare: true}
  unclassified: {}
unknown: unclassified
flow:
  - id: any
    allow: {labels: "*", to: [device, house]}
  - id: partners
    allow: {labels: [public, work], to: [partner]}
    consent: ask
route:
  - id: otherwise
    prefer: [openai, gemini, own-dc, mlx]
"""
DOCUMENT = read_policy(POLICY).document
EVERYONE = ["openai", "gemini", "own-dc", "mlx"]


def written(folder: Path, files: Mapping[str, str], *include: str, policy: str = POLICY) -> Path:
    """The policy that includes `include`, beside `files`."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    path = folder / "policy.yaml"
    path.write_text(policy + (f"include: [{', '.join(include)}]\n" if include else ""))
    return path


def decided(policy: Policy, *labels: str, **facts: Any) -> Decision:
    task = facts.pop("task", "open_question")
    return policy.decide(Facts(task=task, labels=frozenset(labels), input_tokens=1, **facts))


def plan(policy: Policy, *labels: str, **facts: Any) -> list[str]:
    return [step.recipient for step in decided(policy, *labels, **facts).plan]


def faults(path: Path, **how: Any) -> list[str]:
    return [line.replace(f"{path.parent}{os.sep}", "") for line in check_file(path, **how).fault_lines]


def test_a_deny_of_a_layer_refuses_and_is_told_with_its_layer(tmp_path: Path) -> None:
    base = "version: 1\nflow:\n  - id: no-work\n    deny: {labels: [work], to: [openai]}\n    reason: Contract.\n"
    policy = load_policy(written(tmp_path, {"base.yaml": base}, "base.yaml"))
    assert plan(policy, "work") == ["gemini", "own-dc", "mlx"]
    verdict = decided(policy, "work").recipients["openai"]
    assert verdict.rules == ("base/no-work",)
    assert "base/no-work" in verdict.reason
    assert "Contract" in verdict.reason


def test_every_layer_with_allows_must_cover_every_label(tmp_path: Path) -> None:
    base = "version: 1\nflow:\n  - id: house\n    allow: {labels: [public], to: [device, house]}\n"
    policy = load_policy(written(tmp_path, {"base.yaml": base}, "base.yaml"))
    assert plan(policy, "public") == ["own-dc", "mlx"]
    assert plan(policy, "public", "work") == []


def test_an_allow_of_a_layer_alone_allows_nothing(tmp_path: Path) -> None:
    base = 'version: 1\nflow:\n  - id: all\n    allow: {labels: "*", to: [device, house, partner]}\n    consent: ask\n'
    policy = load_policy(written(tmp_path, {"base.yaml": base}, "base.yaml"))
    assert plan(policy, "unclassified") == ["own-dc", "mlx"]


def test_the_allows_of_two_layers_of_one_name_are_not_taken_for_one(tmp_path: Path) -> None:
    one = "version: 1\nname: same\nflow:\n  - id: r\n    allow: {labels: [public], to: [device]}\n"
    other = "version: 1\nname: same\nflow:\n  - id: r\n    allow: {labels: [public], to: [house]}\n"
    policy = load_policy(written(tmp_path, {"a.yaml": one, "b.yaml": other}, "a.yaml", "b.yaml"))
    assert [rule.id for rule in policy.document.flow[2:]] == ["same/r", "same-2/r"]
    assert plan(policy, "public") == []


def test_a_layer_includes_layers_from_where_it_stands(tmp_path: Path) -> None:
    outer = "version: 1\ninclude: [inner.toml]\n"
    inner = 'version = 1\n[[flow]]\nid = "no"\ndeny = {labels = "*", to = ["partner"]}\n'
    policy = load_policy(written(tmp_path, {"group/outer.yaml": outer, "group/inner.toml": inner}, "group/outer.yaml"))
    assert plan(policy, "public") == ["own-dc", "mlx"]


def test_a_file_that_is_included_twice_counts_once(tmp_path: Path) -> None:
    base = "version: 1\nflow:\n  - id: no\n    deny: {labels: [work], to: [partner]}\n"
    files = {"base.yaml": base, "a.yaml": "version: 1\ninclude: [base.yaml]\n"}
    policy = load_policy(written(tmp_path, files, "base.yaml", "a.yaml", "./base.yaml"))
    assert [rule.id for rule in policy.document.flow].count("base/no") == 1


def test_budgets_invariants_and_tests_are_added_and_the_shorter_record_is_kept(tmp_path: Path) -> None:
    own = (
        'budgets:\n  - {id: month, of: partner, limit: "100 requests", per: month}\naudit: {keep: 400d}\n'
        "invariants:\n  - consent: {to: [partner]}\n"
    )
    base = (
        'version: 1\nbudgets:\n  - {id: month, of: partner, limit: "9 requests", per: day}\naudit: {keep: 30d}\n'
        "invariants:\n  - never: {labels: [unclassified], to: [partner]}\n"
        "tests:\n  - name: stays\n    request: {labels: [unclassified]}\n    expect: {never: [partner]}\n"
    )
    document = load_policy(written(tmp_path, {"base.yaml": base}, "base.yaml", policy=POLICY + own)).document
    assert [(one.id, one.limit) for one in document.budgets] == [("month", 100), ("base/month", 9)]
    assert document.audit.keep_s == 30 * 86_400
    assert [one.kind for one in document.invariants] == ["consent", "never"]
    assert [one.name for one in document.tests] == ["stays"]


def test_an_invariant_of_a_layer_that_does_not_hold_refuses_the_policy_at_its_place(tmp_path: Path) -> None:
    base = "version: 1\ninvariants:\n  - never: {labels: [work], to: [partner]}\n"
    (line,) = faults(written(tmp_path, {"base.yaml": base}, "base.yaml"))
    assert line.startswith("base.yaml:3:5: invariant ")


# ---------------------------------------------------------------- consent


def test_the_stricter_consent_holds_for_each_recipient(tmp_path: Path) -> None:
    own = "consent:\n  openai: {per: ring, lasts: 30d, show: [recipient]}\n"
    base = "version: 1\nconsent:\n  partner: {per: ring, lasts: 12h, show: [labels]}\n"
    policy = load_policy(written(tmp_path, {"base.yaml": base}, "base.yaml", policy=POLICY + own))
    rule = ConsentRule(per="ring", lasts=12 * 3600, show=("recipient", "labels"))
    assert policy.consent_rule("openai") == rule
    assert policy.consent_rule("gemini") == ConsentRule()


LASTS: st.SearchStrategy[Any] = st.one_of(st.just("request"), st.just("session"), st.integers(1, 10**8))
SHOWN: tuple[Shown, ...] = ("recipient", "labels", "preview")
CONSENTS = st.builds(
    ConsentRule,
    per=st.sampled_from(["recipient", "ring"]),
    lasts=LASTS,
    show=st.lists(st.sampled_from(SHOWN), min_size=1, unique=True).map(tuple),
)


@given(CONSENTS, CONSENTS)
def test_the_stricter_of_two_consents_is_no_wider_than_either(one: ConsentRule, other: ConsentRule) -> None:
    both = stricter(one, other)
    assert both == stricter(other, one)
    for given_rule in (one, other):
        assert both.per == "recipient" or given_rule.per == "ring"
        assert set(given_rule.show) <= set(both.show)
        assert both.lasts in ("request", given_rule.lasts) or (
            isinstance(both.lasts, int) and isinstance(given_rule.lasts, int) and both.lasts <= given_rule.lasts
        )


STATED = st.dictionaries(st.sampled_from(["partner", "house", "openai", "gemini"]), CONSENTS)


@given(STATED, STATED)
def test_no_recipient_is_asked_about_less_strictly_because_of_a_layer(
    own: dict[str, ConsentRule], stated: dict[str, ConsentRule]
) -> None:
    document = replace(DOCUMENT, consent=own)
    layer = Layer(name="l", consent=stated, places={f"consent.{name}": NOWHERE for name in stated})
    before, after = (enforce(one, source="", name="x") for one in (document, combined(document, [layer])))
    for name, recipient in DOCUMENT.recipients.items():
        wanted = stated.get(name) or stated.get(recipient.ring)
        held = before.consent_rule(name)
        assert after.consent_rule(name) == (held if wanted is None else stricter(held, wanted))


# ---------------------------------------------------------------- what a layer may not say, and where that is told


@pytest.mark.parametrize(
    ("layer", "said"),
    [
        ("version: 1\nrecipients: {}\n", "base.yaml:2:1: a layer only narrows: it cannot declare 'recipients'."),
        ("version: 1\nclean: public\n", "base.yaml:2:1: a layer only narrows: it cannot declare 'clean'."),
        ("version: 1\nshadow: x.yaml\n", "base.yaml:2:1: a layer only narrows: it cannot declare 'shadow'."),
        ("flow: []\n", "base.yaml:1:1: key 'version' is missing."),
        (
            "version: 2\n",
            "base.yaml:1:10: this version of ringfence reads policy files of version 1. Write version: 1.",
        ),
        ("version: 1\nflw: []\n", "base.yaml:2:1: unknown key 'flw'. Did you mean 'flow'?"),
        (
            "version: 1\nflow:\n  - id: a\n    deny: {labels: [wrk], to: [partner]}\n",
            "base.yaml:4:21: label 'wrk' is not declared under labels:. Did you mean 'work'?",
        ),
        (
            "version: 1\nflow:\n  - id: a\n    deny: {labels: [work], to: [partnr]}\n",
            "base.yaml:4:33: 'partnr' is neither a ring nor declared under recipients:. Did you mean 'partner'?",
        ),
        (
            "version: 1\nflow:\n  - id: a\n    deny: {labels: [work], to: [partner]}\n    when: {user.age: [x]}\n",
            "base.yaml:5:12: 'user.age' is not declared under facts:.",
        ),
        (
            "version: 1\nflow:\n  - id: a\n    allow: {labels: [work], to: [partner]}\n",
            "base.yaml:3:5: rule 'a' allows a partner without consent. Add \"consent: ask\".",
        ),
        ("version: 1\nflow: [\n", "base.yaml:"),
        ("", "base.yaml:1:1: the file is empty."),
        ("version: 1\nversion: 1\n", "base.yaml:2:1: key 'version' appears twice (first on line 1)."),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else None,
)
def test_a_fault_of_a_layer_stands_at_its_place_in_the_layer(tmp_path: Path, layer: str, said: str) -> None:
    lines = faults(written(tmp_path, {"base.yaml": layer}, "base.yaml"))
    assert [line for line in lines if line.startswith(said)]
    assert all(line.startswith("base.yaml:") for line in lines)


def test_the_faults_of_the_policy_itself_have_its_own_name(tmp_path: Path) -> None:
    path = written(
        tmp_path, {"base.yaml": "version: 1\n"}, "base.yaml", policy=POLICY.replace("ring: house", "ring: hous")
    )
    assert faults(path)[0].startswith("policy.yaml:5:18: ")


def test_a_layer_that_cannot_be_read_lets_nothing_load(tmp_path: Path) -> None:
    (tmp_path / "folder.yaml").mkdir()
    os.mkfifo(tmp_path / "pipe.yaml")
    path = written(tmp_path, {}, "gone.yaml", "folder.yaml", "pipe.yaml")
    with pytest.raises(PolicyInvalid) as caught:
        load_policy(path)
    assert [line.rpartition("policy.yaml:")[2] for line in caught.value.faults] == [
        "24:11: layer file 'gone.yaml' does not exist.",
        "24:22: layer file 'folder.yaml' is a directory.",
        "24:35: layer file 'pipe.yaml' cannot be read: not a regular file.",
    ]


def test_layers_that_include_one_another_are_a_fault(tmp_path: Path) -> None:
    files = {"a.yaml": "version: 1\ninclude: [b.yaml]\n", "b.yaml": "version: 1\ninclude: [a.yaml]\n"}
    (line,) = faults(written(tmp_path, files, "a.yaml"))
    assert line == "b.yaml:2:11: layer 'a.yaml' includes itself."
    (own,) = faults(written(tmp_path, {}, "policy.yaml"))
    assert own == "policy.yaml:24:11: layer 'policy.yaml' includes itself."


@pytest.mark.parametrize(("deep", "loads"), [(8, True), (9, False)])
def test_layers_may_be_eight_deep(tmp_path: Path, deep: int, loads: bool) -> None:
    last = "version: 1\nflow:\n  - id: no\n    deny: {labels: [work], to: [partner]}\n"
    files = {f"{n}.yaml": f"version: 1\ninclude: [{n + 1}.yaml]\n" if n < deep else last for n in range(1, deep + 1)}
    lines = faults(written(tmp_path, files, "1.yaml"))
    assert (lines == []) is loads
    assert loads or "is one too many" in lines[0]


def test_a_layer_is_bounded_in_size(tmp_path: Path) -> None:
    (line,) = faults(written(tmp_path, {"base.yaml": "#" * ((1 << 20) + 1)}, "base.yaml"))
    assert line.startswith("base.yaml:1:1: the file is larger than")


# ---------------------------------------------------------------- the digest


def test_the_digest_is_of_all_that_the_layers_say_and_of_no_comment(tmp_path: Path) -> None:
    base = "version: 1\nflow:\n  - id: no\n    deny: {labels: [work], to: [openai]}\n"
    path = written(tmp_path, {"base.yaml": base}, "base.yaml")
    before = load_policy(path).digest
    (tmp_path / "base.yaml").write_text(f"# said anew\n{base}")
    assert load_policy(path).digest == before
    (tmp_path / "base.yaml").write_text(base.replace("openai", "gemini"))
    assert load_policy(path).digest != before


def test_the_digest_is_the_same_wherever_the_files_stand(tmp_path: Path) -> None:
    files = {"base.yaml": "version: 1\n", "m.json": '{"allowAssistant": false}'}
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    digests = {load_policy(written(tmp_path / name, files, "base.yaml", "m.json")).digest for name in "ab"}
    assert len(digests) == 1


def test_a_layer_named_from_outside_counts_like_one_that_is_included(tmp_path: Path) -> None:
    base = tmp_path / "base.yaml"
    base.write_text("version: 1\nflow:\n  - id: no\n    deny: {labels: [work], to: [partner]}\n")
    path = written(tmp_path, {})
    assert plan(load_policy(path), "work") == EVERYONE
    assert plan(load_policy(path, layers=[base]), "work") == ["own-dc", "mlx"]
    with pytest.raises(PolicyInvalid):
        load_policy(path, layers=[base, tmp_path / "gone.yaml"])
    with pytest.raises(PolicyNotReadable):
        load_policy(tmp_path / "gone.yaml", layers=[base])
