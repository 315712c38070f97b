"""Runs scripted calls in a process of its own and prints the memory it holds after each stretch, as JSON."""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import tempfile
from pathlib import Path

from tests.benchmarks.resident import resident_bytes
from tests.benchmarks.scripted import pair


async def main(kind: str, stretches: list[int]) -> list[int]:
    """Resident bytes after so many calls in all, for each of `stretches`."""
    held: list[int] = []
    done = 0
    with tempfile.TemporaryDirectory() as folder:
        async with pair(Path(folder), chunks=4) as both:
            run = both.responded if kind == "calls" else both.cancelled
            for stretch in stretches:
                await run(stretch - done)
                done = stretch
                gc.collect()
                held.append(resident_bytes())
    return held


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(sys.argv[1], [int(count) for count in sys.argv[2:]]))))
