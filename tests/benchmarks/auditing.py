"""What one record of the audit log costs: part of what the core adds to a call."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from tests.benchmarks.clock import median, take_turns
from tests.benchmarks.row import Row
from tests.benchmarks.setting import Setting

from ringfence.privacy.audit import AuditLog
from ringfence.receipt import Attempt, Receipt


def receipt() -> Receipt:
    """A receipt as a plain answer leaves it."""
    attempt = Attempt(recipient="mlx", ring="device", duration_s=0.001_234)
    return Receipt(
        id="0123456789abcdef" * 2,
        started_at=time.time(),
        outcome="answered",
        policy="built-in",
        policy_digest="sha256:" + "0" * 64,
        task="open_question",
        labels=("unclassified",),
        ring="device",
        recipient="mlx",
        provider="mlx",
        model="smollm2-135m-instruct",
        rules=("device-any",),
        route="on-device",
        attempts=(attempt,),
    )


def rows(setting: Setting) -> list[Row]:
    """`open`, as before every request, and `append`, as after it."""
    count = setting.times(1_000)
    one = receipt()
    with tempfile.TemporaryDirectory() as folder:
        log = AuditLog(Path(folder) / "audit")
        log.append(one)

        def opened() -> None:
            for _ in range(count):
                log.open()

        def appended() -> None:
            for _ in range(count):
                log.append(one)

        taken = take_turns({"open": opened, "append": appended}, rounds=setting.rounds(9))
        log.close()
    found: list[Row] = []
    for name, what in (("open", "audit log: open() before a request"), ("append", "audit log: one record appended")):
        each_us = [used * 1e6 / count for used in taken[name]]
        found.append(Row(group="audit", what=what, value=median(each_us), unit="µs", lowest=min(each_us)))
    return found
