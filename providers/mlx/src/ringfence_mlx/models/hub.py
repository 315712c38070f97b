"""Models of a model hub: found in the local hub cache without the network, brought by huggingface_hub when asked for.

`python -m ringfence_mlx.models.hub ORG/NAME` is the process that brings one; it can be stopped at any time, and goes on
where it stopped the next time. Its standard output is one JSON line with the bytes in all, then one with the folder.
The hub, its mirror, its token and its proxy are those that huggingface_hub itself is configured with.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_PART = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9])?"
_HUB_NAME = re.compile(rf"{_PART}/{_PART}")
# What MLX opens, and nothing that runs: no Python file, no pickle.
WANTED = ("*.json", "*.safetensors", "*.jinja", "*.model", "*.txt")


def is_hub_name(name: str) -> bool:
    """Whether `name` has the form `org/name` of a hub."""
    return _HUB_NAME.fullmatch(name) is not None and ".." not in name and "--" not in name


def hub_cache() -> Path:
    """Where huggingface_hub keeps models on this machine."""
    from huggingface_hub.constants import HF_HUB_CACHE  # noqa: PLC0415 - only a hub name needs it

    return Path(HF_HUB_CACHE)


def repository_folder(name: str) -> Path:
    """The folder of the hub model `name` in the cache, whether it exists or not."""
    return hub_cache() / f"models--{name.replace('/', '--')}"


def cached_snapshot(name: str) -> Path | None:
    """The folder of the last version that was brought, or None. Reads one small file; no network."""
    repository = repository_folder(name)
    try:
        commit = (repository / "refs/main").read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None
    snapshot = repository / "snapshots" / commit
    return snapshot if re.fullmatch(r"[0-9a-f]{40}", commit) and (snapshot / "config.json").is_file() else None


def cached_names() -> Iterator[str]:
    """The hub models in the cache that have safetensors, by name, sorted."""
    for repository in sorted(hub_cache().glob("models--*--*")):
        name = repository.name.removeprefix("models--").replace("--", "/")
        if is_hub_name(name) and (snapshot := cached_snapshot(name)) and any(snapshot.glob("*.safetensors")):
            yield name


def main(name: str) -> int:
    """Brings one model into the cache; the exit code of the process."""
    os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    import huggingface_hub  # noqa: PLC0415 - in this process only

    # Named through the module: part of its signature has no types.
    snapshot_download: Any = getattr(huggingface_hub, "snapshot_download")  # noqa: B009
    try:
        files = snapshot_download(name, allow_patterns=list(WANTED), dry_run=True)
        _say({"total_bytes": sum(file.file_size or 0 for file in files if file.will_download)})
        _say({"folder": snapshot_download(name, allow_patterns=list(WANTED))})
    except Exception as error:  # noqa: BLE001 - whatever the hub's client raises; its text may hold an address
        sys.stderr.write(f"{_reason(error)}\n")
        return 1
    return 0


def _say(document: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(document) + "\n")
    sys.stdout.flush()


def _reason(error: BaseException) -> str:
    """What went wrong, in words that are safe to show."""
    from huggingface_hub.errors import (  # noqa: PLC0415 - as above
        DryRunError,
        GatedRepoError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
    )

    if isinstance(error, DryRunError) and error.__cause__ is not None:
        error = error.__cause__
    if isinstance(error, GatedRepoError):
        return "the hub wants you to accept the licence of this model and to be logged in"
    if isinstance(error, RepositoryNotFoundError):
        return "the hub has no model of this name, or it is private"
    if isinstance(error, OSError) and error.errno is not None and not isinstance(error, LocalEntryNotFoundError):
        return (error.strerror or "the disk failed").lower()
    return "the hub cannot be reached"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))


__all__ = ["WANTED", "cached_names", "cached_snapshot", "hub_cache", "is_hub_name", "repository_folder"]
