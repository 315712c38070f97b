"""Discovery of provider plugins: names and manifests without importing them, classes on first use.

A broken plugin harms only itself: everything here that can fail raises a `PluginError` naming the plugin and the way
out, when that plugin is asked for and not before.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, get_args

from ringfence.errors import InterfaceMismatch, PluginBroken, PluginNotInstalled, RingfenceError, describe
from ringfence.lock import Lock, find_lock
from ringfence.provider import INTERFACE_VERSION, MANIFEST_FILE, Capability, Manifest, Provider

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "ringfence.providers"
OURS = frozenset({"mlx", "openai", "gemini", "house"})
"""The providers that are made with this package."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """One provider plugin that some installed distribution declares."""

    name: str
    distribution: str
    version: str
    target: str
    """The entry point's value, `package.module:Class`."""

    @property
    def package(self) -> str:
        """The top-level package that holds the manifest."""
        return self.target.partition(":")[0].partition(".")[0]


@cache
def _entry_points() -> dict[str, tuple[EntryPoint, ...]]:
    from importlib.metadata import entry_points  # noqa: PLC0415  (costs tens of ms; only routing to a plugin needs it)

    found: dict[str, tuple[EntryPoint, ...]] = {}
    for entry in entry_points(group=GROUP):
        found[entry.name] = (*found.get(entry.name, ()), entry)
    return found


def is_known(name: str) -> bool:
    """Whether a provider of that name is installed, or made with this package."""
    return name in OURS or name in _entry_points()


def refresh() -> None:
    """Forgets what was discovered, so that a plugin installed since then is found."""
    _entry_points.cache_clear()


def installed() -> tuple[Installed, ...]:
    """Every declared provider, by name. Imports nothing of them."""
    return tuple(_describe(_only(name)) for name in sorted(_entry_points()) if len(_entry_points()[name]) == 1)


def duplicates() -> tuple[str, ...]:
    """Names that more than one distribution declares; such a name is refused, since which one ran would be chance."""
    return tuple(sorted(name for name, entries in _entry_points().items() if len(entries) > 1))


def _describe(entry: EntryPoint) -> Installed:
    distribution = entry.dist
    return Installed(
        name=entry.name,
        distribution=distribution.name if distribution else "?",
        version=distribution.version if distribution else "?",
        target=entry.value,
    )


def _only(name: str) -> EntryPoint:
    entries = _entry_points().get(name, ())
    if not entries:
        # A name that nobody knows may be a misspelt one, and its package somebody else's.
        here = ", ".join(sorted(_entry_points())) or "none"
        way_out = (
            f"pip install ringfence-{name}" if name in OURS else f"check provider: in the policy; installed: {here}"
        )
        raise PluginNotInstalled(f"provider '{name}' is not installed", way_out=way_out)
    if len(entries) > 1:
        owners = ", ".join(sorted(entry.dist.name if entry.dist else "?" for entry in entries))
        raise PluginBroken(
            f"provider '{name}' is declared by several distributions: {owners}", way_out="remove all but one"
        )
    return next(iter(entries))


def manifest(name: str) -> Manifest:
    """The manifest of the provider `name`, read from its file without importing the plugin.

    Raises:
        PluginNotInstalled: no distribution declares it.
        PluginBroken: there is no manifest, or it cannot be read.
        InterfaceMismatch: it was written for another version of the provider interface.
    """
    plugin = _describe(_only(name))
    found = load_manifest(plugin.package)
    if found.name != name:
        raise PluginBroken(
            f"provider '{name}': its manifest says {_shown(found.name)}",
            way_out=f"tell the author of {plugin.distribution}",
        )
    return found


def load_manifest(package: str) -> Manifest:
    """The manifest file of an installed top-level package; a plugin uses it for its own `manifest` class variable.

    Raises:
        PluginBroken: there is no manifest, or it cannot be read.
        InterfaceMismatch: it was written for another version of the provider interface.
    """
    # find_spec of a top-level name runs none of the package's code.
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        spec = None
    folders = spec.submodule_search_locations if spec else None
    if not folders:
        raise PluginBroken(f"package '{package}' cannot be found", way_out=f"reinstall the distribution of '{package}'")
    path = Path(next(iter(folders)), MANIFEST_FILE)
    import tomllib  # noqa: PLC0415  (a manifest is read once per plugin that is used)

    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        raise PluginBroken(
            f"package '{package}' has no readable {MANIFEST_FILE}", way_out=f"reinstall the distribution of '{package}'"
        ) from None
    return _manifest(package, table)


