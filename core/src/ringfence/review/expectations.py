"""What a test of a policy expects beside what was decided: each difference, and why it came out so."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ringfence.policy.decision import Decision
    from ringfence.policy.document import Expected

NOTHING = "nothing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mismatch:
    """One expectation that was not met, in words. `expect` is its key in the file.

    `why` holds the reason that the policy gives for each recipient which the difference concerns.
    """

    expect: str
    wanted: str
    found: str
    why: Mapping[str, str]


def mismatches(expected: Expected, decision: Decision) -> tuple[Mismatch, ...]:
    """Every way in which `decision` is not as `expected`, in the order in which the keys are documented."""
    return tuple(one for find in (_values, _recipients, _redactions) for one in find(expected, decision))


def _values(expected: Expected, decision: Decision) -> Iterator[Mismatch]:
    if expected.labels is not None and expected.labels != frozenset(decision.labels):
        yield _mismatch("labels", sorted(expected.labels), decision.labels, decision)
    if expected.outcome is not None and expected.outcome != decision.outcome:
        # The first of the plan makes the outcome; where there is none, everybody's refusal does.
        concerned = [step.recipient for step in decision.plan[:1]] or decision.recipients
        yield _mismatch("outcome", [expected.outcome], [decision.outcome], decision, concerned)
    if expected.route is not None and expected.route != decision.route:
        yield _mismatch("route", [expected.route], [decision.route] if decision.route else [], decision)


def _recipients(expected: Expected, decision: Decision) -> Iterator[Mismatch]:
    plan = tuple(step.recipient for step in decision.plan)
    if expected.plan is not None and expected.plan != plan:
        yield _mismatch("plan", expected.plan, plan, decision, set(expected.plan) ^ set(plan))
    allowed = frozenset(name for name, one in decision.recipients.items() if one.verdict == "allow")
    if expected.allowed is not None and expected.allowed != allowed:
        yield _mismatch("allowed", sorted(expected.allowed), sorted(allowed), decision, expected.allowed ^ allowed)
    forbidden = {name for name in allowed if {name, decision.recipients[name].ring} & expected.never}
    if forbidden:
        found = [f"{name} is allowed" for name in sorted(forbidden)]
        yield _mismatch("never", sorted(expected.never), found, decision, forbidden)
    asked = frozenset(step.recipient for step in decision.plan if "consent" in step.obligations)
    if expected.consent is not None and expected.consent != asked:
        yield _mismatch("consent", sorted(expected.consent), sorted(asked), decision, expected.consent ^ asked)


def _redactions(expected: Expected, decision: Decision) -> Iterator[Mismatch]:
    if expected.redact is None:
        return
    wanted = {name: dict(kinds) for name, kinds in expected.redact.items() if kinds}
    found = {step.recipient: dict(step.redact) for step in decision.plan if step.redact}
    if wanted != found:
        differing = {name for name in {*wanted, *found} if wanted.get(name) != found.get(name)}
        yield _mismatch("redact", _redacted(wanted), _redacted(found), decision, differing)


def _redacted(by_recipient: Mapping[str, Mapping[str, str]]) -> list[str]:
    return [
        f"{name}: {label} {kind}"
        for name, kinds in sorted(by_recipient.items())
        for label, kind in sorted(kinds.items())
    ]


def _mismatch(
    expect: str, wanted: Iterable[str], found: Iterable[str], decision: Decision, concerned: Iterable[str] = ()
) -> Mismatch:
    names = frozenset(concerned)
    return Mismatch(
        expect=expect,
        wanted=", ".join(wanted) or NOTHING,
        found=", ".join(found) or NOTHING,
        why={name: verdict.reason for name, verdict in decision.recipients.items() if name in names},
    )


__all__ = ["NOTHING", "Mismatch", "mismatches"]
