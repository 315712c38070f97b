"""`ringfence doctor`: what works on this machine, what does not, and how to mend it."""

from __future__ import annotations

import os
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from ringfence.cli import interrupts, options, terminal
from ringfence.cli.failure import REFUSED

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rich.table import Table

    from ringfence.provider import Finding, Manifest

_SIGNS = {"ok": ("✓", "green"), "warning": ("!", "yellow"), "fault": ("✗", "red")}

_NARROW = 72
"""Columns below which what was found stands under its subject and not beside it."""

_PROXY = frozenset({"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"})
_TRUST = frozenset({"SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSLKEYLOGFILE"})


@click.command()
@options.policy_option
@options.json_option()
def doctor(*, policy: str | None, as_json: bool) -> None:
    """Looks at everything a request needs: each provider and detector is loaded, no model is.

    Exit 0 if nothing is at fault, else 1. A warning is no fault.
    """
    from ringfence.cli.checks import all_findings, variables_of  # noqa: PLC0415  (`--help` waits for none of it)

    findings = interrupts.run(all_findings(policy))
    findings += network_findings(variables_of(policy))
    sound = all(finding.level != "fault" for finding in findings)
    if as_json:
        terminal.write_json({"ok": sound, "findings": [asdict(finding) for finding in findings]}, indent=2)
    else:
        terminal.write_table(_table(findings))
        faults = sum(finding.level == "fault" for finding in findings)
        terminal.say("nothing is at fault" if sound else f"{faults} at fault", fg="green" if sound else "red")
    if not sound:
        sys.exit(REFUSED)


def network_findings(read: frozenset[str] = frozenset()) -> Iterator[Finding]:
    """What requests beyond the device need, and what of the environment they ignore. Sends and imports nothing.

    `read` are the variables that hold the keys of the policy's recipients.
    """
    manifests = list(_manifests())
    yield _packages(manifests)
    sources = dict.fromkeys(manifest.secret for manifest in manifests if manifest.secret is not None)
    for source in sources:
        # A key that a recipient of the policy reads has a line already.
        if source.removeprefix("env:") not in read:
            yield _key(", ".join(manifest.name for manifest in manifests if manifest.secret == source), source)
    yield _environment(manifests, os.environ, read)


def _manifests() -> Iterator[Manifest]:
    """Of every provider whose manifest can be read; one that cannot has a line of its own already."""
    from ringfence import registry  # noqa: PLC0415
    from ringfence.errors import PluginError  # noqa: PLC0415

    for plugin in registry.installed():
        try:
            yield registry.manifest(plugin.name)
        except PluginError:
            continue


def _packages(manifests: Sequence[Manifest]) -> Finding:
    from importlib.util import find_spec  # noqa: PLC0415

    from ringfence.provider import Finding  # noqa: PLC0415

    missing = [name for name in ("httpx2", "aiohttp") if find_spec(name) is None]
    if not missing:
        return Finding(level="ok", subject="network", detail="its packages are installed")
    needed = any(manifest.hosts or manifest.secret for manifest in manifests)
    return Finding(
        level="warning" if needed else "ok",
        subject="network",
        detail=f"{' and '.join(missing)} not installed, so nothing beyond this device can be reached",
        way_out="pip install 'ringfence[network]'",
    )


def _key(providers: str, source: str) -> Finding:
    """Whether the vendor's usual key is there. Its name, never its value."""
    from ringfence.provider import Finding  # noqa: PLC0415
    from ringfence.recipient import Secret  # noqa: PLC0415

    secret = Secret(source)
    shown = source.removeprefix("env:")
    if secret.present():
        return Finding(level="ok", subject=f"key of {providers}", detail=f"{shown} is set")
    return Finding(
        level="warning",
        subject=f"key of {providers}",
        detail=f"{shown} is not set; a recipient without secret: and url: of its own cannot be used",
        way_out=f"{secret.way_out}, or name another in secret: of the recipient",
    )


def _environment(manifests: Sequence[Manifest], environment: Mapping[str, str], read: frozenset[str]) -> Finding:
    """What is set and read by others, and by nothing here. Names only: a value may hold a password."""
    from ringfence.provider import Finding  # noqa: PLC0415

    read |= {manifest.secret.removeprefix("env:") for manifest in manifests if manifest.secret is not None}
    vendors = {name for manifest in manifests for name in manifest.environment}
    ignored = sorted(name for name in environment if name.upper() in _PROXY | _TRUST or name in vendors - read)
    said = "requests take no proxy, certificate or address from the environment"
    if not ignored:
        return Finding(level="ok", subject="environment", detail=said)
    return Finding(
        level="ok",
        subject="environment",
        detail=f"{said}; set and ignored: {', '.join(ignored)}",
        way_out=", ".join(_ways_out(ignored)),
    )


def _ways_out(ignored: Sequence[str]) -> Iterator[str]:
    """For each kind of variable, where the same is said here."""
    names = {name.upper() for name in ignored}
    if names & _PROXY:
        yield "Assistant(network=Network(proxy=…)) for a proxy"
    if names & _TRUST:
        yield "Assistant(network=Network(ca_file=…)) for certificates"
    if names - _PROXY - _TRUST:
        yield "url:, secret: and options: of the recipient in the policy for the rest"


def _table(findings: list[Finding]) -> Table:
    from rich.table import Table  # noqa: PLC0415  (45 ms, and only a table needs it)
    from rich.text import Text  # noqa: PLC0415

    narrow = terminal.columns() < _NARROW
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    if not narrow:
        table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in findings:
        sign, style = _SIGNS[finding.level]
        text = Text(finding.detail)
        if finding.way_out:
            text.append(f"\ntry: {finding.way_out}", style="bold")
        cells = (Text(f"{finding.subject}\n").append(text),) if narrow else (Text(finding.subject), text)
        table.add_row(Text(sign, style=style), *cells)
    return table


__all__ = ["doctor"]
