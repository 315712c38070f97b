"""A development node's evidence, from its start to its renewal."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest
from providers.house.tests.attestation.support import (
    DAY,
    MODEL,
    NOW,
    REFERENCE,
    RELEASE,
    SERIAL_NUMBER,
    UEID,
    key_config,
)

from ringfence.errors import Unavailable
from ringfence_house.attestation.claims import ReleaseClaim
from ringfence_house.attestation.development import DevelopmentCa, SoftwareDev
from ringfence_house.attestation.node import VerifiedNode
from ringfence_house.attestation.verify import verify
from ringfence_house.protocol.keyconfig import parse_key_config
from ringfence_house.releases.reference import Reference
from ringfence_house_node.attestors import Attestor
from ringfence_house_node.attestors.development import DevelopmentAttestor, system_version

CLAIM = ReleaseClaim(id=RELEASE.id, code=RELEASE.code, model=RELEASE.model_digest, config=RELEASE.config)
LASTING = Reference(releases=REFERENCE.releases, devices=REFERENCE.devices, expires_at=NOW + 99 * DAY, version=1)


def _attestor(folder: Path, os_version: str = "15.1") -> DevelopmentAttestor:
    opened = DevelopmentAttestor.open(
        folder / "ca", folder / "ak.pem", serial=SERIAL_NUMBER, ueid=UEID, os_version=os_version, clock=lambda: NOW
    )
    assert opened.serial == SERIAL_NUMBER
    return opened


def _verified(attestor: Attestor, folder: Path, now: float, nonce: str | None = None) -> VerifiedNode:
    evidence = attestor.issue(
        key_config=parse_key_config(key_config()), release=CLAIM, boot="b" * 22, now=now, life_s=3600, nonce=nonce
    )
    verifiers = (SoftwareDev([DevelopmentCa.open(folder / "ca", now).root]),)
    return verify(evidence.encoded, LASTING, verifiers, min_tier="software-dev", model=MODEL, now=now, nonce=nonce)


def test_its_evidence_is_verified_under_its_ca(tmp_path: Path) -> None:
    node = _verified(_attestor(tmp_path), tmp_path, NOW, nonce="n" * 22)

    assert (node.tier, node.serial) == ("software-dev", SERIAL_NUMBER)


def test_a_second_node_joins_the_ca_with_a_key_of_its_own(tmp_path: Path) -> None:
    first = _attestor(tmp_path)
    second = DevelopmentAttestor.open(
        tmp_path / "ca", tmp_path / "ak-2.pem", serial=SERIAL_NUMBER, ueid=UEID, os_version="15.1", clock=lambda: NOW
    )

    assert _verified(first, tmp_path, NOW).tier == _verified(second, tmp_path, NOW).tier == "software-dev"


def test_it_endorses_its_key_anew_at_half_of_the_leafs_life(tmp_path: Path) -> None:
    attestor = _attestor(tmp_path)
    assert attestor.expires_at() == NOW + 7 * DAY

    _verified(attestor, tmp_path, NOW + 3 * DAY)
    assert attestor.expires_at() == NOW + 7 * DAY

    _verified(attestor, tmp_path, NOW + 4 * DAY)
    assert attestor.expires_at() == NOW + 11 * DAY


def test_the_version_of_another_system_is_nought(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "mac_ver", lambda: ("", ("", "", ""), ""))
    assert system_version() == "0"

    monkeypatch.setattr(platform, "mac_ver", lambda: ("15.1", ("", "", ""), "arm64"))
    assert system_version() == "15.1"


@pytest.mark.parametrize("damage", ["ca/ca-root.pem", "ca/ca-issuer.key", "ak.pem"])
def test_damaged_files_are_refused_in_words(damage: str, tmp_path: Path) -> None:
    _attestor(tmp_path)
    (tmp_path / damage).write_bytes(b"SECRET")

    with pytest.raises(Unavailable, match="the development ca cannot be used") as caught:
        _attestor(tmp_path)

    assert "SECRET" not in str(caught.value)
    assert caught.value.way_out
