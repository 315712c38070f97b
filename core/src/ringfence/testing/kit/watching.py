"""What a rule watches beside the wire: every log record, everything printed, every error and its causes, a trap."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import socket
import threading
import traceback
import warnings
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Self, cast


class Overheard:
    """Everything that was logged at any level by any logger, printed, or warned of."""

    def __init__(self) -> None:
        self._said: list[str] = []
        self.printed = io.StringIO()

    def record(self, record: logging.LogRecord) -> None:
        """Takes one log record, with the arguments that a handler may keep."""
        words = [record.getMessage() if record.args else str(record.msg), repr(record.args), repr(_extras(record))]
        if record.exc_info and record.exc_info[1] is not None:
            words.append("".join(traceback.format_exception(record.exc_info[1])))
        self._said.append(f"log of {record.name}: {' '.join(words)}")

    def warned(self, message: str) -> None:
        """Takes one warning."""
        self._said.append(f"a warning: {message}")

    def said(self) -> list[str]:
        """All of it; each with where it was."""
        return [*self._said, f"standard output: {self.printed.getvalue()}"]


_PLAIN = frozenset(vars(logging.makeLogRecord({})))


def _extras(record: logging.LogRecord) -> dict[str, object]:
    return {name: value for name, value in vars(record).items() if name not in _PLAIN}


@contextmanager
def overhearing() -> Generator[Overheard, None, None]:
    """Listens to every logger at its lowest level, those that do not propagate among them."""
    overheard = Overheard()
    factory = logging.getLogRecordFactory()

    def listen(*args: object, **keywords: object) -> logging.LogRecord:
        record = factory(*args, **keywords)
        try:
            overheard.record(record)
        except (TypeError, ValueError):
            # Logging itself would print the fault.
            overheard.warned(f"a log record of {record.name} that cannot be formatted: {record.msg!r} {record.args!r}")
        return record

    def warned(message: Warning | str, *rest: object, **more: object) -> None:
        del rest, more
        overheard.warned(str(message))

    loggers = [logging.getLogger(), *(one for one in logging.Logger.manager.loggerDict.values() if _is_logger(one))]
    kept = [(one, one.level, one.disabled) for one in loggers if isinstance(one, logging.Logger)]
    disabled = logging.root.manager.disable
    logging.disable(logging.NOTSET)
    for one, _, _ in kept:
        one.setLevel(1)
        one.disabled = False
    logging.setLogRecordFactory(listen)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(overheard.printed),
            contextlib.redirect_stderr(overheard.printed),
        ):
            warnings.simplefilter("always")
            warnings.showwarning = warned
            yield overheard
    finally:
        logging.setLogRecordFactory(factory)
        logging.disable(disabled)
        for one, level, was_disabled in kept:
            one.setLevel(level)
            one.disabled = was_disabled


def _is_logger(one: object) -> bool:
    return isinstance(one, logging.Logger)


def told_by(error: BaseException | None) -> list[str]:
    """Everything an error says: itself, what it was raised from or within, their attributes and the printed trace.

    `partial_text` is the app's own text, and meant to be there.
    """
    said: list[str] = []
    seen: set[int] = set()
    left = [error]
    while left:
        one = left.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        attributes = {name: value for name, value in vars(one).items() if name != "partial_text"}
        said.append(f"{type(one).__name__}: {one} {one!r} {one.args!r} {attributes!r}")
        said.append("".join(traceback.format_exception(one)))
        # What `from None` puts aside is in no trace.
        left += [one.__cause__, None if one.__suppress_context__ else one.__context__]
        if isinstance(one, BaseExceptionGroup):
            left += cast("BaseExceptionGroup[BaseException]", one).exceptions
    return said


class Trap:
    """A port on loopback that nobody should come to."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self.visits = 0
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                visitor, _ = self._socket.accept()
                self.visits += 1
                visitor.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Closing alone does not wake the thread that accepts.
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


@contextmanager
def environment(values: Mapping[str, str]) -> Generator[None, None, None]:
    """The process's environment with `values` added."""
    kept = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in kept.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")

__all__ = ["PROXIES", "Overheard", "Trap", "environment", "overhearing", "told_by"]
