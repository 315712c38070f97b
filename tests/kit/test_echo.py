"""The outsider's smallest example keeps the rules, as its own tests say."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

EXAMPLE = Path(__file__).parents[2] / "examples" / "provider"


def test_the_example_keeps_every_rule() -> None:
    done = subprocess.run(
        [str(Path(sys.executable).with_name("ringfence")), "plugin", "test", "--json"],
        cwd=EXAMPLE,
        env={**os.environ, "PYTHONPATH": str(EXAMPLE / "src")},
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    told = json.loads(done.stdout)
    assert {rule["result"] for rule in told["rules"]} == {"passed"}
    assert {rule["provider"] for rule in told["rules"]} == {"echo"}
