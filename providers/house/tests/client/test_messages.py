"""What a person is told where a house cannot be used: what is the matter, and what to do about it."""

from __future__ import annotations

import asyncio
import json
import shlex
import socket
from contextlib import AsyncExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner
from providers.house.tests.client.support import PROMPT, TEXT, WORDS, Client, ask, nothing_left, refusing, saying, whole
from providers.house.tests.tls import serving_no_tls, serving_tls

from ringfence.cli.root import root
from ringfence.errors import (
    AttestationFailed,
    AuthenticationFailed,
    ConnectFailed,
    Overloaded,
    ProviderError,
    RingfenceError,
    StreamBroken,
)
from ringfence.recipient import Secret
from ringfence_house.attestation.trust import make_trust
from ringfence_house.client.looking import not_served
from ringfence_house.errors import ASK_AGAIN
from ringfence_house.releases.repository import Repository
from ringfence_house.testing import RESET, HouseServer, Outside
from ringfence_house.testing.fleet import release

NETWORK = "check the network, and directory: scheme, host and port"


def told(error: RingfenceError | None) -> tuple[str, str | None]:
    assert error is not None
    assert PROMPT not in str(error)
    return error.message, error.way_out


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize(
    ("status", "sentence", "way_out"),
    [
        (
            503,
            "the house has no node that is ready yet, or it is draining (HTTP 503)",
            "try again in a moment; the node says when it is served",
        ),
        (404, "a file that every house has is not at that address (HTTP 404)", "check directory: its path"),
        (302, "the directory of the house answered HTTP 302, a redirect", "check directory: give the final address"),
        (500, "the directory of the house answered HTTP 500", "check directory: what answers there"),
    ],
)
async def test_what_the_directory_answers_is_told(  # noqa: PLR0917  (a table)
    house: HouseServer, monkeypatch: pytest.MonkeyPatch, status: int, sentence: str, way_out: str, first: bool
) -> None:
    """Whether or not the list of releases was read before."""
    honest = house._public  # pyright: ignore[reportPrivateUsage]

    def answer(request: Any) -> Outside | Any:
        return honest(request) if not first and "/releases/" in request.path else Outside(status=status, body=b"canary")

    monkeypatch.setattr(house, "_public", answer)
    asked = await ask(house)
    assert isinstance(asked.error, ConnectFailed)
    assert told(asked.error) == (sentence, way_out)
    assert nothing_left(house)


async def test_a_port_where_nobody_listens_is_told(house: HouseServer) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: refused, and nobody else's
        asked = await ask(house, directory=f"http://127.0.0.1:{taken.getsockname()[1]}")
    assert isinstance(asked.error, ConnectFailed)
    assert told(asked.error) == ("the house cannot be reached: no connection", NETWORK)


async def test_https_to_a_port_of_http_is_told(house: HouseServer) -> None:
    with serving_no_tls() as url:
        asked = await ask(house, directory=url)
    assert isinstance(asked.error, ConnectFailed)
    assert told(asked.error) == (
        "the house cannot be reached: no TLS connection",
        "check directory: https or http, and the port",
    )


async def test_http_to_a_port_of_https_is_told(house: HouseServer, tmp_path: Path) -> None:
    with serving_tls(tmp_path) as url:
        asked = await ask(house, directory=url.replace("https:", "http:"))
    assert isinstance(asked.error, ConnectFailed)
    assert told(asked.error)[1] == NETWORK


async def test_a_certificate_that_is_not_trusted_is_told(house: HouseServer, tmp_path: Path) -> None:
    with serving_tls(tmp_path) as url:
        asked = await ask(house, directory=url)
    assert isinstance(asked.error, ConnectFailed)
    sentence, way_out = told(asked.error)
    assert sentence == "the house cannot be reached: the server's certificate is not trusted"
    assert way_out is not None
    assert "Network(ca_file=…), or --ca-file" in way_out


