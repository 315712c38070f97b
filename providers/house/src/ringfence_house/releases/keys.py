"""The operator's signing keys: Ed25519, one PEM file each, so that two people can hold the two that a change needs.

`make_keys` lays them out by who holds them: `first/` and `second/` hold a root and a targets key each, `publishing/`
what a machine signs with every day, `spare/` a third root key for a safe: any two root keys replace any other key.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ringfence_house.releases.faults import KeysMissing, ReleasesFault
from ringfence_house.releases.files import reason

if TYPE_CHECKING:
    from ringfence_house.releases.vendor import CryptoSigner, SSlibKey

HOLDERS: Final[Mapping[str, str]] = {
    "root-1": "first",
    "root-2": "second",
    "root-3": "spare",
    "targets-1": "first",
    "targets-2": "second",
    "snapshot-1": "publishing",
    "timestamp-1": "publishing",
}
"""Every key, and the folder of whoever holds it."""
NAME_FIELD: Final = "x-ringfence-name"
"""Of a key in the root: the name of its file, so that a person can be told which one is missing."""
_MAX_KEY_BYTES = 4096
_MAX_FILES = 1000


class KeyRing:
    """The keys at hand: those in any PEM file below some folders. `repr` shows none."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self._signers: dict[str, CryptoSigner] = {}
        self.folders: set[Path] = set()
        """Those in which the keys lie."""
        for path in _key_files(folders):
            signer = _read_key(path)
            if signer is not None:
                self._signers[signer.public_key.keyid] = signer
                self.folders.add(path.parent)

    def get(self, key_id: str) -> CryptoSigner | None:
        """The signer with that key id, if it is at hand."""
        return self._signers.get(key_id)

    def add(self, signer: CryptoSigner) -> None:
        """Puts one more on the ring."""
        self._signers[signer.public_key.keyid] = signer

    def __repr__(self) -> str:
        return f"KeyRing({len(self._signers)} keys)"


def make_keys(folder: Path) -> dict[str, SSlibKey]:
    """Makes every key below `folder`, which may hold none yet; gives the public keys by name.

    Raises:
        ReleasesFault: there are keys, or they cannot be written.
    """
    if any(True for _ in _key_files([folder])):
        raise ReleasesFault(f"there are keys in {folder} already", way_out="name a folder that holds none")
    return {name: make_key(folder / holder, name).public_key for name, holder in HOLDERS.items()}


def make_key(folder: Path, name: str) -> CryptoSigner:
    """Makes the key `name`, a file for its owner alone in `folder`; never over another.

    Raises:
        ReleasesFault: it is there already, or cannot be written.
    """
    from ringfence_house.releases.vendor import CryptoSigner  # noqa: PLC0415  (brings `cryptography`)

    signer = CryptoSigner.generate_ed25519()
    signer.public_key.unrecognized_fields[NAME_FIELD] = name
    path = folder / f"{name}.pem"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise ReleasesFault(f"{path} is there already", way_out="name a folder that does not hold it") from None
    except OSError as fault:
        raise _not_writable(path, fault) from None
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(signer.private_bytes)
            file.flush()
            os.fsync(file.fileno())
    except OSError as fault:
        with suppress(OSError):
            path.unlink()
        raise _not_writable(path, fault) from None
    return signer


def missing(role: str, *, threshold: int, there: int, names: Sequence[str], folders: Sequence[Path]) -> KeysMissing:
    """The error for a signature that cannot be made."""
    needed = "one key" if threshold == 1 else f"{threshold} keys"
    looked = ", ".join(map(str, folders))
    return KeysMissing(
        f"signing the {role} takes {needed}, and {looked} holds {there or 'none'} of them",
        way_out=f"--keys FOLDER for each folder with: {', '.join(names)}",
    )


def files_below(folder: Path, name: str) -> list[Path]:
    """The files in and below a folder whose names match `name`, sorted.

    Raises:
        ReleasesFault: they cannot be listed, such as where others change the folder meanwhile.
    """
    try:
        return sorted(folder.rglob(name))
    except OSError as fault:
        raise ReleasesFault(
            f"{folder} cannot be looked through: {reason(fault)}", way_out="name the folder of the keys itself"
        ) from None


def _key_files(folders: Sequence[Path]) -> Iterator[Path]:
    count = 0
    for folder in folders:
        for path in files_below(folder, "*.pem"):
            count += 1
            if count > _MAX_FILES:
                raise ReleasesFault(f"{folder} holds too many files to be keys", way_out="name the folder of the keys")
            yield path


def _read_key(path: Path) -> CryptoSigner | None:
    """The key in a file; `None` where it holds none of ours, such as a certificate."""
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415

    from ringfence_house.releases.vendor import CryptoSigner  # noqa: PLC0415

    try:
        with path.open("rb") as file:
            key = load_pem_private_key(file.read(_MAX_KEY_BYTES), None)
    except OSError as fault:
        raise ReleasesFault(f"{path} cannot be read: {reason(fault)}", way_out="give yourself the right to") from None
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None
    return CryptoSigner(key) if isinstance(key, Ed25519PrivateKey) else None


def _not_writable(path: Path, fault: OSError) -> ReleasesFault:
    return ReleasesFault(f"{path} cannot be written: {reason(fault)}", way_out="name another folder")


__all__ = ["HOLDERS", "NAME_FIELD", "KeyRing", "files_below", "make_key", "make_keys", "missing"]
