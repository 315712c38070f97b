"""Child processes of an example or a test: started in the background, waited for, and ended whatever happens.

They also end where this process is gone without a word.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

LOOPBACK = "127.0.0.1"
_WATCHED = 'exec 3<&0; (read -r _ <&3; kill -s KILL -- -$$) & exec "$@" </dev/null 3<&-'
"""In sh: becomes the command, beside a watch. Its stdin ends with the process at the other end, and then the group."""
_OPENER = build_opener(ProxyHandler({}))  # no proxy stands between this machine and itself


class NotReady(Exception):
    """A process ended, or was not ready in time; the end of its log says why."""


def free_port() -> int:
    """A port of loopback that nobody uses now."""
    with socket.create_server((LOOPBACK, 0)) as listening:
        return int(listening.getsockname()[1])


class Background:
    """One process in a group of its own, its output in `log`. May be ended and started again."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        log: Path,
        ready_url: str,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.log = log
        self._command = list(command)
        self._ready_url = ready_url
        self._environment = {**os.environ, **(environment or {})}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Of the process that runs now.

        Raises:
            NotReady: none does.
        """
        if self._process is None:
            raise NotReady(f"{self.name} does not run")
        return self._process.pid

    def start(self) -> None:
        """Starts it, and returns at once."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603  (the commands are ours)
                ["/bin/sh", "-c", _WATCHED, "sh", *self._command],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=self._environment,
                start_new_session=True,
            )

    def wait(self, within_s: float, on_wait: Callable[[], None] = lambda: None) -> None:
        """Returns when it answers that it is ready.

        Raises:
            NotReady: it ended, or the time is over.
        """
        until = time.monotonic() + within_s
        while not answers(self._ready_url):
            if self._process is None or self._process.poll() is not None:
                raise NotReady(f"{self.name} ended: {self.last_words()}")
            if time.monotonic() > until:
                raise NotReady(f"{self.name} was not ready within {within_s:.0f} s: {self.last_words()}")
            on_wait()
            time.sleep(0.1)

    def kill(self) -> None:
        """Ends it, and whatever it started, without a word."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._wait_for_end(5)
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()

    def stop(self, within_s: float = 10.0) -> None:
        """Asks it to end, and ends it if it does not. Idempotent."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGTERM)
        self._wait_for_end(within_s)
        # What it left behind in its group goes too.
        self.kill()
        self._process = None

    def last_words(self) -> str:
        """The end of its log."""
        text = self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""
        return " · ".join(text.strip().splitlines()[-5:]) or "it said nothing"

    def _wait_for_end(self, within_s: float) -> bool:
        if self._process is None:
            return True
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(within_s)
        return self._process.poll() is not None


def answers(url: str) -> bool:
    """Whether a GET is answered with success."""
    return fetched(url) is not None


def fetched(url: str) -> bytes | None:
    """What a GET is answered with; `None` without success."""
    try:
        with _OPENER.open(url, timeout=5) as answer:
            return bytes(answer.read()) if answer.status < 300 else None
    except (URLError, OSError, ValueError):
        return None


__all__ = ["LOOPBACK", "Background", "NotReady", "answers", "fetched", "free_port"]
