"""The process in which `ringfence doctor` tries the detectors: one that hangs, holding the interpreter too, hangs here.

It gets a task on stdin and answers on stdout with a JSON line for each kind, in order.
"""

from __future__ import annotations

import faulthandler
import json
import os
from typing import Any

from ringfence.privacy.detection import DetectorSet

START = """\
import json, sys
task = json.loads(sys.stdin.readline())
sys.path[:] = task["path"]
from ringfence.cli.trial_child import main
main(task)
"""
"""What the interpreter is started with: it finds its packages where the parent finds them."""


def main(task: dict[str, Any]) -> None:
    """Tries `kinds` on `sample`, one after the other."""
    # What a detector prints is not for the parent.
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as answers, open(os.devnull, "w", encoding="utf-8") as nowhere:  # noqa: PTH123
        os.dup2(nowhere.fileno(), 1)
        for kind in task["kinds"]:
            # A parent that was killed ends nobody: this does, also where the interpreter is held.
            faulthandler.dump_traceback_later(2 * task["patience_s"], exit=True, file=nowhere)
            answers.write(json.dumps(_tried(kind, task["sample"])) + "\n")
            answers.flush()
        # Threads that a detector left behind wait for nothing.
        os._exit(0)


def _tried(kind: str, sample: str) -> dict[str, str | None]:
    detectors = DetectorSet()
    try:
        detectors.scan([kind], sample)
    except BaseException as fault:  # noqa: BLE001  (whatever a plugin does, the next one is tried)
        return {"how": "failed", "error": type(fault).__name__}
    failure = detectors.failures().get(kind)
    return {"how": None, "error": None} if failure is None else {"how": failure.how, "error": failure.error}


__all__ = ["START", "main"]
