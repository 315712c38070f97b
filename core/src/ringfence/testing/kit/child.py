"""A provider under watch in a process of its own: run as a file, with a task on stdin.

The audit hook of the process sees every connection and every look-up that Python makes, by whatever library. Run as a
file and not as a module, it imports nothing of the kit before it has weighed what is to be weighed.
"""

# ruff: noqa: E402  (the time that the first imports take is what others are measured by)
from __future__ import annotations

import sys
import time

_began = time.process_time()  # what this process computed: others on a busy machine do not count
import asyncio  # noqa: F401  # pyright: ignore[reportUnusedImport]
import dataclasses  # noqa: F401  # pyright: ignore[reportUnusedImport]
import json
import pathlib
import typing

PLAIN_S = time.process_time() - _began
"""What a handful of the standard library takes to import."""

import importlib
import importlib.util
from collections.abc import Sequence
from contextvars import ContextVar
from types import ModuleType, TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ringfence.testing.scenes import Scene, Seen

MARK = "kit-child:"
"""What the line with the result begins with; a provider may print others."""

_WATCHED = frozenset(
    {
        "socket.connect",
        "socket.getaddrinfo",
        "socket.gethostbyname",
        "socket.gethostbyaddr",
        "socket.sendto",
        "socket.sendmsg",
    }
)
_in_transport: ContextVar[bool] = ContextVar("kit_in_transport", default=False)


class Elsewhere:
    """The backend, which the parent process plays."""

    def __init__(self, url: str) -> None:
        self.url = url

    def play(self, *scenes: Scene) -> None:
        """The parent does."""

    def seen(self) -> Sequence[Seen]:
        """The parent does."""
        return ()

    def __enter__(self) -> typing.Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing to close."""


def load(name: str, file: str) -> ModuleType:
    """The module `name`: by its name where that finds `file`, else from the file."""
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        spec = None
    if spec is None or spec.origin is None or pathlib.Path(spec.origin).resolve() != pathlib.Path(file).resolve():
        spec = importlib.util.spec_from_file_location(name, file)
        if spec is None or spec.loader is None:
            raise ImportError(name)
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
        return module
    return importlib.import_module(name)


def weigh(task: dict[str, Any]) -> dict[str, Any]:
    """How long the module of the provider takes to import, against a plain handful of the standard library."""
    began = time.process_time()
    load(task["module"], task["file"])
    return {"plain_s": PLAIN_S, "module_s": time.process_time() - began}


def announce(task: dict[str, Any]) -> dict[str, Any]:
    """Whether reading the manifest of a provider imports it."""
    importlib.import_module("ringfence")
    from ringfence import registry  # noqa: PLC0415
    from ringfence.errors import PluginNotInstalled  # noqa: PLC0415

    try:
        registry.manifest(task["name"])
    except PluginNotInstalled:
        return {"installed": False, "imported": task["module"] in sys.modules}
    return {"installed": True, "imported": task["module"] in sys.modules}


def watch(task: dict[str, Any]) -> dict[str, Any]:
    """What a provider does on the network, beside what the transport does for it, while it answers some requests."""
    outside: list[str] = []
    under_way = [0]

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event not in _WATCHED or _in_transport.get():
            return
        address: Any = arguments[0] if event.startswith("socket.get") else arguments[1]
        # A path is a socket on this machine; a socket that is connected has no address to send to.
        if address is None or (isinstance(address, str | bytes) and not event.startswith("socket.get")):
            return
        # The system's look-up runs in a thread, which does not know for whom.
        if event == "socket.getaddrinfo" and under_way[0] and _host(task["url"]) == str(address):
            return
        outside.append(f"{event} {address}")

    sys.addaudithook(hook)
    cls: Any = load(task["module"], task["file"])
    for name in task["class"].split("."):
        cls = getattr(cls, name)
    _mark_transport(under_way)
    answered = _ask(cls(), task["url"], task["fields"])
    return {"outside": outside, "error": answered}


def _mark_transport(under_way: list[int]) -> None:
    from ringfence.transport.guard import Guard  # noqa: PLC0415  (brings httpx2)
    from ringfence.transport.public import PublicGuard  # noqa: PLC0415

    for guard in (Guard, PublicGuard):
        _mark(guard, under_way)


def _mark(guard: Any, under_way: list[int]) -> None:
    send = guard.handle_async_request

    async def marked(self: Any, request: Any) -> Any:
        token = _in_transport.set(True)
        under_way[0] += 1
        try:
            return await send(self, request)
        finally:
            under_way[0] -= 1
            _in_transport.reset(token)

    guard.handle_async_request = marked


def _ask(author: Any, url: str | None, fields: dict[str, Any]) -> str | None:
    """The error of the plain request, if there was one; what comes of the others does not matter here."""
    from ringfence.testing.kit.base import new_bench  # noqa: PLC0415
    from ringfence.testing.kit.material import KINDS  # noqa: PLC0415

    bench = new_bench(author, None if url is None else Elsewhere(url), fields)
    try:
        plain = bench.outcome(bench.asking()).error
        bench.outcome(bench.asking(stream=False))
        for kind in KINDS[1:]:
            if bench.can(kind, kind):
                bench.outcome(bench.asking(kind=kind), kind=kind)
    finally:
        bench.close()
    return None if plain is None else type(plain).__name__


def _host(url: str | None) -> str:
    from urllib.parse import urlsplit  # noqa: PLC0415

    return (urlsplit(url or "").hostname or "").lower()


_TASKS = {"weigh": weigh, "announce": announce, "watch": watch}


def main() -> None:
    """Does the task on stdin and prints the result as one line."""
    task = json.loads(sys.stdin.read())
    sys.path[:] = [*task["path"], *(entry for entry in sys.path if entry not in task["path"])]
    result = _TASKS[task["task"]](task)
    sys.stdout.write(f"\n{MARK}{json.dumps(result)}\n")


if __name__ == "__main__":
    main()

__all__ = ["MARK", "Elsewhere", "announce", "load", "watch", "weigh"]
