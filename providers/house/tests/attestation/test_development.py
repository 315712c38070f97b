"""Development end to end: a CA, a key in a file, a trust file; and the pinned root that none of it touches."""

from __future__ import annotations

import json
import stat
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from providers.house.tests.attestation.support import (
    DEVICE,
    GOOD,
    MODEL,
    NOW,
    REFERENCE,
    RELEASE,
    SERIAL_NUMBER,
    UEID,
    key_config,
)

from ringfence.errors import Unavailable
from ringfence_house.attestation.apple import AppleMda, apple_root
from ringfence_house.attestation.claims import ReleaseClaim
from ringfence_house.attestation.development import DevelopmentCa, FileKey
from ringfence_house.attestation.issue import issue_evidence
from ringfence_house.attestation.node import Tier, VerifiedNode
from ringfence_house.attestation.refusal import EvidenceRefused
from ringfence_house.attestation.trust import Trust, make_trust, parse_trust, read_trust
from ringfence_house.attestation.verify import verify
from ringfence_house.protocol.keyconfig import parse_key_config

TUF_ROOT = b'{"signatures":[],"signed":{"_type":"root","version":1}}'
CLAIM = ReleaseClaim(id=RELEASE.id, code=RELEASE.code, model=RELEASE.model_digest, config=RELEASE.config)


@dataclass(frozen=True, kw_only=True)
class Node:
    """A development node and what a client needs to believe it."""

    key: FileKey
    x5c: tuple[bytes, ...]
    trust: Trust

    def evidence(self, tier: Tier = "software-dev", nonce: str | None = None) -> bytes:
        return issue_evidence(
            self.key,
            self.x5c,
            tier,
            key_config=parse_key_config(key_config()),
            release=CLAIM,
            ueid=UEID,
            boot="b" * 22,
            now=NOW,
            life_s=1800,
            nonce=nonce,
        ).encoded

    def verified(
        self, evidence: bytes, min_tier: Tier = "software-dev", nonce: str | None = None, now: float = NOW
    ) -> VerifiedNode:
        verifiers = self.trust.verifiers()
        return verify(evidence, REFERENCE, verifiers, min_tier=min_tier, model=MODEL, now=now, nonce=nonce)


@pytest.fixture
def node(tmp_path: Path) -> Node:
    ca = DevelopmentCa.open(tmp_path / "ca", NOW)
    key = FileKey.open(tmp_path / "ak.pem")
    x5c = ca.issue_leaf(key.spki(), serial=SERIAL_NUMBER, udid="0" * 25, os_version="15.1", now=NOW)
    return Node(key=key, x5c=x5c, trust=parse_trust(make_trust(TUF_ROOT, [ca.root])))


def test_what_a_development_node_issues_is_verified(node: Node) -> None:
    found = node.verified(node.evidence(nonce="n" * 22), nonce="n" * 22)

    assert (found.tier, found.serial, found.expires_at) == ("software-dev", DEVICE.serial, NOW + 1800)


def test_a_client_whose_clock_is_a_minute_behind_takes_a_node_that_was_just_made(node: Node) -> None:
    assert node.verified(node.evidence(), now=NOW - 60).serial == DEVICE.serial


def test_a_development_node_is_refused_where_apples_word_is_wanted(node: Node) -> None:
    with pytest.raises(EvidenceRefused) as caught:
        node.verified(node.evidence(), min_tier="apple-mda")

    assert caught.value.check == "type"


def test_a_development_chain_that_calls_itself_apples_is_refused(node: Node) -> None:
    with pytest.raises(EvidenceRefused) as caught:
        node.verified(node.evidence("apple-mda"), min_tier="apple-mda")

    assert caught.value.check == "endorsement"


def test_a_second_start_finds_the_same_ca_and_key(tmp_path: Path) -> None:
    first, key = DevelopmentCa.open(tmp_path, NOW), FileKey.open(tmp_path / "ak.pem")

    assert DevelopmentCa.open(tmp_path, NOW + 9).root == first.root
    assert FileKey.open(tmp_path / "ak.pem").jwk() == key.jwk()


