"""Chunked Oblivious HTTP byte for byte as the standards write it."""

from __future__ import annotations

from itertools import accumulate
from typing import Any

import pytest
from providers.house.tests.protocol.support import fix_ephemeral, pour, vectors

from ringfence_house.protocol import chunked
from ringfence_house.protocol.chunked import RequestOpener, RequestSealer, ResponseOpener, ResponseSealer
from ringfence_house.protocol.hpke import private_key
from ringfence_house.protocol.keyconfig import make_key_config


@pytest.fixture
def vector(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Appendix A of draft-ietf-ohai-chunked-ohttp-08, with its randomness in the place of ours."""
    vector = vectors("chunked-ohttp-08-appendix-a.json")
    fix_ephemeral(monkeypatch, bytes.fromhex(vector["skE"]))
    fix_nonce(monkeypatch, bytes.fromhex(vector["encapsulated_response"])[:16])
    return vector


def fix_nonce(patch: pytest.MonkeyPatch, nonce: bytes) -> None:
    def token_bytes(size: int) -> bytes:
        assert size == len(nonce)
        return nonce

    patch.setattr(chunked, "token_bytes", token_bytes)


def sealer_of(vector: dict[str, Any]) -> RequestSealer:
    key = private_key(bytes.fromhex(vector["skR"]))
    return RequestSealer(make_key_config(vector["key_id"], key.public))


def opener_of(vector: dict[str, Any]) -> RequestOpener:
    return RequestOpener({vector["key_id"]: private_key(bytes.fromhex(vector["skR"]))}.get)


def pieces(data: str, sizes: list[int]) -> list[bytes]:
    ends = list(accumulate(sizes))
    return [bytes.fromhex(data)[end - size : end] for end, size in zip(ends, sizes, strict=True)]


def test_the_request_of_the_draft_is_written(vector: dict[str, Any]) -> None:
    first, second, last = pieces(vector["request_bhttp"], vector["request_chunk_plaintext_lengths"])
    sealer = sealer_of(vector)
    assert sealer.enc.hex() == vector["enc"]
    lines = vector["encapsulated_request_lines"]
    assert sealer.seal(first).hex() == "".join(lines[:3])
    assert sealer.seal(second).hex() == lines[3]
    assert sealer.finish(last).hex() == lines[4]


def test_the_request_of_the_draft_is_read(vector: dict[str, Any]) -> None:
    opener = opener_of(vector)
    assert pour(opener, [bytes.fromhex(vector["encapsulated_request"])]).hex() == vector["request_bhttp"]
    assert opener.enc is not None
    assert (opener.key_id, opener.enc.hex()) == (vector["key_id"], vector["enc"])


def test_the_answer_of_the_draft_is_written(vector: dict[str, Any]) -> None:
    opener = opener_of(vector)
    pour(opener, [bytes.fromhex(vector["encapsulated_request"])])
    first, second, last = pieces(vector["response_bhttp"], vector["response_chunk_plaintext_lengths"])
    sealer = opener.sealer()
    lines = vector["encapsulated_response_lines"]
    assert sealer.seal(first).hex() == lines[0] + lines[1]
    assert sealer.seal(second).hex() == lines[2]
    assert sealer.finish(last).hex() == lines[3]


def test_the_answer_of_the_draft_is_read(vector: dict[str, Any]) -> None:
    opener = sealer_of(vector).opener()
    assert pour(opener, [bytes.fromhex(vector["encapsulated_response"])]).hex() == vector["response_bhttp"]


def test_keys_and_nonce_of_an_answer_are_those_of_rfc_9458(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its answer is one sealed text under the first nonce: as our first chunk, behind a length."""
    vector = vectors("rfc9458-appendix-a.json")
    nonce, sealed = (bytes.fromhex(vector["encapsulated_response"])[part] for part in (slice(16), slice(16, None)))
    fix_nonce(monkeypatch, nonce)
    secret, enc = bytes.fromhex(vector["exported_secret"]), bytes.fromhex(vector["enc"])
    wire = nonce + bytes([len(sealed)]) + sealed
    assert ResponseSealer(secret, enc).seal(bytes.fromhex(vector["response_bhttp"])) == wire
    assert ResponseOpener(secret, enc).feed(wire) == [bytes.fromhex(vector["response_bhttp"])]
