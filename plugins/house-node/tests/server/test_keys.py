"""Keys and what the node says of them: rotation, grace, evidence for everybody and with a nonce."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
from support import RELEASE, Gate, House, Inner, ScriptedService, opened, served, until

from ringfence.errors import Unavailable
from ringfence_house.attestation.claims import read_claims
from ringfence_house.attestation.evidence import parse_directory, parse_evidence
from ringfence_house.protocol import names
from ringfence_house_node.attestors.development import DevelopmentAttestor
from ringfence_house_node.server.keys import KeyRing
from ringfence_house_node.server.limits import Limits


class Clock:
    """Unix time that a test moves."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


async def directory(house: House) -> bytes:
    return (await house.http.get(house.url + names.EVIDENCE_PATH)).content


async def test_everybody_gets_the_same_evidence_until_the_next_key(house: House) -> None:
    first, second = await directory(house), await directory(house)
    house.node.ring.rotate()
    third = await directory(house)

    assert first == second != third
    assert [parse_evidence(each).digest for each in parse_directory(third)] == [
        house.node.ring.current.evidence.digest  # type: ignore[union-attr]
    ]


async def test_a_request_for_the_key_before_is_answered_until_its_grace_is_over(tmp_path: Path) -> None:
    clock = Clock()
    limits = Limits(key_life_s=100, key_grace_s=10)
    async with served(tmp_path, limits=limits, clock=clock) as house:
        early, late = house.seal(), house.seal()
        clock.ahead = 109
        house.node.ring.rotate()
        accepted = opened(await house.post(early.body), early.opener)
        clock.ahead = 111
        refused = await house.post(late.body)

    assert accepted.whole
    assert (refused.status_code, refused.json()["type"]) == (400, names.KEY_PROBLEM)


async def test_evidence_of_the_key_before_still_counts_for_that_key_only(house: House) -> None:
    old = house.node.ring.current
    assert old is not None
    fields = house.fields()
    house.node.ring.rotate()

    assert (await house.ask(fields=fields, config=old.config)).status == 200
    assert (await house.ask(fields=fields)).code == "evidence_stale"


async def test_keys_rotate_by_themselves_under_load_and_nobody_notices(tmp_path: Path) -> None:
    # Half a life is what a busy machine may stand still before a key ends without a new one.
    async with served(tmp_path, limits=Limits(key_life_s=3, key_grace_s=60)) as house:
        keeping = asyncio.create_task(house.node.ring.keep())
        answers: list[Inner] = []
        while house.node.ring.rotations < 3:
            answers.append(await house.ask())
        keeping.cancel()
        alive, rotations = await house.metric("ringfence_node_keys "), house.node.ring.rotations

    assert all(inner.whole and inner.status == 200 for inner in answers)
    assert len(answers) >= 3
    assert alive <= rotations + 1


async def test_a_node_whose_key_ended_without_a_new_one_takes_nothing(tmp_path: Path) -> None:
    clock = Clock()
    async with served(tmp_path, limits=Limits(key_life_s=100), clock=clock) as house:
        sealed = house.seal()
        clock.ahead = 101
        response = await house.post(sealed.body, ringfence_node=None)
        ready = await house.http.get(house.admin_url + "/readyz")

        assert (await house.http.get(house.url + names.EVIDENCE_PATH)).status_code == 503
    assert (response.status_code, response.headers["retry-after"]) == (503, "1")
    assert (ready.status_code, ready.json()["obstacles"]) == (503, ["no attested key"])


async def test_a_rotation_that_fails_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: object) -> None:
        raise Unavailable("no endorsement", reason="not_configured")

    async with served(tmp_path, limits=Limits(key_life_s=1)) as house:
        monkeypatch.setattr(house.attestor, "issue", refuse)
        keeping = asyncio.create_task(house.node.ring.keep())
        await until(lambda: house.node.ring.current is None)
        monkeypatch.undo()
        await until(lambda: house.node.ring.current is not None)
        keeping.cancel()

        assert (await house.ask()).whole


