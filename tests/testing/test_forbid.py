"""With real requests forbidden, none leaves the machine; the double on loopback still answers."""

from __future__ import annotations

import os

import pytest

from ringfence.errors import GateError
from ringfence.grant import _MINT, Grant  # pyright: ignore[reportPrivateUsage]  (a test stands in for the gate)
from ringfence.provider import Manifest
from ringfence.recipient import Recipient
from ringfence.request import Message, Request, TextPart
from ringfence.testing import PartnerServer, forbid_real_requests
from ringfence.testing.forbid import VARIABLE
from ringfence.transport import Clients

MANIFEST = Manifest(name="p", interface=1, summary="", capabilities=frozenset())


async def attempt(url: str) -> int:
    """One real request, the way a provider makes it; the status of the answer."""
    recipient = Recipient(name="far", ring="partner", provider="p", model="m", url=url)
    request = Request(messages=(Message("user", (TextPart("x"),)),))
    clients = Clients()
    try:
        client = clients.client(recipient, MANIFEST)
        with Grant(_MINT, request, recipient=recipient).spend(request):
            return (await client.get(f"{url}/models", headers={"authorization": "Bearer k"})).status_code
    finally:
        await clients.aclose()


async def test_a_request_beyond_this_machine_is_refused() -> None:
    # The address is reserved for documentation (RFC 5737): were the guard to fail, nobody would be reached.
    with forbid_real_requests(), pytest.raises(GateError, match=f"{VARIABLE}=1 forbids"):
        await attempt("http://192.0.2.1:9")


async def test_loopback_stays_within_reach(server: PartnerServer) -> None:
    with forbid_real_requests():
        assert await attempt(server.url) == 200


@pytest.mark.parametrize("before", [None, "0", "1"])
def test_what_held_before_holds_again(monkeypatch: pytest.MonkeyPatch, before: str | None) -> None:
    if before is None:
        monkeypatch.delenv(VARIABLE, raising=False)
    else:
        monkeypatch.setenv(VARIABLE, before)
    with forbid_real_requests():
        with forbid_real_requests():
            assert os.environ[VARIABLE] == "1"
        assert os.environ[VARIABLE] == "1"
    assert os.environ.get(VARIABLE) == before


def test_start_holds_until_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    forbidden = forbid_real_requests()
    forbidden.start()
    assert os.environ[VARIABLE] == "1"
    forbidden.stop()
    assert VARIABLE not in os.environ
