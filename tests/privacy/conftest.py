from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ringfence.policy import Policy, read_policy
from ringfence.privacy.audit import AuditLog
from ringfence.receipt import Attempt, Receipt

PolicyMaker = Callable[..., Policy]

HEAD = """
version: 1
name: labelled
recipients: {mlx: {ring: device, provider: mlx, model: smollm2-135m-instruct}}
flow: [{id: device-any, allow: {labels: "*", to: [device]}}]
route: [{id: otherwise, prefer: [mlx]}]
unknown: unclassified
"""
LABELS = "labels: {public: {}, contact: {}, financial: {}, health: {declare: true}, unclassified: {}}\n"
DETECTING = """
labels:
  public: {}
  contact: {detect: [email, phone]}
  financial: {detect: [credit_card, iban]}
  health: {declare: true}
  unclassified: {}
"""


@pytest.fixture
def declaring() -> Policy:
    """A policy that names no detector."""
    return read_policy(HEAD + LABELS)


@pytest.fixture
def detecting() -> Policy:
    """A policy that names detectors and a label for clean texts."""
    return read_policy(HEAD + DETECTING + "clean: public\n")


@pytest.fixture
def detecting_without_clean() -> Policy:
    """A policy that names detectors, and no label for clean texts."""
    return read_policy(HEAD + DETECTING)


@pytest.fixture
def receipt() -> Receipt:
    return Receipt(
        id="01JDA0000000000000000000",
        started_at=1_732_270_000.5,
        outcome="answered",
        policy="built-in",
        policy_digest="sha256:" + "a" * 64,
        task="notification_summary",
        labels=("unclassified",),
        ring="device",
        recipient="mlx",
        provider="mlx",
        model="smollm2-135m-instruct",
        rules=("device-any",),
        route="otherwise",
        redactions={"contact": 2},
        input_tokens=141,
        output_tokens=22,
        cost_usd=0.0,
        duration_s=3.1,
        finish_reason="stop",
        attempts=(Attempt(recipient="mlx", ring="device", duration_s=3.0),),
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "audit"


@pytest.fixture
def log(folder: Path) -> AuditLog:
    return AuditLog(folder)
