"""`python -m ringfence.testing.partners [--port 0]`: both partners on one loopback port, until Ctrl-C."""

from __future__ import annotations

import argparse
import asyncio

from ringfence.testing.partners.server import run


def main() -> None:
    """Serves as the arguments say."""
    parser = argparse.ArgumentParser(prog="ringfence.testing.partners", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one; the first line printed names it")
    parser.add_argument("--control", action="store_true", help="take JSON lines from stdin, and end when it ends")
    given = parser.parse_args()
    asyncio.run(run(given.port, control=given.control))


if __name__ == "__main__":
    main()