class Times:
    """Both clocks of a ring, as a test sets them."""

    def __init__(self) -> None:
        self.unix_s = time.time()
        self.monotonic_s = 1000.0

    def ring(self, folder: Path) -> KeyRing:
        attestor = DevelopmentAttestor.open(folder / "ca", folder / "ak.key", serial="DEVTEST0001", ueid="dev-ueid")
        ring = KeyRing(
            *(attestor, RELEASE),
            life_s=3600,
            grace_s=300,
            clock=lambda: self.unix_s,
            monotonic_s=lambda: self.monotonic_s,
        )
        ring.rotate()
        return ring


@pytest.mark.parametrize("step_s", [4000, -36_000], ids=["forward", "back"])
async def test_after_a_step_of_the_clock_there_is_a_new_key_within_seconds(
    tmp_path: Path, step_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    times, slept = Times(), list[float]()
    ring = times.ring(tmp_path)

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        await real(0)

    real = asyncio.sleep
    monkeypatch.setattr(asyncio, "sleep", sleep)
    keeping = asyncio.create_task(ring.keep())
    while len(slept) < 3:
        await real(0)
    assert ring.rotations == 1
    times.unix_s += step_s
    before = len(slept)
    while ring.rotations < 2:
        await real(0.001)
        assert sum(slept[before:]) < 100_000
    keeping.cancel()

    assert max(slept) <= 5
    assert ring.current is not None
    assert ring.current.begins.unix_s == times.unix_s


@pytest.mark.parametrize("back_s", [0, 36_000])
def test_a_clock_that_is_set_back_lengthens_no_key(tmp_path: Path, back_s: float) -> None:
    times = Times()
    ring = times.ring(tmp_path)
    times.unix_s -= back_s
    times.monotonic_s += 3599
    offered = ring.current
    times.monotonic_s += 2
    ended, accepted = ring.current, ring.alive
    times.monotonic_s += 300

    assert (offered is not None, ended, len(accepted), ring.alive) == (True, None, 1, ())


def test_a_machine_that_slept_offers_no_key_of_before(tmp_path: Path) -> None:
    times = Times()
    ring = times.ring(tmp_path)
    times.unix_s += 3901

    assert (ring.current, ring.alive) == (None, ())


async def test_evidence_with_a_nonce_is_made_for_who_asks(house: House) -> None:
    url = house.url + names.NODE_EVIDENCE_PATH.format(kid=house.kid)
    nonces = ["n" * 16, "m" * 64]
    found = [parse_evidence((await house.http.get(url, params={"nonce": nonce})).content) for nonce in nonces]
    plain = parse_evidence((await house.http.get(url)).content)

    key = house.node.ring.current
    assert key is not None
    assert plain == key.evidence
    for evidence, nonce in zip(found, nonces, strict=True):
        claims = read_claims(_claims(evidence.eat), time.time(), nonce)
        assert claims.key_config == key.config.encoded


def _claims(eat: str) -> dict[str, object]:
    import base64
    import json

    payload = eat.split(".")[1]
    return dict(json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))))


@pytest.mark.parametrize("nonce", ["short", "x" * 65, "no/base64url-at-all"])
async def test_a_nonce_that_is_none_is_refused(house: House, nonce: str) -> None:
    url = house.url + names.NODE_EVIDENCE_PATH.format(kid=house.kid)

    assert (await house.http.get(url, params={"nonce": nonce})).status_code == 400


async def test_nonces_are_rationed(house: House) -> None:
    url = house.url + names.NODE_EVIDENCE_PATH.format(kid=house.kid)
    statuses = [(await house.http.get(url, params={"nonce": f"{number:016d}"})).status_code for number in range(30)]

    assert statuses[0] == 200
    assert 429 in statuses


async def test_there_is_no_evidence_of_a_key_that_is_not_here(house: House) -> None:
    url = house.url + names.NODE_EVIDENCE_PATH.format(kid="A" * 43)

    assert (await house.http.get(url)).status_code == 404


async def test_neither_a_key_nor_a_ring_shows_itself(tmp_path: Path) -> None:
    async with served(tmp_path, ScriptedService(script=Gate())) as house:
        key = house.node.ring.current
        assert key is not None
        assert repr(key) == f"NodeKey({key.config.kid[:8]}…)"
        assert "PrivateKey" not in repr(house.node.ring)
