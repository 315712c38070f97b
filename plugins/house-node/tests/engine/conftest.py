"""A command that serves, and short ways to look at it."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
import sys
from collections.abc import Callable, Generator
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ringfence_house_node.engine import EngineSettings
from ringfence_house_node.engine.keeper import descendants
from ringfence_house_node.service import Call, Service


async def _until(holds: Callable[[], object], seconds: float = 30) -> None:
    """Waits, generously, until `holds()`."""
    async with asyncio.timeout(seconds):
        while not holds():  # noqa: ASYNC110  (another process' doing)
            await asyncio.sleep(0.01)


def _lives(pid: int) -> bool:
    """Whether the process runs; one that waits to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def _ask(service: Service, text: str = "Hello", **fields: Any) -> tuple[int, str]:
    """The status, and the body."""
    body = {"model": "m", "messages": [{"role": "user", "content": text}], **fields}
    answer = await service.respond(Call(path="/v1/chat/completions", body=json.dumps(body).encode(), tenant=None))
    async with aclosing(answer.body) as pieces:
        return answer.status, b"".join([piece async for piece in pieces]).decode()


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@dataclass(frozen=True, kw_only=True)
class Fake:
    """A server with two ranks that `engine/fake_server.py` is."""

    folder: Path
    port: int

    @property
    def command(self) -> tuple[str, ...]:
        script = Path(__file__).with_name("fake_server.py")
        return (sys.executable, "-S", str(script), str(self.port), str(self.folder))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def pids(self) -> list[int]:
        """Of every process so far, in pairs: server, rank."""
        try:
            return [int(line) for line in (self.folder / "pids").read_text().splitlines()]
        except OSError:
            return []

    def mode(self, mode: str) -> None:
        (self.folder / "mode").write_text(mode)

    @property
    def asked(self) -> Any:
        """The last request that was answered."""
        return json.loads((self.folder / "asked").read_bytes())

    def settings(self, **fields: Any) -> EngineSettings:
        given: dict[str, Any] = {"start_timeout_s": 30.0, "probe_every_s": 0.2, "probe_timeout_s": 5.0, **fields}
        return EngineSettings(kind="command", model="m", url=self.url, command=self.command, server="mlx_lm", **given)


@pytest.fixture
def fake(tmp_path: Path) -> Fake:
    return Fake(folder=tmp_path, port=_free_port())


@pytest.fixture
def said() -> Generator[list[str]]:
    """What the node's own log was told from here on."""
    lines: list[str] = []

    class Keeping(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())

    logger, handler = logging.getLogger("ringfence_house_node"), Keeping()
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield lines
    logger.removeHandler(handler)
    logger.setLevel(level)


@pytest.fixture
def until() -> object:
    return _until


@pytest.fixture
def lives() -> object:
    return _lives


@pytest.fixture
def ask() -> object:
    return _ask


@pytest.fixture
def free_port() -> object:
    return _free_port


def _below(*words: str) -> list[int]:
    """The processes below this one with these words in their command lines."""

    def line(pid: int) -> str:
        try:
            return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            return ""

    return [pid for pid in descendants(os.getpid()) if all(word in line(pid) for word in words)]


@pytest.fixture
def below() -> object:
    return _below
