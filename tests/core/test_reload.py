"""A policy that is followed as its files change: swapped whole, never lost, never under a request that has begun."""

from __future__ import annotations

import asyncio
import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.core.support import policy_text, until

from ringfence import Assistant, AsyncAssistant
from ringfence.assistant.setup import find_policy
from ringfence.errors import Denied, InvalidRequest, PolicyInvalid, PolicyNotReadable
from ringfence.policy import Policy, Report, read_policy
from ringfence.policy.loading import read_file
from ringfence.policy.reload import PolicySource
from ringfence.routing import runtime
from ringfence.testing import Script, ScriptedProvider, text_events

OPEN = policy_text(("first", "second"))
SECOND = policy_text(("first", "second"), prefer=["second"])
SHUT = policy_text(("first", "second"), flow='flow:\n  - id: any\n    allow: {labels: "*", to: [device]}\n')
BROKEN = OPEN.replace("flow:", "flwo:")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "policy.yaml"
    path.write_text(OPEN)
    return path


@pytest.fixture(autouse=True)
def check_always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "CHECK_EVERY_S", 0.0)


def providers() -> dict[str, ScriptedProvider]:
    return {"first": ScriptedProvider("one"), "second": ScriptedProvider("two")}


def following(path: Path | None, **how: Any) -> AsyncAssistant:
    return AsyncAssistant(path, audit=False, providers=how.pop("providers", providers()), **how)


def replaced(path: Path, text: str) -> None:
    """Writes `text` as an editor does: beside it, and then in its place."""
    beside = path.with_suffix(".new")
    beside.write_text(text)
    beside.replace(path)


def rewritten(path: Path, text: str) -> None:
    """Writes `text` in place, so that a reader may see half of it."""
    path.write_text(text)


