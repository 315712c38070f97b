"""Asks again and again in a process of its own, and prints the memory it holds after each stretch, as JSON."""

from __future__ import annotations

import asyncio
import gc
import json
import sys
from pathlib import Path

from tests.benchmarks.resident import resident_bytes

from ringfence import AsyncAssistant


async def main(policy: Path, stretches: list[int]) -> list[int]:
    """Resident bytes after so many calls in all, for each of `stretches`."""
    held: list[int] = []
    done = 0
    async with AsyncAssistant(policy, audit=False) as assistant:
        for stretch in stretches:
            for _ in range(stretch - done):
                await assistant.respond("Name three fruits.")
            done = stretch
            gc.collect()
            held.append(resident_bytes())
    return held


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(Path(sys.argv[1]), [int(count) for count in sys.argv[2:]]))))
