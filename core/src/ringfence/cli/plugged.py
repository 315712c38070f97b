"""Commands that provider plugins bring: an entry point in the group `ringfence.commands`, named like its provider."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import click

from ringfence.errors import PluginBroken, RingfenceError, describe

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "ringfence.commands"


@cache
def plugged() -> dict[str, EntryPoint]:
    """The commands by name. Imports nothing of a plugin; a name that several distributions declare is left out."""
    from importlib.metadata import entry_points  # noqa: PLC0415  (tens of ms; only help and an unknown name need it)

    found: dict[str, list[EntryPoint]] = {}
    for entry in entry_points(group=GROUP):
        found.setdefault(entry.name, []).append(entry)
    return {name: entries[0] for name, entries in sorted(found.items()) if len(entries) == 1}


def summary(name: str) -> str:
    """The line of help that stands for a command, from what is known without importing it."""
    owner = plugged()[name].dist
    return f"What {owner.name if owner else 'a plugin'} brings for whoever operates it."


def load(name: str) -> click.Command | None:
    """The command `name`, imported now; `None` if no plugin brings it.

    Raises:
        PluginLocked: the plugin lock does not approve its provider as it is; nothing of it was imported.
        PluginError: its provider is not installed, or it raised while it was imported.
    """
    entry = plugged().get(name)
    if entry is None:
        return None
    from ringfence import registry  # noqa: PLC0415
    from ringfence.lock import find_lock  # noqa: PLC0415

    lock = find_lock()
    registry.check_lock(name, lock)
    # INVARIANT: nothing of a plugin is imported before the lock has approved it: neither the provider, nor another
    # distribution that brings a command in its name.
    lock.check(entry)
    if not _from_one_distribution(name, entry):
        raise PluginBroken(
            f"the commands of '{name}' come from another distribution than its provider",
            way_out="remove the distribution that is not the provider's",
        )
    try:
        command = entry.load()
    except RingfenceError:
        raise
    except (Exception, SystemExit) as error:  # noqa: BLE001  (a plugin may raise anything while it is imported)
        raise PluginBroken(
            f"the commands of '{name}' raised {describe(error)} while they were imported",
            way_out="reinstall the plugin",
        ) from None
    if not isinstance(command, click.Command):
        raise PluginBroken(f"the commands of '{name}' are no click command", way_out="tell the author of the plugin")
    return command


def _from_one_distribution(name: str, entry: EntryPoint) -> bool:
    from ringfence import registry  # noqa: PLC0415
    from ringfence.lock.plugins import normal_name  # noqa: PLC0415

    owners = {normal_name(one.distribution) for one in registry.installed() if one.name == name}
    return entry.dist is not None and normal_name(entry.dist.name) in owners


__all__ = ["GROUP", "load", "plugged", "summary"]
