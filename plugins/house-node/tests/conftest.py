"""A node with a scripted service, and the folder of `support` among the places to import from."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

sys.path.insert(0, str(Path(__file__).parent))

from support import House, served


@pytest_asyncio.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """A node that says hello."""
    async with served(tmp_path) as house:
        yield house
