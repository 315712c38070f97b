"""A Mac's evidence from the chain that MDM delivered. The enclave's key is injected; all else is as on a Mac."""

from __future__ import annotations

import json
import plistlib
from base64 import b64decode, b64encode
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from providers.house.tests.attestation.support import (
    AK,
    APPLE,
    DAY,
    MODEL,
    NOW,
    REFERENCE,
    RELEASE,
    SERIAL_NUMBER,
    UEID,
    VERIFIERS,
    Draft,
    der,
    freshness,
    key_config,
    new_key,
    with_values,
)

from ringfence.errors import Unavailable
from ringfence_house.attestation.claims import ReleaseClaim
from ringfence_house.attestation.development import FileKey
from ringfence_house.attestation.verify import verify
from ringfence_house.protocol.keyconfig import parse_key_config
from ringfence_house_node.attestors.apple_mda import AppleMdaAttestor, device_attestation_nonce, mdm_command
from ringfence_house_node.attestors.chain import MAX_CHAIN_BYTES, parse_chain, read_chain

CLAIM = ReleaseClaim(id=RELEASE.id, code=RELEASE.code, model=RELEASE.model_digest, config=RELEASE.config)
KEY = FileKey(AK)
CHAIN = tuple(Draft().chain())
ROOT = der(APPLE.root)


def _pem(chain: Sequence[bytes]) -> bytes:
    return b"".join(x509.load_der_x509_certificate(each).public_bytes(Encoding.PEM) for each in chain)


def _base64(chain: Sequence[bytes]) -> list[str]:
    return [b64encode(each).decode() for each in chain]


def _answer(chain: Sequence[object]) -> dict[str, object]:
    return {"CommandUUID": "1", "Status": "Acknowledged", "QueryResponses": {"DevicePropertiesAttestation": chain}}


def _mac(folder: Path, chain: Sequence[bytes] = CHAIN, clock: Callable[[], float] = lambda: NOW) -> AppleMdaAttestor:
    (folder / "chain.pem").write_bytes(_pem(chain))
    return AppleMdaAttestor(KEY, folder / "chain.pem", ueid=UEID, verifier=VERIFIERS[0], clock=clock)


def test_its_evidence_is_verified_as_apples(tmp_path: Path) -> None:
    attestor = _mac(tmp_path)
    evidence = attestor.issue(
        key_config=parse_key_config(key_config()), release=CLAIM, boot="b" * 22, now=NOW, life_s=3600, nonce="n" * 22
    )

    node = verify(evidence.encoded, REFERENCE, VERIFIERS, min_tier="apple-mda", model=MODEL, now=NOW, nonce="n" * 22)

    assert (node.tier, node.serial, attestor.serial) == ("apple-mda", SERIAL_NUMBER, SERIAL_NUMBER)
    assert attestor.expires_at() == NOW + 6 * DAY


def test_what_mdm_delivers_later_counts_at_once(tmp_path: Path) -> None:
    attestor = _mac(tmp_path)
    later = Draft(leaf={"start": NOW - 10, "end": NOW + 7 * DAY}).chain()
    (tmp_path / "chain.pem").write_bytes(_pem(later))

    evidence = attestor.issue(
        key_config=parse_key_config(key_config()), release=CLAIM, boot="b" * 22, now=NOW, life_s=3600
    )

    assert evidence.x5c == tuple(later)
    assert attestor.expires_at() == NOW + 7 * DAY


@pytest.mark.parametrize(
    ("chain", "words"),
    [
        pytest.param(Draft(ak=new_key()).chain(), "another attestation key", id="an earlier nonce"),
        pytest.param(with_values(sip=b"\x02\x01\x01").chain(), "system integrity", id="protection is off"),
        pytest.param(CHAIN[:1], "two certificates", id="a leaf alone"),
        pytest.param(Draft(leaf={"end": NOW - 1}).chain(), "no valid path", id="expired"),
    ],
)
def test_a_chain_that_clients_would_refuse_is_never_issued(chain: Sequence[bytes], words: str, tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=words) as caught:
        _mac(tmp_path, chain)

    assert b64encode(freshness(AK)).decode() in (caught.value.way_out or "")


