"""A policy's own tests, run: each request is labelled and decided as a real one, and nothing is sent.

In an app's test suite::

    def test_the_policy() -> None:
        run = run_tests(load_policy("policy.yaml"))
        assert run.passed, run.failures()
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ringfence.errors import InvalidRequest
from ringfence.policy.faults import listed, quoted
from ringfence.policy.warnings.machine import installed_kinds, ways_out
from ringfence.privacy.detection import DetectorSet
from ringfence.privacy.labels import Labeller
from ringfence.review.coverage import Coverage, coverage_of
from ringfence.review.described import facts_of
from ringfence.review.expectations import Mismatch, mismatches

if TYPE_CHECKING:
    from ringfence.policy.decision import Decision
    from ringfence.policy.document import PolicyTest
    from ringfence.policy.policy import Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class TestResult:
    """What came of one test. `decision` is `None` where the request could not be decided.

    `problems` are sentences on what kept the test from meaning what it says: a detector that is not installed, say.
    """

    __test__ = False  # no test class of pytest's

    test: PolicyTest
    decision: Decision | None
    mismatches: tuple[Mismatch, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether everything that the test expects came, and nothing kept it from being tried."""
        return not self.mismatches and not self.problems


@dataclass(frozen=True, slots=True, kw_only=True)
class TestRun:
    """All tests of one policy, in file order, and what they cover."""

    __test__ = False  # no test class of pytest's

    policy: str
    digest: str
    results: tuple[TestResult, ...]
    coverage: Coverage

    @property
    def passed(self) -> bool:
        """Whether there is a test, and every one passed."""
        # INVARIANT: what was not tried has not passed.
        return bool(self.results) and all(result.passed for result in self.results)

    def failures(self) -> str:
        """What failed, a line each; no text of a test is in it."""
        if not self.results:
            return "the policy has no tests:"
        return "\n".join(
            line
            for result in self.results
            for line in (
                *(f"{result.test.name}: {problem}" for problem in result.problems),
                *(f"{result.test.name}: {one.expect} {one.wanted}, but {one.found}" for one in result.mismatches),
            )
        )


def run_tests(policy: Policy, *, detectors: DetectorSet | None = None) -> TestRun:
    """Runs every test of `policy` with `detectors`, by default the installed ones."""
    scanner = _Scanner(policy, detectors or DetectorSet())
    results = tuple(scanner.run(test) for test in policy.document.tests)
    decided = [(result.test.name, result.decision) for result in results if result.decision is not None]
    return TestRun(
        policy=policy.name, digest=policy.digest, results=results, coverage=coverage_of(policy.document, decided)
    )


class _Scanner:
    """What runs one test after the other."""

    def __init__(self, policy: Policy, detectors: DetectorSet) -> None:
        self._policy = policy
        self._detectors = detectors
        self._labeller = Labeller(policy, detectors)

    def run(self, test: PolicyTest) -> TestResult:
        try:
            decision = self._policy.decide(facts_of(self._policy, test.request, self._labeller))
        except InvalidRequest as error:
            return TestResult(test=test, decision=None, problems=(f"{error}.",))
        return TestResult(
            test=test,
            decision=decision,
            mismatches=mismatches(test.expect, decision),
            problems=self._unscanned(test.request.text),
        )

    def _unscanned(self, text: str | None) -> tuple[str, ...]:
        """Why the labels of `text` are not those that it has where every detector works."""
        if not text:
            return ()
        failed = self._detectors.scan(sorted(self._policy.detect_kinds), text).failed
        why = {kind: failure for kind, failure in self._detectors.failures().items() if kind in failed}
        missing = sorted(kind for kind, failure in why.items() if failure.how == "is not installed")
        so = f"so the text carries '{self._policy.unknown}' as well."
        hint = ways_out(missing, installed_kinds()) if missing else ""
        return (
            *((f"no detector for {listed(missing)} is installed, {so}{hint}",) if missing else ()),
            *(f"the detector for {quoted(kind)} {why[kind]}, {so}" for kind in sorted(why.keys() - set(missing))),
        )


def as_document(run: TestRun) -> Mapping[str, object]:
    """The shape of `policy test --json`. No text of a test is in it."""
    return {
        "policy": {"name": run.policy, "digest": run.digest},
        "ok": run.passed,
        "tests": [_result(result) for result in run.results],
        "coverage": {
            "percent": round(run.coverage.percent, 1),
            "covered": run.coverage.covered,
            "rules": [{"kind": rule.kind, "id": rule.id, "tests": list(rule.tests)} for rule in run.coverage.rules],
        },
    }


def _result(result: TestResult) -> Mapping[str, object]:
    return {
        "name": result.test.name,
        "line": result.test.at.line,
        "passed": result.passed,
        "problems": list(result.problems),
        "mismatches": [
            {"expect": one.expect, "wanted": one.wanted, "found": one.found, "why": dict(one.why)}
            for one in result.mismatches
        ],
        "decision": None if result.decision is None else result.decision.as_dict(),
    }


__all__ = ["TestResult", "TestRun", "as_document", "run_tests"]