def test_secrets_are_for_their_owner_alone_and_never_shown(tmp_path: Path) -> None:
    ca, key = DevelopmentCa.open(tmp_path, NOW), FileKey.open(tmp_path / "ak.pem")

    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes["ak.pem"] == modes["ca-issuer.key"] == 0o600
    assert (repr(ca), repr(key)) == ("DevelopmentCa()", "FileKey()")


def test_a_key_that_others_may_read_is_not_used(tmp_path: Path) -> None:
    FileKey.open(tmp_path / "ak.pem")
    (tmp_path / "ak.pem").chmod(0o640)

    with pytest.raises(ValueError, match="others than its owner"):
        FileKey.open(tmp_path / "ak.pem")


def test_a_damaged_key_is_named_and_not_shown(tmp_path: Path) -> None:
    (tmp_path / "ak.pem").write_bytes(b"SECRET")
    (tmp_path / "ak.pem").chmod(0o600)

    with pytest.raises(ValueError, match=r"'ak\.pem' holds no key"):
        FileKey.open(tmp_path / "ak.pem")


def test_the_trust_file_may_be_the_root_as_it_stands(tmp_path: Path) -> None:
    (tmp_path / "root.json").write_bytes(TUF_ROOT)

    trust = read_trust(tmp_path / "root.json")

    assert trust == Trust(root=TUF_ROOT)
    assert not trust.is_development
    assert [verifier.type for verifier in trust.verifiers()] == ["apple-mda"]


def test_the_trust_file_may_name_development_cas(node: Node, tmp_path: Path) -> None:
    (tmp_path / "trust.json").write_bytes(make_trust(TUF_ROOT, node.trust.development_ca))

    trust = read_trust(tmp_path / "trust.json")

    assert json.loads(trust.root) == json.loads(TUF_ROOT)
    assert trust.development_ca == node.trust.development_ca
    assert trust.is_development
    assert [verifier.type for verifier in trust.verifiers()] == ["software-dev", "apple-mda"]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        pytest.param(b"", "no strict JSON", id="empty"),
        pytest.param(b"[]", "no JSON object", id="a list"),
        pytest.param(b"{}", "'trust.json' is not a root file of releases: it holds no signed root", id="nothing"),
        pytest.param(b'{"v":1}', "lacks one", id="no root"),
        pytest.param(b'{"v":2,"root":{}}', "shape", id="an unknown version"),
        pytest.param(b'{"v":1,"root":{},"more":1}', "shape", id="a member more"),
        pytest.param(b'{"signed":{"_type":"targets"},"signatures":[]}', "no root metadata", id="another role"),
        pytest.param(b'{"v":1,"root":' + TUF_ROOT + b',"development_ca":{}}', "no list", id="a CA that is no list"),
        pytest.param(b'{"v":1,"root":' + TUF_ROOT + b',"development_ca":["x"]}', "no certificate", id="no CA"),
        pytest.param(b'{"v":1,"v":1,"root":' + TUF_ROOT + b"}", "no strict JSON", id="a name twice"),
        pytest.param(b" " * (2**20 + 1), "too long", id="too long"),
    ],
)
def test_a_file_that_is_no_trust_file_is_refused(data: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / "trust.json").write_bytes(data)

    with pytest.raises(Unavailable, match=words) as caught:
        read_trust(tmp_path / "trust.json")

    assert caught.value.reason == "not_configured"
    assert caught.value.way_out is not None
    assert "the 1.root.json that 'ringfence house keys init' made" in caught.value.way_out


def test_a_missing_trust_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"cannot read the trust file 'none\.json': no such file"):
        read_trust(tmp_path / "none.json")


def test_apples_root_is_the_published_one() -> None:
    """SHA-256 of the certificate that Apple publishes at apple.com/certificateauthority/private."""
    root = apple_root()

    assert root.fingerprint(hashes.SHA256()).hex() == PUBLISHED
    assert root.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value == (
        "Apple Enterprise Attestation Root CA"
    )


PUBLISHED = "ccf59ef8fcb3017d97f8b5fa6fa90e7a3f9283f76b55ac6cf6eda8b8b949f05b"


def test_without_another_root_only_apples_counts() -> None:
    """The stand-in has the same names and the same shape; the pinned root's key did not sign it."""
    with pytest.raises(EvidenceRefused, match="no valid path"):
        GOOD.verify(verifiers=(AppleMda(),))
