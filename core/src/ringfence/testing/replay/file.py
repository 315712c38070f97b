"""The file of a recording: one JSON object a line, the first of which says what it is.

A line comes into being whole: it is one write under a lock. What a killed process left without its line end is cut off
by the next recorder and not read by a replay. The file is its owner's alone (0600) until they share it.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from ringfence.errors import InvalidRequest
from ringfence.provider import Manifest
from ringfence.testing.replay.event_json import Plain, described_to_plain, manifest_from_plain
from ringfence.testing.replay.scrub import Rule

VERSION = 1
_AGAIN = "record it again, into a new file"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """What a file holds."""

    manifest: Manifest
    rule: Rule
    exchanges: tuple[Plain, ...]


def begin(path: Path, manifest: Manifest, rule: Rule) -> None:
    """Makes the file, or makes sure that it goes on with the same provider under the same rule.

    Raises:
        InvalidRequest: it cannot be made, or is another kind of file, another version, provider or rule.
    """
    with _open(path) as descriptor:
        data = _read(descriptor)
        whole = data[: data.rfind(b"\n") + 1]
        if not whole:
            os.ftruncate(descriptor, 0)
            _write(descriptor, _header(manifest, rule))
            return
        known = _parsed(path, whole)
        if known.manifest.name != manifest.name or known.rule != rule:
            raise InvalidRequest(
                f"the recording '{path.name}' is of another provider or was made under other labels", way_out=_AGAIN
            )
        os.ftruncate(descriptor, len(whole))


def append(path: Path, exchange: Plain) -> None:
    """Adds one line."""
    with _open(path) as descriptor:
        _write(descriptor, exchange)


def read(path: Path) -> Recording:
    """The recording in a file.

    Raises:
        InvalidRequest: there is none, or one of a version that is not known here.
    """
    try:
        data = path.read_bytes()
    except OSError as fault:
        raise _unusable(path, fault, "read") from None
    return _parsed(path, data[: data.rfind(b"\n") + 1])


@contextmanager
def _open(path: Path) -> Generator[int, None, None]:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as fault:
        raise _unusable(path, fault, "written") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


def _unusable(path: Path, fault: OSError, done: str) -> InvalidRequest:
    reason = os.strerror(fault.errno or 0).lower()
    return InvalidRequest(f"the recording '{path.name}' cannot be {done}: {reason}", way_out="name another file")


def _read(descriptor: int) -> bytes:
    with os.fdopen(os.dup(descriptor), "rb") as file:
        file.seek(0)
        return file.read()


def _write(descriptor: int, line: Plain) -> None:
    data = json.dumps(line, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass") + b"\n"
    while data:
        data = data[os.write(descriptor, data) :]


def _header(manifest: Manifest, rule: Rule) -> Plain:
    said = {**asdict(rule), "allow_labels": sorted(rule.allow_labels)}
    return {"ringfence_recording": VERSION, "provider": described_to_plain(manifest), **said}


def _parsed(path: Path, data: bytes) -> Recording:
    fault = InvalidRequest(f"'{path.name}' is no recording of a provider, or a broken one", way_out=_AGAIN)
    try:
        header, *exchanges = [json.loads(line) for line in data.decode("utf-8", "surrogatepass").split("\n")[:-1]]
        version = header["ringfence_recording"]
    except (ValueError, TypeError, LookupError):
        # Not chained: a parser's error holds what it read.
        raise fault from None
    if version != VERSION:
        raise InvalidRequest(
            f"the recording '{path.name}' has version {version!r}; this ringfence reads {VERSION}", way_out=_AGAIN
        )
    try:
        manifest = manifest_from_plain(header["provider"])
        rule = Rule(allow_labels=frozenset(header["allow_labels"]), allow_unlabelled=header["allow_unlabelled"] is True)
    except (TypeError, LookupError):
        raise fault from None
    return Recording(manifest=manifest, rule=rule, exchanges=tuple(exchanges))
