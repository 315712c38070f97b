"""Each attack on a proof, through the provider and over a wire that is listened to.

It is refused for its own reason, and no byte of the prompt has left. The evidence is that of Macs: chains of Apple's
shape under an Apple of the tests, and every other part as it should be.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, hmac
from providers.house.tests.attestation.support import (
    APPLE,
    BOOT,
    DAY,
    DEVICE,
    DIGEST,
    FRESH,
    GOOD,
    KEXTS,
    NOW,
    RELEASE,
    SERIAL,
    SIP,
    Authority,
    Draft,
    Key,
    base64url,
    canonical,
    certificate,
    der,
    freshness,
    jwk,
    key_config,
    new_key,
    spki,
    with_claims,
    with_values,
)
from providers.house.tests.client.recording import Recorder
from providers.house.tests.client.support import Asked, Client

from ringfence.errors import AttestationFailed, ConnectFailed
from ringfence.provider import ProviderContext
from ringfence.recipient import Recipient
from ringfence_house.attestation.apple import AppleMda
from ringfence_house.attestation.development import SoftwareDev
from ringfence_house.attestation.endorsement import EndorsementVerifier
from ringfence_house.attestation.trust import Trust
from ringfence_house.client import house as house_module
from ringfence_house.client.house import House
from ringfence_house.testing import HouseServer
from ringfence_house.testing.fleet import Fleet

SECOND, WITHDRAWN = "C02TEST00002", "C02TEST00003"
LOOKALIKE = Authority()
"""Another root under the name of the first; and that of the development of this house."""
OTHER = new_key()
CONFIG = key_config()
_NOW = int(NOW)
_HOUR = 3600


def _verifiers(trust: Trust) -> tuple[EndorsementVerifier, ...]:
    """As they are, but for the Apple of the tests."""
    return SoftwareDev(trust.development_ca), AppleMda(APPLE.root)


def _unsafe(_: int) -> None:
    """No test here cuts the power."""


def _made(recipient: Recipient, context: ProviderContext) -> House:
    return House(recipient, context, clock=lambda: NOW)


@pytest.fixture(scope="module")
def macs(tmp_path_factory: pytest.TempPathFactory) -> Generator[HouseServer]:
    """A house whose repository lists the Mac of the tests, and what is not to be used."""
    folder: Path = tmp_path_factory.mktemp("macs")
    releases = [
        RELEASE,
        replace(RELEASE, id="withdrawn"),
        replace(RELEASE, id="too-early", not_before=_NOW + 61),
        replace(RELEASE, id="over", not_after=_NOW),
        replace(RELEASE, id="newer-system", min_os="15.1.1"),
    ]
    fleet = Fleet(folder / "fleet", machines=0, releases=releases, now=NOW)
    fleet.repository.revoke_release("withdrawn")
    for device in (DEVICE, replace(DEVICE, serial=SECOND, ueid="u2"), replace(DEVICE, serial=WITHDRAWN, ueid="u3")):
        fleet.repository.add_device(device)
    fleet.repository.revoke_device(WITHDRAWN)
    fleet.repository.publish(NOW)
    with pytest.MonkeyPatch.context() as patched, HouseServer(fleet=fleet) as server:
        patched.setenv("RINGFENCE_STATE_DIR", str(folder / "state"))
        patched.setattr(Trust, "verifiers", _verifiers)
        patched.setattr(house_module, "make", _made)
        patched.setattr(os, "fsync", _unsafe)
        yield server


async def asked_for(macs: HouseServer, directory: bytes, **fields: Any) -> tuple[Asked, Recorder]:
    """What comes of a request where the directory says this, and what was sent for it."""
    macs.script.directory = lambda fleet: directory
    macs.received.clear()
    how: dict[str, Any] = {"min_tier": "apple-mda", **fields}
    async with Recorder(macs.url) as wire, Client(macs, directory=wire.url, **how) as client:
        return await client.ask(), wire


def directory_of(*drafts: Draft) -> bytes:
    return b'{"nodes":[%b],"v":1}' % b",".join(draft.evidence() for draft in drafts)


def _runs(**what: str) -> Draft:
    return with_claims(
        rf_release={"id": RELEASE.id, **{part: DIGEST[part] for part in DIGEST if part != "other"}, **what}
    )


def _header(**members: object) -> bytes:
    return canonical({"alg": "ES256", "typ": "eat+jwt", **members})


def _mac(key: Key, data: bytes) -> bytes:
    """HS256 with what everybody knows of the key."""
    made = hmac.HMAC(spki(key), hashes.SHA256())
    made.update(data)
    return made.finalize()


def _exchanged(token: str) -> str:
    """The token as it was signed, with the key of an attacker in its claims."""
    header, _, signature = token.split(".")
    return f"{header}.{base64url(canonical({**GOOD.good_claims(), 'rf_ohttp': base64url(key_config())}))}.{signature}"


def _chain(make: Callable[[Mapping[str, bytes]], Sequence[bytes]]) -> Draft:
    return Draft(x5c=make)


def _leaf_as_issuer(values: Mapping[str, bytes]) -> Sequence[bytes]:
    """A genuine device of the house that issues to another."""
    key = new_key()
    leaf = certificate("device", key, APPLE.ISSUER, APPLE.issuer_key, ca=False, values=values)
    return der(certificate("forged", new_key(), "device", key, ca=False, values=values)), der(leaf)


CASES: dict[str, tuple[Draft, str]] = {
    # The release.
    "measurement not in the list": (_runs(code=DIGEST["other"]), "something else"),
    "weights not in the list": (_runs(model=DIGEST["other"]), "something else"),
    "configuration not in the list": (_runs(config=DIGEST["other"]), "something else"),
    "release unknown": (_runs(id="unheard-of"), "not in the list"),
    "release revoked": (_runs(id="withdrawn"), "revoked"),
    "release not yet valid": (_runs(id="too-early"), "not allowed yet"),
    "release no longer valid": (_runs(id="over"), "or no more"),
    "os too old": (_runs(id="newer-system"), "needs macOS 15.1.1"),
    # The token's times.
    "expired": (with_claims(iat=_NOW - _HOUR, nbf=_NOW - _HOUR, exp=_NOW), "has expired"),
    "from the future": (with_claims(iat=_NOW + 61, nbf=_NOW + 61, exp=_NOW + _HOUR), "from the future"),
    "longer than an hour": (with_claims(exp=_NOW + _HOUR + 1), "longer than an hour"),
    # The binding.
    "key swapped": (Draft(jwk=jwk(OTHER)), "another attestation key"),
    "key swapped, and signs": (Draft(ak=OTHER, endorsed=GOOD.ak), "another attestation key"),
    "key config swapped after signing": (Draft(token=_exchanged), "not signed by"),
    "freshness of another key": (Draft(endorsed=OTHER), "another attestation key"),
    "freshness absent": (with_values(fresh=None), "freshness is absent"),
    "freshness of 31 bytes": (with_values(fresh=freshness(GOOD.ak)[:31]), "not 32 raw bytes"),
    "freshness wrapped in DER": (with_values(fresh=b"\x04\x20" + freshness(GOOD.ak)), "not 32 raw bytes"),
    "freshness with a byte behind it": (with_values(fresh=freshness(GOOD.ak) + b"\0"), "not 32 raw bytes"),
    # The chain.
    "another root of the same name": (
        _chain(lambda values: (LOOKALIKE.leaf(values), der(LOOKALIKE.issuer))),
        "no valid path",
    ),
    "leaf as an authority": (_chain(_leaf_as_issuer), "no valid path"),
    "leaf that is an authority": (_chain(lambda values: (APPLE.leaf(values, ca=True), der(APPLE.issuer))), "no valid"),
    "extra certificate": (
        _chain(lambda values: (APPLE.leaf(values), der(APPLE.issuer), der(APPLE.root))),
        "two certificates",
    ),
    "missing intermediate": (_chain(lambda values: (APPLE.leaf(values),)), "two certificates"),
    "leaf expired": (Draft(leaf={"end": NOW - 1}), "no valid path"),
    "posture over 8 days": (Draft(leaf={"start": NOW - 8 * DAY, "end": NOW + DAY}), "more than 8 days"),
    # The posture.
    "sip 1": (with_values(sip=b"\x02\x01\x01"), "system integrity"),
    "sip BOOLEAN FALSE": (with_values(sip=b"\x01\x01\x00"), "system integrity"),
    "sip BOOLEAN TRUE": (with_values(sip=b"\x01\x01\xff"), "system integrity"),
    "sip blank": (with_values(sip=b""), "system integrity"),
    "sip absent": (with_values(sip=None), "system integrity"),
    "sip duplicated": (
        _chain(lambda values: (APPLE.leaf_that_says_twice(values, SIP, values[SIP]), der(APPLE.issuer))),
        "certificates|twice",
    ),
    "boot policy duplicated": (
        _chain(lambda values: (APPLE.leaf_that_says_twice(values, BOOT, b"Reduced Security"), der(APPLE.issuer))),
        "certificates|twice",
    ),
    "freshness duplicated": (
        _chain(lambda values: (APPLE.leaf_that_says_twice(values, FRESH, bytes(32)), der(APPLE.issuer))),
        "certificates|twice",
    ),
    "Reduced Security": (with_values(boot=b"Reduced Security"), "boot policy"),
    "boot policy in the wrong case": (with_values(boot=b"full security"), "boot policy"),
    "boot policy with a trailing NUL": (with_values(boot=b"Full Security\0"), "boot policy"),
    "boot policy blank": (with_values(boot=b""), "boot policy"),
    "boot policy absent": (with_values(boot=None), "boot policy"),
    "kext 1": (with_values(kexts=b"\x02\x01\x01"), "kernel extensions"),
    "kext BOOLEAN": (with_values(kexts=b"\x01\x01\x00"), "kernel extensions"),
    "kext absent": (with_values(kexts=None), "kernel extensions"),
    "kext duplicated": (
        _chain(lambda values: (APPLE.leaf_that_says_twice(values, KEXTS, values[KEXTS]), der(APPLE.issuer))),
        "certificates|twice",
    ),
    # The fleet.
    "serial unknown": (with_values(serial=b"C02STRANGE01"), "not in the inventory"),
    "serial revoked": (with_values(serial=WITHDRAWN.encode()), "device was revoked"),
    "serial of another machine": (with_values(serial=SECOND.encode()), "another ueid"),
    # The form.
    "unknown type": (Draft(type="apple-trust-me"), "not known here"),
    "a type that is not verified": (Draft(type="apple-mda+appattest"), "nothing here to verify"),
    "unknown version": (Draft(document=lambda d: {**d, "v": 2}), "version"),
    "unknown profile": (with_claims(eat_profile="tag:ringfence,2026:house-node/2"), "profile"),
    "old profile": (with_claims(eat_profile="tag:ringfence,2026:house-node/0"), "profile"),
    "alg none": (Draft(header=_header(alg="none"), sign=lambda _key, _data: b""), "header"),
    "HS256 with the bytes of the key": (Draft(header=_header(alg="HS256"), sign=_mac), "header"),
    "unknown crit": (Draft(header=_header(crit=["exp"], exp=1)), "header"),
    "duplicate names in the token": (Draft(payload=lambda c: c.replace(b'{"', b'{"exp":1,"', 1)), "two readings"),
    # The key.
    "key config with two keys": (Draft(config=CONFIG + key_config(2)), "exactly one"),
    "key config with trailing bytes": (Draft(config=CONFIG + b"\0"), "exactly one"),
    "key config of an unknown suite": (Draft(config=CONFIG[:-1] + b"\x03"), "exactly one"),
    "key config with two suites": (Draft(config=CONFIG[:-6] + b"\0\x08" + CONFIG[-4:] * 2), "exactly one"),
    "key config with a low-order point": (Draft(config=CONFIG[:3] + bytes(32) + CONFIG[35:]), "exactly one"),
}


def _refused(asked: Asked, wire: Recorder, words: str) -> None:
    assert isinstance(asked.error, AttestationFailed)
    with pytest.raises(AttestationFailed, match=words):
        raise asked.error
    assert wire.nothing_left


@pytest.mark.parametrize(("draft", "words"), CASES.values(), ids=CASES)
async def test_evidence_that_does_not_hold_gets_no_byte(macs: HouseServer, draft: Draft, words: str) -> None:
    _refused(*await asked_for(macs, directory_of(draft)), f"one was refused: .*({words})")


async def test_the_same_evidence_unspoilt_gets_one_request(macs: HouseServer) -> None:
    """So it is what each case spoils that it is refused for, and the wire does show what is sent."""
    asked, wire = await asked_for(macs, directory_of(GOOD))

    assert not isinstance(asked.error, AttestationFailed)
    assert wire.asked == len(macs.received) == 1
    assert macs.received[0].headers["ringfence-node"] == GOOD.verify().kid


async def test_a_good_node_beside_each_bad_one_is_the_only_one_asked(macs: HouseServer) -> None:
    """The bad ones cost nobody the good one, and are never chosen in its place."""
    bad = [draft for draft, _ in CASES.values()]
    directory = directory_of(*bad, GOOD)
    for _ in range(3):
        await asked_for(macs, directory)
        assert [one.headers["ringfence-node"] for one in macs.received] == [GOOD.verify().kid]


DEVELOPMENT = Draft(type="software-dev")


@pytest.mark.parametrize(
    ("draft", "min_tier", "words"),
    [
        (DEVELOPMENT, "apple-mda", "software-dev, and apple-mda is asked for"),
        (DEVELOPMENT, None, "software-dev, and apple-mda is asked for"),
        (Draft(type="software-dev"), "software-dev", "no valid path"),
    ],
    ids=["not what is asked for", "nor what is asked for by default", "an Apple chain as development"],
)
async def test_a_tier_is_what_its_own_root_says(
    macs: HouseServer, draft: Draft, min_tier: str | None, words: str
) -> None:
    _refused(*await asked_for(macs, directory_of(draft), min_tier=min_tier), words)


@pytest.mark.parametrize("min_tier", ["apple-mda", "software-dev"])
async def test_a_development_chain_offered_as_apples_gets_no_byte(macs: HouseServer, min_tier: str) -> None:
    ca = macs.fleet.ca
    chain = ca.issue_leaf(spki(GOOD.ak), serial=DEVICE.serial, udid="0" * 24, os_version="15.1", now=NOW)
    genuine = Draft(x5c=lambda _: chain, type="software-dev")

    asked, wire = await asked_for(macs, directory_of(genuine), min_tier="software-dev")
    assert wire.asked == 1, asked.error

    offered = replace(genuine, type="apple-mda")
    _refused(*await asked_for(macs, directory_of(offered), min_tier=min_tier), "no valid path")


async def test_two_devices_of_one_key_are_both_refused(macs: HouseServer) -> None:
    second = replace(GOOD, values={SERIAL: SECOND.encode()}, claims={"ueid": "u2"})
    assert second.config == GOOD.config

    _refused(*await asked_for(macs, directory_of(GOOD, second)), "another device offers the same key")


async def test_of_fewer_machines_than_there_have_to_be_none_is_asked(macs: HouseServer) -> None:
    """Two keys of one machine are one machine."""
    directory = directory_of(GOOD, Draft())

    _refused(*await asked_for(macs, directory, options={"min_nodes": 2}), "1 verified machine of the 2")


DIRECTORIES: dict[str, tuple[bytes, str]] = {
    "empty": (b'{"nodes":[],"v":1}', "names no node"),
    "10,000 nodes": (canonical({"v": 1, "nodes": [1] * 10_000}), "more than 200"),
    "201 nodes, the good one among them": (directory_of(GOOD).replace(b"],", b",1" * 200 + b"],"), "more than 200"),
    "duplicate names": (directory_of(GOOD).replace(b'"v":1}', b'"v":1,"v":1}'), "two readings"),
    "another version": (directory_of(GOOD).removesuffix(b"1}") + b"2}", "shape"),
}


@pytest.mark.parametrize(("directory", "words"), DIRECTORIES.values(), ids=DIRECTORIES)
async def test_a_directory_of_another_form_gets_no_byte(macs: HouseServer, directory: bytes, words: str) -> None:
    _refused(*await asked_for(macs, directory), words)


async def test_a_directory_of_5_mb_is_not_read_to_its_end(macs: HouseServer) -> None:
    asked, wire = await asked_for(macs, directory_of(GOOD) + b" " * 5_000_000)

    assert isinstance(asked.error, ConnectFailed)
    assert "longer than" in str(asked.error)
    assert wire.nothing_left
