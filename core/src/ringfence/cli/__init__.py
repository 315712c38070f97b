"""The command line. `main` is the entry point; every command is imported only when it is invoked."""

from __future__ import annotations

import sys
from typing import NoReturn


def main() -> NoReturn:
    """Runs `ringfence` with the arguments of the process, and exits."""
    try:
        from ringfence.cli.root import root  # noqa: PLC0415  (Ctrl-C during the import must end quietly too)

        root.main()
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(0)


__all__ = ["main"]
