"""`ringfence house keys`: the signing keys."""

from __future__ import annotations

from pathlib import Path

import click

from ringfence.cli import terminal
from ringfence.cli.options import json_option
from ringfence_house.cli import shared


@click.group()
def keys() -> None:
    """The signing keys, and the repository that begins with them."""


@keys.command()
@click.argument("into", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))
@shared.repository_option
@json_option()
def init(*, into: Path, folder: Path, as_json: bool) -> None:
    """Makes the keys below DIR and, signed with them, an empty repository.

    The keys lie in four folders, each to be moved to whoever holds it: first and second (a person each), publishing
    (the machine that renews the list every day) and spare (a safe). They are not encrypted. With the keys lies
    root.json: what every later command checks the repository by, before it signs anything.
    """
    from ringfence_house.releases.keys import HOLDERS  # noqa: PLC0415
    from ringfence_house.releases.repository import Repository  # noqa: PLC0415

    repository = Repository.create(folder, keys=into)
    files = {name: str(into / holder / f"{name}.pem") for name, holder in HOLDERS.items()}
    trust = folder / "metadata" / "1.root.json"
    if as_json:
        document = {"keys": files, "repository": str(folder), "trust": str(trust)}
        terminal.write_json({**document, "expires": shared.expiries(repository)}, indent=2)
        return
    for holder in dict.fromkeys(HOLDERS.values()):
        held = ", ".join(name for name, where in HOLDERS.items() if where == holder)
        terminal.write(f"{into / holder}: {held}\n")
    terminal.write(f"{folder}: the repository, to be served below /house/releases/\n")
    terminal.write(f"{trust}: the trust file, for the policies of clients\n")
    terminal.say("move each folder of keys to whoever holds it; nobody should hold both first and second", fg="yellow")


@keys.command()
@click.argument("name", metavar="KEY")
@click.option(
    "--into",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    metavar="DIR",
    help="The folder for the new key, which has the same name.",
)
@shared.keys_option
@shared.repository_option
@json_option()
def rotate(*, name: str, into: Path, keys: tuple[Path, ...], folder: Path, as_json: bool) -> None:
    """Puts a new key in the place of KEY, such as targets-1; needs two of the three root keys.

    Clients follow by themselves. The old key counts for nothing from then on; where it is at hand, give it as
    well: clients that read meanwhile are then served by both. The root.json of every folder at hand is renewed.
    """
    repository = shared.opened(folder, keys)
    changes = shared.announce(repository, as_json=as_json)
    repository.rotate(name, into)
    document = {"key": name, "file": str(into / f"{name}.pem"), **changes}
    shared.tell(repository, f"{name} is now {into / name}.pem", document, as_json=as_json)


__all__ = ["keys"]
