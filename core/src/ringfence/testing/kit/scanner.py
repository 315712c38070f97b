"""The detector under test, asked from outside: one that hangs or ends its process fails a rule and not the run."""

from __future__ import annotations

import inspect
import json
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ringfence.testing.kit.expect import fail
from ringfence.testing.kit.scan_child import START

PATIENCE_S = 30.0
"""For one text."""

BRIEF_PATIENCE_S = 10.0
"""For a text of some dozen characters, once the detector has scanned another."""

START_S = 120.0
"""For the process to start and to load the detector."""

_TAIL = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Scanned:
    """What came of one text. A hit is a pair of offsets, or the name of the type of what is no `Hit`."""

    hits: Sequence[Any]
    error: str | None
    told: Sequence[str]
    took_s: float
    """CPU time."""


class Scanner:
    """A process with the detector of a conformance class; a new one where the last was lost."""

    def __init__(self, cls: type, *, hash_seed: int = 0) -> None:
        self._task = {
            "path": sys.path,
            "module": cls.__module__,
            "file": inspect.getfile(cls),
            "class": cls.__qualname__,
            "patience_s": PATIENCE_S,
        }
        self._hash_seed = hash_seed
        self._process: subprocess.Popen[bytes] | None = None
        self._said = tempfile.TemporaryFile()  # noqa: SIM115  (closed in `close`)
        self._unread = b""
        self.slow = False

    def scan(
        self, text: str, *, prepared: bool = False, marks: Sequence[str] = (), within_s: float | None = None
    ) -> Scanned:
        """What comes of `text`, by default within `PATIENCE_S`; `told` is where one of `marks` was repeated.

        Raises:
            AssertionError: nothing came, in time or at all.
        """
        return Scanned(**self._ask({"text": text, "prepared": prepared, "marks": marks}, within_s))

    def together(self, texts: Sequence[str]) -> list[Any]:
        """The hits in each of `texts`, scanned by several threads at once; the name of what was raised instead."""
        return list(self._ask({"texts": texts})["hits"])

    def close(self) -> None:
        """Ends the process."""
        self._end()
        self._said.close()

    def start(self) -> None:
        """Starts the process, if there is none; it has loaded the detector then."""
        if self._process is not None:
            return
        self._process = subprocess.Popen(  # noqa: S603  (this interpreter)
            [sys.executable, "-c", START],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            env={**os.environ, "PYTHONHASHSEED": str(self._hash_seed)},
        )
        self.slow = bool(self._exchange(self._task, START_S)["slow"])

    def _ask(self, question: dict[str, Any], within_s: float | None = None) -> dict[str, Any]:
        self.start()
        return self._exchange(question, min(PATIENCE_S, within_s or PATIENCE_S))

    def _exchange(self, said: dict[str, Any], within_s: float) -> dict[str, Any]:
        process = self._process
        assert process is not None  # noqa: S101  (it was started)
        assert process.stdin is not None  # noqa: S101  (it was asked for)
        try:
            # Escaped throughout: half a pair of surrogates goes through as well.
            process.stdin.write(json.dumps(said).encode() + b"\n")
            process.stdin.flush()
            line = self._line(process, within_s)
        except BrokenPipeError:
            line = b""
        if line is None:
            self._end()
            size = f" from a text of {len(said['text']):,} characters" if "text" in said else ""
            fail(f"the detector did not come back within {within_s:.0f} s{size}")
        if not line:
            self._lost(process)
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _line(self, process: subprocess.Popen[bytes], within_s: float) -> bytes | None:
        """The next line; empty where the process ended, `None` where it does not come."""
        assert process.stdout is not None  # noqa: S101  (it was asked for)
        ends = time.monotonic() + within_s
        while b"\n" not in self._unread:
            ready, _, _ = select.select([process.stdout], [], [], max(0.0, ends - time.monotonic()))
            if not ready:
                return None
            more = os.read(process.stdout.fileno(), 1 << 16)
            if not more:
                return b""
            self._unread += more
        line, _, self._unread = self._unread.partition(b"\n")
        return line

    def _lost(self, process: subprocess.Popen[bytes]) -> None:
        code = process.wait(START_S)
        self._said.seek(0)
        tail = b"\n".join(self._said.read().strip().splitlines()[-_TAIL:]).decode(errors="replace")
        self._end()
        fail(f"the process of the detector ended (exit code {code}): {tail or 'without a word'}")

    def _end(self) -> None:
        process, self._process, self._unread = self._process, None, b""
        if process is None:
            return
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()


__all__ = ["BRIEF_PATIENCE_S", "PATIENCE_S", "Scanned", "Scanner"]
