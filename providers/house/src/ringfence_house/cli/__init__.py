"""`ringfence house`: the operator's tools of the house ring."""

from __future__ import annotations

import click

from ringfence.cli.lazy import Lazy, LazyGroup

COMMANDS = {
    "keys": Lazy("ringfence_house.cli.keys:keys", "The signing keys and the repository: begin, replace a key."),
    "release": Lazy("ringfence_house.cli.release:release", "The releases that nodes may serve: add, list, revoke."),
    "inventory": Lazy("ringfence_house.cli.inventory:inventory", "The machines that may serve: add, list, revoke."),
    "sign": Lazy("ringfence_house.cli.publish:sign", "Sign the releases anew, every month, by two people."),
    "publish": Lazy("ringfence_house.cli.publish:publish", "Renew what ends every day, by a machine."),
    "evidence": Lazy("ringfence_house.cli.evidence:evidence", "What nodes say of themselves, and whether it holds."),
}


@click.group(cls=LazyGroup, lazy=COMMANDS)
def house() -> None:
    """The house ring: which releases and machines may serve, and what the nodes prove.

    The repository is a folder that any static server can serve. Two keys sign what may serve; others, which a
    machine may hold, only that it is still so.
    """


__all__ = ["house"]
