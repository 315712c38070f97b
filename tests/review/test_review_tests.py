"""A policy's own tests: what a request would be decided on, what is expected beside what came, and what is covered."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest

from ringfence.policy import read_policy
from ringfence.policy.document import TestRequest
from ringfence.privacy.detection import DetectorSet
from ringfence.privacy.detector import Hit
from ringfence.privacy.gate import Gate
from ringfence.privacy.labels import Labeller
from ringfence.request import ImagePart, Message, Part, Request, TextPart
from ringfence.review.described import facts_of
from ringfence.review.tests import TestRun, as_document, run_tests

POLICY = """version: 1
name: small
recipients:
  mlx: {ring: device, provider: mlx, model: m}
  own: {ring: house, provider: openai, model: m, url: "https://own.example/v1", retention: none}
  out: {ring: partner, provider: openai, model: m}
facts:
  user.age: {type: enum, values: [adult, minor]}
  device.managed: {type: bool}
labels:
  public: {}
  contact: {detect: [marker]}
  work: {declare: true}
  unclassified: {}
unknown: unclassified
clean: public
flow:
  - {id: device-any, allow: {labels: "*", to: [device]}}
  - {id: house-most, allow: {labels: [public, contact, work], to: [house]}}
  - {id: out-public, allow: {labels: [public], to: [partner]}, consent: ask}
  - {id: out-contact, allow: {labels: [contact], to: [partner]}, redact: pseudonym, consent: ask}
  - {id: out-never, deny: {labels: [work], to: [partner]}}
  - {id: out-minors, deny: {labels: "*", to: [partner]}, when: {user.age: [minor]}}
  - {id: house-night, deny: {labels: [work], to: [house]}, when: {time: {from: "22:00", to: "06:00"}}}
route:
  - {id: pictures, when: {modality: [image]}, prefer: [own], fallback: [mlx]}
  - {id: long, when: {input_tokens: {over: 100}}, prefer: [own, out]}
  - {id: rest, prefer: [mlx, own, out]}
