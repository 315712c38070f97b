"""The endorsement: which chains are believed, and what a leaf must say of its device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from providers.house.tests.attestation.support import (
    APPLE,
    DAY,
    GOOD,
    NOW,
    SIP,
    VERIFIERS,
    Authority,
    Draft,
    certificate,
    der,
    freshness,
    new_key,
    with_values,
)

from ringfence_house.attestation.refusal import EvidenceRefused

LOOKALIKE = Authority()
CHAIN = Draft().chain()


def test_a_good_mac_is_verified() -> None:
    node = GOOD.verify()

    assert (node.tier, node.serial, node.release.id) == ("apple-mda", "C02TEST00001", "2026.11.1")


@pytest.mark.parametrize(
    ("draft", "words"),
    [
        pytest.param(with_values(sip=b"\x02\x01\x01"), "system integrity", id="sip 1, which means off"),
        pytest.param(with_values(sip=b"\x01\x01\x00"), "system integrity", id="sip BOOLEAN FALSE"),
        pytest.param(with_values(sip=b"\x01\x01\xff"), "system integrity", id="sip BOOLEAN TRUE"),
        pytest.param(with_values(sip=b""), "system integrity", id="sip blank"),
        pytest.param(with_values(sip=None), "system integrity", id="sip absent"),
        pytest.param(with_values(sip=b"\x02\x02\x00\x00"), "system integrity", id="sip 0 in two bytes"),
        pytest.param(with_values(sip=b"\x02\x01\x00\x00"), "system integrity", id="sip with a byte behind it"),
        pytest.param(with_values(sip=b"0"), "system integrity", id="sip as text"),
        pytest.param(with_values(boot=b"Reduced Security"), "boot policy", id="reduced security"),
        pytest.param(with_values(boot=b"full security"), "boot policy", id="boot policy in the wrong case"),
        pytest.param(with_values(boot=b"Full Security\0"), "boot policy", id="boot policy with a trailing NUL"),
        pytest.param(with_values(boot=b"\x0c\x0dFull Security"), "boot policy", id="boot policy as a DER string"),
        pytest.param(with_values(boot=b""), "boot policy", id="boot policy blank"),
        pytest.param(with_values(boot=None), "boot policy", id="boot policy absent"),
        pytest.param(with_values(kexts=b"\x02\x01\x01"), "kernel extensions", id="kexts allowed"),
        pytest.param(with_values(kexts=b"\x01\x01\x00"), "kernel extensions", id="kexts BOOLEAN"),
        pytest.param(with_values(kexts=None), "kernel extensions", id="kexts absent"),
        pytest.param(with_values(fresh=None), "freshness", id="freshness absent"),
        pytest.param(with_values(fresh=b"x" * 31), "freshness", id="freshness of 31 bytes"),
        pytest.param(with_values(fresh=b"\x04\x20" + freshness(GOOD.ak)), "freshness", id="freshness in a DER string"),
        pytest.param(with_values(fresh=freshness(GOOD.ak) + b"\0"), "freshness", id="freshness with a byte behind it"),
        pytest.param(with_values(serial=None), "serial number", id="serial absent"),
        pytest.param(with_values(serial=b""), "serial number", id="serial blank"),
        pytest.param(with_values(serial=b"C02TEST00001\0"), "serial number", id="serial with a trailing NUL"),
        pytest.param(with_values(serial=b"C02TEST00001\n"), "serial number", id="serial with a newline"),
        pytest.param(with_values(udid=None), "udid", id="udid absent"),
        pytest.param(with_values(os=None), "version of the system", id="os version absent"),
        pytest.param(with_values(os=b""), "version of the system", id="os version blank"),
        pytest.param(with_values(os=b"15.x"), "version of the system", id="os version that is none"),
    ],
)
def test_a_leaf_that_does_not_say_good_is_refused(draft: Draft, words: str) -> None:
    with pytest.raises(EvidenceRefused, match=words) as caught:
        draft.verify()

    assert caught.value.check == "endorsement"


@pytest.mark.parametrize("second", [b"\x02\x01\x00", b"\x02\x01\x01"], ids=["good again", "bad"])
def test_a_leaf_that_says_a_value_twice_is_refused(second: bytes) -> None:
    twice = Draft(x5c=lambda values: (APPLE.leaf_that_says_twice(values, SIP, second), der(APPLE.issuer)))

    with pytest.raises(EvidenceRefused) as caught:
        twice.verify()

    assert caught.value.check == "endorsement"


def test_the_leaf_that_says_twice_is_otherwise_sound() -> None:
    """The same bytes, exchanged for an OID nobody reads: so it is the second value that is refused above."""
    other = "1.2.840.113635.100.8.13.7"
    draft = Draft(x5c=lambda values: (APPLE.leaf_that_says_twice(values, other, b""), der(APPLE.issuer)))

    assert draft.verify().tier == "apple-mda"


def _same_name(values: Mapping[str, bytes]) -> Sequence[bytes]:
    return LOOKALIKE.leaf(values), der(LOOKALIKE.issuer)


def _leaf_of_a_stranger(values: Mapping[str, bytes]) -> Sequence[bytes]:
    return LOOKALIKE.leaf(values), der(APPLE.issuer)


def _issued_by_a_leaf(values: Mapping[str, bytes]) -> Sequence[bytes]:
    key = new_key(ec.SECP384R1())
    leaf = certificate("device", key, APPLE.ROOT, APPLE.root_key, ca=False, values=values)
    return der(certificate("forged", new_key(), "device", key, ca=False, values=values)), der(leaf)


def _issued_by_one_that_may_not(values: Mapping[str, bytes]) -> Sequence[bytes]:
    key = new_key(ec.SECP384R1())
    issuer = certificate("issuer", key, APPLE.ROOT, APPLE.root_key, ca=True, key_usage=False)
    return der(certificate("device", new_key(), "issuer", key, ca=False, values=values)), der(issuer)


def _issued_against_the_usage(values: Mapping[str, bytes]) -> Sequence[bytes]:
    key = new_key(ec.SECP384R1())
    issuer = certificate("issuer", key, APPLE.ROOT, APPLE.root_key, ca=True, may_issue=False)
    return der(certificate("device", new_key(), "issuer", key, ca=False, values=values)), der(issuer)


def _leaf_that_is_an_authority(values: Mapping[str, bytes]) -> Sequence[bytes]:
    return APPLE.leaf(values, ca=True), der(APPLE.issuer)


def _one_too_many(values: Mapping[str, bytes]) -> Sequence[bytes]:
    return APPLE.leaf(values), der(APPLE.issuer), der(APPLE.root)


def _one_beside_the_path(values: Mapping[str, bytes]) -> Sequence[bytes]:
    leaf = certificate("device", new_key(), APPLE.ROOT, APPLE.root_key, ca=False, values=values)
    return der(leaf), der(APPLE.issuer)


def _expired_issuer(values: Mapping[str, bytes]) -> Sequence[bytes]:
    issuer = certificate(APPLE.ISSUER, APPLE.issuer_key, APPLE.ROOT, APPLE.root_key, ca=True, end=NOW - 1)
    return APPLE.leaf(values), der(issuer)


def _of_no_version(values: Mapping[str, bytes]) -> Sequence[bytes]:
    return APPLE.leaf(values).replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x48"), der(APPLE.issuer)


def _byte_flipped(values: Mapping[str, bytes]) -> Sequence[bytes]:
    leaf = APPLE.leaf(values)
    return leaf.replace(b"C02TEST00001", b"C02TEST00002"), der(APPLE.issuer)


@pytest.mark.parametrize(
    "draft",
    [
        pytest.param(Draft(x5c=_same_name), id="another root of the same name"),
        pytest.param(Draft(x5c=_leaf_of_a_stranger), id="a leaf of another issuer of the same name"),
        pytest.param(Draft(x5c=_issued_by_a_leaf), id="issued by a leaf"),
        pytest.param(Draft(x5c=_issued_by_one_that_may_not), id="issued by one of no usage"),
        pytest.param(Draft(x5c=_issued_against_the_usage), id="issued by one that may not issue"),
        pytest.param(Draft(x5c=_leaf_that_is_an_authority), id="a leaf that is an authority"),
        pytest.param(Draft(x5c=_one_too_many), id="an extra certificate"),
        pytest.param(Draft(x5c=_one_beside_the_path), id="a certificate beside the path"),
        pytest.param(Draft(x5c=lambda values: (APPLE.leaf(values),)), id="the intermediate missing"),
        pytest.param(Draft(x5c=lambda values: (der(APPLE.issuer), APPLE.leaf(values))), id="wrong order"),
        pytest.param(Draft(x5c=lambda _: ()), id="no certificate"),
        pytest.param(Draft(x5c=lambda _: (b"", b"junk")), id="no certificates but bytes"),
        pytest.param(Draft(x5c=_of_no_version), id="a certificate of no version"),
        pytest.param(Draft(x5c=_expired_issuer), id="the intermediate expired"),
        pytest.param(Draft(x5c=_byte_flipped), id="another serial than was signed"),
        pytest.param(Draft(leaf={"end": NOW - 1}), id="the leaf expired"),
        pytest.param(Draft(leaf={"start": NOW + 30, "end": NOW + DAY}), id="the leaf not valid yet"),
        pytest.param(Draft(leaf={"critical": True}), id="critical extensions nobody accounts for"),
    ],
)
def test_a_chain_that_is_no_path_to_the_pinned_root_is_refused(draft: Draft) -> None:
    with pytest.raises(EvidenceRefused, match="certificate") as caught:
        draft.verify()

    assert caught.value.check == "endorsement"


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_chain_of_another_length_is_refused_in_words(count: int) -> None:
    chain = (APPLE.leaf(GOOD.leaf_values()), der(APPLE.issuer), der(APPLE.root))[:count]

    with pytest.raises(EvidenceRefused, match="two certificates"):
        Draft(x5c=lambda _: chain).verify()


def test_posture_counts_for_eight_days_from_the_start_of_the_leaf() -> None:
    draft = Draft(leaf={"start": NOW - 8 * DAY + 10, "end": NOW + 30 * DAY})

    assert draft.verify().expires_at == NOW + 10
    with pytest.raises(EvidenceRefused, match="8 days"):
        Draft(leaf={"start": NOW - 8 * DAY, "end": NOW + 30 * DAY}).verify()


def test_a_development_chain_offered_as_apples_is_refused() -> None:
    with pytest.raises(EvidenceRefused, match="no valid path") as caught:
        Draft(x5c=_same_name).verify(verifiers=VERIFIERS)

    assert caught.value.check == "endorsement"


@given(
    place=st.integers(min_value=0, max_value=4000), byte=st.integers(min_value=0, max_value=255), which=st.booleans()
)
@settings(max_examples=60)
def test_whatever_a_certificate_is_turned_into_is_refused_and_never_a_crash(place: int, byte: int, which: bool) -> None:
    chain = [bytearray(each) for each in CHAIN]
    one = chain[which]
    place %= len(one)
    assume(one[place] != byte)
    one[place] = byte

    with pytest.raises(EvidenceRefused) as caught:
        Draft(x5c=lambda _: [bytes(each) for each in chain]).verify()

    assert caught.value.check == "endorsement"