def stamps(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_atime_ns, found.st_mtime_ns


def gone(path: Path) -> None:
    path.unlink()


@pytest.fixture
def warned(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.WARNING, logger="ringfence"):
        yield caplog


async def test_the_next_request_is_decided_under_the_new_version(path: Path) -> None:
    async with following(path) as it:
        before = it.policy_state
        assert (await it.respond("x")).text == "one"
        replaced(path, SECOND)
        answer = await it.respond("x")
        assert answer.text == "two"
        assert answer.receipt.policy_digest == it.policy.digest == it.policy_state.digest != before.digest
        assert it.policy_state.loaded_at >= before.loaded_at
        replaced(path, SHUT)
        with pytest.raises(Denied):
            await it.respond("x")


async def test_a_stream_and_a_session_and_a_count_begin_under_the_new_version_too(path: Path) -> None:
    async with following(path) as it:
        session = it.session()
        assert (await session.respond("x")).text == "one"
        stream = it.stream("x")
        replaced(path, SECOND)
        assert "".join([piece async for piece in stream.text()]) == "two"
        assert (await session.respond("x")).text == "two"
        replaced(path, SHUT)
        with pytest.raises(Denied):
            await it.count_tokens("x")


async def test_a_request_ends_under_the_policy_that_it_began_with(path: Path) -> None:
    slow = ScriptedProvider(Script(events=text_events("a", "b", "c"), delay_s=0.02))
    async with following(path, providers={"first": slow, "second": ScriptedProvider("two")}) as it:
        began = it.policy.digest
        under_way = asyncio.create_task(it.respond("x"))
        await until(lambda: bool(slow.requests))
        replaced(path, SHUT)
        with pytest.raises(Denied):
            await it.respond("x")
        answer = await under_way
    assert answer.text == "abc"
    assert answer.receipt.policy_digest == began


async def test_a_broken_version_leaves_the_old_one_in_force_and_is_told_once(
    path: Path, warned: pytest.LogCaptureFixture
) -> None:
    async with following(path) as it:
        before = it.policy
        replaced(path, BROKEN)
        for _ in range(3):
            assert (await it.respond("x")).text == "one"
        assert it.policy is before
        assert any(line.endswith("unknown key 'flwo'. Did you mean 'flow'?") for line in it.policy_state.faults)
        assert [record.getMessage().count("flwo") for record in warned.records] == [1]
        replaced(path, SECOND)
        assert (await it.respond("x")).text == "two"
        assert it.policy_state.faults == ()


async def test_reload_says_what_is_wrong(path: Path) -> None:
    async with following(path, reload=False) as it:
        replaced(path, BROKEN)
        with pytest.raises(PolicyInvalid) as caught:
            await it.reload()
        assert caught.value.faults == it.policy_state.faults
        gone(path)
        with pytest.raises(PolicyNotReadable):
            await it.reload()
        assert (await it.respond("x")).text == "one"
        rewritten(path, SECOND)
        await it.reload()
        assert (await it.respond("x")).text == "two"


async def test_without_reload_nothing_is_noticed(path: Path) -> None:
    async with following(path, reload=False) as it:
        replaced(path, SECOND)
        assert (await it.respond("x")).text == "one"


async def test_files_are_looked_at_once_a_second_at_most(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[bool] = []

    def changed(_source: PolicySource) -> bool:
        looked.append(True)
        return False

    monkeypatch.setattr(PolicySource, "changed", changed)
    monkeypatch.setattr(runtime, "CHECK_EVERY_S", 3600.0)
    async with following(path) as it:
        for _ in range(5):
            await it.respond("x")
        assert looked == []
        monkeypatch.setattr(runtime, "CHECK_EVERY_S", 0.0)
        await it.respond("x")
        assert looked == [True]


SMALL = b"""\
version: 1
name: small
recipients: {m: {ring: device, provider: first, model: m}}
labels: {u: {}}
unknown: u
flow: [{id: a, allow: {labels: "*", to: [device]}}]
route: [{id: r, prefer: [m]}]
"""


def test_a_policy_that_is_cut_at_any_byte_never_leaves_anybody_without_one(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_bytes(SMALL)

    def load() -> Report:
        return read_file(path)

    source = PolicySource(load)
    whole = in_force = source.policy
    used: list[int] = []
    for length in range(len(SMALL)):
        path.write_bytes(SMALL[:length])
        assert source.changed()
        error = source.renew()
        assert bool(error) is bool(source.state.faults)
        assert error is None or source.policy is in_force
        in_force = source.policy
        if error is None:
            used.append(length)
    # Without its last line break it is whole, and says the same.
    assert used == [len(SMALL) - 1]
    assert source.policy is whole


async def test_requests_meanwhile_a_writer_swaps_two_versions_have_one_policy_each(path: Path) -> None:
    """Each answer comes from the recipient that the version on its receipt prefers."""
    digests = {read_policy(OPEN).digest: "one", read_policy(SECOND).digest: "two"}
    stop = False

    async def write() -> None:
        version = 0
        while not stop:
            version += 1
            text = (OPEN, SECOND)[version % 2]
            if version % 3 == 0:
                rewritten(path, text[: len(text) // 2])  # a writer that is slow, in place
                await asyncio.sleep(0.002)
            replaced(path, text)
            await asyncio.sleep(0.004)

    async with following(path) as it:
        writer = asyncio.create_task(write())
        answers = [one for _ in range(15) for one in await asyncio.gather(*(it.respond("x") for _ in range(8)))]
        stop = True
        await writer
    assert [one.text for one in answers] == [digests[one.receipt.policy_digest] for one in answers]
    assert {one.text for one in answers} == {"one", "two"}


async def test_a_write_of_the_same_size_at_the_same_time_is_seen(path: Path) -> None:
    """Files are looked at by time and size; what was written as it was read is read again."""
    async with following(path) as it:
        stamp = stamps(path)
        text = OPEN.replace("prefer: [first, second]", "prefer: [second, first]")
        assert len(text) == len(OPEN)
        rewritten(path, text)
        os.utime(path, ns=stamp)
        assert (await it.respond("x")).text == "two"


def test_a_write_between_reading_a_file_and_looking_at_it_is_seen(path: Path) -> None:
    def load() -> Report:
        report = read_file(path)
        path.write_text(SECOND)
        return report

    source = PolicySource(load)
    assert source.changed()
    assert source.renew() is None
    assert source.policy.digest == read_policy(SECOND).digest


async def test_a_trust_file_that_comes_after_the_policy_that_names_it_is_noticed(path: Path, tmp_path: Path) -> None:
    house = 'provider: house, directory: "https://house.acme.example", trust: root.json'
    named = SECOND.replace("first: {ring: house, provider: first", f"first: {{ring: house, {house}")
    async with following(path) as it:
        replaced(path, named)
        assert (await it.respond("x")).text == "one"
        assert "root.json" in it.policy_state.faults[0]
        rewritten(tmp_path / "root.json", "{}")
        assert (await it.respond("x")).text == "two"
        digest = it.policy.digest
        rewritten(tmp_path / "root.json", '{"a": 1}')
        await it.respond("x")
        assert it.policy.digest != digest


async def test_a_link_that_is_turned_to_another_version_is_followed(tmp_path: Path) -> None:
    for name, text in (("one", OPEN), ("two", SECOND)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "policy.yaml").write_text(text)
    (tmp_path / "now").symlink_to("one")
    async with following(tmp_path / "now" / "policy.yaml") as it:
        assert (await it.respond("x")).text == "one"
        (tmp_path / "next").symlink_to("two")
        (tmp_path / "next").replace(tmp_path / "now")
        assert (await it.respond("x")).text == "two"


async def test_a_relative_path_stays_the_file_that_it_was(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """INVARIANT: the working directory never chooses the policy, also not later."""
    monkeypatch.chdir(tmp_path)
    async with following(Path("policy.yaml")) as it:
        (tmp_path / "elsewhere").mkdir()
        (tmp_path / "elsewhere" / "policy.yaml").write_text(SHUT)
        monkeypatch.chdir(tmp_path / "elsewhere")
        replaced(path, SECOND)
        assert (await it.respond("x")).text == "two"


async def test_records_are_kept_as_long_as_the_version_in_force_says(path: Path, tmp_path: Path) -> None:
    rewritten(path, f"{OPEN}audit: {{keep: 400d}}\n")
    async with AsyncAssistant(path, audit=tmp_path / "audit", providers=providers()) as it:
        await it.respond("x")
        replaced(path, f"{OPEN}audit: {{keep: 30d}}\n")
        await it.respond("x")
    assert kept_days(tmp_path / "audit") == [400, 30]


def kept_days(folder: Path) -> list[int]:
    """What the lines of the records say of how long they are kept."""
    lines = [line for file in sorted(folder.glob("*.jsonl")) for line in file.read_text().splitlines()]
    return [int(days) // 86_400 for days in re.findall(r'"keep":([0-9]+)', "\n".join(lines))]


async def test_a_layer_that_changes_is_noticed_and_one_that_goes_is_missed(path: Path, tmp_path: Path) -> None:
    layer = tmp_path / "layer.yaml"
    layer.write_text("version: 1\n")
    async with following(path, layers=[layer]) as it:
        assert (await it.respond("x")).text == "one"
        replaced(layer, 'version: 1\nflow:\n  - id: no\n    deny: {labels: "*", to: [first]}\n')
        assert (await it.respond("x")).text == "two"
        layer.unlink()
        assert (await it.respond("x")).text == "two"
        assert "does not exist" in it.policy_state.faults[0]


async def test_labels_of_a_session_that_the_new_version_lacks_refuse_and_do_not_vanish(path: Path) -> None:
    first = ScriptedProvider("one")
    async with following(path, providers={"first": first, "second": ScriptedProvider()}) as it:
        session = it.session()
        await session.respond("x", labels={"health"})
        replaced(path, OPEN.replace("  health: {declare: true}\n", ""))
        with pytest.raises(InvalidRequest, match="label 'health' is not declared in policy 'under-test'"):
            await session.respond("y")
        assert len(first.requests) == 1
        assert "health" in session.labels
        assert (await it.respond("z")).text == "one"


async def test_a_recipient_that_is_gone_is_sent_nothing_and_its_provider_is_closed_at_the_end(path: Path) -> None:
    given = providers()
    closed: list[str] = []
    for name, provider in given.items():
        _note_close(provider, name, closed)
    async with following(path, providers=given) as it:
        assert (await it.respond("x")).text == "one"
        replaced(path, policy_text(("second",)))
        assert (await it.respond("x")).text == "two"
        with pytest.raises(InvalidRequest, match="no recipient 'first'"):
            await it.respond("x", to="first")
        assert list(it.policy.recipients) == ["second"]
    assert sorted(closed) == ["first", "second"]


def _note_close(provider: ScriptedProvider, name: str, closed: list[str]) -> None:
    close = provider.close

    async def noted() -> None:
        closed.append(name)
        await close()

    provider.close = noted  # type: ignore[method-assign]


async def test_an_assistant_that_is_closed_while_a_version_loads_waits_for_it(path: Path) -> None:
    it = following(path)
    replaced(path, SECOND)
    asking = asyncio.create_task(it.respond("x"))
    await asyncio.sleep(0)
    asking.cancel()
    await it.close()
    with pytest.raises(asyncio.CancelledError):
        await asking


def test_the_synchronous_face_follows_too(path: Path) -> None:
    with Assistant(path, audit=False, providers=providers()) as it:
        assert it.respond("x").text == "one"
        replaced(path, SECOND)
        assert it.respond("x").text == "two"
        assert it.policy.digest == it.policy_state.digest
        replaced(path, BROKEN)
        with pytest.raises(PolicyInvalid):
            it.reload()
        assert it.policy_state.faults
        assert it.respond("x").text == "two"


# ---------------------------------------------------------------- the layers of an administrator

NO_ASSISTANT = '{"Type": "com.apple.configuration.siri.settings", "Payload": {"Enabled": false}}'


@pytest.mark.parametrize("how", ["file", "policy", "environment", "built-in"])
async def test_the_environments_layers_narrow_every_policy(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    layer = tmp_path / "managed.json"
    layer.write_text(NO_ASSISTANT)
    monkeypatch.setenv("RINGFENCE_LAYERS", str(layer))
    if how == "environment":
        monkeypatch.setenv("RINGFENCE_POLICY", str(path))
    policies: dict[str, Path | Policy] = {"file": path, "policy": read_policy(OPEN)}
    it = AsyncAssistant(policies.get(how), audit=False, providers={} if how == "built-in" else providers())
    with pytest.raises(Denied) as caught:
        await it.respond("x")
    assert all(verdict.rules == ("managed/assistant-off",) for verdict in caught.value.decision.recipients.values())
    await it.close()


@pytest.mark.parametrize("named", ["managed.json", "", "/a.json:relative.json", "/a.json:"])
def test_a_relative_path_in_the_environment_is_refused(monkeypatch: pytest.MonkeyPatch, named: str) -> None:
    monkeypatch.setenv("RINGFENCE_LAYERS", named.replace(":", os.pathsep))
    with pytest.raises(PolicyNotReadable, match="RINGFENCE_LAYERS is not an absolute path"):
        AsyncAssistant(audit=False)


def test_a_layer_of_the_environment_that_is_gone_lets_nothing_begin(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RINGFENCE_LAYERS", str(tmp_path / "gone.mobileconfig"))
    for policy in (None, path, read_policy(OPEN)):
        with pytest.raises(PolicyInvalid, match="does not exist"):
            AsyncAssistant(policy, audit=False)


async def test_a_policy_that_is_under_a_layer_already_is_put_under_it_once(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = tmp_path / "managed.json"
    layer.write_text(NO_ASSISTANT)
    monkeypatch.setenv("RINGFENCE_LAYERS", str(layer))
    loaded = find_policy(path)
    async with AsyncAssistant(loaded, audit=False) as it:
        assert it.policy is loaded


async def test_a_profile_that_is_withdrawn_or_broken_for_a_policy_object_is_followed(
    tmp_path: Path,
) -> None:
    layer = tmp_path / "managed.json"
    layer.write_text(NO_ASSISTANT)
    async with AsyncAssistant(read_policy(OPEN), layers=[layer], audit=False, providers=providers()) as it:
        with pytest.raises(Denied):
            await it.respond("x")
        replaced(layer, "{")
        with pytest.raises(Denied):
            await it.respond("x")
        assert it.policy_state.faults
        replaced(layer, NO_ASSISTANT.replace("false", "true"))
        assert (await it.respond("x")).text == "one"
