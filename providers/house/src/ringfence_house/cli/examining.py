"""What `ringfence house evidence` does: fetch, check as a client does, and lay out what came of it."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

from ringfence.cli import terminal
from ringfence.errors import AttestationFailed, ConnectFailed, RingfenceError
from ringfence_house.attestation.evidence import parse_directory
from ringfence_house.attestation.node import Tier
from ringfence_house.attestation.refusal import EvidenceRefused
from ringfence_house.attestation.report import Claimed, Examined, claimed, examine, unseen
from ringfence_house.attestation.trust import Trust, read_trust
from ringfence_house.cli import shared
from ringfence_house.cli.fetching import NotThere, Source
from ringfence_house.client.looking import not_served
from ringfence_house.client.reaching import TELL_OPERATOR
from ringfence_house.protocol.names import (
    EVIDENCE_PATH,
    MAX_DIRECTORY_BYTES,
    MAX_EVIDENCE_BYTES,
    NODE_EVIDENCE_PATH,
    RELEASES_PATH,
)
from ringfence_house.releases.faults import Missing, ReleasesRefused, ReleasesUnreachable, Unreachable
from ringfence_house.releases.reader import MAX_FILE_BYTES, ReleaseReader
from ringfence_house.releases.reference import Reference

if TYPE_CHECKING:
    from rich.table import Table

_STYLES: Final = {"passed": "green", "failed": "bold red", "not reached": "dim"}
_SHOWN: Final = 12
"""Characters of a key's name or a digest in a table; JSON has them whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Every check of every node that was asked about."""

    reference: Reference
    nodes: tuple[Examined, ...]
    development: bool
    min_tier: Tier

    @property
    def holds(self) -> bool:
        """Whether there is a node, and all of them passed."""
        return bool(self.nodes) and all(each.node is not None for each in self.nodes)


def claims_at(url: str, *, ca_file: Path | None) -> list[Claimed | EvidenceRefused]:
    """What each node of the directory at `url` claims, or why that cannot be read."""
    with Source(url, ca_file=ca_file) as source:
        return [_claimed(each) for each in _directory(source)]


def verified_at(
    url: str, trust_file: Path, *, min_tier: Tier, model: str | None, fresh: bool, ca_file: Path | None
) -> Report:
    """The checks of every node of the directory at `url`; with `model`, without the nodes of other models."""
    trust = read_trust(trust_file)
    with Source(url, ca_file=ca_file) as source:
        reference = _reference(source, trust)
        directory = _directory(source)
        nonce = secrets.token_urlsafe(24) if fresh else None
        offered = [each if nonce is None else _fresh(source, each, nonce) for each in directory]
    examined = examine(
        [each for each in offered if each is not None],
        reference,
        trust.verifiers(),
        min_tier=min_tier,
        model=None,
        now=time.time(),
        nonce=nonce,
    )
    silent = [unseen("the node gave no evidence that is made now")] * offered.count(None)
    wanted = [each for each in examined if model is None or each.node is None or each.node.release.model == model]
    if model is not None and not wanted and not silent:
        said, way_out = not_served(model, [each.node for each in examined if each.node is not None])
        raise AttestationFailed(said, way_out=way_out)
    return Report(reference=reference, nodes=(*wanted, *silent), development=trust.is_development, min_tier=min_tier)


def _directory(source: Source) -> tuple[bytes, ...]:
    try:
        return parse_directory(source.get(EVIDENCE_PATH, limit=MAX_DIRECTORY_BYTES))
    except EvidenceRefused as refusal:
        raise AttestationFailed(refusal.sentence, way_out=TELL_OPERATOR) from None


def _reference(source: Source, trust: Trust) -> Reference:
    faults: list[RingfenceError] = []

    def fetch(path: str) -> bytes:
        try:
            return source.get(RELEASES_PATH + path, limit=MAX_FILE_BYTES)
        except (NotThere, ConnectFailed) as fault:
            faults.append(fault)
            raise (Missing if isinstance(fault, NotThere) else Unreachable) from None

    try:
        with TemporaryDirectory(prefix="ringfence-") as folder:
            return ReleaseReader(trust.root, Path(folder), fetch).refresh(time.time())
    except ReleasesRefused as refusal:
        raise AttestationFailed(refusal.sentence, way_out=refusal.way_out or TELL_OPERATOR) from None
    except ReleasesUnreachable as unreachable:
        # The last file that did not come is why: the reader ends with it.
        why = faults[-1] if faults else ConnectFailed(str(unreachable))
        raise ConnectFailed(why.message, way_out=why.way_out) from None


