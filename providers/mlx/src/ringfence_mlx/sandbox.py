"""What a worker gives up: the network, core dumps, outliving the app; and, once it is loaded, writing files.

Standard library only. `confine` runs while the worker still has one thread: a user namespace is entered by no other.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
from pathlib import Path
from typing import Literal, TypeAlias

NetworkState: TypeAlias = Literal["none", "open"]
"""`none`: the process has no network interface that is up. `open`: the system would not take it away."""

_CLONE_NEWUSER = 0x10000000
_CLONE_NEWNET = 0x40000000
_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4

MACOS_PROFILE = "(version 1)(allow default)(deny network*)"
MACOS_SANDBOX = "/usr/bin/sandbox-exec"


def command_prefix() -> tuple[str, ...]:
    """What stands before the worker's command line: on macOS the sandbox that denies the network (untested there)."""
    if sys.platform == "darwin" and os.access(MACOS_SANDBOX, os.X_OK):
        return (MACOS_SANDBOX, "-p", MACOS_PROFILE)
    return ()


def confine(*, sandboxed: bool) -> NetworkState:
    """Confines this process for good, and says what became of the network.

    `sandboxed` says that the process was started under `command_prefix`. No step is fatal: what the system refuses is
    reported to `doctor`, and the worker, which opens no connection, runs all the same.
    """
    network: NetworkState = "none" if sandboxed or _leave_network() else "open"
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        # A core pattern that is a pipe ignores RLIMIT_CORE, so the memory is marked as not to be dumped as well.
        libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
        # Bound to the thread that started the worker: the one of the app's event loop, without which it is of no use.
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    return network


def forbid_files() -> None:
    """From here on no byte can be written to a file; called when everything is loaded and no request has come yet.

    Not before, for Python then could not keep what it compiled; and not on macOS, where Metal writes caches.
    """
    if sys.platform == "linux":
        # INVARIANT 7: nothing a request holds can reach a file from here; pipes are not files.
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)


def _leave_network() -> bool:
    if sys.platform != "linux":
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    user, group = os.geteuid(), os.getegid()
    if libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET) == 0:
        _map_identity(user, group)
        return True
    # Where user namespaces are off, a privileged process may still leave the network alone.
    return bool(libc.unshare(_CLONE_NEWNET) == 0)


def _map_identity(user: int, group: int) -> None:
    """Keeps the user's own identity inside the namespace, so that files open as before."""
    for name, line in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
        try:
            Path("/proc/self", name).write_text(line, encoding="ascii")
        except OSError:  # unmapped, the process still owns its files
            return


if __name__ == "__main__":  # what `doctor` runs to find out
    print(confine(sandboxed=bool(command_prefix())))  # noqa: T201

__all__ = ["NetworkState", "command_prefix", "confine", "forbid_files"]
