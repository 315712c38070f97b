"""`ringfence-model.json`: what a converted model folder holds, with the size and SHA-256 of every file.

It is written last, so that a folder without it is not a model.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from ringfence_mlx.models.regular import regular_bytes

MANIFEST_NAME = "ringfence-model.json"
_FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRecord:
    """One file of the folder."""

    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderManifest:
    """What was converted, from which source file, into which weights format (`4bit`, `float32`, `original`)."""

    model: str
    weights: str
    source_file: str
    source_sha256: str
    files: Mapping[str, FileRecord]


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def record_files(folder: Path) -> dict[str, FileRecord]:
    """Every file under `folder` but the manifest, by its path relative to it."""
    return {
        path.relative_to(folder).as_posix(): FileRecord(size_bytes=path.stat().st_size, sha256=sha256_of(path))
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != MANIFEST_NAME
    }


def write_manifest(folder: Path, manifest: FolderManifest) -> None:
    """Writes the manifest of `folder` in one step."""
    document = {
        "format": _FORMAT,
        "model": manifest.model,
        "weights": manifest.weights,
        "source": {"file": manifest.source_file, "sha256": manifest.source_sha256},
        "files": {
            name: {"size_bytes": record.size_bytes, "sha256": record.sha256} for name, record in manifest.files.items()
        },
    }
    temporary = folder / f"{MANIFEST_NAME}.tmp"
    temporary.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    temporary.replace(folder / MANIFEST_NAME)


def read_manifest(folder: Path) -> FolderManifest | None:
    """The manifest of `folder`, or None where there is none: a folder that a person brought.

    Raises:
        ValueError: it is there and cannot be read, or is no regular file.
    """
    try:
        regular_bytes(folder / MANIFEST_NAME)
        text = (folder / MANIFEST_NAME).read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:
        raise ValueError(f"{MANIFEST_NAME} cannot be read") from None
    try:
        return _from_document(json.loads(text))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ValueError(f"{MANIFEST_NAME} is damaged") from None


def _from_document(document: Any) -> FolderManifest:
    if document["format"] != _FORMAT:
        raise ValueError(f"unknown format of {MANIFEST_NAME}")
    files = cast("dict[str, dict[str, Any]]", document["files"])
    return FolderManifest(
        model=str(document["model"]),
        weights=str(document["weights"]),
        source_file=str(document["source"]["file"]),
        source_sha256=str(document["source"]["sha256"]),
        files={
            name: FileRecord(size_bytes=int(record["size_bytes"]), sha256=str(record["sha256"]))
            for name, record in files.items()
        },
    )


__all__ = [
    "MANIFEST_NAME",
    "FileRecord",
    "FolderManifest",
    "read_manifest",
    "record_files",
    "sha256_of",
    "write_manifest",
]
