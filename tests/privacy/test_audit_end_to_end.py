"""What requests leave in the audit log: one record each, whatever became of them, and nothing of their content."""

from __future__ import annotations

from pathlib import Path

import pytest

from ringfence import AsyncAssistant
from ringfence.errors import AuditError, Denied, InvalidRequest, ProviderError, RequestRejected
from ringfence.policy import Policy, read_policy
from ringfence.privacy.audit import AuditLog
from ringfence.request import FilePart, ImagePart, Message, TextPart
from ringfence.testing import Script, ScriptedProvider

CANARY = "canary-7f3a 4111 1111 1111 1111"
DENYING = """
version: 1
name: denying
recipients: {mlx: {ring: device, provider: mlx, model: smollm2-135m-instruct}}
labels:
  public: {}
  financial: {detect: [credit_card]}
  unclassified: {}
unknown: unclassified
clean: public
flow: [{id: public-only, allow: {labels: [public], to: [device]}}]
route: [{id: otherwise, prefer: [mlx]}]
"""


def _conversation() -> list[Message]:
    data = CANARY.encode()
    return [
        Message("system", (TextPart(CANARY),)),
        Message("user", (TextPart(CANARY), ImagePart(data, name=CANARY), FilePart(data, name=CANARY))),
    ]


def _assistant(policy: Policy, provider: ScriptedProvider, folder: Path) -> AsyncAssistant:
    return AsyncAssistant(policy, providers={"mlx": provider}, audit=folder)


def _assert_without_content(folder: Path) -> None:
    written = b"".join(path.read_bytes() for path in folder.iterdir())
    assert b"canary" not in written
    assert b"4111" not in written


async def test_an_answer_leaves_a_record_without_content(detecting: Policy, folder: Path) -> None:
    async with _assistant(detecting, ScriptedProvider(f"Yes: {CANARY}"), folder) as assistant:
        response = await assistant.respond(_conversation())
    [record] = AuditLog(folder).records()
    assert record.receipt["id"] == response.receipt.id
    assert (record.receipt["outcome"], record.receipt["recipient"]) == ("answered", "mlx")
    assert set(record.receipt["labels"]) >= {"financial", "unclassified"}
    _assert_without_content(folder)


async def test_a_denial_leaves_a_record_without_content(folder: Path) -> None:
    provider = ScriptedProvider()
    async with _assistant(read_policy(DENYING), provider, folder) as assistant:
        with pytest.raises(Denied):
            await assistant.respond(_conversation())
    assert [record.receipt["outcome"] for record in AuditLog(folder).records()] == ["denied"]
    assert provider.requests == []
    _assert_without_content(folder)


async def test_a_failure_leaves_a_record_without_content(detecting: Policy, folder: Path) -> None:
    rejected = Script(events=(), error=RequestRejected(f"the recipient said {CANARY}"))
    async with _assistant(detecting, ScriptedProvider(rejected), folder) as assistant:
        with pytest.raises(ProviderError):
            await assistant.respond(_conversation())
    [record] = AuditLog(folder).records()
    assert record.receipt["outcome"] == "failed"
    assert record.receipt["attempts"][-1]["error"] == "RequestRejected"
    _assert_without_content(folder)


async def test_nothing_is_sent_when_the_log_cannot_be_written(detecting: Policy, tmp_path: Path) -> None:
    (tmp_path / "audit").write_text("in the way")
    provider = ScriptedProvider()
    async with _assistant(detecting, provider, tmp_path / "audit") as assistant:
        with pytest.raises(AuditError):
            await assistant.respond("hello")
    assert provider.requests == []


async def test_nothing_is_sent_with_an_undeclared_label(detecting: Policy, folder: Path) -> None:
    provider = ScriptedProvider()
    async with _assistant(detecting, provider, folder) as assistant:
        with pytest.raises(InvalidRequest, match="heatlh"):
            await assistant.respond([Message("user", (TextPart("hello", labels=frozenset({"heatlh"})),))])
    assert provider.requests == []
