"""What `policy diff` says of one edit: that it only narrows, or which request moves outward."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from ringfence.cli.root import root
from ringfence.policy import Document, read_policy
from ringfence.policy.prove import TooHard
from ringfence.policy.prove.comparison import Comparison, compare

BASE = """\
version: 1
recipients:
  mlx:    {ring: device, provider: mlx, model: small}
  own:    {ring: house, provider: house, model: large, retention: none}
  openai: {ring: partner, provider: openai, model: gpt, region: eu}
facts:
  user.age: {type: enum, values: [adult, minor]}
labels:
  public: {}
  contact: {detect: [email, phone]}
  health: {declare: true}
  unclassified: {}
unknown: unclassified
clean: public
tools:
  search: {ring: house}
flow:
  - {id: device, allow: {labels: "*", to: [device]}}
  - {id: house, allow: {labels: "*", to: [own]}, require: {attested: true}, consent: ask}
  - {id: masked, allow: {labels: [contact], to: [own]}, redact: mask}
  - {id: tools, allow: {labels: [public], to: [house]}}
  - {id: partner, allow: {labels: [public], to: [partner]}, consent: ask}
  - {id: minors, deny: {labels: "*", to: [partner]}, when: {user.age: [minor]}}
consent:
  partner: {per: recipient, lasts: 3600s}
route:
  - {id: all, prefer: [mlx, own, openai]}
budgets:
  - {id: month, of: partner, limit: "100 requests", per: month}
