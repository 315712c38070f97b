"""What a person is told of a mistake in the newer sections: its words, its line and its column.

In each case the character `§` stands before the place that the fault must name.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.policy.test_policy_messages import DENY, GOOD, bottom, check, faults_of, flow, good, marked, recipient, route

from ringfence.policy import check_file, read_policy

ALLOW = "allow: {labels: [public], to: [house]}"


def budget(keys: str) -> str:
    return bottom(f"budgets:\n  - {keys}")


def invariant(keys: str) -> str:
    return bottom(f"invariants:\n  - {keys}")


def request(keys: str, expect: str = "never: [partner]") -> str:
    return bottom(f"tests:\n  - {{name: a, request: {{{keys}}}, expect: {{{expect}}}}}")


def expected(keys: str) -> str:
    return request("task: rewrite", keys)


def when(condition: str, section: str = "flow") -> str:
    if section == "flow":
        return flow(f"  - id: x\n    {DENY}\n    when: {{{condition}}}")
    return route(f"  - id: x\n    prefer: [mlx]\n    when: {{{condition}}}")


def overflow(written: str) -> str:
    return good(route=f"route:\n  - id: x\n    prefer: [mlx]\n    overflow: {written}")


RULES = {
    "redact": (
        flow(f"  - id: x\n    {ALLOW}\n    redact: §masked"),
        "'masked' is not a value of redact of flow rule 'x': 'remove', 'mask' or 'pseudonym'. Did you mean 'mask'?",
    ),
    "overflow is text": (
        overflow("§own-dc"),
        "overflow of route rule 'x' must be a mapping such as {to: …, when_utilisation_over: …}, not text.",
    ),
    "overflow without a figure": (
        overflow("§{to: [own-dc]}"),
        "key 'when_utilisation_over' in overflow of route rule 'x' is missing.",
    ),
    "overflow in per cent": (
        overflow("{to: [own-dc], when_utilisation_over: §85}"),
        "overflow.when_utilisation_over of route rule 'x' is a part of the whole: over 0, at most 1, such as 0.85.",
    ),
    "overflow from nothing": (
        overflow("{to: [own-dc], when_utilisation_over: §0}"),
        "overflow.when_utilisation_over of route rule 'x' is a part of the whole: over 0, at most 1, such as 0.85.",
    ),
    "overflow in words": (
        overflow("{to: [own-dc], when_utilisation_over: §85%}"),
        "overflow.when_utilisation_over of route rule 'x' must be a number, not '85%'. Write 0.85.",
    ),
    "overflow to itself": (
        overflow("{to: §[mlx], when_utilisation_over: 0.5}"),
        (
            "recipient 'mlx' is in prefer: and in overflow.to of route rule 'x': it cannot take its own overflow. "
            "Take it out of one of them."
        ),
    ),
    "overflow to a ring": (
        overflow("{to: [§house], when_utilisation_over: 0.5}"),
        "'house' is a ring: overflow.to of route rule 'x' names recipients.",
    ),
    "overflow misspelt": (
        overflow("{to: [§own-cd], when_utilisation_over: 0.5}"),
        "recipient 'own-cd' is not declared under recipients:. Did you mean 'own-dc'?",
    ),
    "include is text": (
        bottom("§include: company.yaml"),
        "include: needs a policy that stands in a file. Save it, and load it by its name.",
    ),
    "shadow in no file": (
        bottom("§shadow: next.yaml"),
        "shadow: needs a policy that stands in a file. Save it, and load it by its name.",
    ),
    "fact of nothing": (
        good(facts="facts:\n  §time.hour: {type: int}"),
        "fact 'time.hour' must begin with user., device. or app., such as user.age_band.",
    ),
    "a prefix alone": (
        good(facts="facts:\n  §device.: {type: bool}"),
        "fact 'device.' must begin with user., device. or app., such as user.age_band.",
    ),
    "a fact of the device that is not declared": (
        when("§device.locked: true"),
        "'device.locked' is not declared under facts:.",
    ),
}

OF_TIME = "Its units are s, m, h, d and w: seconds, minutes, hours, days and weeks."
BUDGETS = {
    "a mapping": (
        bottom("budgets: §{id: x}"),
        "budgets must be a list such as - id: …, not a mapping.",
    ),
    "without a limit": (
        budget("§{id: x, of: house, per: day}"),
        "key 'limit' in budget 'x' is missing.",
    ),
    "misspelt": (
        budget("{id: x, of: house, limit: 5 requests, per: day, §when_spend: deny}"),
        "unknown key 'when_spend' in budget 'x'. Did you mean 'when_spent'?",
    ),
    "of nobody": (
        budget("{id: x, of: §hous, limit: 5 requests, per: day}"),
        "'hous' is neither a ring nor declared under recipients:. Did you mean 'house'?",
    ),
    "of nobody in a list": (
        budget("{id: x, of: [house, §opnai], limit: 5 requests, per: day}"),
        "'opnai' is neither a ring nor declared under recipients:. Did you mean 'openai'?",
    ),
    "a bare number": (
        budget("{id: x, of: house, limit: §500, per: day}"),
        (
            "limit of budget 'x' must be an amount and what is counted, such as "
            '"500 USD", "1000000 tokens" or "200 requests", not a number.'
        ),
    ),
    "a sign": (
        budget("{id: x, of: house, limit: §$500, per: day}"),
        (
            "limit of budget 'x' must be an amount and what is counted, such as "
            '"500 USD", "1000000 tokens" or "200 requests", not \'$500\'.'
        ),
    ),
    "a separator": (
        budget("{id: x, of: house, limit: §'1,000,000 tokens', per: day}"),
        (
            "limit of budget 'x' must be an amount and what is counted, such as "
            '"500 USD", "1000000 tokens" or "200 requests", not \'1,000,000 tokens\'.'
        ),
    ),
    "a currency": (
        budget("{id: x, of: house, limit: §500 EUR, per: day}"),
        "limit of budget 'x' counts 'EUR': write USD, tokens or requests.",
    ),
    "one unit": (
        budget("{id: x, of: house, limit: §1 request, per: day}"),
        ("limit of budget 'x' counts 'request': write USD, tokens or requests. Did you mean 'requests'?"),
    ),
    "half a token": (
        budget("{id: x, of: house, limit: §0.5 tokens, per: day}"),
        "limit of budget 'x' counts tokens: write a whole number.",
    ),
    "nothing": (
        budget("{id: x, of: house, limit: §0 tokens, per: day}"),
        "limit of budget 'x' must be more than nothing. To refuse a recipient, write a deny under flow:.",
    ),
    "below nothing": (
        budget("{id: x, of: house, limit: §-5 tokens, per: day}"),
        (
            "limit of budget 'x' must be an amount and what is counted, such as "
            '"500 USD", "1000000 tokens" or "200 requests", not \'-5 tokens\'.'
        ),
    ),
    "per": (
        budget("{id: x, of: house, limit: 5 tokens, per: §daily}"),
        (
            "'daily' is not a value of per of budget 'x': 'hour', 'day', 'week', 'month', 'year' or 'total'. "
            "Did you mean 'day'?"
        ),
    ),
    "when spent": (
        budget("{id: x, of: house, limit: 5 tokens, per: day, when_spent: §warn}"),
        "when_spent of budget 'x' can only be deny, not 'warn'.",
    ),
    "one id twice": (
        bottom(
            "budgets:\n  - {id: x, of: house, limit: 5 tokens, per: day}\n"
            "  - {id: §x, of: house, limit: 5 tokens, per: week}"
        ),
        "id 'x' appears twice (first on line 26).",
    ),
    "money for the device": (
        budget("{id: x, of: §device, limit: 5 USD, per: day}"),
        "budget 'x' is in USD, and 'device' costs nothing: it is on the device. Take it out of of:.",
    ),
    "money for a recipient on the device": (
        budget("{id: x, of: §mlx, limit: 5 USD, per: day}"),
        "budget 'x' is in USD, and 'mlx' costs nothing: it is on the device. Take it out of of:.",
    ),
    "money for the house": (
        budget("{id: x, of: §house, limit: 5 USD, per: day}"),
        (
            "budget 'x' is in USD, and no price is known for 'house', which is the house's own. "
            "Count tokens or requests, or take it out of of:."
        ),
    ),
    "audit of content": (
        bottom("audit: {content: §all}"),
        "audit.content can only be none: what people write is never in the record, not 'all'.",
    ),
    "audit for a number": (
        bottom("audit: {keep: §400}"),
        "audit.keep must be a time such as 400d, not a number.",
    ),
    "audit for a word": (
        bottom("audit: {keep: §forever}"),
        "audit.keep must be a time such as 400d, not 'forever'.",
    ),
    "audit in a unit that there is not": (
        bottom("audit: {keep: §5y}"),
        f"audit.keep must be a time such as 400d, not '5y'. {OF_TIME}",
    ),
    "audit for nothing": (
        bottom("audit: {keep: §0d}"),
        "audit.keep must be more than nothing and at most a hundred years, 36500d.",
    ),
    "audit misspelt": (bottom("audit: {§kep: 400d}"), "unknown key 'kep' in audit. Did you mean 'keep'?"),
}

INVARIANTS = {
    "a mapping": (
        bottom("invariants: §{never: {}}"),
        "invariants must be a list such as - never: {labels: [health], to: [partner]}, not a mapping.",
    ),
    "none": (bottom("invariants: §[]"), "invariants is empty. Name at least one, or leave it out."),
    "two in one": (
        invariant("§{consent: {to: [partner]}, only: {to: [device]}}"),
        "invariants[0] must have exactly one of never, consent and only.",
    ),
    "nothing in one": (invariant("§{}"), "invariants[0] must have exactly one of never, consent and only."),
    "another kind": (
        invariant("{§nevr: {labels: [health], to: [partner]}}"),
        "unknown key 'nevr' in invariants[0]. Did you mean 'never'?",
    ),
    "never what": (
        invariant("never: §{to: [partner]}"),
        "key 'labels' in invariants[0].never is missing.",
    ),
    "never where": (
        invariant("never: §{labels: [health]}"),
        "key 'to' in invariants[0].never is missing.",
    ),
    "label": (
        invariant("never: {labels: [§helth], to: [partner]}"),
        "label 'helth' is not declared under labels:. Did you mean 'health'?",
    ),
    "place": (
        invariant("consent: {to: [§partners]}"),
        "'partners' is neither a ring nor declared under recipients:. Did you mean 'partner'?",
    ),
    "task": (
        invariant("only: {task: [§rewrit], to: [device]}"),
        "task 'rewrit' is not declared under tasks:. Did you mean 'rewrite'?",
    ),
    "unless": (
        invariant("never: {labels: [health], to: [partner], unless: §masked}"),
        "invariants[0].never.unless can only be redacted or attested. Leave it out for what may never leave.",
    ),
    "unless misspelt": (
        invariant("never: {labels: [health], to: [partner], unless: §atested}"),
        "invariants[0].never.unless can only be redacted or attested. Did you mean 'attested'?",
    ),
    "unless all is redacted": (
        invariant('never: {labels: "*", to: [partner], unless: §redacted}'),
        'invariants[0].never.unless needs the labels that are redacted: name them in place of "*".',
    ),
    "a key of another kind": (
        invariant("consent: {to: [partner], §unless: redacted}"),
        "unknown key 'unless' in invariants[0].consent. Write 'labels', 'to' or 'when'.",
    ),
    "labels in a when": (
        invariant("only: {to: [device], when: {§labels: [health]}}"),
        "invariants[0].only.when cannot read labels: one label more could widen. Name them in the rule's own labels:.",
    ),
    "fact": (
        invariant("only: {to: [device], when: {§user.stff: true}}"),
        "'user.stff' is not declared under facts:. Did you mean 'user.staff'?",
    ),
}

TESTS = {
    "a mapping": (
        bottom("tests: §{name: a}"),
        "tests must be a list such as - {name: …, request: {…}, expect: {…}}, not a mapping.",
    ),
    "without an expectation": (
        bottom("tests:\n  - §{name: a, request: {task: rewrite}}"),
        "key 'expect' in test 'a' is missing.",
    ),
    "an empty expectation": (
        bottom("tests:\n  - {name: a, request: {}, expect: §{}}"),
        "expect of test 'a' is empty, so nothing is tested. Say what must come out, such as never: [partner].",
    ),
    "one name twice": (
        bottom(
            "tests:\n  - {name: a card, request: {}, expect: {plan: []}}\n"
            "  - {name: §a card, request: {}, expect: {plan: []}}"
        ),
        "test 'a card' appears twice (first on line 26).",
    ),
    "request misspelt": (
        request("§tsk: rewrite"),
        "unknown key 'tsk' in request of test 'a'. Did you mean 'task'?",
    ),
    "task": (
        request("task: §rewrit"),
        "task 'rewrit' is not declared under tasks:. Did you mean 'rewrite'?",
    ),
    "text is a number": (
        request("text: §4111"),
        "request.text of test 'a' must be text, not a number. Put it in quotes.",
    ),
    "label": (
        request("labels: [§helth]"),
        "label 'helth' is not declared under labels:. Did you mean 'health'?",
    ),
    "modality": (
        request("modality: [§imgae]"),
        "'imgae' is not a value of modality: 'text', 'image', 'file' or 'audio'. Did you mean 'image'?",
    ),
    "tokens": (request("input_tokens: §-1"), "request.input_tokens of test 'a' must be 0 or more."),
    "half a token": (
        request("input_tokens: §1.5"),
        "request.input_tokens of test 'a' must be a whole number, not a number.",
    ),
    "fact": (
        request("user: {§age_bnd: adult}"),
        "'user.age_bnd' is not declared under facts:. Did you mean 'user.age_band'?",
    ),
    "fact's value": (
        request("user: {age_band: §adlt}"),
        "'user.age_band' must be adult or minor, not 'adlt'. Did you mean 'adult'?",
    ),
    "fact's type": (
        request("user: {staff: §yes}"),
        "'user.staff' must be true or false, not 'yes'.",
    ),
    "fact beyond its bounds": (
        request("user: {level: §10}"),
        "'user.level' must be a whole number at least 0 and at most 9, not 10.",
    ),
    "fact in a list": (
        request("user: {level: §[1]}"),
        "'user.level' must be a whole number at least 0 and at most 9, not a list.",
    ),
    "group is text": (request("user: §adult"), "request.user of test 'a' must be a mapping, not text."),
    "to a ring": (
        request("to: [§house]"),
        "recipient 'house' is a ring, and a recipient is named here.",
    ),
    "to nobody": (
        request("to: [§opnai]"),
        "recipient 'opnai' is not declared under recipients:. Did you mean 'openai'?",
    ),
    "at": (
        request("at: §monday"),
        "request.at of test 'a' must be a moment such as 2026-03-02T09:30, not 'monday'.",
    ),
    "expect misspelt": (
        expected("§outcom: deny"),
        "unknown key 'outcom' in expect of test 'a'. Did you mean 'outcome'?",
    ),
    "outcome": (
        expected("outcome: §denied"),
        "'denied' is not a value of expect.outcome of test 'a': 'allow', 'ask' or 'deny'. Did you mean 'deny'?",
    ),
    "route": (expected("route: §otherwis"), "'otherwis' is no id of a rule under route:. Did you mean 'otherwise'?"),
    "plan": (
        expected("plan: [§mlxx]"),
        "recipient 'mlxx' is not declared under recipients:. Did you mean 'mlx'?",
    ),
    "allowed": (
        expected("allowed: [§partner]"),
        "recipient 'partner' is a ring, and a recipient is named here.",
    ),
    "never": (
        expected("never: [§partnr]"),
        "'partnr' is neither a ring nor declared under recipients:. Did you mean 'partner'?",
    ),
    "expected label": (
        expected("labels: [§helth]"),
        "label 'helth' is not declared under labels:. Did you mean 'health'?",
    ),
    "redact by nobody": (
        expected("redact: {§opnai: {health: mask}}"),
        "recipient 'opnai' is not declared under recipients:. Did you mean 'openai'?",
    ),
    "redact label": (
        expected("redact: {openai: {§helth: mask}}"),
        "label 'helth' is not declared under labels:. Did you mean 'health'?",
    ),
    "redact kind": (
        expected("redact: {openai: {health: §maks}}"),
        (
            "'maks' is not a value of expect.redact.openai.health of test 'a': 'remove', 'mask' or 'pseudonym'. "
            "Did you mean 'mask'?"
        ),
    ),
    "redact is a list": (
        expected("redact: §[openai]"),
        "expect.redact of test 'a' must be a mapping such as {openai: {contact: pseudonym}}, not a list.",
    ),
}

TIMES = {
    "empty": (
        when("time: §{}"),
        "when.time of flow rule 'x' needs days, from or to, such as {days: [mon, fri], from: \"08:00\"}.",
    ),
    "only a zone": (
        when("time: §{zone: Europe/Zurich}"),
        "when.time of flow rule 'x' needs days, from or to, such as {days: [mon, fri], from: \"08:00\"}.",
    ),
    "misspelt": (
        when('time: {§form: "08:00"}'),
        "unknown key 'form' in when.time of flow rule 'x'. Did you mean 'from'?",
    ),
    "day": (
        when("time: {days: [§monday]}"),
        (
            "'monday' is not a value of when.time.days of flow rule 'x': "
            "'mon', 'tue', 'wed', 'thu', 'fri', 'sat' or 'sun'. Did you mean 'mon'?"
        ),
    ),
    "an hour": (
        when("time: {from: §8}"),
        "when.time.from of flow rule 'x' must be a time of day such as \"08:00\", not a number.",
    ),
    "half past": (
        when("time: {from: §8.30}"),
        "when.time.from of flow rule 'x' must be a time of day such as \"08:00\", not a number.",
    ),
    "in the evening": (
        when('time: {to: §"6 pm"}'),
        "when.time.to of flow rule 'x' must be a time of day such as \"08:00\", not '6 pm'.",
    ),
    "beyond the hour": (
        when('time: {to: §"08:60"}'),
        "when.time.to of flow rule 'x' must be a time of day such as \"08:00\", not '08:60'.",
    ),
    "beyond the day": (
        when('time: {to: §"24:01"}'),
        "when.time.to of flow rule 'x' must be a time of day such as \"08:00\", not '24:01'.",
    ),
    "from the end": (
        when('time: {from: §"24:00"}'),
        "when.time.from of flow rule 'x' must be before 24:00. Write \"00:00\".",
    ),
    "no time": (
        when('time: §{from: "08:00", to: "08:00"}'),
        "when.time of flow rule 'x' begins and ends at the same time. Leave out from and to for the whole day.",
    ),
    "zone": (
        when('time: {from: "08:00", zone: §Europe/Zürich}'),
        "'Europe/Zürich' is not a time zone that is known here. Write one such as Europe/Zurich.",
    ),
    "zone outside": (
        when('time: {from: "08:00", zone: §../../etc/passwd}'),
        "'../../etc/passwd' is not a time zone that is known here. Write one such as Europe/Zurich.",
    ),
    "two zones": (
        when('any: [{time: {to: "08:00", zone: Asia/Shanghai}}, {§time: {from: "18:00"}}]'),
        (
            "this time is in UTC, and the one on line 24 in Asia/Shanghai. "
            "A policy has one time zone: write the same zone: in each."
        ),
    ),
}

CEL = {
    "a list": (
        when("cel: §[a]"),
        "when.cel of flow rule 'x' must be a CEL expression in quotes, such as \"input_tokens < 2000\", not a list.",
    ),
    "empty": (
        when('cel: §" "'),
        "when.cel of flow rule 'x' must be a CEL expression in quotes, such as \"input_tokens < 2000\", not text.",
    ),
    "a misspelt fact": (
        when('cel: §"user.levl > 3"'),
        "when.cel of flow rule 'x' names 'user.levl', which is not declared under facts:. Did you mean 'user.level'?",
    ),
    "a fact without its group": (
        when('cel: §"age > 3"'),
        "when.cel of flow rule 'x' names 'age', which is not declared under facts:.",
    ),
    "labels in flow": (
        when("cel: §\"'health' in labels\""),
        (
            "when.cel of flow rule 'x' cannot read labels: one label more could widen. Name "
            "them in the rule's own labels:."
        ),
    ),
    "no condition": (
        when('cel: §"user.level + 1"'),
        "when.cel of flow rule 'x' is no condition at character 1: it gives int, not true or false.",
    ),
    "a single =": (
        when("cel: §\"task == 'a = b' || user.level = 3\""),
        "when.cel of flow rule 'x' has = at character 31, which CEL does not know. Write ==.",
    ),
    "a single = without blanks": (
        when("cel: §\"task='x'\""),
        "when.cel of flow rule 'x' has = at character 5, which CEL does not know. Write ==.",
    ),
    "at least, turned round": (
        when('cel: §"user.level => 3"'),
        "when.cel of flow rule 'x' has => at character 12, which CEL does not know. Write >=.",
    ),
    "at most, turned round": (
        when('cel: §"user.level =< 3"'),
        "when.cel of flow rule 'x' has =< at character 12, which CEL does not know. Write <=.",
    ),
    "a single &": (
        when('cel: §"user.level > 3 & true"'),
        "when.cel of flow rule 'x' has & at character 16, which CEL does not know. Write &&.",
    ),
    "a single |": (
        when('cel: §"user.level > 3 | true"'),
        "when.cel of flow rule 'x' has | at character 16, which CEL does not know. Write ||.",
    ),
    "of two types": (
        when('cel: §"task == 3"'),
        (
            "when.cel of flow rule 'x' is no condition at character 6: "
            "found no matching overload for '_==_' applied to '(string, int)'."
        ),
    ),
    "too long": (
        when('cel: §"' + "task == task || " * 130 + 'true"'),
        "when.cel of flow rule 'x' has more than 2,000 characters. Write several rules.",
    ),
    "too deep": (
        when('cel: §"' + "(" * 500 + "true" + ")" * 500 + '"'),
        "when.cel of flow rule 'x' is nested too deeply or is too long to be read. Write several rules.",
    ),
    "a loop": (
        when("cel: §\"modality.exists(m, m == 'image')\""),
        (
            "when.cel of flow rule 'x' uses a macro: all, exists, filter, map and has are switched off, "
            "as they can run without end. Write such as 'image' in modality."
        ),
    ),
}


@pytest.mark.parametrize(("text", "message"), RULES.values(), ids=RULES)
def test_the_messages_for_rules(text: str, message: str) -> None:
    check(text, message)


@pytest.mark.parametrize(("text", "message"), BUDGETS.values(), ids=BUDGETS)
def test_the_messages_for_budgets_and_the_record(text: str, message: str) -> None:
    check(text, message)


@pytest.mark.parametrize(("text", "message"), INVARIANTS.values(), ids=INVARIANTS)
def test_the_messages_for_invariants(text: str, message: str) -> None:
    check(text, message)


@pytest.mark.parametrize(("text", "message"), TESTS.values(), ids=TESTS)
def test_the_messages_for_tests(text: str, message: str) -> None:
    check(text, message)


@pytest.mark.parametrize(("text", "message"), TIMES.values(), ids=TIMES)
def test_the_messages_for_time(text: str, message: str) -> None:
    check(text, message)


@pytest.mark.parametrize(("text", "message"), CEL.values(), ids=CEL)
def test_the_messages_for_cel(text: str, message: str) -> None:
    pytest.importorskip("cel_expr_python")
    check(text, message)


FILES = {
    "include is text": (
        "include: §company.yaml",
        "include must be a list such as [company.yaml], not text. Write [company.yaml].",
    ),
    "include twice": ("include: [a.yaml, §a.yaml]", "'a.yaml' appears twice in include."),
    "include of the home folder": (
        "include: [§~/a.yaml]",
        "include begins with ~. Write the whole path, or one relative to this file.",
    ),
    "shadow is a list": ("shadow: §[a.yaml]", "shadow must be text, not a list."),
    "shadow of the home folder": (
        "shadow: §~/a.yaml",
        "shadow begins with ~. Write the whole path, or one relative to this file.",
    ),
}


@pytest.mark.parametrize(("line", "message"), FILES.values(), ids=FILES)
def test_the_messages_for_other_files(tmp_path: Path, line: str, message: str) -> None:
    plain, (place,) = marked(bottom(line))
    path = tmp_path / "policy.yaml"
    path.write_text(plain)
    assert [fault.render("policy.yaml") for fault in check_file(path).faults] == [f"policy.yaml:{place}: {message}"]


def test_a_budget_of_tokens_or_requests_needs_no_price() -> None:
    for limit in ("5 tokens", "5 requests"):
        for of in ("device", "house", "partner", "mlx", "[device, openai]"):
            assert read_policy(budget(f"{{id: x, of: {of}, limit: {limit}, per: total}}")).document.budgets


def test_a_fault_of_cel_prints_no_control_character_and_no_endless_name() -> None:
    pytest.importorskip("cel_expr_python")
    for written in ('"\\e[31m > "', f'"{"x" * 1_500} > 1"', '"\\x07"', '"task == \'\\n"'):
        (fault,) = faults_of(when(f"cel: {written}"))
        assert fault.isprintable()
        assert len(fault) < 320


def test_the_house_has_no_fault(tmp_path: Path) -> None:
    assert recipient("capacity: rented", "house")
    assert GOOD["recipients"]
    path = tmp_path / "policy.yaml"
    path.write_text(good())
    assert check_file(path).faults == ()
