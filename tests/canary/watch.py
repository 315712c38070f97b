"""Everything that one run tells or leaves behind, in this process: to look for canaries in."""

from __future__ import annotations

import asyncio
import gc
import io
import logging
import os
import sqlite3
import sys
import tempfile
import threading
import traceback
import warnings
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any, cast

from tests.canary.support import found_in
from tests.core.support import chain, shown

from ringfence.errors import Denied, RingfenceError

LOGGERS = ("openai", "google", "google_genai", "httpx2", "httpcore2", "aiohttp", "asyncio", "urllib3", "ringfence")


class Watch:
    """What was told, by where. `folders` are looked through as they are when asked, and as they were on the way."""

    def __init__(self, folders: Iterable[Path]) -> None:
        self.told: list[tuple[str, str | bytes]] = []
        self.folders = tuple(folders)
        self.written: set[str] = set()
        """Every file that Python opened for writing."""

    def tell(self, where: str, what: str | bytes) -> None:
        """Notes one thing that was told."""
        self.told.append((where, what))

    def leaks(self, values: Iterable[str]) -> list[str]:
        """Where any of `values` was told; each place once."""
        sought = tuple(values)
        told = [*self.told, *self._kept()]
        return sorted({f"{value} in {where}" for where, what in told for value in found_in(what, sought)})

    def _kept(self) -> Iterator[tuple[str, bytes]]:
        for folder in self.folders:
            for path in folder.rglob("*"):
                yield "a name of a file", os.fsencode(path.name)
                if path.is_file():
                    yield f"the file {path.name}", path.read_bytes()
        with suppress(OSError):
            yield "the environment", Path("/proc/self/environ").read_bytes()
            yield "the command line", Path("/proc/self/cmdline").read_bytes()
        yield "the environment", "\n".join(os.environ.values()).encode()
        yield "the names of threads", "\n".join(thread.name for thread in threading.enumerate()).encode()

    def error(self, error: BaseException) -> None:
        """Notes all that an error shows: its words, its causes, its trace, and our objects in the frames of that."""
        self.tell("an error", shown(error))
        for one in chain(error):
            if isinstance(one, Denied):
                self.tell("the decision of a refusal", repr(one.decision.as_dict()) + repr(one.decision))
            if isinstance(one, RingfenceError) and one.receipt is not None:
                self.tell("the receipt of an error", repr(one.receipt.as_dict()))
        for frame in _frames(error):
            for name, value in frame.f_locals.items():
                if str(type(value).__module__).startswith("ringfence"):
                    self.tell(f"{name} in a trace with locals", repr(value))

    def connected(self, connection: sqlite3.Connection) -> sqlite3.Connection:
        """What goes into a database, its journals included, is what its statements say with their values."""
        connection.set_trace_callback(lambda statement: self.tell("a statement of SQLite", statement))
        return connection

    def objects(self) -> None:
        """Notes how every object of ours that is alive now would show itself."""
        shown: dict[str, set[str]] = {}
        for one in gc.get_objects():
            kind = cast("type[object]", type(one))
            if str(kind.__module__).partition(".")[0] == "ringfence" and not isinstance(one, BaseException):
                shown.setdefault(kind.__name__, set()).update((f"{one!r}", f"{one!s}", f"{one}"))
        for name, texts in shown.items():
            self.tell(f"the repr of a {name}", "\n".join(texts))


def _frames(error: BaseException) -> Iterator[FrameType]:
    for one in chain(error):
        for frame, _ in traceback.walk_tb(one.__traceback__):
            yield frame


class _Everything(logging.Handler):
    """Notes what every record says, in every way a formatter could show it."""

    def __init__(self, watch: Watch) -> None:
        super().__init__(logging.NOTSET)
        self._watch = watch

    def emit(self, record: logging.LogRecord) -> None:
        where = f"a log record of {record.name}"
        self._watch.tell(where, f"{record.getMessage()}\n{vars(record)!r}\n{logging.Formatter().format(record)}")


_now: list[Watch] = []
_hooked: list[bool] = []


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    """An audit hook, which cannot be taken away again: it does nothing unless something is watched."""
    if not _now:
        return
    watch = _now[0]
    match event, arguments:
        case "open", (str(path), str() | None as mode, int(flags)):
            if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) or set(mode or "") & set("wax+"):
                watch.written.add(path)
                _note_before(watch, path)
        case ("os.remove" | "os.truncate" | "os.rename", (path, *_)):
            _note_before(watch, path)
        case _:
            pass


def _note_before(watch: Watch, path: Any) -> None:
    """A file that is deleted or overwritten is looked at before."""
    with suppress(OSError, ValueError):
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            if os.fstat(descriptor).st_size < 1 << 22:
                watch.tell("a file that was deleted or overwritten", os.read(descriptor, 1 << 22))
        finally:
            os.close(descriptor)


@contextmanager
def watching(folder: Path, monkeypatch: Any, *, asyncio_debug: bool = False) -> Generator[Watch]:
    """Watches all that is logged, printed, warned of and written while it is open; everything is kept in `folder`."""
    connect: Any = sqlite3.connect

    def connected(*given: Any, **how: Any) -> sqlite3.Connection:
        return watch.connected(connect(*given, **how))

    places = {name: folder / name for name in ("state", "cache", "tmp", "home")}
    for place in places.values():
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
    watch = Watch(places.values())
    monkeypatch.setenv("RINGFENCE_STATE_DIR", str(places["state"]))
    monkeypatch.setenv("RINGFENCE_CACHE_DIR", str(places["cache"]))
    monkeypatch.setenv("TMPDIR", str(places["tmp"]))
    monkeypatch.setenv("HOME", str(places["home"]))
    monkeypatch.setattr(tempfile, "tempdir", str(places["tmp"]))
    monkeypatch.setattr(sqlite3, "connect", connected)
    monkeypatch.setattr(sys, "stdout", out := io.StringIO())
    monkeypatch.setattr(sys, "stderr", err := io.StringIO())
    if not _hooked:
        _hooked.append(True)
        sys.addaudithook(_hook)
    _now[:] = [watch]
    try:
        with _logging(watch), _warnings(watch), _loop(watch, debug=asyncio_debug):
            yield watch
            gc.collect()
    finally:
        _now.clear()
        watch.tell("stdout", out.getvalue())
        watch.tell("stderr", err.getvalue())


@contextmanager
def _logging(watch: Watch) -> Generator[None]:
    handler, root = _Everything(watch), logging.getLogger()
    before = {name: logging.getLogger(name).level for name in ("", *LOGGERS)}
    for name in before:
        logging.getLogger(name).setLevel(1)
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)


@contextmanager
def _warnings(watch: Watch) -> Generator[None]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
        for one in caught:
            watch.tell("a warning", f"{one.message} {one.source!r}")


@contextmanager
def _loop(watch: Watch, *, debug: bool) -> Generator[None]:
    """What nobody retrieved; with `debug` also what asyncio says of every single step."""
    loop = asyncio.get_running_loop()
    slow_s, handler = loop.slow_callback_duration, loop.get_exception_handler()

    def note(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        watch.tell("what nobody retrieved", repr(context))

    loop.set_exception_handler(note)
    if debug:
        loop.set_debug(True)
        loop.slow_callback_duration = 0.0
    try:
        yield
    finally:
        loop.set_debug(False)
        loop.slow_callback_duration = slow_s
        loop.set_exception_handler(handler)