audit: {content: none, keep: 30d}
name: law
"""


def read(text: str) -> Document:
    return read_policy(text).document


def edited(*edits: tuple[str, str]) -> str:
    text = BASE
    for old, new in edits:
        assert text.count(old) == 1
        text = text.replace(old, new)
    return text


def said(comparison: Comparison) -> dict[str, list[str]]:
    """What moves outward, by place."""
    return {
        row.name: [*([row.outward.says] if row.outward else []), *row.looser]
        for row in comparison.rows
        if not row.only_narrows
    }


MINORS = '  - {id: minors, deny: {labels: "*", to: [partner]}, when: {user.age: [minor]}}\n'
HOUSE = '{id: house, allow: {labels: "*", to: [own]}, require: {attested: true}, redact: mask, consent: ask}'
BUDGET = 'budgets:\n  - {id: month, of: partner, limit: "100 requests", per: month}\n'
MONTH = "budget month, 100 requests per month,"

PUBLIC = "labels=[public] task=open_question"
LESS = "redacted less than it was"
BESIDE = "what detector 'phone' finds, beside what detector 'email' finds: labels=[contact]"
AROUND = "the text around what detector 'iban' finds, in a part declared 'contact': labels=[contact]"
FAILS = "a part for which detector 'iban' fails: labels=[unclassified] task=open_question user.age=adult"
PHONE = "what detector 'phone' finds: labels=[public] task=open_question"
FEWER = "a label whose detectors are fewer"
OTHER_TIME = "a budget of another time"
OTHER_PLACE = "a budget of another place"
MORE = "a detector more, whose spans alone are redacted now and no longer the whole part"
OUTWARD: Mapping[str, tuple[tuple[str, str], dict[str, list[str]]]] = {
    "a deny is gone": (
        (MINORS, ""),
        {"openai": ["labels=[public] task=open_question user.age=minor by rule 'partner', which was refused"]},
    ),
    "one deny in place of another": (
        ("when: {user.age: [minor]}", "when: {task: [rewrite]}"),
        {"openai": ["labels=[public] task=open_question user.age=minor by rule 'partner', which was refused"]},
    ),
    "an allow names one label more": (
        ("allow: {labels: [public], to: [partner]}", "allow: {labels: [public, health], to: [partner]}"),
        {"openai": ["labels=[health] task=open_question user.age=adult by rule 'partner', which was refused"]},
    ),
    "no consent": (
        ("{attested: true}, consent: ask", "{attested: true}"),
        {
            "own": [
                "labels=[public] task=open_question by rules 'house' and 'tools', without the consent that it needed"
            ]
        },
    ),
    "no attestation": (
        ("require: {attested: true}, ", ""),
        {"own": [f"{PUBLIC} by rules 'house' and 'tools', without the attestation that it needed"]},
    ),
    "weaker redaction": (
        ("redact: mask", "redact: pseudonym"),
        {"own": ["labels=[contact] task=open_question by rules 'house' and 'masked', redacted less than it was"]},
    ),
    FEWER: (
        ("detect: [email, phone]", "detect: [email]"),
        {
            "openai": [f"{PHONE} user.age=adult (before labels=[contact]) by rule 'partner', which was refused"],
            "own": [f"{BESIDE} task=open_question by rules 'house' and 'masked', {LESS}"],
            "search": [f"{PHONE} (before labels=[contact]), which was refused"],
        },
    ),
    "a label that the old file does not know": (
        ("  health: {", "  secret: {declare: true}\n  health: {"),
        {
            name: [f"content with the new label 'secret': labels=[secret] task=open_question {rule}, which was refused"]
            for name, rule in (("mlx", "by rule 'device'"), ("own", "by rule 'house'"))
        },
    ),
    MORE: (
        ("detect: [email, phone]", "detect: [email, phone, iban]"),
        {"own": [f"{AROUND} task=open_question by rules 'house' and 'masked', {LESS}"]},
    ),
    "another place under the same name": (
        ("region: eu", "region: us"),
        {"openai": ["labels=[public] task=open_question user.age=adult by rule 'partner'"]},
    ),
    "kept where it was not": (
        ("retention: none", "retention: 30d"),
        {"own": ["labels=[public] task=open_question by rules 'house' and 'tools'"]},
    ),
    "a budget raised": (('"100 requests"', '"200 requests"'), {"openai": [f"{MONTH} is raised to 200 requests"]}),
    "a budget gone": ((BUDGET, ""), {"openai": [f"{MONTH} is gone"]}),
    OTHER_TIME: (("per: month", "per: day"), {"openai": [f"{MONTH} is 100 requests per day now"]}),
    OTHER_PLACE: (("of: partner", "of: house"), {"openai": [f"{MONTH} no longer counts openai"]}),
    "consent that lasts longer": (
        ("lasts: 3600s", "lasts: 2h"),
        {"openai": ["consent lasts longer: 3600 s before, 7200 s now"]},
    ),
    "consent for the whole ring": (
        ("per: recipient", "per: ring"),
        {"openai": ["consent counts for its whole ring, no longer for it alone"]},
    ),
    "a tool that may see more": (
        ("allow: {labels: [public], to: [house]}", "allow: {labels: [public, health], to: [house]}"),
        {"search": ["labels=[health] task=open_question, which was refused"]},
    ),
    "a tool that is declared no longer": (
        ("tools:\n  search: {ring: house}\n", ""),
        {"search": ["it is no longer declared, so no rule holds for it"]},
    ),
    "a fact with one value more": (
        ("values: [adult, minor]", "values: [adult, minor, elder]"),
        {"openai": ["labels=[public] task=open_question user.age=elder by rule 'partner', which was refused"]},
    ),
}


@pytest.mark.parametrize("case", OUTWARD.values(), ids=OUTWARD.keys())
def test_what_moves_outward_is_told_with_a_request(case: tuple[tuple[str, str], dict[str, list[str]]]) -> None:
    edit, outward = case
    comparison = compare(read(BASE), read(edited(edit)))
    assert said(comparison) == outward
    assert not comparison.only_narrows


BOTH_WAYS = ("one deny in place of another", FEWER, MORE, OTHER_TIME, OTHER_PLACE)
THERE_AND_BACK = {name: case for name, case in OUTWARD.items() if name not in BOTH_WAYS}


@pytest.mark.parametrize("case", THERE_AND_BACK.values(), ids=THERE_AND_BACK.keys())
def test_an_edit_taken_back_narrows_or_is_another_place(case: tuple[tuple[str, str], dict[str, list[str]]]) -> None:
    edit, _ = case
    back = compare(read(edited(edit)), read(BASE))
    another = {row.name for row in back.rows if row.new is not None}
    assert set(said(back)) <= another


NARROWER: Mapping[str, tuple[str, str]] = {
    "nothing": ("version: 1", "version: 1"),
    "one label less": ("allow: {labels: [public], to: [house]}", "allow: {labels: [contact], to: [device]}"),
    "one more deny": (MINORS, MINORS + "  - {id: more, deny: {labels: [public], to: [own]}}\n"),
    "stricter redaction": ("redact: mask", "redact: remove"),
    "a task that the old file does not know": ("clean: public", "clean: public\ntasks: [minutes]"),
    "one detector more of a label that nothing redacts": ("  public: {}", "  public: {detect: [iban]}"),
    "a smaller budget": ("100 requests", "50 requests"),
    "consent that lasts for a request": ("lasts: 3600s", "lasts: request"),
    "other preferences": ("prefer: [mlx, own, openai]", "prefer: [openai, own]"),
    "an audit log that is kept longer": ("keep: 30d", "keep: 60d"),
}


@pytest.mark.parametrize("edit", NARROWER.values(), ids=NARROWER.keys())
def test_what_only_narrows_is_said_to(edit: tuple[str, str]) -> None:
    comparison = compare(read(BASE), read(edited(edit)))
    assert said(comparison) == {}
    assert comparison.only_narrows


def test_a_new_recipient_is_compared_with_nothing() -> None:
    after = edited(("facts:\n", "  other: {ring: partner, provider: openai, model: gpt}\nfacts:\n"))
    (row,) = [row for row in compare(read(BASE), read(after)).rows if row.name == "other"]
    assert row.new == "new"
    assert row.outward is not None


def test_a_detector_more_that_fails_can_move_what_was_clean() -> None:
    turned = ("allow: {labels: [public], to: [partner]}", "allow: {labels: [unclassified], to: [partner]}")
    more = ("detect: [email, phone]", "detect: [email, phone, iban]")
    assert said(compare(read(edited(turned)), read(edited(turned, more))))["openai"] == [
        f"{FAILS} (before labels=[public]) by rule 'partner', which was refused"
    ]


def test_what_narrows_is_told_too() -> None:
    rows = compare(read(edited((MINORS, ""))), read(BASE)).rows
    (row,) = [row for row in rows if row.name == "openai"]
    assert row.narrower is not None
    assert row.narrower.says == "labels=[public] task=open_question user.age=minor, is refused now"


def test_the_audit_log_and_route_are_noted_and_move_nothing() -> None:
    after = edited(("keep: 30d", "keep: 60d"), ("prefer: [mlx, own, openai]", "prefer: [openai]"))
    notes = compare(read(BASE), read(after)).notes
    assert notes == (
        "route changed: it chooses among what flow allows, and moves nothing that flow refuses",
        "the audit log, which holds no content, is kept longer",
    )


ANEW = "budgets begin at zero and every consent is asked for anew."


@pytest.mark.parametrize(
    ("edit", "note"),
    [
        (("name: law", "name: law2"), f"the name changes from 'law' to 'law2': {ANEW}"),
        (("id: month,", "id: monthly,"), "the id of a budget changes from 'month' to 'monthly': it begins at zero."),
    ],
    ids=["the policy", "a budget"],
)
def test_a_name_under_which_something_is_kept_is_told_when_it_changes(edit: tuple[str, str], note: str) -> None:
    assert compare(read(BASE), read(edited(edit))).notes == (note,)
    assert compare(read(BASE), read(BASE)).notes == ()


def test_a_policy_that_had_no_name_was_called_like_its_file() -> None:
    alone = (('budgets:\n  - {id: month, of: partner, limit: "100 requests", per: month}\n', ""), ("3600s", "session"))
    nameless = edited(*alone, ("name: law\n", ""))
    (note,) = compare(read(nameless), read(edited(*alone))).notes
    assert note == f"the name changes from that of its file to 'law': {ANEW}"


NIGHT = """\
  - id: night
    deny: {{labels: [public], to: [partner]}}
    when: {{time: {{from: "22:00", to: "06:00", zone: {zone}}}}}
