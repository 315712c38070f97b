"""Invariant 4: what a recipient publishes is read without a grant, so nothing of a request can be in the reading."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import httpx2
import pytest
from tests.transport.support import recipient

from ringfence.errors import Closed, GateError
from ringfence.transport import Clients
from ringfence.transport import making as transport_making

BASE = "https://house.example.com"
KID = "A" * 43
TO = replace(recipient(None), ring="house", directory=BASE)


class Recorder(httpx2.AsyncBaseTransport):
    """Stands where the engine does; keeps what a guard lets through."""

    def __init__(self) -> None:
        self.sent: list[httpx2.Request] = []

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self.sent.append(request)
        return httpx2.Response(200, content=b"ok")


@pytest.fixture
def behind(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    engine = Recorder()

    def make(**_: object) -> Recorder:
        return engine

    monkeypatch.setattr(transport_making, "Engine", make)
    return engine


async def _read(url: str, *, to: Any = TO, **asked: Any) -> httpx2.Response:
    clients = Clients()
    try:
        return await clients.directory(to).request(asked.pop("method", "GET"), url, **asked)
    finally:
        await clients.aclose()


@pytest.mark.parametrize(
    "path",
    [
        "/.well-known/ringfence/house/evidence",
        f"/house/v1/nodes/{KID}/evidence",
        f"/house/v1/nodes/{KID}/evidence?nonce={'n' * 22}",
        "/house/releases/metadata/timestamp.json",
        "/house/releases/targets/house-nodes.json",
    ],
)
async def test_what_is_published_is_read_without_a_grant(behind: Recorder, path: str) -> None:
    assert (await _read(BASE + path)).status_code == 200
    assert len(behind.sent) == 1


async def test_a_directory_below_a_path_publishes_below_it(behind: Recorder) -> None:
    to = replace(TO, directory=f"{BASE}/eu/")
    await _read(f"{BASE}/eu/.well-known/ringfence/house/evidence", to=to)
    with pytest.raises(GateError):
        await _read(f"{BASE}/.well-known/ringfence/house/evidence", to=to)
    assert len(behind.sent) == 1


EVIDENCE = f"{BASE}/.well-known/ringfence/house/evidence"


@pytest.mark.parametrize(
    ("url", "asked"),
    [
        pytest.param(EVIDENCE, {"method": "POST"}, id="another method"),
        pytest.param(EVIDENCE, {"method": "HEAD"}, id="a method that reads nothing"),
        pytest.param(EVIDENCE, {"content": b"my secret prompt"}, id="a body"),
        pytest.param(f"{EVIDENCE}?q=my-secret-prompt-is", {}, id="another query"),
        pytest.param(f"{EVIDENCE}?nonce=my%20secret%20prompt%20is", {}, id="a nonce that is none"),
        pytest.param(f"{EVIDENCE}?nonce={'n' * 65}", {}, id="a long nonce"),
        pytest.param(EVIDENCE, {"headers": {"x-note": "my secret prompt"}}, id="another header"),
        pytest.param(EVIDENCE, {"headers": {"authorization": "Bearer key"}}, id="a key"),
        pytest.param(f"{BASE}/house/v1/ohttp", {}, id="where requests go"),
        pytest.param(f"{BASE}/my/secret/prompt", {}, id="another path"),
        pytest.param(f"{BASE}/house/releases/targets/../../x", {}, id="a way out of the path"),
        pytest.param(f"{BASE}/house/v1/nodes/{'A' * 44}/evidence", {}, id="no id of a node"),
        pytest.param("https://evil.example.com/.well-known/ringfence/house/evidence", {}, id="another host"),
        pytest.param("http://house.example.com/.well-known/ringfence/house/evidence", {}, id="without TLS"),
    ],
)
async def test_nothing_else_is_read(behind: Recorder, url: str, asked: dict[str, Any]) -> None:
    with pytest.raises(GateError):
        await _read(url, **asked)
    assert behind.sent == []


async def test_a_recipient_without_a_directory_has_none_to_read() -> None:
    with pytest.raises(GateError, match="has no directory"):
        Clients().directory(replace(TO, directory=None))


async def test_the_device_ring_has_no_network_for_it_either() -> None:
    with pytest.raises(GateError, match="no network"):
        Clients().directory(replace(TO, ring="device"))


async def test_it_is_the_same_client_until_the_recipient_changes(behind: Recorder) -> None:
    clients = Clients()
    first = clients.directory(TO)
    assert clients.directory(TO) is first
    assert clients.directory(replace(TO, directory=f"{BASE}/other")) is not first
    await clients.aclose()
    with pytest.raises(Closed):
        clients.directory(TO)
    assert behind.sent == []


async def test_requests_of_a_recipient_with_a_directory_still_need_a_grant(behind: Recorder) -> None:
    from tests.transport.support import manifest

    clients = Clients()
    with pytest.raises(GateError, match="without a grant"):
        await clients.client(TO, manifest()).post(f"{BASE}/house/v1/ohttp", content=b"sealed")
    await clients.aclose()
    assert behind.sent == []
