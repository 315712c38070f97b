"""The Secure Enclave's key behind a double of Apple's framework: what goes in, and what comes out as JWS wants it.

The double answers as the framework's documentation says. It is no evidence that a Mac does.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ringfence.errors import Unavailable
from ringfence_house.attestation.token import open_token, public_key, sign_token
from ringfence_house_node.attestors.enclave import EnclaveKey


class Failure:
    """As an NSError: a number, and words that must not be repeated."""

    def __init__(self, code: int) -> None:
        self._code = code

    def code(self) -> int:
        return self._code

    def __str__(self) -> str:
        return "SECRET"


class Enclave(ModuleType):
    """The framework: every constant is its own name, keys live in a dictionary."""

    def __init__(self, *, fails: int | None = None) -> None:
        super().__init__("Security")
        self.kept: dict[bytes, ec.EllipticCurvePrivateKey] = {}
        self.fails = fails
        self.asked: Mapping[str, Any] = {}

    def __getattr__(self, name: str) -> str:
        if not name.startswith("kSec"):
            raise AttributeError(name)
        return name

    def SecItemCopyMatching(self, query: Mapping[str, Any], _: None) -> tuple[int, object]:  # noqa: N802
        key = self.kept.get(query["kSecAttrApplicationTag"])
        return (0, key) if key is not None else (-25300, None)

    def SecAccessControlCreateWithFlags(self, *_: object) -> tuple[object, object]:  # noqa: N802
        return "access", None

    def SecKeyCreateRandomKey(self, attributes: Mapping[str, Any], _: None) -> tuple[object, object]:  # noqa: N802
        if self.fails is not None:
            return None, Failure(self.fails)
        self.asked = attributes
        key = ec.generate_private_key(ec.SECP256R1())
        self.kept[attributes["kSecPrivateKeyAttrs"]["kSecAttrApplicationTag"]] = key
        return key, None

    def SecKeyCopyPublicKey(self, key: ec.EllipticCurvePrivateKey) -> object:  # noqa: N802
        return key.public_key()

    def SecKeyCopyExternalRepresentation(self, key: ec.EllipticCurvePublicKey, _: None) -> tuple[bytes, object]:  # noqa: N802
        return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint), None

    def SecKeyCreateSignature(  # noqa: N802
        self, key: ec.EllipticCurvePrivateKey, algorithm: str, data: bytes, _: None
    ) -> tuple[object, object]:
        if self.fails is not None:
            return None, Failure(self.fails)
        assert algorithm == "kSecKeyAlgorithmECDSASignatureMessageX962SHA256"
        return key.sign(data, ec.ECDSA(hashes.SHA256())), None


@pytest.fixture
def enclave(monkeypatch: pytest.MonkeyPatch) -> Enclave:
    double = Enclave()
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    monkeypatch.setitem(sys.modules, "Security", double)
    return double


def test_a_token_that_the_enclave_signed_opens_with_the_key_it_shows(enclave: Enclave) -> None:
    key = EnclaveKey.open()

    assert open_token(sign_token({"a": 1}, key.sign), public_key(key.jwk())) == {"a": 1}
    assert repr(key) == "EnclaveKey()"
    assert enclave.asked["kSecAttrTokenID"] == "kSecAttrTokenIDSecureEnclave"
    assert enclave.asked["kSecPrivateKeyAttrs"]["kSecAttrIsPermanent"] is True


def test_a_second_start_finds_the_same_key(enclave: Enclave) -> None:
    first, second = EnclaveKey.open("label"), EnclaveKey.open("label")

    assert first.spki() == second.spki()
    assert list(enclave.kept) == [b"label"]


@pytest.mark.parametrize(("code", "way_out"), [(-34018, "keychain access group"), (-67068, None)])
def test_what_the_enclave_refuses_is_said_by_number(enclave: Enclave, code: int, way_out: str | None) -> None:
    enclave.fails = code

    with pytest.raises(Unavailable, match=rf"makes no key \(status {code}\)") as caught:
        EnclaveKey.open()

    assert "SECRET" not in str(caught.value)
    assert (caught.value.way_out is None) if way_out is None else (way_out in str(caught.value))


def test_a_signature_that_is_refused_is_an_error(enclave: Enclave) -> None:
    key = EnclaveKey.open()
    enclave.fails = -25308

    with pytest.raises(Unavailable, match=r"does not sign \(status -25308\)"):
        key.sign(b"data")


def test_on_another_system_there_is_no_enclave(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Linux")

    with pytest.raises(Unavailable, match="on a mac only") as caught:
        EnclaveKey.open()

    assert caught.value.reason == "wrong_platform"


def test_on_a_mac_without_the_bindings_the_way_out_names_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    monkeypatch.setitem(sys.modules, "Security", None)

    with pytest.raises(Unavailable, match="pip install pyobjc-framework-Security") as caught:
        EnclaveKey.open()

    assert caught.value.reason == "no_package"
