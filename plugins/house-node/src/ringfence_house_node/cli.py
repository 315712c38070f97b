"""The command `ringfence-node`: its table of commands; each is imported only when it is invoked."""

from __future__ import annotations

import sys
from typing import NoReturn

import click

from ringfence.cli.lazy import Lazy
from ringfence.cli.root import Root

PROGRAM = "ringfence-node"

COMMANDS = {
    "serve": Lazy("ringfence_house_node.server.command:serve", "Serve a model behind attestation and encryption."),
    "measure": Lazy("ringfence_house_node.server.command:measure", "What this node would say that it is."),
    "directory": Lazy("ringfence_house_node.directory:directory", "Serve the evidence of several nodes."),
    "nonce": Lazy("ringfence_house_node.attestors.command:nonce", "What the MDM server must ask Apple with."),
    "unit": Lazy("ringfence_house_node.units.command:unit", "A unit for launchd or systemd, to be adapted."),
}


@click.command(
    name=PROGRAM,
    cls=Root,
    lazy=COMMANDS,
    epilog="Exit codes: 0 done or drained, 1 failed, 2 wrong usage, 130 after Ctrl-C.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
def root() -> None:
    """Serve models of the house ring: attested, encrypted end to end, nothing kept."""


def main() -> NoReturn:
    """Runs `ringfence-node` with the arguments of the process, and exits."""
    try:
        root.main(prog_name=PROGRAM)
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(0)


__all__ = ["main", "root"]
