"""What `ringfence doctor` says of the keys that a policy names: where they are, and never what they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from ringfence.cli.checks import keys, variables_of
from ringfence.cli.doctor import network_findings
from ringfence.policy import Policy, read_policy


def policy(keys_of_x: str = "", ring: str = "partner") -> Policy:
    return read_policy(_text(keys_of_x, ring))


def _text(keys_of_x: str = "", ring: str = "partner") -> str:
    return f"""version: 1
recipients:
  mlx: {{ring: device, provider: mlx, model: m}}
  x: {{ring: {ring}, provider: openai, model: m{keys_of_x}}}
labels: {{unclassified: {{}}}}
unknown: unclassified
flow: [{{id: any, allow: {{labels: "*", to: [device]}}}}]
route: [{{id: all, prefer: [mlx]}}]
"""


def test_a_key_that_is_there_is_named_by_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "canary")
    (finding,) = keys(policy())
    assert (finding.level, finding.subject) == ("ok", "recipient x")
    assert finding.detail == "its key is in 'env:OPENAI_API_KEY'"


def test_a_key_that_is_missing_is_a_warning_with_the_way_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    (finding,) = keys(policy())
    assert (finding.level, finding.way_out) == ("warning", "export OPENAI_API_KEY=…")
    (finding,) = keys(policy(f", secret: 'file:{tmp_path}/none'"))
    assert finding.level == "warning"
    assert f"'file:{tmp_path}/none'" in finding.detail


def test_a_recipient_with_a_url_of_its_own_is_sent_no_key_of_the_vendor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "canary")
    away = policy(', url: "https://a.example/v1"')
    assert list(keys(away)) == []


def test_a_variable_that_a_recipient_reads_is_not_called_ignored(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("GOOGLE_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.setenv(name, "canary")
    file = tmp_path / "policy.yaml"
    file.write_text(_text(", secret: 'env:GOOGLE_API_KEY'"), encoding="utf-8")
    read = variables_of(str(file))
    assert read == {"GOOGLE_API_KEY"}
    detail = next(one.detail for one in network_findings(read) if one.subject == "environment")
    assert "GOOGLE_API_KEY" not in detail
    assert "OPENAI_BASE_URL" in detail
    assert "canary" not in detail


def test_without_a_policy_no_key_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "canary")
    assert list(keys(None)) == []


def test_a_detector_that_the_lock_does_not_approve_is_mended_by_the_lock() -> None:
    from ringfence.cli.checks_detectors import _mending  # pyright: ignore[reportPrivateUsage]
    from ringfence.privacy.detection import Failure

    assert "providers lock" in _mending(Failure(how="cannot be loaded", error="PluginLocked"))
    assert "reinstall" in _mending(Failure(how="cannot be loaded", error="ImportError"))