"""


class Marker:
    """Finds the word `marker`."""

    def detect(self, text: str) -> Iterable[Hit]:
        at = text.find("marker")
        return [Hit(at, at + 6)] if at >= 0 else []


class Broken:
    def detect(self, text: str) -> Iterable[Hit]:
        raise ValueError(text)


DETECTORS = DetectorSet({"marker": Marker()})


def run_of(*tests: str, detectors: DetectorSet = DETECTORS) -> TestRun:
    section = "tests:\n" + "".join(f"  - {{name: t{index}, {one}}}\n" for index, one in enumerate(tests))
    return run_tests(read_policy(POLICY + section if tests else POLICY), detectors=detectors)


def came(run: TestRun) -> dict[str, tuple[str, str]]:
    """What was expected and what came, by key, of the one test."""
    (result,) = run.results
    return {one.expect: (one.wanted, one.found) for one in result.mismatches}


# ---------------------------------------------------------------- expectations

REQUEST = "request: {text: a marker, user: {age: adult}}"
MET = [
    "expect: {labels: [contact]}",
    "expect: {outcome: allow}",
    "expect: {route: rest}",
    "expect: {plan: [mlx, own, out]}",
    "expect: {allowed: [mlx, own, out]}",
    "expect: {consent: [out]}",
    "expect: {redact: {out: {contact: pseudonym}}}",
    "expect: {labels: [contact], plan: [mlx, own, out], consent: [out]}",
]


@pytest.mark.parametrize("expect", MET)
def test_what_is_expected_and_comes_passes(expect: str) -> None:
    run = run_of(f"{REQUEST}, {expect}")
    assert run.passed
    assert run.failures() == ""


NOT_MET = {
    "expect: {labels: [public]}": ("labels", "public", "contact"),
    "expect: {outcome: ask}": ("outcome", "ask", "allow"),
    "expect: {route: long}": ("route", "long", "rest"),
    "expect: {plan: [own, mlx, out]}": ("plan", "own, mlx, out", "mlx, own, out"),
    "expect: {plan: []}": ("plan", "nothing", "mlx, own, out"),
    "expect: {allowed: [mlx]}": ("allowed", "mlx", "mlx, out, own"),
    "expect: {never: [partner]}": ("never", "partner", "out is allowed"),
    "expect: {never: [own]}": ("never", "own", "own is allowed"),
    "expect: {consent: []}": ("consent", "nothing", "out"),
    "expect: {redact: {}}": ("redact", "nothing", "out: contact pseudonym"),
    "expect: {redact: {out: {contact: mask}}}": ("redact", "out: contact mask", "out: contact pseudonym"),
}


@pytest.mark.parametrize(("expect", "mismatch"), NOT_MET.items(), ids=NOT_MET)
def test_what_comes_otherwise_fails_and_says_what_came(expect: str, mismatch: tuple[str, str, str]) -> None:
    run = run_of(f"{REQUEST}, {expect}")
    key, wanted, found = mismatch
    assert not run.passed
    assert came(run) == {key: (wanted, found)}
    assert run.failures() == f"t0: {key} {wanted}, but {found}"


def test_never_holds_where_the_ring_is_not_reached() -> None:
    assert run_of("request: {labels: [work], user: {age: adult}}, expect: {never: [partner]}").passed


def test_a_failure_says_why_of_the_recipients_that_differ() -> None:
    run = run_of("request: {labels: [work], user: {age: adult}, at: '2026-11-23T12:00'}, expect: {plan: [mlx, out]}")
    (one,) = run.results[0].mismatches
    assert one.found == "mlx, own"
    assert set(one.why) == {"own", "out"}
    assert "rule 'out-never' denies 'work'" in one.why["out"]


def test_an_outcome_of_deny_is_explained_by_every_refusal() -> None:
    text = POLICY.replace('labels: "*", to: [device]', "labels: [public], to: [device]")
    section = "tests: [{name: t, request: {labels: [unclassified]}, expect: {outcome: allow}}]\n"
    (result,) = run_tests(read_policy(text + section), detectors=DETECTORS).results
    assert set(result.mismatches[0].why) == {"mlx", "own", "out"}


# ---------------------------------------------------------------- the request


def facts(**described: Any) -> Any:
    policy = read_policy(POLICY)
    return facts_of(policy, TestRequest(**described), Labeller(policy, DETECTORS))


def real(*parts: Part, **fields: Any) -> Any:
    """The facts on which the gate decides a real request of these parts."""
    policy = read_policy(POLICY)
    gate = Gate(policy, Labeller(policy, DETECTORS))
    return gate.clear(Request(messages=(Message("user", parts),), **fields)).facts


@pytest.mark.parametrize("task", ["open_question", "image", "embed", "speak"])
@pytest.mark.parametrize("text", ["plain", "a marker", "ž" * 400, "{\\u006darker}"])
@pytest.mark.parametrize("labels", [(), ("work",)])
def test_a_text_has_the_labels_and_facts_of_the_real_request(task: str, text: str, labels: tuple[str, ...]) -> None:
    declared = frozenset(labels)
    found = facts(text=text, task=task, labels=declared, values={"user.age": "adult"})
    wanted = real(TextPart(text, labels=declared), task=task, facts={"user.age": "adult"})
    for name in ("task", "labels", "input_tokens", "modality", "values", "to"):
        assert getattr(found, name) == getattr(wanted, name), name


def test_a_text_with_a_picture_is_what_such_a_request_is() -> None:
    """Nobody can look into the picture, so that the request carries `unknown` too."""
    found = facts(text="plain", modality=frozenset({"image"}))
    wanted = real(TextPart("plain"), ImagePart(b"\1"))
    assert (found.labels, found.modality) == (wanted.labels, wanted.modality)
    assert "unclassified" in found.labels


def test_a_declared_label_stands_alone_for_an_attachment_where_the_file_names_no_detector() -> None:
    policy = read_policy(POLICY.replace("{detect: [marker]}", "{}").replace("clean: public\n", ""))
    described = TestRequest(text="plain", modality=frozenset({"image"}), labels=frozenset({"work"}))
    assert facts_of(policy, described, Labeller(policy, DETECTORS)).labels == {"work"}


def test_a_modality_of_the_answer_is_no_attachment() -> None:
    assert facts(text="plain", task="image", modality=frozenset({"image"})).labels == {"public"}


def test_without_a_text_the_labels_are_those_declared_or_unknown() -> None:
    assert facts(labels=frozenset({"public"}), modality=frozenset({"image"})).labels == {"public"}
    assert facts().labels == {"unclassified"}
    assert facts(input_tokens=7).input_tokens == 7
    assert facts().input_tokens == 0


def test_the_moment_is_read_in_the_zone_of_the_policy_and_the_clock_never() -> None:
    assert facts().minute is None
    assert facts(at="2026-11-24T01:30").minute == 1440 + 90
    assert facts(at="2026-11-24T01:30+02:00").minute == 1440 - 30


def test_a_test_of_a_condition_on_time() -> None:
    day, night = (
        f"request: {{labels: [work], at: '2026-11-23T{hour}:00'}}, expect: {{plan: {plan}}}"
        for hour, plan in (("12", "[mlx, own]"), ("23", "[mlx]"))
    )
    assert run_of(day, night).passed
    # A moment that is not known fires every deny that depends on it.
    assert run_of("request: {labels: [work]}, expect: {plan: [mlx]}").passed


# ---------------------------------------------------------------- detectors


def test_a_detector_that_is_not_installed_fails_every_test_with_a_text() -> None:
    run = run_of("request: {text: hello}, expect: {outcome: allow}", detectors=DetectorSet({}))
    assert run.results[0].problems == (
        "no detector for 'marker' is installed, so the text carries 'unclassified' as well.",
    )
    assert not run.passed
    assert run_of("request: {labels: [work]}, expect: {outcome: allow}", detectors=DetectorSet({})).passed


def test_a_detector_that_fails_does_so_too_and_nothing_of_the_text_is_said() -> None:
    run = run_of("request: {text: hush}, expect: {outcome: allow}", detectors=DetectorSet({"marker": Broken()}))
    assert run.results[0].problems == (
        "the detector for 'marker' failed (ValueError), so the text carries 'unclassified' as well.",
    )
    assert "hush" not in json.dumps(as_document(run))
    assert "hush" not in run.failures()


def test_a_policy_without_tests_has_not_passed() -> None:
    run = run_of()
    assert not run.passed
    assert run.failures() == "the policy has no tests:"


# ---------------------------------------------------------------- coverage


def covering(run: TestRun) -> dict[str, tuple[str, ...]]:
    return {rule.id: rule.tests for rule in run.coverage.rules}


def test_a_rule_is_covered_by_the_tests_in_which_it_matters() -> None:
    run = run_of(
        "request: {text: plain, user: {age: adult}}, expect: {outcome: allow}",
        "request: {text: plain, user: {age: minor}}, expect: {outcome: allow}",
        "request: {labels: [work], user: {age: adult}, at: '2026-11-23T12:00'}, expect: {outcome: allow}",
    )
    assert covering(run) == {
        "device-any": ("t0", "t1", "t2"),
        "house-most": ("t0", "t1", "t2"),
        "out-public": ("t0",),
        "out-contact": (),
        "out-never": ("t2",),
        "out-minors": ("t1",),
        "house-night": (),
        "pictures": (),
        "long": (),
        "rest": ("t0", "t1", "t2"),
    }
    assert (run.coverage.covered, len(run.coverage.rules), run.coverage.percent) == (6, 10, 60.0)


@pytest.mark.parametrize(("percent", "reached"), [(0, True), (60, True), (60.001, False), (100, False)])
def test_a_share_of_the_rules(percent: float, *, reached: bool) -> None:
    run = run_of(
        "request: {text: plain, user: {age: adult}}, expect: {outcome: allow}",
        "request: {labels: [work], user: {age: minor}, at: '2026-11-23T12:00'}, expect: {outcome: allow}",
    )
    assert run.coverage.reaches(percent) is reached


def test_an_allow_of_a_recipient_that_is_denied_is_not_covered() -> None:
    run = run_of("request: {text: plain, user: {age: minor}}, expect: {outcome: allow}")
    assert covering(run)["out-public"] == ()


async def test_what_is_explained_counts_the_words_that_an_assistant_adds() -> None:
    """`input_tokens` counts all text of a request, and our own instructions for its task are text of it."""
    from ringfence import AsyncAssistant
    from ringfence.testing import ScriptedProvider

    policy = read_policy(POLICY.replace("detect: [marker]", "declare: true").replace("clean: public\n", ""))
    facts = facts_of(
        policy,
        TestRequest(task="notification_summary", text="Dinner at eight.", labels=frozenset({"public"})),
        Labeller(policy),
    )
    model = ScriptedProvider("ok")
    async with AsyncAssistant(policy, providers={"mlx": model, "openai": model}, audit=False) as assistant:
        await assistant.respond("Dinner at eight.", task="notification_summary", labels={"public"}, to="mlx")
    sent = sum(len(message.text.encode()) for message in model.requests[0].messages)
    assert facts.input_tokens == -(-sent // 3)
