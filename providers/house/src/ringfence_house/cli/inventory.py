"""`ringfence house inventory`: the machines that may serve."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from ringfence.cli import terminal
from ringfence.cli.options import json_option
from ringfence_house.cli import shared


@click.group()
def inventory() -> None:
    """The machines of the house, by serial number."""


@inventory.command()
@click.argument("serial")
@click.option("--ueid", required=True, metavar="ID", help="What the machine's evidence must say of itself.")
@shared.keys_option
@shared.repository_option
@json_option()
def add(*, serial: str, ueid: str, keys: tuple[Path, ...], folder: Path, as_json: bool) -> None:
    """Lets the machine SERIAL serve, and publishes that."""
    from ringfence_house.releases.reference import Device  # noqa: PLC0415

    repository = shared.opened(folder, keys)
    device = Device(serial=serial, ueid=ueid)
    repository.add_device(device)
    changes = shared.announce(repository, as_json=as_json)
    repository.publish()
    shared.tell(repository, f"{serial} may serve", {"machine": asdict(device), **changes}, as_json=as_json)


@inventory.command("list")
@shared.keys_option
@shared.repository_option
@json_option()
def list_devices(*, keys: tuple[Path, ...], folder: Path, as_json: bool) -> None:
    """Lists the machines, those that were revoked too, as verified from the root.json that lies with the keys.

    Where there are no keys it lists them too, and says that nothing is verified.
    """
    found, verified = shared.listed(folder, keys)
    devices = found.devices
    if as_json:
        machines = [asdict(device) for device in devices.values()]
        terminal.write_json({"verified": verified, "machines": machines}, indent=2)
        return
    if not devices:
        terminal.say("the inventory is empty")
        return
    rows = [(device, "revoked" if device.revoked else "serves") for device in devices.values()]
    shared.show(
        ("serial", "state", "ueid"),
        [
            (shared.cell(device.serial), shared.cell(state, style=shared.STATE_STYLES[state]), shared.cell(device.ueid))
            for device, state in rows
        ],
    )


@inventory.command()
@click.argument("serial")
@shared.keys_option
@shared.repository_option
@json_option()
def revoke(*, serial: str, keys: tuple[Path, ...], folder: Path, as_json: bool) -> None:
    """Ends the service of the machine SERIAL, and publishes that.

    A client that has read the list before goes by it until it reads again, at most until the old timestamp ends.
    """
    repository = shared.opened(folder, keys)
    repository.revoke_device(serial)
    changes = shared.announce(repository, as_json=as_json)
    repository.publish()
    document = {"machine": asdict(repository.devices[serial]), **changes}
    shared.tell(repository, f"{serial} serves no more", document, as_json=as_json)


__all__ = ["inventory"]
