"""The lock in force: found where a person keeps it, asked before a plugin is imported."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ringfence.errors import PluginLocked
from ringfence.lock.plugins import DETECTORS, normal_name
from ringfence.recipient import RINGS

if TYPE_CHECKING:
    from importlib.metadata import Distribution, EntryPoint

    from ringfence.lock.document import Approved
    from ringfence.recipient import Recipient, Ring

VARIABLE = "RINGFENCE_LOCK"
LOCK_FILE = "plugins.lock.toml"


@dataclass(frozen=True, slots=True, eq=False)
class Lock:
    """What may be loaded. `path` is the file it came from; without one, and without `plugins`, everything may."""

    path: Path | None = None
    plugins: tuple[Approved, ...] | None = None

    @property
    def in_force(self) -> bool:
        """Whether there is a lock at all."""
        return self.plugins is not None

    def check(self, entry: EntryPoint) -> None:
        """Returns if the plugin that `entry` declares is approved as it is now. Imports nothing of it.

        From then on this process imports modules of its distribution from their sources alone, never from a cache.

        Raises:
            PluginLocked: it is not in the lock, or its version or files changed; says which.
        """
        if self.plugins is None:
            return
        what = f"{'detector' if entry.group == DETECTORS else 'provider'} '{entry.name}'"
        approved = None if entry.dist is None else self.approved(entry.dist.name)
        named = () if approved is None else approved.detectors if entry.group == DETECTORS else approved.providers
        if entry.dist is None or approved is None or entry.name not in named:
            raise self._locked(f"{what} is not in the plugin lock")
        if changes := changes_since(approved, entry.dist):
            raise self._locked(f"{what} changed since it was locked: {', '.join(changes)}")
        from ringfence.lock.sources import import_from_source  # noqa: PLC0415  (only where there is a lock)

        # INVARIANT: what runs is what was hashed. Bytecode is not hashed, so it does not run.
        import_from_source(entry.dist)

    def check_ring(self, recipient: Recipient) -> None:
        """Does nothing if the provider of `recipient` may stand on its ring, or is in no lock.

        Raises:
            PluginLocked: it was approved only for rings further out.
        """
        ring = self.ring_of(recipient.provider)
        if ring is not None and RINGS.index(recipient.ring) < RINGS.index(ring):
            raise self._locked(
                f"provider '{recipient.provider}' is approved for ring '{ring}', and the policy has recipient "
                f"'{recipient.name}' on ring '{recipient.ring}'",
                f" --ring {recipient.provider}={recipient.ring}",
            )

    def ring_of(self, provider: str) -> Ring | None:
        """The innermost ring that the lock approves for `provider`; `None` where it says nothing of it."""
        return next((one.providers[provider] for one in self.plugins or () if provider in one.providers), None)

    def approved(self, distribution: str) -> Approved | None:
        """What the lock says of a distribution."""
        name = normal_name(distribution)
        return next((one for one in self.plugins or () if one.distribution == name), None)

    def _locked(self, message: str, options: str = "") -> PluginLocked:
        file = "" if self.path is None or self.path == default_lock_path() else f" --file {self.path}"
        return PluginLocked(message, way_out=f"look at the plugin, then: ringfence providers lock{options}{file}")


NO_LOCK = Lock()
"""Everything that is installed may be loaded."""


def changes_since(approved: Approved, distribution: Distribution) -> tuple[str, ...]:
    """What is no longer as it was approved, in words; nothing if all is."""
    from ringfence.lock.fingerprint import fingerprint  # noqa: PLC0415  (only where there is a lock)

    changes: list[str] = []
    if distribution.version != approved.version:
        changes.append(f"version {approved.version} became {distribution.version}")
    if fingerprint(distribution) != approved.sha256:
        changes.append("its files differ")
    return tuple(changes)


def default_lock_path() -> Path:
    """Where the lock is kept unless an app names another: `RINGFENCE_LOCK`, else the user's configuration folder.

    Raises:
        PluginLocked: the variable holds no absolute path.
    """
    named = os.environ.get(VARIABLE)
    if named is not None:
        return _absolute(named, VARIABLE)
    if (folder := os.environ.get("RINGFENCE_CONFIG_DIR")) is not None:
        return _absolute(folder, "RINGFENCE_CONFIG_DIR") / LOCK_FILE
    from platformdirs import user_config_path  # noqa: PLC0415  (keeps `import ringfence` light)

    return user_config_path("ringfence") / LOCK_FILE


def _absolute(named: str, variable: str) -> Path:
    path = Path(named)
    if not path.is_absolute():
        # INVARIANT: the working directory never chooses the lock; a hostile checkout would.
        raise PluginLocked(
            f"{variable} is not an absolute path, so no plugin is loaded", way_out=f"export {variable}=/…"
        )
    return path


def find_lock(given: Lock | str | os.PathLike[str] | None = None) -> Lock:
    """The lock in force: `given`, else the file that `RINGFENCE_LOCK` names, else that of the user, if there is one.

    Raises:
        PluginLocked: the file was named and is not there, or cannot be used. It never counts as no lock.
    """
    if isinstance(given, Lock):
        return given
    path = default_lock_path() if given is None else Path(given)
    # INVARIANT: only where nobody named a lock is its absence the same as none.
    optional = given is None and VARIABLE not in os.environ
    if optional and not _is_there(path):
        return NO_LOCK
    from ringfence.lock.document import read_lock  # noqa: PLC0415  (only where there is a lock)

    return Lock(path, read_lock(path))


def _is_there(path: Path) -> bool:
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True  # there is no telling, and reading it will say why
    return True
