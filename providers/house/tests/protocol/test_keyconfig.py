"""Key configurations: one key, one suite, one spelling."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from hashlib import sha256

import pytest
from providers.house.tests.protocol.support import CONFIG, KEY, LOW_ORDER, vectors

from ringfence_house.protocol.faults import ProtocolFault
from ringfence_house.protocol.hpke import private_key
from ringfence_house.protocol.keyconfig import make_key_config, parse_key_config

GOOD = CONFIG.encoded


@pytest.mark.parametrize("public", [KEY.public, b"\x09" + bytes(31)], ids=["made", "the base point"])
def test_a_configuration_is_read_as_it_was_written(public: bytes) -> None:
    config = make_key_config(0xFF, public)
    assert parse_key_config(config.encoded) == config
    assert (config.key_id, config.public) == (0xFF, public)


@pytest.mark.parametrize("name", ["rfc9458-appendix-a.json", "chunked-ohttp-08-appendix-a.json"])
def test_the_configurations_of_the_standards_offer_a_second_suite_and_ours_does_not(name: str) -> None:
    vector = vectors(name)
    theirs = bytes.fromhex(vector["key_config"])
    with pytest.raises(ProtocolFault):
        parse_key_config(theirs)
    ours = theirs[:-10] + bytes.fromhex("000400010001")
    config = parse_key_config(ours)
    assert config.key_id == vector["key_id"]
    assert config.public == private_key(bytes.fromhex(vector["skR"])).public
    assert config.header == bytes.fromhex(vector["encapsulated_request"])[:7]


def test_the_kid_is_the_digest_of_the_configuration() -> None:
    assert CONFIG.kid == urlsafe_b64encode(sha256(GOOD).digest()).decode().rstrip("=")
    assert len(CONFIG.kid) == 43


@pytest.mark.parametrize("end", range(len(GOOD)))
def test_a_configuration_cut_short_is_refused(end: int) -> None:
    with pytest.raises(ProtocolFault):
        parse_key_config(GOOD[:end])


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(GOOD + b"\0", id="trailing byte"),
        pytest.param(GOOD + GOOD, id="two keys"),
        pytest.param(len(GOOD).to_bytes(2, "big") + GOOD, id="in a list"),
        pytest.param(GOOD[:1] + b"\x00\x10" + GOOD[3:], id="another KEM"),
        pytest.param(GOOD[:-4] + b"\x00\x03\x00\x01", id="another KDF"),
        pytest.param(GOOD[:-4] + b"\x00\x01\x00\x03", id="another AEAD"),
        pytest.param(GOOD[:-4] + b"\x00\x01\xff\xff", id="export only"),
        pytest.param(GOOD[:-6] + b"\x00\x08" + GOOD[-4:] * 2, id="a suite twice"),
        pytest.param(GOOD[:-6] + b"\x00\x00", id="no suite"),
        pytest.param(GOOD[:-6] + b"\x00\x08" + GOOD[-4:], id="wrong length of suites"),
        *(pytest.param(GOOD[:3] + point + GOOD[-6:], id=f"low order {point.hex()[:4]}") for point in LOW_ORDER),
    ],
)
def test_anything_but_one_key_with_the_one_suite_is_refused(data: bytes) -> None:
    with pytest.raises(ProtocolFault):
        parse_key_config(data)


@pytest.mark.parametrize(
    ("key_id", "public"), [(-1, KEY.public), (256, KEY.public), (1, KEY.public[:-1])], ids=["-1", "256", "31 bytes"]
)
def test_no_configuration_is_made_that_could_not_be_read(key_id: int, public: bytes) -> None:
    with pytest.raises(ProtocolFault):
        make_key_config(key_id, public)
