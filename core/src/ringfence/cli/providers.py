"""`ringfence providers`: what is installed and how it stands, read from manifests; no plugin is imported."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

import click

from ringfence import registry
from ringfence.cli import options, terminal
from ringfence.errors import InterfaceMismatch, PluginError, PluginNotInstalled

if TYPE_CHECKING:
    from rich.table import Table

    from ringfence.policy import Policy

State: TypeAlias = Literal["installed", "not installed", "broken", "other interface", "duplicate", "other platform"]

_LEAST_COLUMNS = {
    "provider": 0,
    "version": 80,
    "state": 0,
    "recipients": 0,
    "what it is": 100,
    "can": 140,
    "hosts": 120,
}
"""The columns of the table, each with the width of the terminal below which it is left out."""
RING_STYLES = {"device": "green", "house": "cyan", "partner": "magenta"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One provider. `recipients` are those of the policy that use it, by name, with their rings."""

    name: str
    state: State
    version: str | None = None
    distribution: str | None = None
    summary: str | None = None
    capabilities: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    recipients: dict[str, str] = field(default_factory=dict[str, str])
    detail: str | None = None
    way_out: str | None = None


@click.command()
@options.policy_option
@options.json_option()
def providers(*, policy: str | None, as_json: bool) -> None:
    """Lists the provider plugins: those that are installed, and those the policy asks for."""
    loaded = options.policy_in_force(policy)
    rows = provider_rows(loaded)
    if as_json:
        terminal.write_json({"policy": loaded.name, "providers": [asdict(row) for row in rows]}, indent=2)
        return
    terminal.write_table(_table(rows))
    terminal.say_left_out(_LEAST_COLUMNS)
    for row in rows:
        if row.detail is not None:
            terminal.say(f"{row.name}: {row.detail} (try: {row.way_out})", fg="yellow")
    terminal.say(
        f"recipients of policy {loaded.name}; 'ringfence doctor' loads each plugin and tells if it works", dim=True
    )


def provider_rows(policy: Policy) -> list[Row]:
    """Every provider that is installed or that `policy` names, by name."""
    plugins = {plugin.name: plugin for plugin in registry.installed()}
    named = {recipient.provider for recipient in policy.recipients.values()}
    return [_row(name, plugins.get(name), policy) for name in sorted({*plugins, *registry.duplicates(), *named})]


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


def _table(rows: list[Row]) -> Table:
    from rich.table import Table  # noqa: PLC0415  (45 ms, and only a table needs it)
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=None, pad_edge=False, header_style="bold")
    shown = terminal.fitting(_LEAST_COLUMNS)
    for name in shown:
        table.add_column(name, no_wrap=name in ("provider", "version", "state"), overflow="fold")
    for row in rows:
        used = [Text(f"{name} ({ring})", style=RING_STYLES[ring]) for name, ring in row.recipients.items()]
        cells = {
            "provider": Text(row.name),
            "version": Text(row.version or "–"),
            "state": Text(row.state, style="green" if row.state == "installed" else "red"),
            "recipients": Text(", ").join(used) if used else Text("–"),
            "what it is": Text(row.summary or "–"),
            "can": Text(", ".join(row.capabilities) or "–"),
            "hosts": Text(", ".join(row.hosts) or "none"),
        }
        table.add_row(*(cells[name] for name in shown))
    return table


__all__ = ["provider_rows", "providers"]
