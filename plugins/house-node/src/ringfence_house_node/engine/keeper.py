"""Runs one command and ends with it, with nothing left of what it started. Standard library only: it is run as a file.

The node holds the other end of the standard input: when that is closed, because the node says so or because it is gone,
however it went, everything ends. On Linux nothing escapes, not even what began a session of its own: orphans come to
this process. Elsewhere what is a descendant when the end comes is ended.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import subprocess
import sys
import time

_ON_LINUX = sys.platform == "linux"
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_TERMINATION_S = 2.0
"""What a server has to end by itself before it is killed."""
_STEP_S = 0.02
_NOT_STARTED = 127


def main(command: list[str]) -> int:
    """Runs `command` until it ends or the standard input does; its exit status, 128 and more for a signal."""
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    ending: list[int] = []
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda number, _: ending.append(number))
    _control(_PR_SET_CHILD_SUBREAPER, 1)
    try:
        leader = _start(command)
    except OSError:
        return _NOT_STARTED
    status: int | None = None
    while status is None and not ending:
        ready, _, _ = select.select([0, woken], [], [])
        if 0 in ready and not os.read(0, 4096):
            break
        if woken in ready:
            os.read(woken, 4096)
        status = _reap().get(leader)
    return _code(status, _end().get(leader))


def _start(command: list[str]) -> int:
    # Some launchers read their input and go round in circles at its end: this one has none and says nothing.
    silence, held = os.pipe()
    os.set_inheritable(held, False)  # noqa: FBT003  (the standard library's own)
    process = subprocess.Popen(  # noqa: S603  (the operator's command, as it stands)
        command,
        stdin=silence,
        start_new_session=True,
        preexec_fn=lambda: _control(_PR_SET_PDEATHSIG, signal.SIGKILL),  # noqa: PLW1509  (there is one thread)
    )
    process.returncode = 0  # it is reaped here with the others
    return process.pid


def _control(option: int, value: int) -> None:
    if _ON_LINUX:
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _reap() -> dict[int, int]:
    """The wait statuses of children that have ended, by process id."""
    found: dict[int, int] = {}
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return found
        if pid == 0:
            return found
        found[pid] = status


def _end() -> dict[int, int]:
    """Ends every descendant: first asked, then killed until there is none."""
    ended: dict[int, int] = {}
    _signal_all(signal.SIGTERM)
    deadline = time.monotonic() + _TERMINATION_S
    while time.monotonic() < deadline and descendants(os.getpid()):
        time.sleep(_STEP_S)
        ended |= _reap()
    while descendants(os.getpid()):
        _signal_all(signal.SIGKILL)
        time.sleep(_STEP_S)
        ended |= _reap()
    return ended


def _signal_all(number: int) -> None:
    for pid in descendants(os.getpid()):
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


def descendants(root: int) -> list[int]:
    """The process ids of all that descend from `root` and are not reaped yet."""
    parents = (_parents_by_proc if _ON_LINUX else _parents_by_ps)()
    found: list[int] = []
    level = {root}
    while level:
        level = {pid for pid, parent in parents.items() if parent in level}
        found += sorted(level)
    return found


def _parents_by_proc() -> dict[int, int]:
    found: dict[int, int] = {}
    for name in os.listdir("/proc"):  # noqa: PTH208  (quick, and before site)
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", "rb") as file:  # noqa: PTH123
                # The name of the program stands in parentheses and may hold anything.
                found[int(name)] = int(file.read().rpartition(b")")[2].split()[1])
        except OSError:
            continue
    return found


def _parents_by_ps() -> dict[int, int]:
    table = subprocess.run(["/bin/ps", "-axo", "pid=,ppid="], capture_output=True, check=True).stdout
    pairs = (line.split() for line in table.splitlines())
    # `ps` itself is one of them, and gone.
    return {int(pid): int(parent) for pid, parent in pairs}


def _code(*statuses: int | None) -> int:
    known = [status for status in statuses if status is not None]
    if not known:
        return 0
    code = os.waitstatus_to_exitcode(known[0])
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    os._exit(main(sys.argv[1:]))
