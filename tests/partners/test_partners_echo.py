"""The double that echoes: a pseudonym goes out, comes back in pieces, and the app reads the value again."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest
from tests.partners.support import APIS, DEVICE, KEYS, ONCE, Api, at, backend

from ringfence import AsyncAssistant
from ringfence.policy import read_policy
from ringfence.response import TextDelta
from ringfence.testing import PartnerServer, ScriptedProvider

ANNA = "anna@example.com"
POLICY = """
version: 1
name: echoed
recipients:
  first: {first}
  near: {near}
labels: {{public: {{}}, contact: {{detect: [email]}}, unclassified: {{}}}}
unknown: unclassified
clean: public
flow:
  - {{id: device, allow: {{labels: "*", to: [device]}}}}
  - {{id: partner, allow: {{labels: [public], to: [partner]}}, consent: ask}}
  - {{id: pseudonym, allow: {{labels: [contact], to: [partner]}}, redact: pseudonym, consent: ask}}
route:
  - {{id: only, prefer: [first]}}
"""


@pytest.fixture(scope="module")
def echo() -> Iterator[PartnerServer]:
    with PartnerServer(echo=True) as server:
        yield server


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, key in KEYS.items():
        monkeypatch.setenv(name, key)


def assistant(api: Api, server: PartnerServer) -> AsyncAssistant:
    return AsyncAssistant(
        read_policy(POLICY.format(first=at(api, server), near=DEVICE)),
        providers={"scripted": ScriptedProvider()},
        audit=False,
        consent=lambda _: True,
        retry=ONCE,
    )


@pytest.mark.parametrize("api", APIS)
async def test_the_wire_holds_a_placeholder_and_the_answer_the_address(api: Api, echo: PartnerServer) -> None:
    backend(api, echo).play()
    async with assistant(api, echo) as it:
        stream = it.stream(f"Please greet {ANNA}.")
        texts = [event.text async for event in stream if isinstance(event, TextDelta)]
        whole = await it.respond(f"Please greet {ANNA}.")
    assert "".join(texts) == whole.text == f"I was asked: Please greet {ANNA}."
    assert len(texts) > 2
    bodies = [one.body.decode() for one in backend(api, echo).seen()]
    assert len(bodies) == 2
    assert all("[EMAIL-1-" in body and ANNA not in body for body in bodies)


@pytest.mark.parametrize("api", APIS)
async def test_the_last_turn_of_the_user_is_echoed(api: Api, echo: PartnerServer) -> None:
    backend(api, echo).play()
    async with assistant(api, echo) as it:
        session = it.session()
        assert (await session.respond("One")).text == "I was asked: One"
        assert (await session.respond("Two")).text == "I was asked: Two"


def test_the_command_beside_it_is_answered_with_what_it_asked() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    asks = (
        "import urllib.request as u\n"
        f'ask = u.Request(\'http://127.0.0.1:{port}/v1/responses\', b\'{{"model":"m","input":"Hello?"}}\',\n'
        "    {'content-type': 'application/json', 'authorization': 'Bearer k'})\n"
        "print(u.urlopen(ask).read().decode())"
    )
    command = [sys.executable, "-m", "ringfence.testing.partners", "--port", str(port), "--echo"]
    done = subprocess.run(
        [*command, "--", sys.executable, "-c", asks], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["output"][0]["content"][0]["text"] == "I was asked: Hello?"