def _fresh(source: Source, known: bytes, nonce: str) -> bytes | None:
    """Evidence of the same key, made now; `None` where the node gives none."""
    try:
        kid = claimed(known, time.time()).kid
        found = source.get(f"{NODE_EVIDENCE_PATH.format(kid=kid)}?nonce={nonce}", limit=MAX_EVIDENCE_BYTES)
        return found if claimed(found, time.time()).kid == kid else None
    except (EvidenceRefused, RingfenceError):
        return None


def _claimed(evidence: bytes) -> Claimed | EvidenceRefused:
    try:
        return claimed(evidence, time.time())
    except EvidenceRefused as refusal:
        return refusal


def claim_document(found: Claimed | EvidenceRefused) -> dict[str, object]:
    """JSON-ready data of one node's claims."""
    if isinstance(found, EvidenceRefused):
        return {"error": {"check": found.check, "sentence": found.sentence}}
    return {
        "kid": found.kid,
        "type": found.type,
        "digest": found.digest,
        "release": dict(found.claims.release),
        "ueid": found.claims.ueid,
        "issued_at": found.claims.issued_at,
        "expires_at": found.claims.expires_at,
    }


def write_claims(claims: Sequence[Claimed | EvidenceRefused]) -> None:
    """Writes a table of what the nodes claim."""
    rows: list[Sequence[str]] = []
    for found in claims:
        if isinstance(found, EvidenceRefused):
            rows.append(("cannot be read", found.check, found.sentence, "", ""))
            continue
        until = _moment(found.claims.expires_at)
        rows.append((found.kid[:_SHOWN], found.type, found.claims.release["id"], found.claims.ueid, until))
    cells = [[shared.cell(text) for text in row] for row in rows]
    shared.show(("key", "type", "release", "ueid", "until"), cells)


def report_document(report: Report) -> dict[str, object]:
    """JSON-ready data of every check."""
    return {
        "holds": report.holds,
        "releases": {"version": report.reference.version, "expires_at": report.reference.expires_at},
        "nodes": [_node_document(each) for each in report.nodes],
    }


def _node_document(examined: Examined) -> dict[str, object]:
    node = examined.node
    verified = (
        None
        if node is None
        else {
            "kid": node.kid,
            "digest": node.digest,
            "tier": node.tier,
            "serial": node.serial,
            "release": node.release.id,
            "model": node.release.model,
            "expires_at": node.expires_at,
        }
    )
    return {"verified": verified, "checks": [asdict(check) for check in examined.checks]}


def write_report(report: Report) -> None:
    """Writes a table of the checks of every node below its name, and says what it comes to."""
    for number, examined in enumerate(report.nodes, 1):
        terminal.write(f"{_label(number, examined)}\n")
        terminal.write_table(_checks(examined))
    passed = sum(each.node is not None for each in report.nodes)
    terminal.say(f"{passed} of {len(report.nodes)} nodes may be used", fg="green" if report.holds else "red")
    for examined in report.nodes:
        if examined.node is not None and examined.node.tier == "software-dev":
            terminal.say("DEVELOPMENT: software stands in for a device; it proves nothing about a machine", fg="yellow")
            break
    if report.development and report.min_tier != "software-dev" and not report.holds:
        terminal.say("this is the trust file of a development house (try: --min-tier software-dev)")


def _checks(examined: Examined) -> Table:
    """A row for each check in any window: they are read as a list, and a detail goes on in the next line."""
    from rich.table import Table  # noqa: PLC0415  (45 ms, and only a table needs it)

    table = Table("check", "verdict", box=None, pad_edge=False, header_style="bold")
    table.add_column("detail", overflow="fold")
    for check in examined.checks:
        verdict = shared.cell(check.verdict, style=_STYLES[check.verdict])
        table.add_row(shared.cell(check.name), verdict, shared.cell(check.detail))
    return table


def _label(number: int, examined: Examined) -> str:
    if examined.node is None:
        return f"node {number}: refused"
    return f"node {number}: {examined.node.kid[:_SHOWN]}, until {_moment(examined.node.expires_at)}"


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")


__all__ = ["Report", "claim_document", "claims_at", "report_document", "verified_at", "write_claims", "write_report"]
