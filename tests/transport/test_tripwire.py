"""The tripwire: a value that was redacted never leaves, whatever a provider makes of it; nothing is connected to."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote, quote_plus

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.transport.support import REQUEST, manifest, recipient

import ringfence.grant
from ringfence.errors import GateError
from ringfence.grant import Grant
from ringfence.recipient import Recipient
from ringfence.transport import Clients
from ringfence.transport.guard import Guard, guarded_client
from ringfence.tripwire import trips

VALUE = 'zoé "b"@example.com'
FAR = recipient("http://127.0.0.1:9")


class Engine(httpx2.AsyncBaseTransport):
    """Notes what would have left."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self.sent.append(await request.aread())
        return httpx2.Response(200)


def grant(hidden: set[str], to: Recipient = FAR) -> Grant:
    mint = ringfence.grant._MINT  # pyright: ignore[reportPrivateUsage]  # tests stand in for the gate
    return Grant(mint, REQUEST, recipient=to, hidden=frozenset(hidden))


async def post(hidden: set[str], path: str = "/", **how: Any) -> list[bytes]:
    engine = Engine()
    async with guarded_client(Guard(FAR, frozenset({(b"http", b"127.0.0.1", 9)}), engine)) as client:
        with grant(hidden).spend(REQUEST):
            await client.post(f"http://127.0.0.1:9{path}", **how)
    return engine.sent


async def _streamed(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


_TRIPPING: dict[str, Any] = {
    "raw": {"content": VALUE.encode()},
    "json": {"json": {"text": f"to {VALUE}."}},
    "json in ASCII": {"content": json.dumps({"text": VALUE})},
    "json in json": {"json": {"arguments": json.dumps({"text": VALUE})}},
    "slashes escaped": {"content": json.dumps(VALUE).replace("/", "\\/")},
    "form": {"data": {"text": VALUE}},
    "multipart": {"files": {"file": ("a.txt", VALUE.encode())}, "data": {"a": "b"}},
    "header": {"headers": {"x-note": quote(VALUE)}},
    "path": {"path": f"/{quote(VALUE)}"},
    "query": {"path": f"/?q={quote_plus(VALUE)}"},
}


@pytest.mark.parametrize("how", _TRIPPING.values(), ids=_TRIPPING)
async def test_a_redacted_value_stops_the_request_before_the_network(how: dict[str, Any]) -> None:
    engine = Engine()
    path, rest = how.get("path", "/"), {name: value for name, value in how.items() if name != "path"}
    async with guarded_client(Guard(FAR, frozenset({(b"http", b"127.0.0.1", 9)}), engine)) as client:
        with (
            grant({VALUE}).spend(REQUEST),
            pytest.raises(GateError, match="recipient 'far': a redacted value is in the outgoing body") as caught,
        ):
            await client.post(f"http://127.0.0.1:9{path}", **rest)
    assert engine.sent == []
    assert "example" not in str(caught.value)


async def test_a_body_that_is_streamed_is_read_before_anything_leaves() -> None:
    half = len(VALUE.encode()) // 2
    pieces = b"to ", VALUE.encode()[:half], VALUE.encode()[half:]
    with pytest.raises(GateError, match="redacted value"):
        await post({VALUE}, content=_streamed(*pieces))
    assert await post({"another value"}, content=_streamed(*pieces)) == [b"".join(pieces)]


@pytest.mark.parametrize("hidden", [set[str](), {"abcd"}, {"another value"}], ids=["none", "short", "other"])
async def test_what_holds_no_redacted_value_leaves_unchanged(hidden: set[str]) -> None:
    assert await post(hidden, content=f"abcd {VALUE}") == [f"abcd {VALUE}".encode()]


async def test_a_large_body_is_searched_to_its_end() -> None:
    with pytest.raises(GateError, match="redacted value"):
        await post({VALUE}, content=b"x" * 1_000_000 + VALUE.encode())


async def test_the_values_are_gone_when_the_grant_is_over_and_never_shown() -> None:
    one = grant({VALUE})
    assert VALUE not in repr(one)
    one.revoke()
    assert not one.hidden


async def test_the_client_that_a_provider_gets_trips_without_a_connection() -> None:
    clients = Clients()
    client = clients.client(FAR, manifest())
    with grant({VALUE}).spend(REQUEST), pytest.raises(GateError, match="redacted value"):
        await client.post("http://127.0.0.1:9/", content=VALUE)  # a connection there would be refused otherwise
    await clients.aclose()


@given(value=st.text(min_size=5), before=st.text(), after=st.text(), ascii_only=st.booleans(), depth=st.integers(1, 3))
def test_json_of_any_depth_hides_no_value(value: str, before: str, after: str, ascii_only: bool, depth: int) -> None:
    sent = before + value + after
    for _ in range(depth):
        sent = json.dumps({"text": sent}, ensure_ascii=ascii_only)
    assert trips({value}, sent.encode())


@given(value=st.text(min_size=5), around=st.text())
def test_url_quoting_hides_no_value(value: str, around: str) -> None:
    assert trips({value}, quote(around + value).encode())
    assert trips({value}, quote_plus(around + value).encode())
