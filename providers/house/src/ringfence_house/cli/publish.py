"""`ringfence house sign` and `publish`: what is renewed by people every month, and by a machine every day."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

import click

from ringfence.cli import terminal
from ringfence.cli.options import json_option
from ringfence_house.cli import shared

_WARN_S = 7 * 86_400
_BY_PEOPLE = ("root", "targets")


@click.command(short_help="Sign the releases anew, every month, by two people.")
@shared.keys_option
@shared.repository_option
@json_option()
def sign(*, keys: tuple[Path, ...], folder: Path, as_json: bool) -> None:
    """Signs the list of releases and machines for another 30 days.

    Says first which ids were added, revoked or removed since the keys at hand were used last. Signs nothing that was
    not signed before, though it may have ended. Needs two keys of the targets, and the machine's. In the second half
    of the root's year it renews the root too, for which it needs two of its keys.
    """
    repository = shared.opened(folder, keys)
    changes = shared.announce(repository, as_json=as_json)
    repository.sign()
    shared.tell(repository, f"{folder} is signed anew", {"repository": str(folder), **changes}, as_json=as_json)


@click.command(short_help="Renew what ends every day, by a machine.")
@shared.keys_option
@shared.repository_option
@json_option()
def publish(*, keys: tuple[Path, ...], folder: Path, as_json: bool) -> None:
    """Says that the list still holds: renews the timestamp for a day, the snapshot when it is due.

    For a timer, several times a day; needs only the keys in publishing. Warns in the last week of what two people
    must sign, and fails once that has ended.
    """
    repository = shared.opened(folder, keys)
    changes = shared.announce(repository, as_json=as_json)
    repository.publish()
    ends = shared.expiries(repository)
    due = [role for role in _BY_PEOPLE if ends[role] - time.time() < _WARN_S]
    shared.tell(
        repository, f"{folder} is published", {"repository": str(folder), "due": due, **changes}, as_json=as_json
    )
    _warn(due, ends)
    if any(ends[role] < time.time() for role in due):
        raise click.exceptions.Exit(1)


def _warn(due: list[str], ends: Mapping[str, int]) -> None:
    for role in due:
        terminal.say(f"the {role} ends {shared.day(ends[role])}: two people must run 'ringfence house sign'", fg="red")


__all__ = ["publish", "sign"]
