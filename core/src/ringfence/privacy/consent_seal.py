"""The seal of a stored consent: HMAC-SHA256 over all that it says, with a key in a file beside the store.

It shows a row that was edited, made up, or brought from another machine or user: what the key did not seal is no yes.
It shows nothing to somebody who can read the key (0600, so: the user's own programs), and does not show that the file
was put back to an older copy.
"""

from __future__ import annotations

import hmac
import json
import os
from typing import TYPE_CHECKING

from ringfence.privacy.audit.files import write_whole

if TYPE_CHECKING:
    from pathlib import Path

    from ringfence.privacy.consent_record import ConsentRecord

KEY_FILE = "consent.key"
ENDED = ""
"""What stands in the place of the seal of a yes that is over: nothing in the file then says that it held."""

_KEY_BYTES = 32


def seal_of(record: ConsentRecord, folder: Path) -> str | None:
    """The seal that a yes in the store of `folder` must have while it holds; `None` where there is no key.

    Raises:
        OSError: the key is there, and cannot be read.
    """
    key = _key_in(folder / KEY_FILE)
    return None if key is None else _mac(key, record)


def seal(record: ConsentRecord, folder: Path) -> str:
    """The seal of a yes that was just given; makes a key where there is none. Call it in a transaction of the store.

    Raises:
        OSError: the key cannot be read or written.
    """
    key = _key_in(folder / KEY_FILE)
    if key is None:
        key = os.urandom(_KEY_BYTES)
        write_whole(folder / KEY_FILE, key.hex().encode("ascii") + b"\n")
    return _mac(key, record)


def _key_in(path: Path) -> bytes | None:
    """The key in a file; `None` where there is none, or something else."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            key = bytes.fromhex(os.read(descriptor, 4 * _KEY_BYTES).decode("ascii"))
        finally:
            os.close(descriptor)
    except (FileNotFoundError, ValueError):
        return None
    return key if len(key) == _KEY_BYTES else None


def _mac(key: bytes, record: ConsentRecord) -> str:
    says = {**record.as_dict(), "revoked_at": None}
    return hmac.digest(key, json.dumps(says, sort_keys=True).encode(), "sha256").hex()


__all__ = ["ENDED", "KEY_FILE", "seal", "seal_of"]
