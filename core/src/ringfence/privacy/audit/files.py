"""The files of an audit log: the folder, the records, the key and the head, and the lock between processes.

Everything is made for its owner alone (folder 0700, files 0600). A file comes into being whole: it is written beside
its place and renamed, under the lock.
"""

from __future__ import annotations

import errno
import fcntl
import hmac
import json
import os
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from ringfence.errors import AuditError
from ringfence.privacy.audit.record import GENESIS, mac_of

RECORDS_FILE = "audit.jsonl"
KEY_FILE = "audit.key"
HEAD_FILE = "audit.head"
KEY_BYTES = 32
HEAD_BYTES = 256
"""A head is one line of fixed length, written in place: one write in one page, which no death of a process tears."""

_FIRST_WAIT_S = 0.000_2
_LONGEST_WAIT_S = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """How many records there are, and the mac of the last. It stands apart from them, so that a cut tail shows."""

    count: int = 0
    mac: str = GENESIS


def encode_head(key: bytes, count: int, mac: str) -> bytes:
    """The bytes of the head file."""
    # Written at every append: three times as fast as `json.dumps`, and numbers and hex digits need no escaping.
    line = f'{{"v":1,"count":{count},"mac":"{mac}","seal":"{_head_seal(key, count, mac)}"}}'
    return line.ljust(HEAD_BYTES - 1).encode("ascii") + b"\n"


def decode_head(key: bytes, written: bytes) -> Head | None:
    """The head in the bytes of its file; `None` if `key` did not seal it."""
    try:
        fields = json.loads(written)
        head = Head(count=int(fields["count"]), mac=str(fields["mac"]))
        sealed = hmac.compare_digest(str(fields["seal"]), _head_seal(key, head.count, head.mac))
    except (ValueError, TypeError, LookupError, RecursionError):
        return None
    return head if sealed else None


def _head_seal(key: bytes, count: int, mac: str) -> str:
    return mac_of(key, f"head:{count}:{mac}".encode("utf-8", "replace"))


def make_folder(folder: Path) -> None:
    """Makes `folder`, for its owner alone; one that exists stays as it is.

    Raises:
        AuditError: it cannot be made.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        if not folder.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
    except OSError as fault:
        raise not_writable(folder, fault) from None


def open_file(path: Path, flags: int) -> int:
    """A file descriptor that no child program inherits and no symbolic link leads astray; new files are 0600."""
    return os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)


def read_key(folder: Path) -> bytes | None:
    """The key, or `None` if there is none.

    Raises:
        AuditError: it cannot be read, or is not a key.
    """
    try:
        written = (folder / KEY_FILE).read_bytes()
        key = bytes.fromhex(written.decode("ascii"))
    except FileNotFoundError:
        return None
    except OSError as fault:
        raise AuditError(f"the audit key in {folder} cannot be read: {reason(fault)}") from None
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise AuditError(f"the audit key in {folder} is damaged", way_out=ANOTHER_LOG)
    return key


def create_key(folder: Path) -> bytes:
    """Makes a key, whole or not at all. Call it under the lock."""
    key = os.urandom(KEY_BYTES)
    write_whole(folder / KEY_FILE, key.hex().encode("ascii") + b"\n")
    return key


def write_whole(path: Path, content: bytes) -> None:
    """Puts a file in its place with all its content. Call it under the lock."""
    new = path.with_name(path.name + ".new")
    descriptor = open_file(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    try:
        written = os.write(descriptor, content)
    finally:
        os.close(descriptor)
    if written != len(content):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    new.replace(path)


@contextmanager
def locked(descriptor: int, *, timeout_s: float, shared: bool = False) -> Generator[None]:
    """Holds the lock between processes on the file behind `descriptor`.

    Raises:
        AuditError: another process held it for more than `timeout_s`.
    """
    lock(descriptor, timeout_s=timeout_s, shared=shared)
    try:
        yield
    finally:
        fcntl.flock(descriptor, fcntl.LOCK_UN)


class Busy(Exception):
    """The log cannot be used without waiting."""


def lock(descriptor: int, *, timeout_s: float | None, shared: bool = False) -> None:
    """Takes the lock; the system gives it back when the process dies. `None` does not wait for it.

    Raises:
        Busy: it does not wait, and another process holds the lock.
        AuditError: as `locked`.
    """
    operation = (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB
    deadline_s: float | None = None
    wait_s = _FIRST_WAIT_S
    while True:
        try:
            fcntl.flock(descriptor, operation)
        except BlockingIOError:
            if timeout_s is None:
                raise Busy from None
            now_s = time.monotonic()
            deadline_s = deadline_s or now_s + timeout_s
            if now_s >= deadline_s:
                raise lock_held(timeout_s) from None
            time.sleep(wait_s)
            wait_s = min(2 * wait_s, _LONGEST_WAIT_S)
        else:
            return


def unlock(descriptor: int) -> None:
    """Gives the lock back."""
    fcntl.flock(descriptor, fcntl.LOCK_UN)


ANOTHER_LOG = "run 'ringfence audit verify', then move the folder away; a new log begins in its place"


def lock_held(timeout_s: float) -> AuditError:
    """The error for a lock that another holds too long."""
    return AuditError(
        f"the audit log was locked for more than {timeout_s:g} s by another writer", way_out="find what holds it, again"
    )


def not_writable(folder: Path, fault: OSError) -> AuditError:
    """The error for a log that cannot be written."""
    if fault.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return AuditError(f"no room for the audit log in {folder}: {reason(fault)}", way_out="free some space")
    return AuditError(
        f"the audit log in {folder} is not writable: {reason(fault)}",
        way_out="make the folder writable, or set RINGFENCE_STATE_DIR to one that is",
    )


def reason(fault: OSError) -> str:
    """What the system says of a fault, in lower case and without a path."""
    return (fault.strerror or type(fault).__name__).lower()


__all__ = [
    "ANOTHER_LOG",
    "HEAD_BYTES",
    "HEAD_FILE",
    "KEY_FILE",
    "RECORDS_FILE",
    "Head",
    "create_key",
    "decode_head",
    "encode_head",
    "lock",
    "lock_held",
    "locked",
    "make_folder",
    "not_writable",
    "open_file",
    "read_key",
    "reason",
    "unlock",
    "write_whole",
]
