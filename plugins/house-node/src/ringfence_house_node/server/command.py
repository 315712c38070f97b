"""`ringfence-node serve` and `ringfence-node measure`."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from ringfence.cli import terminal
from ringfence.cli.options import json_option
from ringfence_house_node.engine import EngineSettings, build_service
from ringfence_house_node.server.callers import Callers, read_callers
from ringfence_house_node.server.engine_options import engine_of, engine_options
from ringfence_house_node.server.identity import Identity, check_identity, identity_of
from ringfence_house_node.server.limit_options import limit_options, limits_of
from ringfence_house_node.server.limits import Limits
from ringfence_house_node.server.listening import address_of, listening_options, where
from ringfence_house_node.server.logs import log_to_stderr
from ringfence_house_node.server.measuring import measures_of
from ringfence_house_node.server.node import Node
from ringfence_house_node.server.preflight import checked_engine
from ringfence_house_node.server.run import run_node
from ringfence_house_node.server.serving import Address, Bound, bind

_ADMIN_PORT = 9443
_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
_LISTENING = ("host", "port", "certificate", "key", "behind_proxy")
_MEASURES = {"code": "--code-sha256", "model": "--model-sha256", "config": "--config-sha256"}


@click.command()
@engine_options
@click.option("--dev", is_flag=True, help="A development house in one folder: own CA, own releases. Proves nothing.")
@click.option("--state", type=click.Path(path_type=Path, file_okay=False), metavar="DIR", help="The folder of --dev.")
@click.option("--attestor", type=click.Choice(["apple-mda"]), help="Who vouches for this machine.")
@click.option("--chain", type=_FILE, metavar="FILE", help="The chain that the MDM server delivered.")
@click.option("--ueid", metavar="TEXT", help="Of this machine, as the inventory has it.")
@click.option("--release", "release_id", metavar="ID", help="The release that this node is.")
@listening_options
@click.option(
    "--admin-port",
    type=click.IntRange(0, 65_535),
    metavar="PORT",
    help=f"Health and metrics, on loopback. [default: {_ADMIN_PORT}; with --dev a free one]",
)
@click.option("--callers", type=_FILE, metavar="FILE", help="Who may ask: a name and the SHA-256 of a token a line.")
@limit_options
@click.option(
    "--access-log/--no-access-log",
    default=False,
    show_default=True,
    help="A line a request on stderr, without content.",
)
@json_option("One line of JSON on stdout when requests are taken.")
def serve(**given: Any) -> None:
    """Serves a model behind attestation and end-to-end encryption.

    With --dev one command is a whole house on this machine, and prints the recipient for a policy. Without it a node
    needs --attestor, --chain, --ueid, --release and --weights.
    """
    address = address_of(**{name: given[name] for name in _LISTENING})
    check_identity(given)
    limits = limits_of(given)
    settings = engine_of(given, concurrency=limits.concurrency)
    callers = _callers(given)
    log_to_stderr(access=given["access_log"])
    public, admin = bind(address), bind(Address(host="127.0.0.1", port=_admin_port(given)))
    with closing(public.socket), closing(admin.socket):
        card = checked_engine(settings, brings=given["dev"])
        with identity_of(given, settings, card) as identity:
            node = Node(
                service=build_service(settings),
                attestor=identity.attestor,
                release=identity.claim,
                model=settings.model,
                limits=limits,
                callers=callers,
            )
            raise SystemExit(_run(node, identity, public, admin, as_json=given["as_json"]))


@click.command()
@engine_options
@json_option()
def measure(*, as_json: bool, weights: Path | None, **given: Any) -> None:
    """Prints what a node with these options says that it is, for `ringfence house release add`."""
    measures = asdict(measures_of(_settings(given), weights))
    if as_json:
        terminal.write_json(measures)
    else:
        terminal.write("".join(f"{_MEASURES[name]} {value}\n" for name, value in measures.items()))


def _callers(given: Mapping[str, Any]) -> Callers:
    if given["callers"] is not None:
        return read_callers(given["callers"])
    if not given["dev"]:
        terminal.say("without --callers whoever reaches this node may ask, and all of them are one caller", fg="yellow")
    return Callers()


def _settings(given: Mapping[str, Any]) -> EngineSettings:
    return engine_of(given, concurrency=Limits().concurrency)


def _admin_port(given: Mapping[str, Any]) -> int:
    port: int | None = given["admin_port"]
    return port if port is not None else 0 if given["dev"] else _ADMIN_PORT


def _run(node: Node, identity: Identity, public: Bound, admin: Bound, *, as_json: bool) -> int:
    # Before they are served: a socket that is has been given away.
    urls, shown, development = (public.url, admin.url), where(public), identity.development
    if development is not None:
        _say_recipient(development.recipient(public.client_url, node.model))
        if public.client_url != public.url:
            terminal.say("put the name that clients reach this node by in place of YOUR-HOST", fg="yellow")
    return asyncio.run(
        run_node(
            node,
            public=public,
            admin=admin,
            on_ready=lambda: _say_ready(node, identity, *urls, shown=shown, as_json=as_json),
            releases=development.releases if development is not None else None,
            meanwhile=[development.renew] if development is not None else [],
        )
    )


def _say_recipient(recipient: Mapping[str, str]) -> None:
    lines = "".join(f"    {name}: {value}\n" for name, value in recipient.items())
    terminal.say("DEVELOPMENT: this node proves nothing about the machine that it runs on", fg="yellow")
    terminal.say(f"recipients:\n  our-house:\n{lines}", newline=False)


def _say_ready(node: Node, identity: Identity, url: str, admin_url: str, *, shown: str, as_json: bool) -> None:
    terminal.say(f"{node.model} is served at {shown}; health and metrics at {admin_url}")
    if not as_json:
        return
    document: dict[str, object] = {
        "ready": True,
        "url": url,
        "admin_url": admin_url,
        "model": node.model,
        "release": node.release_id,
        "serial": identity.attestor.serial,
        "pid": os.getpid(),
    }
    if identity.development is not None:
        document["recipient"] = identity.development.recipient(url, node.model)
    terminal.write_json(document)


__all__ = ["measure", "serve"]
