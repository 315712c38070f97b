"""What a lost balancer can make itself, or keep from earlier: evidence under a CA of its own, and old releases."""

from __future__ import annotations

import base64
import json
import tempfile
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from cryptography import x509

from ringfence_house.attestation import posture
from ringfence_house.attestation.development import DevelopmentCa, FileKey
from ringfence_house.attestation.issue import issue_evidence
from ringfence_house.protocol.hpke import generate
from ringfence_house.protocol.keyconfig import make_key_config
from ringfence_house.releases.repository import Repository

LIFE_S = 600
LONG_AGO_S = 3 * 86_400
"""The signed list of releases has to be renewed every day."""


@cache
def _authority() -> tuple[DevelopmentCa, FileKey]:
    with tempfile.TemporaryDirectory() as folder:
        return DevelopmentCa.open(Path(folder), time.time()), FileKey.open(Path(folder) / "ak.key")


def own_root() -> bytes:
    """The root of the balancer's CA, in DER."""
    return _authority()[0].root


def under_own_ca(node: dict[str, Any]) -> dict[str, Any]:
    """Evidence with a key of the balancer's that claims all that `node` does, endorsed by a CA of the balancer's.

    Whoever believes the CA believes all of it: release, inventory and signatures are in order.
    """
    authority, key = _authority()
    claims = json.loads(_decoded(node["eat"].split(".")[1]))
    now = time.time()
    serial, udid = _device(_decoded(node["endorsement"]["x5c"][0]))
    chain = authority.issue_leaf(key.spki(), serial=serial, udid=udid, os_version="15.1", now=now)
    made = issue_evidence(
        key,
        chain,
        "software-dev",
        key_config=make_key_config(1, generate().public),
        release=claims["rf_release"],
        ueid=claims["ueid"],
        boot=claims["rf_boot"],
        now=now,
        life_s=LIFE_S,
    )
    return dict(json.loads(made.encoded))


def _device(leaf: bytes) -> tuple[str, str]:
    """Serial number and UDID in a genuine leaf, which is public."""
    extensions = x509.load_der_x509_certificate(leaf).extensions
    found = (extensions.get_extension_for_oid(x509.ObjectIdentifier(oid)) for oid in (posture.SERIAL, posture.UDID))
    serial, udid = (bytes(one.value.public_bytes()).decode("ascii") for one in found)
    return serial, udid


def _decoded(text: str) -> bytes:
    """Base64 of either alphabet, padded or not."""
    return base64.urlsafe_b64decode(text.replace("+", "-").replace("/", "_") + "=" * (-len(text) % 4))


@dataclass(frozen=True, slots=True, kw_only=True)
class Stale:
    """Timestamps that the balancer kept: one that would hold if there were no newer one, and one that has ended."""

    older: bytes
    ended: bytes


def published_again(state: Path) -> Stale:
    """Has the operator of the house in `state` publish three times; the last is the one of now."""
    repository = Repository(state / "releases", keys=state / "keys")
    timestamp = state / "releases" / "metadata" / "timestamp.json"
    repository.publish()
    older = timestamp.read_bytes()
    repository.publish(time.time() - LONG_AGO_S)
    ended = timestamp.read_bytes()
    repository.publish()
    return Stale(older=older, ended=ended)


__all__ = ["Stale", "own_root", "published_again", "under_own_ca"]
