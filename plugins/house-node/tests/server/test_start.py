"""Each start of a node has a key of its own, which nothing outlives: a machine whose protection is lowered restarts."""

from __future__ import annotations

from base64 import b64encode, urlsafe_b64encode
from pathlib import Path

from support import served

from ringfence_house.attestation.claims import Claims, read_claims
from ringfence_house.attestation.token import open_token, public_key
from ringfence_house.protocol import names
from ringfence_house_node.server.keys import NodeKey
from ringfence_house_node.server.limits import Limits


def claims(key: NodeKey) -> dict[str, object]:
    return open_token(key.evidence.eat, public_key(key.evidence.ak))


def contents(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in folder.rglob("*") if path.is_file()]


async def test_every_start_has_another_key_and_another_name_for_itself(tmp_path: Path) -> None:
    keys: list[NodeKey] = []
    for _ in range(2):
        async with served(tmp_path) as house:
            keys += house.node.ring.alive
    first, second = keys
    assert first.evidence.ak == second.evidence.ak
    assert first.config.public != second.config.public
    assert claims(first)["rf_boot"] != claims(second)["rf_boot"]


async def test_what_was_sealed_before_a_start_opens_no_more(tmp_path: Path) -> None:
    async with served(tmp_path) as house:
        sealed = house.seal()
    async with served(tmp_path) as house:
        response = await house.post(sealed.body, ringfence_node=None)
        assert (response.status_code, response.json()["type"]) == (400, names.KEY_PROBLEM)


async def test_no_file_holds_the_key_of_a_node(tmp_path: Path) -> None:
    async with served(tmp_path) as house:
        house.node.ring.rotate()
        assert (await house.ask()).whole
        secrets = [key.private.kem_key.to_private_bytes() for key in house.node.ring.alive]
        files = contents(tmp_path)
    assert len(secrets) == 2
    assert files, "nothing was kept at all, so nothing was looked at"
    spellings = [
        spelt
        for one in secrets
        for spelt in (one, one.hex().encode(), b64encode(one)[:-4], urlsafe_b64encode(one)[:-4])
    ]
    assert not any(spelt in file for spelt in spellings for file in files)


async def test_a_key_lives_an_hour_and_is_accepted_for_five_minutes_more(tmp_path: Path) -> None:
    async with served(tmp_path, limits=Limits()) as house:
        (key,) = house.node.ring.alive
        told: Claims = read_claims(claims(key), key.begins.unix_s, None)
    assert key.ends.unix_s - key.begins.unix_s == 3600
    assert key.accepted_until.unix_s - key.ends.unix_s == 300
    assert told.expires_at - told.issued_at <= 3600
