"""`ringfence-node unit`: a unit of the system's supervisor on stdout."""

from __future__ import annotations

from importlib.resources import files

import click

from ringfence.cli import terminal

UNITS = {"launchd": "com.ringfence.node.plist", "systemd": "ringfence-node.service"}


@click.command()
@click.argument("system", type=click.Choice(sorted(UNITS)))
def unit(*, system: str) -> None:
    """Prints the unit for SYSTEM; its first lines say where it belongs."""
    terminal.write(files("ringfence_house_node.units").joinpath(UNITS[system]).read_text("utf-8"))


__all__ = ["UNITS", "unit"]
