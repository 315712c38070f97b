"""Where a server listens, as options of its command."""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from ringfence.cli.failure import Misuse
from ringfence_house_node.server.serving import Address, Bound

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

DEFAULT_PORT = 8443
_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


def listening_options(command: Decorated) -> Decorated:
    """`--host --port --cert --key --behind-proxy`."""
    for option in (
        click.option(
            "--behind-proxy", is_flag=True, help="Plain HTTP, beyond loopback too: a proxy before it has the TLS."
        ),
        click.option("--key", "key", type=_FILE, metavar="FILE", help="… and its private key, in PEM."),
        click.option("--cert", "certificate", type=_FILE, metavar="FILE", help="The certificate for TLS, in PEM."),
        click.option(
            "--port",
            type=click.IntRange(0, 65_535),
            metavar="PORT",
            default=DEFAULT_PORT,
            show_default=True,
            help="Where to listen; 0 takes a free port.",
        ),
        click.option(
            "--host", default="127.0.0.1", show_default=True, metavar="HOST", help="The address to listen on."
        ),
    ):
        command = option(command)
    return command


def address_of(*, host: str, port: int, certificate: Path | None, key: Path | None, behind_proxy: bool) -> Address:
    """The address that the options name.

    Raises:
        Misuse: half of a certificate, one that a proxy has, or an open address without TLS.
    """
    if (certificate is None) != (key is None):
        raise Misuse("a certificate needs its key, and a key its certificate", way_out="both --cert and --key")
    if behind_proxy and certificate is not None:
        raise Misuse(
            "either a proxy has the TLS or the node itself", way_out="leave out --behind-proxy, or --cert and --key"
        )
    # The requests are sealed all the same; TLS keeps the kid, the sizes and the evidence from who listens on the way.
    if not is_loopback(host) and certificate is None and not behind_proxy:
        raise Misuse(
            f"listening on {host} without TLS", way_out="--cert and --key, or --behind-proxy where a proxy has TLS"
        )
    _check_certificate(certificate, key)
    return Address(host=host, port=port, certificate=certificate, key=key, behind_proxy=behind_proxy)


def _check_certificate(certificate: Path | None, key: Path | None) -> None:
    if certificate is None or key is None:
        return
    try:
        # A key with a password would be asked for on the terminal.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password="")
    except (OSError, ValueError):
        raise Misuse("the certificate and its key cannot be used", way_out="PEM files that belong together") from None


def where(bound: Bound) -> str:
    """Where clients find it, for people to read."""
    if bound.client_url == bound.url:
        return bound.url
    return f"{bound.url}; to clients it is {bound.client_url}, YOUR-HOST being the name that they reach it by"


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches `host`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


__all__ = ["DEFAULT_PORT", "address_of", "is_loopback", "listening_options", "where"]
