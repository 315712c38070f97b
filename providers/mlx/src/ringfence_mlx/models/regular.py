"""Only regular files are opened in a folder that somebody else may have made: a FIFO would never end."""

from __future__ import annotations

import stat
from pathlib import Path


def regular_bytes(path: Path) -> int:
    """The size of the regular file at `path`, or of the one that a link there points at.

    Raises:
        ValueError: it is a FIFO, a device, a folder or a socket; the message is safe to show.
        OSError: it is not there, or cannot be looked at.
    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise ValueError(f"{path.name} is not a regular file")
    return status.st_size


__all__ = ["regular_bytes"]
