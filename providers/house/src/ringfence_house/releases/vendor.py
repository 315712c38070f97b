"""The names of TUF's library that are used here. Its own modules re-export them without saying so.

Importing this takes 0.1 s: import it where it is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuf.api import exceptions
from tuf.api.metadata import Metadata

if TYPE_CHECKING:
    # Where they are defined, for the type checkers alone.
    from securesystemslib.signer._crypto_signer import CryptoSigner
    from securesystemslib.signer._key import Key, SSlibKey
    from tuf.api._payload import MetaFile, Role, Root, Signed, Snapshot, TargetFile, Targets, Timestamp
else:
    from securesystemslib.signer import CryptoSigner, Key, SSlibKey
    from tuf.api.metadata import MetaFile, Role, Root, Signed, Snapshot, TargetFile, Targets, Timestamp

__all__ = [
    "CryptoSigner",
    "Key",
    "MetaFile",
    "Metadata",
    "Role",
    "Root",
    "SSlibKey",
    "Signed",
    "Snapshot",
    "TargetFile",
    "Targets",
    "Timestamp",
    "exceptions",
]
