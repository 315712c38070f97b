"""The form of evidence and of directories: one spelling, small, and nothing unknown."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st
from providers.house.tests.attestation.support import GOOD, REFERENCE, VERIFIERS, Draft, canonical

from ringfence_house.attestation.evidence import (
    make_directory,
    make_evidence,
    parse_directory,
    parse_evidence,
)
from ringfence_house.attestation.refusal import EvidenceRefused
from ringfence_house.attestation.strict import from_base64, from_base64url, to_base64url
from ringfence_house.attestation.verify import verify_directory
from ringfence_house.protocol.names import MAX_EVIDENCE_BYTES

EVIDENCE = GOOD.evidence()


@pytest.mark.parametrize(
    "draft",
    [
        pytest.param(Draft(document=lambda d: {**d, "v": 2}), id="an unknown version"),
        pytest.param(Draft(document=lambda d: {**d, "v": True}), id="a version that is true"),
        pytest.param(Draft(document=lambda d: {**d, "more": 1}), id="a member more"),
        pytest.param(Draft(document=lambda d: {k: d[k] for k in d if k != "ak"}), id="a member less"),
        pytest.param(Draft(document=lambda d: {**d, "eat": None}), id="no token"),
        pytest.param(Draft(document=lambda d: {**d, "ak": {"x": 1}}), id="a key of numbers"),
        pytest.param(Draft(document=lambda d: {**d, "endorsement": []}), id="an endorsement that is a list"),
        pytest.param(
            Draft(document=lambda d: {**d, "endorsement": {"type": "apple-mda", "x5c": ["*"]}}),
            id="a certificate that is no base64",
        ),
        pytest.param(Draft(document=lambda _: []), id="a list"),
        pytest.param(Draft(encoded=lambda e: e.replace(b'{"ak"', b'{"v":1,"ak"', 1)), id="a name twice"),
        pytest.param(Draft(encoded=lambda e: e.replace(b'{"crv"', b'{"x":"","crv"')), id="a name twice below"),
        pytest.param(Draft(encoded=lambda e: e + b"\n"), id="a blank behind it"),
        pytest.param(Draft(encoded=lambda e: e.replace(b'"v":1', b'"v": 1')), id="a blank in it"),
        pytest.param(Draft(encoded=lambda e: e.replace(b'"ak"', b'"\\u0061k"')), id="an escape in it"),
        pytest.param(Draft(encoded=lambda e: e[:-1]), id="cut"),
        pytest.param(Draft(encoded=lambda _: b"[" * 60_000), id="too deep"),
        pytest.param(Draft(encoded=lambda _: b"1" * 60_000), id="a number too long"),
        pytest.param(Draft(encoded=lambda _: b"\xff\xfe"), id="no text"),
        pytest.param(Draft(encoded=lambda _: b""), id="nothing"),
        pytest.param(Draft(document=lambda d: {**d, "eat": "e" * MAX_EVIDENCE_BYTES}), id="64 KiB and more"),
    ],
)
def test_evidence_of_another_form_is_refused(draft: Draft) -> None:
    with pytest.raises(EvidenceRefused) as caught:
        draft.verify()

    assert caught.value.check == "form"


@pytest.mark.parametrize("size", [MAX_EVIDENCE_BYTES + 1, 5_000_000])
def test_long_evidence_is_refused_before_it_is_read(size: int) -> None:
    with pytest.raises(EvidenceRefused, match="longer than 65536 bytes"):
        parse_evidence(b" " * size)


def test_evidence_is_known_by_the_digest_of_its_bytes() -> None:
    evidence = parse_evidence(EVIDENCE)

    assert evidence.digest == sha256(EVIDENCE).hexdigest() == GOOD_NODE.digest
    assert evidence.encoded == EVIDENCE
    assert "eyJ" not in repr(evidence)


GOOD_NODE = Draft(encoded=lambda _: EVIDENCE).verify()


@given(
    eat=st.text(max_size=40),
    ak=st.dictionaries(st.text(max_size=4), st.text(max_size=4), max_size=4),
    x5c=st.lists(st.binary(max_size=20), max_size=3),
)
def test_what_was_made_is_read_back_as_it_was(eat: str, ak: dict[str, str], x5c: list[bytes]) -> None:
    made = make_evidence(eat, ak, "software-dev", x5c)

    assert parse_evidence(made.encoded) == made
    assert (made.eat, made.ak, made.x5c) == (eat, ak, tuple(x5c))
    assert parse_directory(make_directory([made.encoded] * 2)) == (made.encoded, made.encoded)


@given(st.binary(max_size=40))
def test_base64url_has_one_spelling(data: bytes) -> None:
    assert from_base64url(to_base64url(data)) == data


@pytest.mark.parametrize("text", ["QQ==", "QR", "Q", "Q+", "é", "Q\n", "\udc80"])
def test_other_spellings_of_base64url_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        from_base64url(text)


@pytest.mark.parametrize("text", ["QQ", "QR==", "Q Q=", "é"])
def test_other_spellings_of_base64_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        from_base64(text)


@pytest.mark.parametrize(
    ("directory", "words"),
    [
        pytest.param(b'{"nodes":[],"v":1}', "names no node", id="empty"),
        pytest.param(b"", "no JSON", id="nothing"),
        pytest.param(b" " * 5_000_000, "longer than", id="5 MB"),
        pytest.param(canonical({"v": 1, "nodes": [1] * 10_000}), "more than 200", id="10,000 nodes"),
        pytest.param(canonical({"v": 1, "nodes": [1] * 201}), "more than 200", id="201 nodes"),
        pytest.param(b'{"nodes":{},"v":1}', "shape", id="nodes that are no list"),
        pytest.param(b'{"nodes":[{}],"v":2}', "shape", id="an unknown version"),
        pytest.param(b'{"nodes":[{}],"v":1,"next":"/2"}', "shape", id="a member more"),
        pytest.param(b'{"nodes":[{}],"nodes":[{}],"v":1}', "readings", id="a name twice"),
        pytest.param(b'{"nodes":[{"v":1,"v":1}],"v":1}', "readings", id="a name twice in a node"),
        pytest.param(b"[" * 4_000_000, "readings", id="too deep"),
        pytest.param(b'{"nodes":[{"more":1e999}],"v":1}', "readings", id="a number beyond JSON"),
        pytest.param(b"<html>502</html>", "no JSON", id="a page"),
    ],
)
def test_a_directory_of_another_form_is_refused_as_a_whole(directory: bytes, words: str) -> None:
    with pytest.raises(EvidenceRefused, match=words) as caught:
        verify_directory(directory, REFERENCE, VERIFIERS, min_tier="apple-mda", model=None, now=1.0)

    assert caught.value.check == "form"
