"""`ringfence house evidence`: what the nodes of a house say of themselves, and whether it holds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ringfence.cli import terminal
from ringfence.cli.failure import REFUSED
from ringfence.cli.options import json_option

if TYPE_CHECKING:
    from ringfence_house.attestation.node import Tier

ca_option = click.option(
    "--ca-file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="Authorities for TLS in PEM, instead of the system's. What nodes prove does not rest on TLS.",
)


@click.group()
def evidence() -> None:
    """What the nodes of a house say of themselves, and whether it holds."""


@evidence.command()
@click.argument("url")
@ca_option
@json_option()
def show(*, url: str, ca_file: Path | None, as_json: bool) -> None:
    """Shows what the nodes at URL claim. Nothing of it is verified."""
    from ringfence_house.cli import examining  # noqa: PLC0415  (0.2 s; `--help` waits for none of it)

    claims = examining.claims_at(url, ca_file=ca_file)
    if as_json:
        terminal.write_json({"url": url, "nodes": [examining.claim_document(each) for each in claims]}, indent=2)
        return
    examining.write_claims(claims)
    terminal.say(f"nothing of this is verified (try: ringfence house evidence verify {url} --trust FILE)", dim=True)


@evidence.command()
@click.argument("url")
@click.option(
    "--trust",
    "trust_file",
    required=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="The trust file that policies name as trust:.",
)
@click.option(
    "--min-tier",
    type=click.Choice(["software-dev", "apple-mda"]),
    default="apple-mda",
    show_default=True,
    help="The least that a node must prove.",
)
@click.option("--model", metavar="NAME", help="Only the nodes that serve this model; there must be one.")
@click.option("--nonce", "fresh", is_flag=True, help="Ask each node for evidence that is made now.")
@ca_option
@json_option()
def verify(
    *, url: str, trust_file: Path, min_tier: Tier, model: str | None, fresh: bool, ca_file: Path | None, as_json: bool
) -> None:
    """Makes every check that a client makes before it sends, for every node at URL; fails if one of them fails.

    It is done as by a client that was never there before: whether the list of releases went back is not seen.
    """
    from ringfence_house.cli import examining  # noqa: PLC0415

    found = examining.verified_at(url, trust_file, min_tier=min_tier, model=model, fresh=fresh, ca_file=ca_file)
    if as_json:
        terminal.write_json({"url": url, **examining.report_document(found)}, indent=2)
    else:
        examining.write_report(found)
    if not found.holds:
        click.get_current_context().exit(REFUSED)


__all__ = ["evidence"]
