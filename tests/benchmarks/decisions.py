"""What one decision costs under policies of 10, 100 and 1,000 flow rules."""

from __future__ import annotations

from dataclasses import replace

from tests.benchmarks.clock import median, ratios, take_turns
from tests.benchmarks.row import Bar, Row
from tests.benchmarks.setting import Setting

from ringfence.policy import Facts, Policy, read_policy
from ringfence.policy.decision import REDACTIONS
from ringfence.policy.document import Budget, FlowRule, Overflow
from ringfence.policy.policy import enforce

SIZES = (10, 100, 1_000)
_FULL_SIZES = (10, 1_000)
_LABELS = ("public", "contact", "identity", "financial", "health", "work", "unclassified")
_TASKS = ("notification_summary", "article_summary", "smart_reply", "email_reply", "rewrite", "open_question")
_BARS = {10: Bar(limit=20, text="< 20 µs"), 1_000: Bar(limit=250, text="< 250 µs")}

_HEAD = """\
version: 1
name: rules
recipients:
  mlx:    {ring: device, provider: mlx, model: small}
  own:    {ring: house, provider: house, model: large}
  rented: {ring: house, provider: house, model: large}
  openai: {ring: partner, provider: openai, model: gpt}
facts:
  user.age_band: {type: enum, values: [adult, minor]}
  user.clearance: {type: int, min: 0, max: 2000}
labels: {public: {}, contact: {}, identity: {}, financial: {}, health: {}, work: {}, unclassified: {}}
unknown: unclassified
flow:
  - id: device-any
    allow: {labels: "*", to: [device]}
"""
_ROUTE = """\
route:
  - id: short
    when: {task: [notification_summary, smart_reply]}
    prefer: [mlx, own]
  - id: otherwise
    prefer: [own, rented, openai, mlx]
"""


def policy_of(count: int) -> Policy:
    """A policy of `count` flow rules, allows and denies, every one of which can matter."""
    lines = [_rule(number) for number in range(1, count)]
    return read_policy(_HEAD + "".join(lines) + _ROUTE)


def full_policy_of(count: int) -> Policy:
    """The same with all that a decision can ask for: every allow redacts; overflow, budgets and a second layer."""
    document = policy_of(count - 1).document
    flow = (
        replace(rule, redact=REDACTIONS[index % 3]) if rule.effect == "allow" else rule
        for index, rule in enumerate(document.flow)
    )
    layer = FlowRule(id="managed", effect="allow", labels=None, to=frozenset(document.recipients), layer="managed")
    overflow = Overflow(to=("rented",), over=0.85)
    full = replace(
        document,
        flow=(*flow, layer),
        route=tuple(replace(rule, overflow=overflow) for rule in document.route),
        budgets=(Budget(id="day", of=frozenset({"house"}), limit=9.0, unit="USD", per="day"),),
    )
    return enforce(full, source="benchmark", name="full")


def _rule(number: int) -> str:
    labels = f"[{_LABELS[number % 7]}, {_LABELS[(number + 1 + number // 7 % 6) % 7]}]"
    when = (
        f"{{task: [{_TASKS[number % 6]}], input_tokens: {{max: {500 + number}}}}}",
        f"{{user.clearance: {{over: {number}}}}}",
        f"{{input_tokens: {{over: {10_000 + number}}}, user.age_band: [minor]}}",
    )[number % 3]
    effect = "deny" if number % 4 == 3 else "allow"
    # An allow for a partner needs consent, which this version cannot ask for.
    to = (("openai", "partner") if effect == "deny" else ("own", "rented", "house"))[number // 4 % 2]
    return f"  - id: rule-{number}\n    {effect}: {{labels: {labels}, to: [{to}]}}\n    when: {when}\n"


def requests() -> list[Facts]:
    """Facts of different tasks, labels and sizes, so that no single path is measured."""
    return [
        Facts(
            task=_TASKS[number % 6],
            labels=frozenset({_LABELS[number % 7], _LABELS[(number * 3) % 7]}),
            input_tokens=100 * number,
            values={"user.age_band": "adult", "user.clearance": number * 50} if number % 3 else {},
        )
        for number in range(1, 13)
    ]


def rows(setting: Setting) -> list[Row]:
    """Each size in turn, on the same requests."""
    facts = requests()
    repeats = setting.times(200)
    policies = {size: policy_of(size) for size in SIZES}

    def decide_all(policy: Policy) -> None:
        for _ in range(repeats):
            for one in facts:
                policy.decide(one)

    works = {str(size): (lambda policy=policy: decide_all(policy)) for size, policy in policies.items()}
    full = {size: full_policy_of(size) for size in _FULL_SIZES}
    works |= {f"full {size}": (lambda policy=policy: decide_all(policy)) for size, policy in full.items()}
    taken = take_turns(works, rounds=setting.rounds(9))
    in_us = {name: [used * 1e6 / repeats / len(facts) for used in rounds] for name, rounds in taken.items()}
    each_us = {size: in_us[str(size)] for size in SIZES}
    found = [
        Row(
            group="decide",
            what=f"decide() at {size:,} rules",
            value=median(each_us[size]),
            unit="µs",
            lowest=min(each_us[size]),
            bar=_BARS.get(size),
        )
        for size in SIZES
    ]
    found += [
        Row(
            group="decide",
            what=f"decide() at {size:,} rules that redact, in two layers",
            value=median(in_us[f"full {size}"]),
            unit="µs",
            lowest=min(in_us[f"full {size}"]),
            bar=_BARS[size],
        )
        for size in _FULL_SIZES
    ]
    growth = ratios(each_us[1_000], each_us[100])
    found.append(
        Row(
            group="decide",
            what="decide(): 1,000 rules / 100 rules",
            value=median(growth),
            unit="×",
            lowest=min(growth),
            bar=Bar(limit=10, text="≤ 10 × (linear)"),
        )
    )
    return found
