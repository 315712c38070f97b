"""A shadow policy: decided beside the one in force, told in the receipt where it differs, and without any effect."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from tests.core.support import CANARY, ONCE, policy_text, records

from ringfence import AsyncAssistant
from ringfence.errors import Denied, Overloaded
from ringfence.policy import Decision, check_file, load_policy
from ringfence.policy.policy import Policy
from ringfence.privacy.detection import DetectorSet
from ringfence.privacy.detector import Hit
from ringfence.request import Message, Request, TextPart
from ringfence.testing import Script, ScriptedProvider, text_events

BOTH = ("first", "second")
SAME = policy_text(BOTH)
SECOND = policy_text(BOTH, prefer=["second", "first"])
SHUT = policy_text(BOTH, flow='flow:\n  - id: any\n    allow: {labels: "*", to: [device]}\n')


def beside(folder: Path, next_version: str | None, own: str = SAME) -> Path:
    """A policy whose shadow is `next_version`."""
    if next_version is not None:
        (folder / "next.yaml").write_text(next_version.replace("name: under-test", "name: next"))
    path = folder / "policy.yaml"
    path.write_text(f"{own}shadow: next.yaml\n")
    return path


def asking(path: Path, audit: bool | Path = False, **given: Any) -> AsyncAssistant:
    providers = {"first": ScriptedProvider("one"), "second": ScriptedProvider("two"), **given}
    return AsyncAssistant(path, audit=audit, providers=providers, retry=ONCE)


async def shadow_of(path: Path, *labels: str) -> dict[str, Any] | None:
    async with asking(path) as it:
        return (await it.respond("x", labels=set(labels))).receipt.shadow


async def test_a_shadow_that_decides_the_same_is_not_in_the_receipt(tmp_path: Path) -> None:
    assert await shadow_of(beside(tmp_path, SAME)) is None


async def test_where_the_shadow_differs_the_receipt_and_the_record_say_how(tmp_path: Path) -> None:
    path = beside(tmp_path, SECOND)
    async with asking(path, tmp_path / "audit") as it:
        receipt = (await it.respond("x", labels={"work"})).receipt
    assert receipt.recipient == "first"
    assert receipt.shadow == {
        "policy": "next",
        "digest": load_policy(tmp_path / "next.yaml").digest,
        "outcome": "allow",
        "labels": ["work"],
        "plan": ["second", "first"],
        "differs": ["plan"],
    }
    (kept,) = records(tmp_path / "audit")
    assert kept["shadow"] == receipt.shadow


async def test_a_shadow_that_would_refuse_refuses_nothing(tmp_path: Path) -> None:
    found = await shadow_of(beside(tmp_path, SHUT))
    assert found is not None
    assert (found["outcome"], found["plan"], found["differs"]) == ("deny", [], ["outcome", "plan"])


async def test_a_shadow_that_would_allow_allows_nothing(tmp_path: Path) -> None:
    first, second = ScriptedProvider("one"), ScriptedProvider("two")
    async with asking(beside(tmp_path, SAME, SHUT), first=first, second=second) as it:
        with pytest.raises(Denied) as caught:
            await it.respond("x")
    assert caught.value.receipt is not None
    assert caught.value.receipt.shadow is not None
    assert caught.value.receipt.shadow["outcome"] == "allow"
    assert first.requests == second.requests == []


async def test_obligations_that_differ_are_told(tmp_path: Path) -> None:
    asks = 'flow:\n  - id: any\n    allow: {labels: "*", to: [device, house]}\n    consent: ask\n'
    found = await shadow_of(beside(tmp_path, policy_text(BOTH, flow=asks)))
    assert found is not None
    assert (found["outcome"], found["differs"]) == ("ask", ["outcome", "obligations"])


DETECTING = SAME.replace("  public: {}", "  public: {}\n  contact: {detect: [email]}") + "clean: public\n"


class Finder:
    def detect(self, text: str) -> list[Hit]:
        return [Hit(0, len(text))] if "@" in text else []


async def test_the_shadow_labels_with_its_own_detectors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = DetectorSet({"email": Finder()})

    def installed(_lock: object) -> DetectorSet:
        return found

    monkeypatch.setattr("ringfence.assistant.asynchronous.installed_detectors", installed)
    async with asking(beside(tmp_path, DETECTING)) as it:
        receipt = (await it.respond(f"{CANARY}@acme.example")).receipt
    assert receipt.labels == ("unclassified",)
    assert receipt.shadow is not None
    assert (receipt.shadow["labels"], receipt.shadow["differs"]) == (["contact"], ["labels"])
    assert CANARY not in repr(receipt)


async def test_text_that_only_the_shadow_scans_counts_as_unscanned(tmp_path: Path) -> None:
    """A long text is scanned in a thread, also where only the shadow scans it."""
    async with asking(beside(tmp_path, DETECTING)) as it:
        request = Request(messages=(Message("user", (TextPart("x" * 20_001),)),))
        assert it._runtime.gate.scans_long(request)  # pyright: ignore[reportPrivateUsage]


async def test_a_label_that_the_shadow_does_not_know_is_a_failure_of_the_shadow_only(tmp_path: Path) -> None:
    path = beside(tmp_path, SAME.replace("  health: {declare: true}\n", ""))
    assert await shadow_of(path, "health") == {"policy": "next", "failed": "InvalidRequest"}


async def test_whatever_the_shadow_raises_stays_in_it_and_brings_no_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, decide = beside(tmp_path, SAME), Policy.decide

    def raising(policy: Policy, facts: Any) -> Decision:
        if policy.name == "next":
            raise RuntimeError(CANARY)
        return decide(policy, facts)

    monkeypatch.setattr(Policy, "decide", raising)
    assert await shadow_of(path) == {"policy": "next", "failed": "RuntimeError"}


async def test_a_continuation_is_decided_beside_too(tmp_path: Path) -> None:
    how: dict[str, Any] = {"fallback": ["second"], "on_broken_stream": "continue"}
    next_version = policy_text(BOTH, fallback=["second"], on_broken_stream="continue")
    next_version = next_version.replace("flow:", "flow:\n  - {id: no, deny: {labels: [work], to: [second]}}")
    broken = ScriptedProvider(Script(events=text_events("a", "b")[:3], error=Overloaded("gone")))
    async with asking(beside(tmp_path, next_version, policy_text(BOTH, **how)), first=broken) as it:
        receipt = (await it.respond("x", labels={"work"})).receipt
    assert receipt.recipient == "second"
    assert receipt.shadow is not None
    assert receipt.shadow["plan"] == ["first"]


# ---------------------------------------------------------------- one that cannot be used


@pytest.mark.parametrize(
    ("next_version", "said"),
    [
        (None, "next.yaml: warning: policy file '"),
        (SAME.replace("flow:", "flwo:"), "next.yaml:12:1: warning: unknown key 'flwo'. Did you mean 'flow'?"),
        ("", "next.yaml:1:1: warning: the file is empty."),
    ],
)
async def test_a_shadow_that_cannot_be_used_is_a_warning_and_the_policy_loads(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, next_version: str | None, said: str
) -> None:
    path = beside(tmp_path, next_version)
    report = check_file(path)
    assert report.fault_lines == ()
    assert [line for line in report.warning_lines if line.startswith(f"{tmp_path}/{said}")], report.warning_lines
    with caplog.at_level(logging.WARNING, logger="ringfence"):
        assert await shadow_of(path) is None
    assert [
        record.getMessage().startswith(f"the shadow of policy {path} is not used: ") for record in caplog.records
    ] == [True]


def test_a_shadow_has_no_shadow_and_is_under_the_same_layers(tmp_path: Path) -> None:
    path = beside(tmp_path, f"{SAME}shadow: policy.yaml\n")
    layer = tmp_path / "layer.yaml"
    layer.write_text('version: 1\nflow:\n  - id: no\n    deny: {labels: "*", to: [first]}\n')
    shadow = load_policy(path, layers=[layer]).shadow
    assert shadow is not None
    assert shadow.shadow is None
    assert [rule.id for rule in shadow.document.flow] == ["any", "layer/no"]


async def test_a_shadow_that_is_mended_is_used_from_then_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ringfence.routing.runtime.CHECK_EVERY_S", 0.0)
    path = beside(tmp_path, "")
    async with asking(path) as it:
        assert (await it.respond("x")).receipt.shadow is None
        (tmp_path / "next.yaml").write_text(SHUT)
        receipt = (await it.respond("x")).receipt
        assert receipt.shadow is not None
        assert receipt.shadow["outcome"] == "deny"
