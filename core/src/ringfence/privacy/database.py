"""A small SQLite file of one user: threads, processes and forks share it; whatever goes wrong is a `StoreError`.

The folder is made for its owner alone (0700), the file too (0600); SQLite makes its journals with the mode of the file.
A process that dies in the middle of a transaction leaves none of it.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from ringfence.errors import StoreError

if TYPE_CHECKING:
    import sqlite3

T = TypeVar("T")
Value: TypeAlias = str | int | float | None
Row: TypeAlias = tuple[Value, ...]

WAIT_S = 5.0
"""How long a write waits for other writers."""

_READ_WAIT_MS = 2000
"""How long a read waits for a writer, who holds readers up only while its commit goes to the disk."""
_FIRST_WAIT_S = 0.000_2
_LONGEST_WAIT_S = 0.01
_VERSION = 1

_BUSY, _READ_ONLY, _IO, _CORRUPT, _FULL, _CANNOT_OPEN, _NO_DATABASE = 5, 8, 10, 11, 13, 14, 26
_left_behind: list[object] = []
"""Connections of a parent: SQLite says that a forked child must not even close them."""


class Busy(Exception):
    """It cannot be written without waiting for another writer."""


class Database:
    """The file `path`, made on the first write. `what` names it in errors; `setup` are pragmas, `schema` tables.

    Nothing is imported, opened or made before the first use; what reads a file that is not there finds no rows. With
    `checkpoint_every`, the write-ahead log is moved into the file after so many writes, by one that may wait.
    """

    def __init__(
        self, path: Path, *, what: str, setup: str, schema: str, checkpoint_every: int = 0, wait_s: float = WAIT_S
    ) -> None:
        self.path = path
        self.what = what
        self._setup = setup
        self._schema = schema
        self._wait_s = wait_s
        self._checkpoint_every = checkpoint_every
        self._written = 0
        self._lock = threading.Lock()
        self._process = os.getpid()
        self._connection: sqlite3.Connection | None = None
        self._inode = 0

    def read(self, query: str, values: Sequence[Value] = ()) -> list[Row]:
        """The rows that `query` finds.

        Raises:
            StoreError: the file cannot be read or is damaged.
        """
        try:
            return self._safely(lambda: self._read(query, values))
        except Busy:
            raise self._fault("is busy", "find what holds it") from None

    def write(self, work: Callable[[sqlite3.Connection], T], *, wait: bool = True) -> T:
        """What `work` gives, done as one transaction: wholly, or not at all where it or this raises.

        Raises:
            Busy: `wait` is false, and another thread or process is writing, or the disk must be waited for.
            StoreError: the file cannot be written or is damaged, or another writer took too long.
        """
        deadline_s = time.monotonic() + self._wait_s
        pause_s = _FIRST_WAIT_S
        while True:
            try:
                return self._safely(lambda: self._write(work, wait=wait))
            except Busy:
                if not wait:
                    raise
                if time.monotonic() > deadline_s:
                    raise self._fault(f"was busy for more than {self._wait_s:g} s", "find what holds it") from None
            # Waits without the lock, so that readers of this process go on.
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_WAIT_S)

    @property
    def absent(self) -> bool:
        """Whether there is no file, so that nothing was ever written."""
        return not self._safely(self._inode_there)

    def damaged(self) -> StoreError:
        """The fault of a file that holds something else than was written."""
        return self._of_sqlite(_CORRUPT)

    def close(self) -> None:
        """Gives the file back; the next use opens it again."""
        self._begin()
        with self._lock:
            self._drop()

    # ------------------------------------------------------------ one use
    def _read(self, query: str, values: Sequence[Value]) -> list[Row]:
        with self._lock:
            connection = self._opened(make=False)
            if connection is None:
                return []
            return connection.execute(query, values).fetchall()

    def _write(self, work: Callable[[sqlite3.Connection], T], *, wait: bool) -> T:
        due = 0 < self._checkpoint_every <= self._written
        if (due and not wait) or not self._lock.acquire(blocking=wait):
            raise Busy
        try:
            connection = self._opened(make=True)
            assert connection is not None  # noqa: S101  (it was made)
            # A writer waits in `write`, without the lock.
            connection.execute("PRAGMA busy_timeout=0")
            try:
                connection.execute("BEGIN IMMEDIATE")
                done = work(connection)
                connection.execute("COMMIT")
                self._written += 1
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
            finally:
                connection.execute(f"PRAGMA busy_timeout={_READ_WAIT_MS}")
            if due:
                # What it cannot move out of the write-ahead log now, the next one will.
                connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
                self._written = 0
            return done
        finally:
            self._lock.release()

    def _safely(self, use: Callable[[], T]) -> T:
        import sqlite3  # noqa: PLC0415  (only who stores something needs it)

        self._begin()
        fault: StoreError
        try:
            return use()
        except sqlite3.Error as error:
            # The extended code says more than is needed here.
            code = (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF
            if code == _BUSY:
                raise Busy from None
            fault = self._of_sqlite(code)
        except OSError as error:
            fault = self._of_system(error)
        raise fault

    def _begin(self) -> None:
        """After a fork, this process opens a connection of its own."""
        if self._process != os.getpid():
            _left_behind.append(self._connection)
            self._lock = threading.Lock()
            self._connection = None
            self._process = os.getpid()

    # ------------------------------------------------------------ opening
    def _opened(self, *, make: bool) -> sqlite3.Connection | None:
        # INVARIANT: whoever moves the file away has removed it: nothing is read from a file that is no longer there.
        if self._connection is not None and self._inode != self._inode_there():
            self._drop()
        if self._connection is None and (make or self._inode_there()):
            self._connection = self._open(make=make)
            self._inode = self._inode_there()
        return self._connection

    def _inode_there(self) -> int:
        """The inode of the file; 0 where there is none."""
        try:
            found = os.lstat(self.path)
        except FileNotFoundError:
            return 0
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "it is no regular file")
        return found.st_ino

    def _open(self, *, make: bool) -> sqlite3.Connection:
        import sqlite3  # noqa: PLC0415  (as above)

        if make:
            self._make()
            self._inode_there()
        connection = sqlite3.connect(
            self.path, timeout=_READ_WAIT_MS / 1000, isolation_level=None, check_same_thread=False
        )
        try:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version > _VERSION:
                raise self._fault("was written by a newer version", "update ringfence")
            connection.executescript(self._setup)
            if version < _VERSION:
                # A reader may come while it is being made, and finds it empty.
                made = f"BEGIN IMMEDIATE; {self._schema} PRAGMA user_version={_VERSION}; COMMIT;"
                connection.executescript(made)
        except BaseException:
            connection.close()
            raise
        return connection

    def _make(self) -> None:
        folder = self.path.parent
        folder.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        # Only a file that was just made is closed again here: closing one that is in use would end SQLite's locks.
        with suppress(FileExistsError):
            os.close(os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    # ------------------------------------------------------------ faults
    def _of_sqlite(self, code: int) -> StoreError:
        if code in (_CORRUPT, _NO_DATABASE):
            return self._fault("is damaged", f"move {self.path.name} away; a new one begins in its place")
        if code in (_FULL, _IO):
            return self._fault("cannot be written or read: no room, or a fault of the disk", "free some space")
        if code in (_READ_ONLY, _CANNOT_OPEN):
            return self._fault("cannot be opened or written", _ANOTHER_FOLDER)
        return self._fault("cannot be used", f"move {self.path.name} away; a new one begins in its place")

    def _of_system(self, error: OSError) -> StoreError:
        return self._fault(f"cannot be used: {(error.strerror or type(error).__name__).lower()}", _ANOTHER_FOLDER)

    def _fault(self, what: str, way_out: str) -> StoreError:
        return StoreError(f"the {self.what} in {self.path.parent} {what}", way_out=way_out)


_ANOTHER_FOLDER = "make the folder writable, or set RINGFENCE_STATE_DIR to one that is"

__all__ = ["Busy", "Database", "Row", "Value"]