_REQUIRED: dict[str, type] = {"name": str, "interface": int, "summary": str, "capabilities": list}
_OPTIONAL: dict[str, type] = {
    "hosts": list,
    "platforms": list,
    "default_model": str,
    "secret": str,
    "environment": list,
}


def _manifest(package: str, table: dict[str, Any]) -> Manifest:
    version = table.get("interface")
    if isinstance(version, int) and version != INTERFACE_VERSION:
        named = str(version) if 0 <= version <= _LAST_INTERFACE else "of no known number"
        raise InterfaceMismatch(
            f"package '{package}' implements provider interface {named}; this ringfence speaks {INTERFACE_VERSION}",
            way_out=f"upgrade {'ringfence' if version > INTERFACE_VERSION else package}",
        )
    faults = [f"'{key}' is missing" for key in _REQUIRED if key not in table]
    for key, value in table.items():
        expected = _REQUIRED.get(key) or _OPTIONAL.get(key)
        if expected is None:
            faults.append(f"unknown key {_shown(key)}")
        elif not isinstance(value, expected) or isinstance(value, bool):
            faults.append(f"'{key}' is not of type {expected.__name__}")
        elif isinstance(value, list) and not all(isinstance(item, str) for item in cast("list[object]", value)):
            faults.append(f"'{key}' holds something other than strings")
    if not faults:
        faults = list(_value_faults(table))
    if faults:
        raise PluginBroken(f"package '{package}': {MANIFEST_FILE}: {'; '.join(faults)}", way_out="mend the manifest")
    return Manifest(
        name=table["name"],
        interface=table["interface"],
        summary=table["summary"],
        capabilities=frozenset(table["capabilities"]),
        hosts=tuple(table.get("hosts", ())),
        platforms=tuple(table.get("platforms", ())),
        default_model=table.get("default_model"),
        secret=table.get("secret"),
        environment=tuple(table.get("environment", ())),
    )


# A name of the host alone: no scheme, port, path, wildcard or address.
_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_HOST = re.compile(rf"(?=.{{1,253}}$)({_LABEL}\.)*[a-z]([a-z0-9-]{{0,61}}[a-z0-9])?")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LAST_INTERFACE = 9_999
_MAX_SHOWN_CHARACTERS = 80


def _shown(text: str) -> str:
    """`text` of a manifest in quotes: one line of it, and nothing that a terminal would obey."""
    return ascii(text if len(text) <= _MAX_SHOWN_CHARACTERS else f"{text[:_MAX_SHOWN_CHARACTERS]}…")


def _value_faults(table: dict[str, Any]) -> Iterator[str]:
    """What is wrong with values of the right types."""
    known = get_args(Capability)
    for name in table["capabilities"]:
        if name not in known:
            yield f"unknown capability {_shown(name)}"
    for host in table.get("hosts", ()):
        if not _HOST.fullmatch(host):
            yield f"'hosts' holds {_shown(host)}, which is no bare host name in lower case, such as api.example.com"
    kind, _, variable = table.get("secret", "env:ANY").partition(":")
    if kind != "env" or not _VARIABLE.fullmatch(variable):
        # What stands there might be the secret itself, so it is not shown.
        yield "'secret' is not env:NAME"
    for name in table.get("environment", ()):
        if not _VARIABLE.fullmatch(name):
            yield f"'environment' holds {_shown(name)}, which is no name of a variable"


def check_lock(name: str, lock: Lock) -> None:
    """Does nothing if `lock` approves the provider `name` as it is now. Imports nothing of it.

    Raises:
        PluginLocked: it does not.
        PluginError: it is not installed, or several distributions declare it.
    """
    lock.check(_only(name))


def load(name: str, *, lock: Lock | None = None) -> type[Provider]:
    """The provider class `name`; imports the plugin, if `lock` approves it. `None` is the lock in force, if any.

    Raises:
        PluginLocked: the lock does not approve it as it is; nothing of it was imported.
        PluginError: it is not installed, is broken, or speaks another interface version.
    """
    entry = _only(name)
    # INVARIANT: nothing of a plugin is imported before the lock has approved it.
    (find_lock() if lock is None else lock).check(entry)
    manifest(name)
    try:
        found = entry.load()
    except RingfenceError:
        raise
    except (Exception, SystemExit) as error:  # noqa: BLE001  (a plugin may raise anything while it is imported, and harms only itself)
        raise PluginBroken(
            f"provider '{name}' raised {describe(error)} while it was imported",
            way_out=f"reinstall {_describe(entry).distribution}, or look with: python -c 'import {entry.module}'",
        ) from None
    if not (isinstance(found, type) and issubclass(found, Provider)):
        raise PluginBroken(f"provider '{name}': {entry.value} is not a Provider class", way_out="tell its author")
    return found
