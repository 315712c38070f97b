"""The lock as a file: TOML that a person can read and a program writes, the same bytes for the same plugins."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, cast

from ringfence.errors import PluginLocked
from ringfence.lock.plugins import normal_name
from ringfence.recipient import RINGS

if TYPE_CHECKING:
    from ringfence.recipient import Ring

LOCK_VERSION = 1
MAX_LOCK_BYTES = 1 << 20
_SHA256 = re.compile(r"[0-9a-f]{64}")

_HEAD = """\
# The plugins that Ringfence may load, as they were when this was written by: ringfence providers lock
# sha256 is of the plugin's own files; the packages that it depends on are not covered.
# The ring of a provider is the innermost one on which a policy may place it.
version = {version}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Approved:
    """One distribution as a person approved it. `providers` maps each name to the innermost ring it may be on."""

    distribution: str
    version: str
    sha256: str
    providers: Mapping[str, Ring] = field(default_factory=dict[str, "Ring"], hash=False)
    detectors: tuple[str, ...] = ()


def lock_text(plugins: Iterable[Approved]) -> str:
    """The text of a lock of `plugins`, in order of their names."""
    return _HEAD.format(version=LOCK_VERSION) + "".join(
        map(_entry_text, sorted(plugins, key=lambda one: one.distribution))
    )


def _entry_text(plugin: Approved) -> str:
    lines = [
        "\n[[plugin]]",
        f"distribution = {_string(plugin.distribution)}",
        f"version = {_string(plugin.version)}",
        f"sha256 = {_string(plugin.sha256)}",
    ]
    if plugin.detectors:
        lines.append(f"detectors = [{', '.join(map(_string, sorted(plugin.detectors)))}]")
    if plugin.providers:
        rings = ", ".join(f"{_string(name)} = {_string(ring)}" for name, ring in sorted(plugin.providers.items()))
        lines.append(f"providers = {{ {rings} }}")
    return "\n".join(lines) + "\n"


def _string(text: str) -> str:
    # A JSON string is a TOML basic string, but for DEL, which TOML wants escaped.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def read_lock(path: Path) -> tuple[Approved, ...]:
    """The plugins that the lock at `path` approves.

    Raises:
        PluginLocked: it cannot be read or is no lock of this version; then nothing is approved.
    """
    import tomllib  # noqa: PLC0415  (only where there is a lock)

    try:
        with path.open("rb") as file:
            data = file.read(MAX_LOCK_BYTES + 1)
        if len(data) > MAX_LOCK_BYTES:
            raise _unusable(path, "it is larger than 1 MiB")
        document: Mapping[str, object] = tomllib.loads(data.decode("utf-8"))
    except OSError as error:
        raise _unusable(path, (error.strerror or "it cannot be read").lower()) from None
    except (ValueError, RecursionError):
        raise _unusable(path, "it is not TOML") from None
    if document.get("version") != LOCK_VERSION or not set(document) <= {"version", "plugin"}:
        raise _unusable(path, f"it is no lock of version {LOCK_VERSION}")
    listed: object = document.get("plugin", [])
    plugins = [_approved(entry) for entry in cast("list[object]", listed)] if isinstance(listed, list) else [None]
    whole = [plugin for plugin in plugins if plugin is not None]
    if len(whole) < len(plugins) or len({plugin.distribution for plugin in whole}) < len(whole):
        raise _unusable(path, "an entry is malformed or is there twice")
    return tuple(whole)


def _unusable(path: Path, why: str) -> PluginLocked:
    return PluginLocked(
        f"the plugin lock '{path}' cannot be used, so no plugin is loaded: {why}",
        way_out=f"mend it, or write it anew: ringfence providers lock --file {path}",
    )


def _approved(entry: object) -> Approved | None:
    """One entry, if it has exactly the keys of one, of their types."""
    if not isinstance(entry, dict):
        return None
    table = cast("dict[str, object]", entry)
    name, version, sha256 = table.get("distribution"), table.get("version"), table.get("sha256")
    detectors, providers = table.get("detectors", []), table.get("providers", {})
    if not (isinstance(name, str) and isinstance(version, str) and isinstance(sha256, str)):
        return None
    if not set(table) <= {"distribution", "version", "sha256", "detectors", "providers"}:
        return None
    if not (_SHA256.fullmatch(sha256) and isinstance(detectors, list) and isinstance(providers, dict)):
        return None
    kinds, rings = cast("list[object]", detectors), cast("dict[str, object]", providers)
    if not all(isinstance(kind, str) for kind in kinds) or not all(ring in RINGS for ring in rings.values()):
        return None
    return Approved(
        distribution=normal_name(name),
        version=version,
        sha256=sha256,
        providers=cast("dict[str, Ring]", rings),
        detectors=tuple(cast("list[str]", kinds)),
    )


def write_lock(path: Path, plugins: Iterable[Approved]) -> None:
    """Writes a lock of `plugins` to `path`: wholly, or not at all.

    Raises:
        OSError: it cannot be written; what was there stays.
    """
    import tempfile  # noqa: PLC0415  (only writing a lock needs it)

    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(lock_text(plugins))
            file.flush()
            os.fsync(file.fileno())
        # Whoever may read the plugins may read what was approved of them.
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        with suppress(OSError):
            Path(temporary).unlink()
        raise
