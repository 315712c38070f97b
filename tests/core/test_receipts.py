"""Every request leaves one receipt that tells what became of it, and an audit log that cannot be written stops it."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from tests.core.support import ONCE, assistant, policy, records, until

from ringfence.errors import (
    AuditError,
    ConnectFailed,
    Denied,
    GateError,
    Overloaded,
    ProviderError,
    RingfenceError,
    StreamBroken,
    Unavailable,
)
from ringfence.privacy.audit.summary import reached
from ringfence.request import ImagePart, Message, TextPart, ToolResultPart
from ringfence.response import Finish
from ringfence.testing import Script, ScriptedProvider, failing, text_events

NO_HEALTH = (
    'flow:\n  - id: any\n    allow: {labels: "*", to: [device, house]}\n'
    "  - id: no-health\n    deny: {labels: [health], to: [house]}\n"
)


async def test_an_answered_request_says_where_it_went_and_why(tmp_path: Path) -> None:
    began = time.time()
    async with assistant(policy("first"), tmp_path, first=ScriptedProvider(text_events("grüß", " dich"))) as it:
        response = await it.respond("größe", labels={"work"}, task="rewrite", instructions="")
    got = response.receipt
    assert (got.outcome, got.policy, got.policy_digest) == ("answered", "under-test", it.policy.digest)
    assert (got.task, got.labels, got.ring, got.recipient, got.provider) == (
        "rewrite",
        ("work",),
        "house",
        "first",
        "first",
    )
    assert (got.model, got.rules, got.route) == ("m", ("any",), "only")
    assert (got.input_bytes, got.output_bytes) == (len("größe".encode()), len("grüß dich".encode()))
    assert (got.input_tokens, got.output_tokens, got.finish_reason) == (1, 2, "stop")
    assert began <= got.started_at <= time.time()
    assert 0 < (got.first_event_s or 0) <= got.duration_s
    assert [(a.recipient, a.ring, a.error, a.phase) for a in got.attempts] == [("first", "house", None, None)]
    (kept,) = records(tmp_path)
    assert kept["id"] == got.id
    assert kept["attempts"][0]["recipient"] == "first"


async def test_a_denied_request_names_no_recipient_and_counts_no_bytes(tmp_path: Path) -> None:
    async with assistant(policy("first", flow=NO_HEALTH), tmp_path, first=ScriptedProvider("x")) as it:
        with pytest.raises(Denied) as caught:
            await it.respond("x", labels={"health"})
    got = caught.value.receipt
    assert got is not None
    assert (got.outcome, got.recipient, got.input_bytes, got.attempts) == ("denied", None, 0, ())
    assert [kept["id"] for kept in records(tmp_path)] == [got.id]


async def test_a_failed_request_lists_every_attempt(tmp_path: Path) -> None:
    first, second = ScriptedProvider(failing(Overloaded("full"))), ScriptedProvider(failing(ProviderError("no")))
    async with assistant(policy("first", "second", fallback=["second"]), tmp_path, first=first, second=second) as it:
        with pytest.raises(ProviderError) as caught:
            await it.respond("x")
    got = caught.value.receipt
    assert got is not None
    assert [(a.recipient, a.error, a.phase) for a in got.attempts] == [
        *[("first", "Overloaded", "before_first_event")] * 3,
        ("second", "ProviderError", "before_first_event"),
    ]
    assert got.outcome == "failed"
    assert len(records(tmp_path)) == 1


async def test_a_cancelled_request_is_on_record_with_the_bytes_that_came(tmp_path: Path) -> None:
    provider = ScriptedProvider(text_events("abc", "def"))
    async with assistant(policy("first"), tmp_path, first=provider) as it, it.stream("x") as stream:
        for _ in range(2):
            await anext(stream)
    (kept,) = records(tmp_path)
    assert (kept["outcome"], kept["input_bytes"], kept["output_bytes"]) == ("cancelled", 1, 3)
    assert kept["attempts"][0]["error"] == "cancelled"


FAILURES: dict[str, tuple[Script, list[str]]] = {
    "what a plugin raises": (Script(events=(), error=ValueError("x")), ["first", "second"]),
    "a phase that was not said": (Script(events=(), error=Unavailable("x", reason="no_model")), ["first", "second"]),
    "a refusal at the network": (Script(events=(), error=GateError("x")), ["second"]),
    "a refusal after the first event": (Script(events=text_events("a")[:2], error=GateError("x")), ["first"]),
    "nobody there": (Script(events=(), error=ConnectFailed("x")), ["second"]),
}


@pytest.mark.parametrize(("script", "expected"), FAILURES.values(), ids=FAILURES)
async def test_a_report_counts_everybody_who_may_have_been_sent_something(
    script: Script, expected: list[str], tmp_path: Path
) -> None:
    first, second = ScriptedProvider(script), ScriptedProvider(text_events("b"))
    given = policy("first", "second", prefer=["first"], fallback=["second"])
    async with assistant(given, tmp_path, retry=ONCE, first=first, second=second) as it:
        with suppress(RingfenceError):
            await it.respond("hello")
    assert [one["recipient"] for one in reached(records(tmp_path)[0])] == expected


async def test_bytes_count_text_tool_results_and_attachments() -> None:
    turns = [
        Message("system", (TextPart("1234"),)),
        Message("tool", (ToolResultPart("1", "look", "12"),)),
        Message("user", (TextPart("é"), ImagePart(b"12345"))),
    ]
    async with assistant(policy("first"), first=ScriptedProvider("x")) as it:
        assert (await it.respond(turns)).receipt.input_bytes == 4 + 2 + 2 + 5


async def test_wrong_arguments_leave_no_receipt(tmp_path: Path) -> None:
    async with assistant(policy("first"), tmp_path, first=ScriptedProvider("x")) as it:
        with pytest.raises(Exception, match="not declared"):
            await it.respond("x", labels={"wrok"})
    assert records(tmp_path) == []


async def test_each_request_has_a_receipt_of_its_own_in_the_log(tmp_path: Path) -> None:
    async with assistant(policy("first"), tmp_path, first=ScriptedProvider("x")) as it:
        answers = await asyncio.gather(*(it.respond("x") for _ in range(50)))
    assert sorted(kept["id"] for kept in records(tmp_path)) == sorted(answer.receipt.id for answer in answers)


async def test_a_finish_that_is_no_stop_is_on_the_receipt() -> None:
    refused = text_events("no", finish=Finish("refusal", "policy_violation"))
    async with assistant(policy("first"), first=ScriptedProvider(refused)) as it:
        response = await it.respond("x")
    assert (response.finish_reason, response.receipt.finish_reason) == ("refusal", "refusal")


async def test_labels_that_a_continuation_added_are_on_the_receipt_and_the_response() -> None:
    head = (
        "version: 1\nname: detecting\nunknown: unclassified\nclean: public\n"
        "labels: {public: {}, contact: {detect: [email]}, unclassified: {}}\n"
    )
    broken = failing(StreamBroken("cut"), after=text_events("ann.smith@example.com is")[:2])
    rules = policy("first", "second", fallback=["second"], head=head, on_broken_stream="continue")
    async with assistant(rules, first=ScriptedProvider(broken), second=ScriptedProvider(" hers")) as it:
        response = await it.respond("Who is she?")
    assert "contact" in response.receipt.labels
    assert "contact" in response.labels


# ------------------------------------------------------------------ no record, no request
def unwritable(tmp_path: Path) -> Path:
    """A folder for the audit log that cannot be made: a file stands in its way, even for root."""
    (tmp_path / "file").write_text("in the way")
    return tmp_path / "file" / "audit"


async def test_an_audit_log_that_cannot_be_written_stops_the_request_before_it_is_sent(tmp_path: Path) -> None:
    provider = ScriptedProvider("x")
    async with assistant(policy("first"), unwritable(tmp_path), first=provider) as it:
        with pytest.raises(AuditError):
            await it.respond("x")
    assert (provider.opened, provider.requests) == (0, [])


class _Failing:
    """An audit log whose disk fills up between the check and the record."""

    def open(self, *, wait: bool = True) -> None:
        pass

    def append(self, receipt: object, /, *, wait: bool = True) -> None:
        raise AuditError("the disk is full")

    def close(self) -> None:
        pass


def with_full_disk(**providers: Any) -> Any:
    from dataclasses import replace

    it = assistant(policy("first"), **providers)
    in_force = it._in_force  # pyright: ignore[reportPrivateUsage]
    in_force._put(replace(in_force.runtime, audit=_Failing()))  # pyright: ignore[reportPrivateUsage]
    return it


async def test_an_answer_that_could_not_be_recorded_is_on_the_error() -> None:
    async with with_full_disk(first=ScriptedProvider("the answer")) as it:
        with pytest.raises(AuditError) as caught:
            await it.respond("x")
    assert caught.value.response is not None
    assert caught.value.response.text == "the answer"
    assert caught.value.receipt is not None


async def test_a_failure_that_could_not_be_recorded_is_still_told() -> None:
    async with with_full_disk(first=ScriptedProvider(failing(Overloaded("full")))) as it:
        with pytest.raises((AuditError, Overloaded)) as caught:
            await it.respond("x")
    told = f"{caught.value}{caught.value.__context__}"
    assert "the disk is full" in told
    assert "full" in told


async def test_a_cancellation_that_could_not_be_recorded_is_still_a_cancellation() -> None:
    provider = ScriptedProvider(Script(delay_s=5))
    async with with_full_disk(first=provider) as it:
        task = asyncio.create_task(it.respond("x"))
        await until(lambda: bool(provider.requests))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_nothing_is_written_where_no_audit_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RINGFENCE_STATE_DIR", str(tmp_path / "state"))
    async with assistant(policy("first"), False, first=ScriptedProvider("x"), retry=ONCE) as it:
        await it.respond("x")
    assert not (tmp_path / "state").exists()


async def test_the_default_log_is_in_the_state_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RINGFENCE_STATE_DIR", str(tmp_path))
    async with assistant(policy("first"), True, first=ScriptedProvider("x")) as it:
        await it.respond("x")
    assert len(records(tmp_path / "audit")) == 1
