"""`python -m ringfence.testing.partners [--port N] [--echo] [-- COMMAND …]`: both partners on one loopback port.

They serve until Ctrl-C; with a command, until it ends, and with its exit code.
"""

from __future__ import annotations

import argparse
import asyncio
import sys

from ringfence.testing.partners.server import HOST, Partners, run


def main() -> int:
    """Serves as the arguments say."""
    parser = argparse.ArgumentParser(prog="ringfence.testing.partners", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one; the first line printed names it")
    parser.add_argument("--echo", action="store_true", help="answer with what was asked, as it came over the wire")
    parser.add_argument("--keyless", action="store_true", help="want no key where OpenAI's API is spoken")
    parser.add_argument("--control", action="store_true", help="take JSON lines from stdin, and end when it ends")
    parser.add_argument("command", nargs="*", help="what to run beside the partners, after --")
    given = parser.parse_args()
    try:
        if given.command:
            return asyncio.run(_beside(given.port, given.command, Partners(echo=given.echo, keyless=given.keyless)))
        asyncio.run(run(given.port, control=given.control, echo=given.echo, keyless=given.keyless))
    except OSError as error:
        why = (error.strerror or "unknown reason").lower()
        sys.stderr.write(f"cannot serve or run: {why} (try: another --port)\n")
        return 1
    return 0


async def _beside(port: int, command: list[str], partners: Partners) -> int:
    async with await asyncio.start_server(partners.serve, HOST, port):
        process = await asyncio.create_subprocess_exec(*command)
        return await process.wait()


if __name__ == "__main__":
    sys.exit(main())
