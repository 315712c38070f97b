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
    from tuf.ngclient.config import UpdaterConfig
    from tuf.ngclient.fetcher import FetcherInterface
    from tuf.ngclient.updater import Updater
else:
    from securesystemslib.signer import CryptoSigner, Key, SSlibKey
    from tuf.api.metadata import MetaFile, Role, Root, Signed, Snapshot, TargetFile, Targets, Timestamp
    from tuf.ngclient import FetcherInterface, Updater, UpdaterConfig

__all__ = [
    "CryptoSigner",
    "FetcherInterface",
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
    "Updater",
    "UpdaterConfig",
    "exceptions",
]
