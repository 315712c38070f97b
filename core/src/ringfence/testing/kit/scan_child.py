"""A detector in a process of its own, which the kit can end: a question a line on stdin, an answer a line on stdout."""

from __future__ import annotations

import faulthandler
import json
import os
import sys
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any, TextIO

from ringfence.privacy.detector import Hit
from ringfence.testing.kit.child import load
from ringfence.testing.kit.watching import overhearing, told_by

START = """\
import json, sys
task = json.loads(sys.stdin.readline())
sys.path[:] = task["path"]
from ringfence.testing.kit.scan_child import main
main(task)
"""
"""What the interpreter is started with: it finds its packages where the parent finds them."""


def main(task: dict[str, Any]) -> None:
    """Answers until stdin ends."""
    # What a detector prints is not for the parent.
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as answers, open(os.devnull, "w", encoding="utf-8") as nowhere:  # noqa: PTH123
        os.dup2(nowhere.fileno(), 1)
        cls: Any = load(task["module"], task["file"])
        for name in task["class"].split("."):
            cls = getattr(cls, name)
        detector = cls.detector
        _tell(answers, {"slow": getattr(detector, "slow", False) is True})
        for line in sys.stdin:
            asked = json.loads(line)
            # A parent that was killed ends nobody: this does, also where the interpreter is held.
            faulthandler.dump_traceback_later(2 * task["patience_s"], exit=True, file=nowhere)
            answer = _together(detector, asked["texts"]) if "texts" in asked else _scanned(detector, asked)
            faulthandler.cancel_dump_traceback_later()
            _tell(answers, answer)


def _scanned(detector: Any, asked: dict[str, Any]) -> dict[str, Any]:
    """What came of one text: its hits or the name of what was raised, who said a word of it, and the time."""
    text, hits, raised = str(asked["text"]), list[object](), None
    with overhearing() as overheard:
        began = time.process_time()
        try:
            found = detector.detect_prepared(detector.prepare(text)) if asked["prepared"] else detector.detect(text)
            hits = _plain(found, len(text))
        except BaseException as error:  # noqa: BLE001  (a detector may raise anything)
            raised = error
        took_s = time.process_time() - began
    told = [*told_by(raised), *overheard.said()]
    return {
        "hits": hits,
        "error": None if raised is None else type(raised).__name__,
        "told": [line.partition(":")[0] for line in told if any(mark in line for mark in asked["marks"])],
        "took_s": took_s,
    }


def _plain(found: Iterable[object], length: int) -> list[object]:
    """Hits as pairs; anything else as the name of its type. One more than there can be shows that there is no end."""
    return [
        [hit.start, hit.end]
        if type(hit) is Hit and type(hit.start) is int and type(hit.end) is int
        else type(hit).__name__
        for hit in islice(found, length + 1)
    ]


def _together(detector: Any, texts: list[str]) -> dict[str, Any]:
    """What comes of texts that several threads scan at once."""

    def scanned(text: str) -> object:
        try:
            return _plain(detector.detect(text), len(text))
        except BaseException as error:  # noqa: BLE001  (a detector may raise anything)
            return type(error).__name__

    with ThreadPoolExecutor(max_workers=8) as threads:
        return {"hits": list(threads.map(scanned, texts))}


def _tell(answers: TextIO, answer: dict[str, Any]) -> None:
    answers.write(json.dumps(answer) + "\n")
    answers.flush()


__all__ = ["START", "main"]