"""


def test_times_in_different_zones_are_never_taken_for_the_same() -> None:
    zoned = [edited((MINORS, NIGHT.format(zone=zone))) for zone in ("Europe/Zurich", "Asia/Tokyo")]
    assert compare(read(zoned[0]), read(zoned[0])).only_narrows
    assert set(said(compare(read(zoned[0]), read(zoned[1])))) == {"openai"}


def test_invariant_an_example_that_the_interpreters_do_not_confirm_is_never_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def plan(*_: object) -> tuple[()]:
        return ()

    monkeypatch.setattr("ringfence.policy.compiled.Compiled._plan", plan)
    with pytest.raises(AssertionError, match="do not confirm"):
        compare(read(BASE), read(edited((MINORS, ""))))


def test_files_that_take_too_long_to_compare_are_not_said_to_narrow() -> None:
    with pytest.raises(TooHard):
        compare(read(BASE), read(BASE), limit=3)


# ---------------------------------------------------------------- the command


def run(tmp_path: Path, after: str, *options: str) -> Any:
    for name, text in (("old", BASE), ("new", after)):
        (tmp_path / f"{name}.yaml").write_text(text)
    files = [str(tmp_path / f"{name}.yaml") for name in ("old", "new")]
    return CliRunner().invoke(root, ["policy", "diff", *files, *options])


def test_diff_shows_what_moves_outward_and_exits_1(tmp_path: Path) -> None:
    result = run(tmp_path, edited((MINORS, "")))
    assert result.exit_code == 1
    rows = {line.split()[0]: line for line in result.stdout.splitlines() if line}
    assert "moves outward" in rows["openai"]
    assert "user.age=minor" in rows["openai"]
    assert "the same" in rows["mlx"]
    assert "something moves outward to 1 place" in result.stdout


def test_diff_of_an_edit_that_only_narrows_exits_0(tmp_path: Path) -> None:
    result = run(tmp_path, edited(("redact: mask", "redact: remove")))
    assert result.exit_code == 0
    assert "only narrows" in result.stdout
    assert "nothing moves outward" in result.stdout


def test_diff_in_json_holds_the_request(tmp_path: Path) -> None:
    result = run(tmp_path, edited((MINORS, "")), "--json")
    assert result.exit_code == 1
    shown = json.loads(result.stdout)
    assert shown["only_narrows"] is False
    (row,) = [row for row in shown["recipients"] if not row["only_narrows"]]
    assert (row["name"], row["outward"]["facts"], row["outward"]["weaker"]) == (
        "openai",
        {"user.age": "minor"},
        "refused",
    )


def test_diff_of_a_faulty_file_lists_its_faults_and_of_none_is_wrong_usage(tmp_path: Path) -> None:
    assert run(tmp_path, "version: 1\n").exit_code == 1
    missing = CliRunner().invoke(root, ["policy", "diff", str(tmp_path / "old.yaml"), str(tmp_path / "none.yaml")])
    assert missing.exit_code == 2
