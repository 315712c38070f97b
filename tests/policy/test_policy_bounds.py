"""Whatever a file holds, it is refused or loaded within a bounded number of steps; and what is shown of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from ringfence.errors import PolicyInvalid
from ringfence.policy import check_file, read_policy
from ringfence.policy.document import TestRequest
from ringfence.policy.faults import MAX_FAULTS, nearest
from ringfence.policy.fields import MAX_DECLARED
from ringfence.policy.prove import prove
from ringfence.policy.source import MAX_POLICY_BYTES
from ringfence.policy.warnings import find_hints
from ringfence.privacy.detection import DetectorSet
from ringfence.privacy.labels import Labeller
from ringfence.review.described import facts_of
from ringfence.review.graph import as_document, graph

TOP = "version: 1\nrecipients:\n  mlx: {ring: device, provider: mlx, model: m}\nunknown: a\n"
RULES = 'flow:\n  - {id: x, allow: {labels: "*", to: [device]}}\nroute:\n  - {id: y, prefer: [mlx]}\n'


def faults_of(text: str) -> tuple[str, ...]:
    with pytest.raises(PolicyInvalid) as caught:
        read_policy(text)
    return caught.value.faults


def labels(count: int) -> str:
    return "labels:\n  a: {}\n" + "".join(f"  l{index}: {{}}\n" for index in range(count - 1))


def test_as_many_labels_as_the_bound_load() -> None:
    assert len(read_policy(TOP + labels(MAX_DECLARED) + RULES).labels) == MAX_DECLARED


@pytest.mark.parametrize(
    ("section", "entries"),
    [
        ("labels", labels(MAX_DECLARED + 1)),
        ("facts", "facts:\n" + "".join(f"  user.f{one}: {{type: bool}}\n" for one in range(MAX_DECLARED + 1))),
        ("tools", "tools:\n" + "".join(f"  t{one}: {{ring: device}}\n" for one in range(MAX_DECLARED + 1))),
    ],
    ids=["labels", "facts", "tools"],
)
def test_one_entry_more_does_not_load(section: str, entries: str) -> None:
    rest = "" if section == "labels" else labels(1)
    (fault,) = faults_of(TOP + entries + rest + RULES)
    assert fault.endswith(f": {section} has more than {MAX_DECLARED} entries. Declare fewer.")


def test_the_search_ends_after_so_many_faults_and_says_so() -> None:
    wrong = "".join(f"k{index}: 1\n" for index in range(MAX_FAULTS + 200))
    found = faults_of(TOP + labels(1) + RULES + wrong)
    assert len(found) == MAX_FAULTS + 1
    assert found[-1] == (
        f"policy.yaml: there are more than {MAX_FAULTS} faults, and no more are looked for. Mend these first."
    )


def test_as_many_faults_as_are_looked_for_are_all_told() -> None:
    wrong = "".join(f"k{index}: 1\n" for index in range(MAX_FAULTS))
    found = faults_of(TOP + labels(1) + RULES + wrong)
    assert len(found) == MAX_FAULTS
    assert "more than" not in found[-1]


def test_layers_together_are_bounded(tmp_path: Path) -> None:
    filled = "# " + "x" * (MAX_POLICY_BYTES * 2 // 3) + "\nversion: 1\n"
    for name in ("one.yaml", "two.yaml"):
        (tmp_path / name).write_text(filled, encoding="utf-8")
    path = tmp_path / "policy.yaml"
    path.write_text(TOP + labels(1) + RULES + "include: [one.yaml]\n", encoding="utf-8")
    assert check_file(path).faults == ()
    path.write_text(TOP + labels(1) + RULES + "include: [one.yaml, two.yaml]\n", encoding="utf-8")
    assert [fault.message for fault in check_file(path).faults] == [
        "layer 'two.yaml' is one too many: with it the layers have more than 262,144 bytes together."
    ]


def test_a_proof_counts_the_rules_that_it_looks_at() -> None:
    house = TOP.replace("unknown:", "  own: {ring: house, provider: p, model: m}\nunknown:") + labels(2)
    many = "".join(f"  - {{id: r{one}, allow: {{labels: [l0], to: [house]}}}}\n" for one in range(50))
    promise = "invariants:\n  - never: {labels: [a], to: [house]}\n"
    document = read_policy(house + RULES.replace("route:", f"{many}route:") + promise).document
    assert [proof.holds for proof in prove(document)] == [True]
    assert [proof.too_hard for proof in prove(document, limit=20)] == [True]


def test_a_suggestion_among_anagrams_is_the_closest() -> None:
    anagrams = ["".join(chr(97 + (one * step) % 26) for one in range(26)) for step in (3, 5, 7, 9, 11, 15, 17, 19, 21)]
    assert nearest("abcdefghijklmnopqrstuvwxyy", [*anagrams, "abcdefghijklmnopqrstuvwxyz"]) == (
        "abcdefghijklmnopqrstuvwxyz"
    )


def test_a_suggestion_does_not_care_about_capitals() -> None:
    assert nearest("Monday", ["mon", "tue"]) == "mon"


BUDGETS = "name: n\nbudgets:\n  - {id: month, of: device, limit: 5000 tokens, per: month}\n"


def test_a_picture_and_its_data_say_how_much_a_budget_allows() -> None:
    policy = read_policy(TOP + labels(1) + RULES + BUDGETS)
    assert "Budget month: at most 5,000 tokens per month at device" in graph(policy)
    assert as_document(policy)["budgets"] == [
        {"id": "month", "of": ["device"], "limit": 5000, "unit": "tokens", "per": "month"}
    ]


@pytest.mark.parametrize(("zone", "hinted"), [("", True), (", zone: UTC", False)], ids=["without", "with"])
def test_a_time_is_hinted_at_only_where_it_names_no_zone(zone: str, *, hinted: bool) -> None:
    rule = f'  - {{id: t, when: {{time: {{from: "08:00"{zone}}}}}, prefer: [mlx]}}\n'
    document = read_policy(TOP + labels(1) + RULES.replace("  - {id: y", f"{rule}  - {{id: y")).document
    assert any("is in UTC, since it names no zone" in hint.message for hint in find_hints(document)) == hinted


def test_a_tool_is_text_of_the_request_that_is_explained() -> None:
    policy = read_policy(TOP + labels(2) + RULES)
    described, labeller = TestRequest(text="hello", labels=frozenset({"l0"})), Labeller(policy, DetectorSet())
    alone = facts_of(policy, described, labeller)
    beside = facts_of(policy, described, labeller, tools=("search",))
    assert alone.labels == {"l0"}
    assert beside.labels == {"l0", "a"}
    assert beside.input_tokens > alone.input_tokens
