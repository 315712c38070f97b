"""`ringfence providers lock`: approve the plugins as they are now, or see what changed since."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias, cast

import click

from ringfence.cli import options, terminal
from ringfence.cli.failure import REFUSED, Misuse
from ringfence.errors import PluginLocked
from ringfence.recipient import RINGS

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from ringfence.lock.document import Approved
    from ringfence.lock.plugins import Plugin
    from ringfence.recipient import Ring

Change: TypeAlias = Literal["same", "new", "changed", "gone"]
_STYLES: dict[Change, str] = {"same": "green", "new": "yellow", "changed": "red", "gone": "yellow"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One distribution of plugins beside what the lock says of it; `providers` maps names to approved rings."""

    distribution: str
    version: str | None
    change: Change
    detail: str | None = None
    sha256: str | None = None
    providers: dict[str, str] = field(default_factory=dict[str, str])
    detectors: tuple[str, ...] = ()


@click.command(short_help="Approve the plugins as they are now, or see what changed.")
@click.option(
    "--file", type=click.Path(), metavar="PATH", help="The lock. [default: RINGFENCE_LOCK, else the user's own]"
)
@click.option(
    "--ring",
    "rings",
    multiple=True,
    metavar="NAME=RING",
    help="The innermost ring that a policy may place provider NAME on; may be repeated.",
)
@click.option("--check", is_flag=True, help="Write nothing; exit 1 if anything differs from the lock.")
@options.json_option()
def lock(*, file: str | None, rings: tuple[str, ...], check: bool, as_json: bool) -> None:
    """Approves every installed provider and detector as it is now: look at them first.

    From then on one that is new or has changed is not loaded. The lock covers a plugin's own files, not those of the
    packages that it depends on. A provider without hosts is approved for every ring, any other for the ring partner
    alone, unless --ring or the lock that is replaced says otherwise.
    """
    from ringfence.lock import default_lock_path  # noqa: PLC0415  (`--help` waits for none of it)
    from ringfence.lock.plugins import installed_plugins  # noqa: PLC0415

    path = Path(file).absolute() if file is not None else default_lock_path()
    plugins = installed_plugins()
    earlier = _earlier(path, must=check)
    wanted = [_approve(plugin, earlier.get(plugin.name), _rings(rings, plugins)) for plugin in plugins]
    rows = _rows(wanted, earlier)
    if not check:
        _write(path, wanted)
    same = all(row.change == "same" for row in rows)
    if as_json:
        document = {"file": str(path), "written": not check, "same": same, "plugins": [asdict(row) for row in rows]}
        terminal.write_json(document, indent=2)
    else:
        _show(path, rows, check=check, same=same)
    if check and not same:
        sys.exit(REFUSED)


def _rings(given: Sequence[str], plugins: Sequence[Plugin]) -> dict[str, Ring]:
    """`NAME=RING` pairs, checked against what is installed."""
    known = sorted({name for plugin in plugins for name in plugin.providers})
    rings: dict[str, Ring] = {}
    for pair in given:
        name, _, ring = pair.partition("=")
        if ring not in RINGS:
            raise Misuse(f"--ring takes NAME=RING, not '{pair}'", way_out="--ring openai=partner, or house, or device")
        if name not in known:
            raise Misuse(f"no provider '{name}' is installed", way_out=f"one of {', '.join(known) or 'none'}")
        rings[name] = ring
    return rings


def _earlier(path: Path, *, must: bool) -> dict[str, Approved]:
    from ringfence.lock.document import read_lock  # noqa: PLC0415

    if not path.exists():
        if must:
            raise PluginLocked(f"there is no plugin lock '{path}'", way_out="ringfence providers lock")
        return {}
    try:
        return {approved.distribution: approved for approved in read_lock(path)}
    except PluginLocked:
        if must:
            raise
        terminal.say("the lock that was there cannot be read, so no ring of it is kept", fg="yellow")
        return {}


def _approve(plugin: Plugin, earlier: Approved | None, rings: Mapping[str, Ring]) -> Approved:
    from ringfence.lock.approval import approve  # noqa: PLC0415

    return approve(plugin, hosts_of=_hosts_of, rings=rings, earlier=earlier)


