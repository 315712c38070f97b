"""`cel:` conditions: typed when the file is read, three-valued when used, bounded, and refused without the extra."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from ringfence.errors import PolicyInvalid
from ringfence.policy import Fact, Facts, Policy, read_policy
from ringfence.policy.cel import NotCel, check_cel
from ringfence.policy.conditions import AnyOf, Cel, Not
from ringfence.policy.evaluate import compile_condition

TEXT = """version: 1
recipients:
  mlx: {ring: device, provider: mlx, model: m}
  own: {ring: house, provider: house, model: m}
facts:
  user.age: {type: int, min: 0, max: 150}
  user.tier: {type: enum, values: [free, paid]}
  device.locked: {type: bool}
  app.load: {type: number}
labels: {work: {}, health: {}, unclassified: {}}
unknown: unclassified
flow:
  - {id: any, allow: {labels: "*", to: [device]}}
RULES
route: [{id: all, prefer: [own, mlx]}]
"""
FACTS = {
    "user.age": Fact(type="int", min=0, max=150),
    "user.tier": Fact(type="enum", values=("free", "paid")),
    "device.locked": Fact(type="bool"),
    "app.load": Fact(type="number"),
    "user.age-band": Fact(type="int"),
}


@pytest.fixture(autouse=True)
def _with_the_extra() -> None:
    pytest.importorskip("cel_expr_python")


def policy(*rules: str) -> Policy:
    return read_policy(TEXT.replace("RULES", "\n".join(f"  - {rule}" for rule in rules)))


def facts(**values: str | float) -> Facts:
    return Facts(
        task="rewrite",
        labels=frozenset({"work"}),
        input_tokens=100,
        values={name.replace("_", ".", 1): value for name, value in values.items()},
    )


VALUES = {
    "the task": ("task == 'rewrite'", True),
    "the tokens": ("input_tokens < 100", False),
    "the modality": ("'text' in modality && !('image' in modality)", True),
    "an int": ("user.age > 17", True),
    "an enum": ("user.tier == 'paid'", False),
    "a bool": ("device.locked", True),
    "a number that is whole": ("app.load > 0.5", True),
    "several": ("user.age + input_tokens > 110 && user.tier != 'paid' ? device.locked : false", True),
    "text": ("task.startsWith('re') && task.matches('^r.w')", True),
    "an error": ("1 / (user.age - 18) > 0", None),
    "beyond whole numbers": ("user.age + 9223372036854775807 > 0", None),
    "no Boolean after all": ("dyn(task) && true", None),
}
KNOWN: dict[str, str | float] = {"user_age": 18, "user_tier": "free", "device_locked": True, "app_load": 1}


@pytest.mark.parametrize(("expression", "value"), VALUES.values(), ids=VALUES)
def test_an_expression_is_true_false_or_not_evaluable(expression: str, value: bool | None) -> None:
    assert compile_condition(Cel(expression), FACTS)(facts(**KNOWN)) is value


@pytest.mark.parametrize(
    "values",
    [{}, {"user_age": 151}, {"user_age": "18"}, {"user_age": True}, {"user_age": 18.5}],
    ids=["absent", "beyond its bounds", "text", "true", "a fraction"],
)
def test_a_fact_that_is_missing_or_not_admitted_is_not_evaluable(values: dict[str, str | float]) -> None:
    """INVARIANT: the library gives a text for an error, which Python takes for true."""
    for expression in ("user.age > 17", "!(user.age > 17)", "user.age > 17 && input_tokens > 1"):
        assert compile_condition(Cel(expression), FACTS)(facts(**values)) is None
        assert compile_condition(Not(Cel(expression)), FACTS)(facts(**values)) is None


def test_what_holds_whatever_the_missing_fact_is_holds() -> None:
    """The same three values as `any:` and `all:` have."""
    assert compile_condition(Cel("user.age > 17 || input_tokens == 100"), FACTS)(facts()) is True
    assert compile_condition(Cel("user.age > 17 && input_tokens > 100"), FACTS)(facts()) is False
    assert compile_condition(AnyOf((Cel("user.age > 17"), Cel("input_tokens == 100"))), FACTS)(facts()) is True


def test_an_allow_counts_only_if_true_and_a_deny_also_where_it_is_not_evaluable() -> None:
    allowing = policy('{id: x, allow: {labels: "*", to: [house]}, when: {cel: "user.age > 17"}}')
    denying = policy(
        '{id: x, allow: {labels: "*", to: [house]}}',
        '{id: y, deny: {labels: "*", to: [house]}, when: {cel: "user.age < 18"}}',
    )
    for age, reached in ((18, True), (17, False), (None, False)):
        given = facts() if age is None else facts(user_age=age)
        for one in (allowing, denying):
            assert (one.decide(given).plan[0].recipient == "own") is reached


def test_a_deny_with_an_expression_applies_to_a_task_that_the_file_does_not_know() -> None:
    denying = policy(
        '{id: x, allow: {labels: "*", to: [house]}}',
        '{id: y, deny: {labels: "*", to: [house]}, when: {cel: "task == \'embed\'"}}',
    )
    given = Facts(task="no such task", labels=frozenset({"work"}), input_tokens=1)
    assert [step.recipient for step in denying.decide(given).plan] == ["mlx"]
    assert [step.recipient for step in denying.decide(facts()).plan] == ["own", "mlx"]


def test_labels_can_be_read_in_route_and_nowhere_else() -> None:
    text = TEXT.replace("RULES", "").replace(
        "route: [", "route: [{id: x, prefer: [mlx], when: {cel: \"'health' in labels\"}}, "
    )
    given = Facts(task="rewrite", labels=frozenset({"health"}), input_tokens=1)
    assert read_policy(text).decide(given).route == "x"
    assert read_policy(text).decide(facts()).route == "all"
    with pytest.raises(NotCel):
        check_cel(Cel("'health' in labels"), FACTS)


def test_an_expression_is_never_taken_for_a_rule_that_cannot_match() -> None:
    """Nothing is known of it: true, false and not evaluable are all possible, and one text has one answer."""
    both = "{id: x, deny: {labels: [work], to: [house]}, when: {all: [{cel: A}, {not: {cel: B}}]}}"
    assert len(policy(both.replace("A", '"user.age > 17"').replace("B", '"user.age > 18"')).document.flow) == 2
    # A deny also counts where it is not evaluable, so this one can.
    assert len(policy(both.replace("A", '"user.age > 17"').replace("B", '"user.age > 17"')).document.flow) == 2
    with pytest.raises(PolicyInvalid, match="has 1 fault"):
        policy(both.replace("A", '"user.age > 17"').replace("B", '"user.age > 17"').replace("deny", "allow"))


BOMBS = {
    "map": "['aaaaaaaaaa']" + ".map(x, x+x+x+x+x+x+x+x+x+x)" * 30 + "[0].size() > 1",
    "all": "[1, 2].all(a, a > 0)",
    "exists": "modality.exists(m, m == 'image')",
    "exists_one": "modality.exists_one(m, m == 'image')",
    "filter": "modality.filter(m, m == 'image').size() > 0",
    "with a space": "modality . exists (m, m == 'image')",
    "with a comment": "modality. // c\n exists(m, m == 'image')",
    "deep": "(" * 900 + "true" + ")" * 900,
    "long": "true" + " && true" * 300,
    "a pattern": "task.matches('((((a{100}){100}){100}){100})')",
}
STILL_AN_EXPRESSION = {"a pattern"}


@pytest.mark.parametrize("name", BOMBS)
def test_what_could_run_without_end_is_refused_or_not_evaluable(name: str) -> None:
    if name in STILL_AN_EXPRESSION:
        assert compile_condition(Cel(BOMBS[name]), FACTS)(facts()) is not True
        return
    with pytest.raises(NotCel):
        check_cel(Cel(BOMBS[name]), FACTS)


def test_line_breaks_stay_so_that_a_comment_ends() -> None:
    rule = (
        """{id: x, allow: {labels: "*", to: [house]}, when: {cel: "user.age > 17 // of age\\n && input_tokens < 5"}}"""
    )
    found = policy(rule)
    assert [step.recipient for step in found.decide(facts(user_age=18)).plan] == ["mlx"]


def test_a_fact_whose_name_is_no_name_in_cel_cannot_be_read_there() -> None:
    with pytest.raises(NotCel, match="names 'band'"):
        check_cel(Cel("user.age-band > 3"), FACTS)


def test_one_condition_answers_many_threads() -> None:
    test = compile_condition(Cel("user.age > 17 && task == 'rewrite'"), FACTS)

    def ask(age: int) -> bool:
        return test(facts(user_age=age % 36)) is (age % 36 > 17)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, range(2_000)))


def test_without_the_extra_a_file_with_cel_does_not_load_and_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in ("cel_expr_python", "cel_expr_python.cel"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(PolicyInvalid) as caught:
        policy('{id: x, allow: {labels: "*", to: [house]}, when: {cel: "user.age > 17"}}')
    assert caught.value.faults == (
        (
            "policy.yaml:14:60: when.cel of flow rule 'x' needs an extra that is not installed. "
            'Run: pip install "ringfence[cel]".'
        ),
    )
    assert policy().document.flow


def test_the_digest_covers_an_expression() -> None:
    rule = '{id: x, allow: {labels: "*", to: [house]}, when: {cel: "user.age > 17"}}'
    assert policy(rule).digest != policy(rule.replace("17", "16")).digest


@pytest.mark.parametrize("value", [10**400, -(10**400), 2**70])
def test_a_number_that_has_no_form_there_is_not_evaluable_and_stops_no_other_condition(value: int) -> None:
    read = read_policy(
        """
version: 1
recipients: {near: {ring: device, provider: mlx, model: m}, far: {ring: house, provider: mlx, model: m}}
labels: {public: {}, unclassified: {}}
unknown: unclassified
facts: {user.n: {type: number}, user.i: {type: int}}
flow: [{id: any, allow: {labels: "*", to: [device, house]}}]
route:
  - {id: first, when: {any: [{cel: "user.n > 1.0 && user.i > 1"}, {task: [proofread]}]}, prefer: [near]}
  - {id: otherwise, prefer: [far]}
invariants: [{only: {task: [proofread], to: [device]}}]
"""
    )
    facts = Facts(
        task="proofread", labels=frozenset({"public"}), input_tokens=1, values={"user.n": value, "user.i": value}
    )
    assert [step.recipient for step in read.decide(facts).plan] == ["near"]
