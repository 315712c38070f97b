"""`python -m ringfence_mlx.worker`: confines itself, takes the pipe for its own, then serves.

Started by `ringfence_mlx.supervisor` only. Standard output is the pipe: its descriptor is moved away first, so that a
stray print of a library goes nowhere instead of into the frames.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from types import TracebackType
from typing import NoReturn

from ringfence_mlx.sandbox import confine
from ringfence_mlx.worker.channel import Channel
from ringfence_mlx.worker.places import place_of
from ringfence_mlx.worker.service import Pulse, Service

_EXIT_CRASH = 70


def main() -> NoReturn:
    """Runs one worker to its end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the app's; it cancels what it asked for
    network = confine(sandboxed="--sandboxed" in sys.argv[1:])
    read_fd, write_fd = _take_pipe()
    pulse = Pulse()
    channel = Channel(read_fd, write_fd, pulse.busy_s)
    _tell_crashes(channel)
    channel.start()
    Service(channel, pulse, network).run()


def _take_pipe() -> tuple[int, int]:
    """Moves the pipe off the standard descriptors, which lead nowhere from now on."""
    read_fd, write_fd = os.dup(0), os.dup(1)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nowhere, standard)
    os.close(nowhere)
    return read_fd, write_fd


def _tell_crashes(channel: Channel) -> None:
    """Reports an uncaught exception by its type and place alone: messages and values may hold what a user wrote."""

    def tell(kind: type[BaseException], _error: BaseException, traceback: TracebackType | None) -> None:
        channel.send([{"ev": "crash", "error": kind.__name__, "place": place_of(traceback)}])
        channel.exit(_EXIT_CRASH)

    sys.excepthook = tell
    # A reader or writer that died leaves a worker that nobody can reach.
    threading.excepthook = lambda _args: os._exit(_EXIT_CRASH)


if __name__ == "__main__":
    main()