def _hosts_of(provider: str) -> tuple[str, ...] | None:
    from ringfence import registry  # noqa: PLC0415
    from ringfence.errors import PluginError  # noqa: PLC0415

    try:
        return registry.manifest(provider).hosts
    except PluginError:
        return None


def _rows(wanted: Sequence[Approved], earlier: Mapping[str, Approved]) -> list[Row]:
    rows = [_row(approved, earlier.get(approved.distribution)) for approved in wanted]
    here = {approved.distribution for approved in wanted}
    rows += [
        Row(distribution=name, version=None, change="gone", detail="it is in the lock and not installed")
        for name in earlier
        if name not in here
    ]
    return sorted(rows, key=lambda row: row.distribution)


def _row(now: Approved, before: Approved | None) -> Row:
    changes = () if before is None else _changes(now, before)
    change: Change = "new" if before is None else "changed" if changes else "same"
    return Row(
        distribution=now.distribution,
        version=now.version,
        change=change,
        detail="; ".join(changes) or ("it was not in the lock" if before is None else None),
        sha256=now.sha256,
        providers=cast("dict[str, str]", dict(now.providers)),
        detectors=now.detectors,
    )


def _changes(now: Approved, before: Approved) -> tuple[str, ...]:
    """What differs, in words."""
    found: list[str] = []
    if now.version != before.version:
        found.append(f"version {before.version} became {now.version}")
    if now.sha256 != before.sha256:
        found.append("its files differ")
    for name in sorted({*now.providers, *before.providers}):
        old, new = before.providers.get(name, "none"), now.providers.get(name, "none")
        if old != new:
            found.append(f"the ring of {name} was {old} and is {new}")
    if now.detectors != before.detectors:
        found.append("its detectors are others")
    return tuple(found)


def _write(path: Path, plugins: Sequence[Approved]) -> None:
    from ringfence.lock.document import write_lock  # noqa: PLC0415

    try:
        write_lock(path, plugins)
    except OSError as error:
        why = (error.strerror or "unknown reason").lower()
        raise Misuse(f"'{path}' cannot be written: {why}", way_out="another --file") from None


def _show(path: Path, rows: Sequence[Row], *, check: bool, same: bool) -> None:
    terminal.write_table(_table(rows))
    for row in rows:
        if row.detail is not None:
            terminal.say(f"{row.distribution}: {terminal.harmless(row.detail)}", fg="yellow")
    if check:
        said = "nothing differs from" if same else "not as approved in"
        terminal.say(f"{said} {path}", fg="green" if same else "red")
        return
    terminal.say(f"approved in {path}")
    if _in_force(path):
        terminal.say("a plugin that is new or changes is not loaded from now on")
    else:
        terminal.say(f"it is not in force until you say so: export RINGFENCE_LOCK={path.resolve()}", fg="yellow")
    terminal.say("it covers the plugins' own files, not the packages that they depend on", dim=True)


def _in_force(path: Path) -> bool:
    from ringfence.errors import PluginError  # noqa: PLC0415
    from ringfence.lock import find_lock  # noqa: PLC0415

    try:
        found = find_lock().path
    except PluginError:
        return False
    return found is not None and found.resolve() == path.resolve()


def _table(found: Sequence[Row]) -> Table:
    from ringfence.cli.rows import rows  # noqa: PLC0415  (rich takes 45 ms, and only a table needs it)

    names = ("distribution", "version", "state", "providers, from ring", "detectors")
    return rows(names, [_cells(row) for row in found])


def _cells(row: Row) -> list[Text]:
    from rich.text import Text  # noqa: PLC0415

    used = [Text(f"{name} ({ring})", style=terminal.RING_STYLES[ring]) for name, ring in row.providers.items()]
    return [
        Text(row.distribution),
        Text(row.version or "–"),
        Text(row.change, style=_STYLES[row.change]),
        Text(", ").join(used) if used else Text("–"),
        Text(", ".join(row.detectors) or "–"),
    ]


__all__ = ["lock"]