async def test_a_house_that_goes_away_after_the_look_is_told_once_and_by_its_field(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RINGFENCE_STATE_DIR", str(tmp_path / "state"))
    async with AsyncExitStack() as stack:
        with HouseServer() as house:
            house.script.inside = lambda request, machine: saying(*WORDS)
            client = await stack.enter_async_context(Client(house))
            assert (await client.ask()).text == TEXT
        asked = await client.ask()
        if "connection was lost" in str(asked.error):  # on the connection that was there
            asked = await client.ask()
    assert isinstance(asked.error, ConnectFailed)
    assert told(asked.error) == ("the house cannot be reached: no connection", NETWORK)


async def test_the_models_that_are_served_are_named(house: HouseServer) -> None:
    asked = await ask(house, model="another-model")
    assert isinstance(asked.error, AttestationFailed)
    assert told(asked.error) == (
        "no verified node serves 'another-model'; served here: some-model",
        "model: some-model in the policy",
    )
    assert nothing_left(house)


async def test_of_a_node_that_was_refused_beside_another_model_it_is_said_why(house: HouseServer) -> None:
    document = json.loads(house.fleet.directory())
    document["nodes"][0]["endorsement"]["x5c"] = []
    house.script.directory = lambda fleet: json.dumps(document).encode()
    sentence, _ = told((await ask(house, model="another-model")).error)
    assert sentence.startswith("no verified node serves 'another-model'; served here: some-model; one was refused: ")


def test_of_many_models_five_are_named() -> None:
    nodes: Any = [SimpleNamespace(release=release(model=f"m{number}")) for number in range(9)]
    assert not_served("x", nodes)[0] == "no verified node serves 'x'; served here: m0, m1, m2, m3, m4"


async def test_the_trust_file_of_another_house_is_told(house: HouseServer, tmp_path: Path) -> None:
    other = Repository.create(tmp_path / "other", keys=tmp_path / "keys")
    path = tmp_path / "other.trust.json"
    path.write_bytes(make_trust(other.root_bytes(), (house.fleet.ca.root,)))
    asked = await ask(house, trust=str(path), trust_digest=None)
    assert isinstance(asked.error, AttestationFailed)
    assert told(asked.error) == (
        "the list of releases is not signed by enough of its keys",
        "is this the trust file of this house? compare it with the operator's",
    )
    assert nothing_left(house)


async def test_what_else_the_list_of_releases_is_refused_for_sends_nobody_round_in_a_circle(house: HouseServer) -> None:
    house.script.release_file = lambda path: b"{}" if path.startswith("targets/") else None
    asked = await ask(house)
    assert isinstance(asked.error, AttestationFailed)
    assert told(asked.error)[1] == "tell the operator of the house"


async def test_a_full_house_is_told(house: HouseServer) -> None:
    house.script.inside = lambda request, machine: refusing(503, **{"retry-after": "7"})
    async with Client(house) as client:
        asked = [await client.ask() for _ in range(3)][-1]
    assert isinstance(asked.error, Overloaded)
    assert told(asked.error) == ("every node of the house is full", "wait, or overflow: in the policy")
    assert asked.error.retry_after_s == 7


async def test_a_house_that_fails_although_it_is_not_full_is_not_called_full(house: HouseServer) -> None:
    house.script.inside = lambda request, machine: refusing(503)
    house.script.load = lambda machine: 0.25
    async with Client(house) as client:
        asked = [await client.ask() for _ in range(3)][-1]
    assert isinstance(asked.error, Overloaded)
    assert told(asked.error) == ("no node of the house can answer for now", "wait, or overflow: in the policy")


async def test_a_house_that_wants_a_token_is_told(house: HouseServer, monkeypatch: pytest.MonkeyPatch) -> None:
    house.script.inside = lambda request, machine: refusing(401)
    asked = await ask(house)
    assert isinstance(asked.error, AuthenticationFailed)
    assert told(asked.error) == ("this house wants a token", "secret: env:NAME beside its directory")

    monkeypatch.setenv("HOUSE_TOKEN", "canary-token")
    asked = await ask(house, secret=Secret("env:HOUSE_TOKEN"))
    assert isinstance(asked.error, AuthenticationFailed)
    assert told(asked.error) == ("the house refused the token", "check the token that secret: names")


async def test_an_answer_that_broke_says_what_to_do(house: HouseServer) -> None:
    house.script.sealed = whole(lambda pieces: pieces[:-1])
    asked = await ask(house)
    assert asked.error is not None
    assert isinstance(asked.error.__cause__, StreamBroken)
    assert asked.error.__cause__.way_out == ASK_AGAIN


async def test_what_stands_before_a_house_that_is_down_has_a_way_out(house: HouseServer) -> None:
    for outside in (Outside(status=503), RESET):
        house.script.outside = lambda machine, said=outside: said
        async with Client(house) as client:
            asked = [await client.ask() for _ in range(3)][-1]
        assert isinstance(asked.error, ProviderError)
        assert asked.error.way_out == "wait, or overflow: in the policy"


async def test_the_way_out_that_lists_every_check_works_as_it_is_typed(house: HouseServer) -> None:
    asked = await ask(house, options={"min_nodes": 4})
    sentence, way_out = told(asked.error)
    assert sentence == "3 verified machines of the 4 that have to be there"
    assert way_out is not None
    program, *words = shlex.split(way_out)
    assert (program, words[:3]) == ("ringfence", ["house", "evidence", "verify"])
    listed = await asyncio.to_thread(CliRunner().invoke, root, words)
    assert listed.exit_code == 0, listed.output
    assert "3 of 3 nodes may be used" in listed.stderr


async def test_doctor_names_the_command_before_a_house_was_asked(house: HouseServer) -> None:
    async with Client(house) as client:
        (finding,) = await client.provider.diagnose()
    assert str(finding.way_out).startswith("ringfence house evidence verify URL --trust FILE")


async def test_a_trust_file_that_is_no_root_says_which_file_is_meant(house: HouseServer, tmp_path: Path) -> None:
    path = tmp_path / "trust.json"
    path.write_text("{}")
    sentence, way_out = told((await ask(house, trust=str(path), trust_digest=None)).error)
    assert sentence == "the trust file is not a root file of releases: it holds no signed root"
    assert "the 1.root.json that 'ringfence house keys init' made" in str(way_out)
    assert nothing_left(house)


async def test_doctor_reads_the_same(house: HouseServer) -> None:
    async with Client(house, model="another-model") as client:
        await client.ask()
        (finding,) = await client.provider.diagnose()
    assert (finding.level, finding.subject) == ("fault", "recipient 'house'")
    assert finding.detail == "no verified node serves 'another-model'; served here: some-model"
    assert finding.way_out == "model: some-model in the policy"
