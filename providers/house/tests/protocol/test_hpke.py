"""HPKE through the seam: the vectors of RFC 9180, and what it refuses."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any, cast

import cryptography_vectors
import pytest
from providers.house.tests.protocol.support import KEY, LOW_ORDER, fix_ephemeral, vectors

from ringfence_house.protocol.faults import ProtocolFault
from ringfence_house.protocol.hpke import (
    AEAD_ID,
    KDF_ID,
    KEM_ID,
    generate,
    private_key,
    setup_receiver,
    setup_sender,
)


@pytest.fixture(scope="module")
def rfc9180() -> dict[str, Any]:
    """Appendix A.1.1: our suite, base mode."""
    file = Path(cryptography_vectors.__file__).parent / "HPKE" / "test-vectors.json"
    every = cast("list[dict[str, Any]]", json.loads(file.read_text()))
    ours = (0, KEM_ID, KDF_ID, AEAD_ID)
    (vector,) = [one for one in every if (one["mode"], one["kem_id"], one["kdf_id"], one["aead_id"]) == ours]
    assert len(vector["encryptions"]) > 255
    assert vector["exports"]
    return vector


def test_the_sender_writes_what_rfc_9180_says(rfc9180: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    fix_ephemeral(monkeypatch, _hex(rfc9180["skEm"]))
    sender = setup_sender(_hex(rfc9180["pkRm"]), _hex(rfc9180["info"]))
    assert sender.enc == _hex(rfc9180["enc"])
    for message in rfc9180["encryptions"]:
        assert sender.seal(_hex(message["pt"]), _hex(message["aad"])) == _hex(message["ct"])
    for secret in rfc9180["exports"]:
        assert sender.export(_hex(secret["exporter_context"]), secret["L"]) == _hex(secret["exported_value"])


def test_the_receiver_reads_what_rfc_9180_says(rfc9180: dict[str, Any]) -> None:
    key = private_key(_hex(rfc9180["skRm"]))
    assert key.public == _hex(rfc9180["pkRm"])
    receiver = setup_receiver(key, _hex(rfc9180["enc"]), _hex(rfc9180["info"]))
    for message in rfc9180["encryptions"]:
        assert receiver.open(_hex(message["ct"]), _hex(message["aad"])) == _hex(message["pt"])
    for secret in rfc9180["exports"]:
        assert receiver.export(_hex(secret["exporter_context"]), secret["L"]) == _hex(secret["exported_value"])


def test_the_key_schedule_is_that_of_rfc_9458(monkeypatch: pytest.MonkeyPatch) -> None:
    vector = vectors("rfc9458-appendix-a.json")
    header, sealed = _hex(vector["encapsulated_request"])[:7], _hex(vector["encapsulated_request"])[39:]
    assert _hex(vector["info"]) == b"message/bhttp request\0" + header
    fix_ephemeral(monkeypatch, _hex(vector["skE"]))
    key = private_key(_hex(vector["skR"]))
    sender = setup_sender(key.public, _hex(vector["info"]))
    assert sender.enc == _hex(vector["enc"])
    assert sender.seal(_hex(vector["request_bhttp"])) == sealed
    assert setup_receiver(key, sender.enc, _hex(vector["info"])).open(sealed) == _hex(vector["request_bhttp"])
    assert sender.export(b"message/bhttp response", 16) == _hex(vector["exported_secret"])


@pytest.mark.parametrize("point", [*LOW_ORDER, b"", b"\7" * 31, b"\7" * 33], ids=lambda point: point.hex()[:8])
def test_a_point_of_low_order_or_another_length_is_refused_on_both_sides(point: bytes) -> None:
    with pytest.raises(ProtocolFault):
        setup_sender(point, b"")
    with pytest.raises(ProtocolFault):
        setup_receiver(KEY, point, b"")


def test_a_private_key_has_32_bytes() -> None:
    with pytest.raises(ProtocolFault):
        private_key(b"\1" * 31)


@pytest.mark.parametrize(
    ("info", "aad", "change"), [(b"other", b"", 0), (b"info", b"other", 0), (b"info", b"", 1)], ids=str
)
def test_another_info_other_data_or_another_byte_does_not_open(info: bytes, aad: bytes, change: int) -> None:
    sender = setup_sender(KEY.public, b"info")
    sealed = bytearray(sender.seal(b"text"))
    sealed[-1] ^= change
    with pytest.raises(ProtocolFault) as caught:
        setup_receiver(KEY, sender.enc, info).open(bytes(sealed), aad)
    assert caught.value.__cause__ is None


def test_what_was_sealed_for_another_key_does_not_open() -> None:
    sender = setup_sender(KEY.public, b"")
    with pytest.raises(ProtocolFault):
        setup_receiver(generate(), sender.enc, b"").open(sender.seal(b"text"))


def test_after_a_message_that_does_not_open_none_does() -> None:
    sender = setup_sender(KEY.public, b"")
    altered, second = sender.seal(b"first")[:-1] + b"x", sender.seal(b"second")
    receiver = setup_receiver(KEY, sender.enc, b"")
    with pytest.raises(ProtocolFault):
        receiver.open(altered)
    with pytest.raises(ProtocolFault):
        receiver.open(second)  # which has the number that pyhpke expects now


def test_messages_open_in_their_order_only() -> None:
    sender = setup_sender(KEY.public, b"")
    first = sender.seal(b"same")
    assert sender.seal(b"same") != first
    receiver = setup_receiver(KEY, sender.enc, b"")
    assert receiver.open(first) == b"same"
    with pytest.raises(ProtocolFault):
        receiver.open(first)


def test_nothing_prints_or_pickles_a_private_key() -> None:
    raw = b"\x42" * 32
    key = private_key(raw)
    assert repr(key) == "PrivateKey(…)"
    with pytest.raises(TypeError):
        pickle.dumps(key)


def test_each_sender_has_a_key_of_its_own() -> None:
    assert setup_sender(KEY.public, b"").enc != setup_sender(KEY.public, b"").enc


def _hex(text: str) -> bytes:
    return bytes.fromhex(text)