def test_a_chain_that_ends_while_the_node_runs_is_not_issued(tmp_path: Path) -> None:
    attestor = _mac(tmp_path)

    with pytest.raises(Unavailable, match="no valid path"):
        attestor.issue(
            key_config=parse_key_config(key_config()), release=CLAIM, boot="b" * 22, now=NOW + 9 * DAY, life_s=60
        )


def test_without_another_root_a_node_believes_apples_alone(tmp_path: Path) -> None:
    (tmp_path / "chain.pem").write_bytes(_pem(CHAIN))

    with pytest.raises(Unavailable, match="no valid path"):
        AppleMdaAttestor(KEY, tmp_path / "chain.pem", ueid=UEID, clock=lambda: NOW)


def test_the_mdm_server_is_told_to_ask_with_the_digest_of_the_key() -> None:
    command = plistlib.loads(mdm_command(KEY))

    assert command == {
        "RequestType": "DeviceInformation",
        "DeviceAttestationNonce": freshness(AK),
        "Queries": ["DevicePropertiesAttestation"],
    }
    assert b64decode(device_attestation_nonce(KEY)) == freshness(AK)


@pytest.mark.parametrize(
    "delivered",
    [
        pytest.param(_pem(CHAIN), id="PEM"),
        pytest.param(b"a heading\n" + _pem(CHAIN), id="PEM with words"),
        pytest.param(_pem([*CHAIN, ROOT]), id="PEM with the root"),
        pytest.param(plistlib.dumps(list(CHAIN)), id="a property list of data"),
        pytest.param(plistlib.dumps(_answer(list(CHAIN))), id="the whole answer"),
        pytest.param(plistlib.dumps(_answer(list(CHAIN)), fmt=plistlib.FMT_BINARY), id="the whole answer, binary"),
        pytest.param(plistlib.dumps({"DevicePropertiesAttestation": [*CHAIN, ROOT]}), id="with the root"),
        pytest.param(json.dumps(_base64(CHAIN)).encode(), id="JSON"),
        pytest.param(json.dumps(_answer(_base64(CHAIN)), indent=1).encode(), id="the whole answer in JSON"),
        pytest.param(
            json.dumps({"query_responses": {"DevicePropertiesAttestation": _base64(CHAIN)}}).encode(), id="snake case"
        ),
        pytest.param(json.dumps([_pem([each]).decode() for each in CHAIN]).encode(), id="PEM in JSON"),
    ],
)
def test_the_chain_is_read_in_every_form_that_servers_keep_it(delivered: bytes) -> None:
    assert parse_chain(delivered) == CHAIN


@pytest.mark.parametrize(
    "delivered",
    [
        b"",
        b"-----BEGIN CERTIFICATE-----\njunk\n-----END CERTIFICATE-----\n",
        b"[]",
        b"{}",
        b'["*"]',
        b"[1]",
        b"[" * 100_000,
        b"bplist00junk",
        b"<plist><array><data>AA==</data></array></plist>",
        b"<plist>",
        plistlib.dumps({"QueryResponses": {"SerialNumber": "C02"}}),
        _pem([ROOT]),
    ],
)
def test_anything_else_is_refused(delivered: bytes, tmp_path: Path) -> None:
    (tmp_path / "chain").write_bytes(delivered)

    with pytest.raises(Unavailable, match="holds no certificates"):
        read_chain(tmp_path / "chain")


def test_a_chain_too_long_or_missing_is_refused(tmp_path: Path) -> None:
    (tmp_path / "long").write_bytes(b" " * (MAX_CHAIN_BYTES + 1))

    with pytest.raises(Unavailable, match="'long' is too long"):
        read_chain(tmp_path / "long")
    with pytest.raises(Unavailable, match="'none' cannot be read: no such file"):
        read_chain(tmp_path / "none")


def test_the_leafs_own_key_signs_nothing() -> None:
    """As with Apple, where the leaf's key is not the attestation key: only the freshness binds."""
    leaf = x509.load_der_x509_certificate(CHAIN[0]).public_key()

    assert isinstance(leaf, ec.EllipticCurvePublicKey)
    assert leaf.public_numbers() != AK.public_key().public_numbers()
