"""`ringfence providers`: what is installed and how it stands, read from manifests; no plugin is imported."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Literal, TypeAlias

import click

from ringfence import registry
from ringfence.cli import options, terminal
from ringfence.cli.lock import lock
from ringfence.errors import InterfaceMismatch, PluginError, PluginLocked, PluginNotInstalled
from ringfence.lock import NO_LOCK, find_lock

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from ringfence.lock import Lock
    from ringfence.policy import Policy

State: TypeAlias = Literal["installed", "not installed", "broken", "other interface", "duplicate", "other platform"]
LockState: TypeAlias = Literal["locked", "changed", "not in the lock", "wrong ring", "no lock"]

_LOCK_STYLES = {"locked": "green", "no lock": ""}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One provider. `recipients` are those of the policy that use it, by name, with their rings.

    `lock` is what the plugin lock makes of it, `approved_ring` the innermost ring that it approves; both are `None`
    for a provider that is not installed.
    """

    name: str
    state: State
    version: str | None = None
    distribution: str | None = None
    summary: str | None = None
    capabilities: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    recipients: dict[str, str] = field(default_factory=dict[str, str])
    lock: LockState | None = None
    approved_ring: str | None = None
    detail: str | None = None
    way_out: str | None = None


@click.group(invoke_without_command=True)
@options.policy_option
@options.json_option()
@click.pass_context
def providers(ctx: click.Context, *, policy: str | None, as_json: bool) -> None:
    """Lists the provider plugins: those that are installed, and those the policy asks for."""
    if ctx.invoked_subcommand is None:
        _list(policy, as_json=as_json)


providers.add_command(lock)


def _list(policy: str | None, *, as_json: bool) -> None:
    loaded = options.policy_in_force(policy)
    found = provider_rows(loaded, find_lock())
    if as_json:
        terminal.write_json({"policy": loaded.name, "providers": [asdict(row) for row in found]}, indent=2)
        return
    terminal.write_table(_table(found))
    for row in found:
        if row.detail is not None:
            terminal.say(f"{row.name}: {row.detail} (try: {row.way_out})", fg="yellow")
    terminal.say(
        f"recipients of policy {loaded.name}; 'ringfence doctor' loads each plugin and tells if it works", dim=True
    )


def provider_rows(policy: Policy, in_force: Lock = NO_LOCK) -> list[Row]:
    """Every provider that is installed or that `policy` names, by name, and how it stands in the lock `in_force`."""
    plugins = {plugin.name: plugin for plugin in registry.installed()}
    named = {recipient.provider for recipient in policy.recipients.values()}
    names = sorted({*plugins, *registry.duplicates(), *named})
    return [_with_lock(_row(name, plugins.get(name), policy), in_force, policy) for name in names]


def _with_lock(row: Row, in_force: Lock, policy: Policy) -> Row:
    """`row` and what the lock makes of it; a fault that it had already stays the one that is told."""
    if row.distribution is None:
        return row
    state, refused = _lock_state(row.name, in_force, policy)
    row = replace(row, lock=state, approved_ring=in_force.ring_of(row.name))
    if refused is None or row.detail is not None:
        return row
    return replace(row, detail=refused.message, way_out=refused.way_out)


def _lock_state(name: str, in_force: Lock, policy: Policy) -> tuple[LockState, PluginError | None]:
    if not in_force.in_force:
        return "no lock", None
    try:
        registry.check_lock(name, in_force)
    except PluginLocked as error:
        return ("not in the lock" if in_force.ring_of(name) is None else "changed"), error
    except PluginError as error:  # its files cannot be read
        return "changed", error
    try:
        for recipient in policy.recipients.values():
            if recipient.provider == name:
                in_force.check_ring(recipient)
    except PluginLocked as error:
        return "wrong ring", error
    return "locked", None


def _row(name: str, plugin: registry.Installed | None, policy: Policy) -> Row:
    used = {recipient.name: recipient.ring for recipient in policy.recipients.values() if recipient.provider == name}
    version = plugin.version if plugin else None
    distribution = plugin.distribution if plugin else None
    try:
        manifest = registry.manifest(name)
    except PluginError as error:
        return Row(
            name=name,
            state=_state(name, error),
            version=version,
            distribution=distribution,
            recipients=dict(used),
            detail=error.message,
            way_out=error.way_out,
        )
    wrong = bool(manifest.platforms) and sys.platform not in manifest.platforms
    return Row(
        name=name,
        state="other platform" if wrong else "installed",
        version=version,
        distribution=distribution,
        summary=manifest.summary,
        capabilities=tuple(sorted(manifest.capabilities)),
        hosts=manifest.hosts,
        recipients=dict(used),
        detail=f"it does not run on {sys.platform}" if wrong else None,
        way_out=f"a machine of platform {' or '.join(manifest.platforms)}" if wrong else None,
    )


def _state(name: str, error: PluginError) -> State:
    if isinstance(error, PluginNotInstalled):
        return "not installed"
    if isinstance(error, InterfaceMismatch):
        return "other interface"
    return "duplicate" if name in registry.duplicates() else "broken"


def _table(found: list[Row]) -> Table:
    from ringfence.cli.rows import rows  # noqa: PLC0415  (rich takes 45 ms, and only a table needs it)

    names = ("provider", "version", "state", "lock", "recipients", "what it is", "can", "hosts")
    return rows(names, [_cells(row) for row in found])


def _cells(row: Row) -> list[Text]:
    from rich.text import Text  # noqa: PLC0415

    used = [Text(f"{name} ({ring})", style=terminal.RING_STYLES[ring]) for name, ring in row.recipients.items()]
    return [
        Text(row.name),
        Text(row.version or "–"),
        Text(row.state, style="green" if row.state == "installed" else "red"),
        Text(row.lock or "–", style=_LOCK_STYLES.get(row.lock or "no lock", "red")),
        Text(", ").join(used) if used else Text("–"),
        Text(row.summary or "–"),
        Text(", ".join(row.capabilities) or "–"),
        Text(", ".join(row.hosts) or "none"),
    ]


__all__ = ["provider_rows", "providers"]
