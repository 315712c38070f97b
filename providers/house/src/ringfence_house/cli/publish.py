"""`ringfence house sign` and `publish`: what is renewed by people every month, and by a machine every day."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ringfence.cli import terminal
from ringfence.cli.failure import REFUSED
from ringfence.cli.options import json_option
from ringfence_house.cli import shared

if TYPE_CHECKING:
    from ringfence_house.releases.reference import Release
    from ringfence_house.releases.repository import Repository

_WARN_S = 7 * 86_400
_BY_PEOPLE = ("root", "targets")
_ADD = "'ringfence house release add'"


@click.command(short_help="Sign the releases anew, every month, by two people.")
@shared.keys_option
@shared.repository_option
@json_option()
def sign(*, keys: tuple[Path, ...], folder: Path, as_json: bool) -> None:
    """Signs the list of releases and machines for another 30 days.

    Says first which ids were added, revoked or removed since the keys at hand were used last. Signs nothing that was
    not signed before, though it may have ended. Needs two keys of the targets, and the machine's. In the second half
    of the root's year it renews the root too, for which it needs two of its keys. Warns of releases, and fails, as
    `publish` does.
    """
    repository = shared.opened(folder, keys)
    changes = shared.announce(repository, as_json=as_json)
    repository.sign()
    _tell(repository, f"{folder} is signed anew", {"repository": str(folder), **changes}, as_json=as_json)


@click.command(short_help="Renew what ends every day, by a machine.")
@shared.keys_option
@shared.repository_option
@json_option()
def publish(*, keys: tuple[Path, ...], folder: Path, as_json: bool) -> None:
    """Says that the list still holds: renews the timestamp for a day, the snapshot when it is due.

    For a timer, several times a day; needs only the keys in publishing. Warns in the last week of what two people
    must sign and of each release, and fails once the former has ended or none of the releases may serve.
    """
    repository = shared.opened(folder, keys)
    changes = shared.announce(repository, as_json=as_json)
    repository.publish()
    _tell(repository, f"{folder} is published", {"repository": str(folder), **changes}, as_json=as_json)


def _tell(repository: Repository, said: str, document: dict[str, object], *, as_json: bool) -> None:
    """Says what was done, then what is due; exits with 1 where clients refuse the house all the same."""
    now = time.time()
    ends = {role: at for role, at in shared.expiries(repository).items() if role in _BY_PEOPLE and at - now < _WARN_S}
    releases = [*repository.releases.values()]
    ending = [one for one in releases if shared.state(one) == "serves" and one.not_after - now < _WARN_S]
    due = [*ends, *(f"release {one.id}" for one in ending)]
    shared.tell(repository, said, {**document, "due": due}, as_json=as_json)
    for role, at in ends.items():
        shared.say_end(role, at)
    for one in ending:
        name = terminal.harmless(one.id)
        ends_on = shared.day(one.not_after)
        terminal.say(f"due: release {name} ends {ends_on}: its nodes need another by then, from {_ADD}", fg="red")
    nothing_serves = _nothing_serves(releases)
    if nothing_serves:
        terminal.say(f"no release may serve now, clients refuse the house: add one with {_ADD}", fg="red")
    if nothing_serves or any(at <= now for at in ends.values()):
        raise click.exceptions.Exit(REFUSED)


def _nothing_serves(releases: Sequence[Release]) -> bool:
    """Whether there are releases and none may serve; a house without any has not begun."""
    return bool(releases) and all(shared.state(one) != "serves" for one in releases)


__all__ = ["publish", "sign"]
