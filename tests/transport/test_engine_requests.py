"""What goes out, once and as it is; what comes back; which connections are used again."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import threading
from collections.abc import AsyncIterator

import httpx2
import pytest
from tests.transport.support import REQUEST, Exchange, Out, grant_for, manifest, reaching, recipient, serving

from ringfence.errors import InvalidRequest
from ringfence.transport import Clients
from ringfence.transport.pool import IDLE_S


async def test_a_request_arrives_as_the_caller_made_it() -> None:
    async with serving() as server, reaching(server) as out:
        content = bytes(range(256)) * 5000
        response = await out.post(
            "/chat/ü%2f..%00;a=b?x=1%262&y=%C3%BC&z", content, headers={"X-Own": "va, lue", "content-type": "a/b"}
        )
        assert (response.status_code, response.content, response.http_version) == (200, b"ok", "HTTP/1.1")
    (seen,) = server.requests
    assert seen.line == b"POST /v1/chat/%C3%BC%2f..%00;a=b?x=1%262&y=%C3%BC&z HTTP/1.1"
    assert seen.body == content
    assert seen.header("content-length") == [str(len(content))]
    assert seen.header("content-type") == ["a/b"]
    assert seen.header("host") == [f"127.0.0.1:{server.port}"]
    assert seen.header("x-own") == ["va, lue"]


async def test_a_long_answer_comes_in_pieces_of_which_the_first_is_small() -> None:
    body = bytes(range(256)) * 2**13

    async def answer(exchange: Exchange) -> None:
        await exchange.answer(body)

    async with serving(answer) as server, reaching(server) as out, out.stream() as response:
        pieces = [piece async for piece in response.aiter_raw()]
    assert b"".join(pieces) == body
    assert len(pieces[0]) <= 2**16
    assert max(map(len, pieces)) > len(pieces[0])


@pytest.mark.parametrize("written", ["plain", "ü in UTF-8"])
async def test_a_field_of_the_answer_is_read_as_it_was_written(written: str) -> None:
    async def answer(exchange: Exchange) -> None:
        lines = f"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-said: {written}\r\n\r\nok"
        await exchange.send(lines.encode())

    async with serving(answer) as server, reaching(server) as out:
        assert (await out.post()).headers["x-said"] == written


async def test_nothing_is_added_but_what_http_needs() -> None:
    async with serving() as server, reaching(server) as out:
        await out.request("GET", "/models")
    (seen,) = server.requests
    names = sorted(line.partition(b":")[0].lower() for line in seen.head.split(b"\r\n")[1:] if line)
    assert names == [b"accept", b"accept-encoding", b"connection", b"host", b"user-agent"]
    assert seen.header("accept-encoding") == ["identity"]
    assert "aiohttp" not in seen.head.decode()


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"])
async def test_every_method_is_sent(method: str) -> None:
    async def answer(exchange: Exchange) -> None:
        await exchange.answer(b"" if method == "HEAD" else b"ok")

    async with serving(answer) as server, reaching(server) as out:
        assert (await out.request(method, "/x")).status_code == 200
        assert (await out.request(method, "/x")).status_code == 200
    assert [seen.line.partition(b" ")[0] for seen in server.requests] == [method.encode()] * 2
    assert server.connections == 1


async def test_a_body_in_pieces_is_sent_whole_with_its_length() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"one "
        yield b"two"

    async with serving() as server, reaching(server) as out:
        await out.request("POST", "/x", content=pieces())
        await out.request("POST", "/x", files={"file": ("a.wav", b"RIFF" * 9, "audio/wav")}, data={"model": "m"})
    assert server.requests[0].body == b"one two"
    assert not server.requests[0].header("transfer-encoding")
    assert b"RIFF" * 9 in server.requests[1].body


@pytest.mark.parametrize("field", [{"x-a": "b\r\nx-c: d"}, {"x-a": "b\nc"}])
async def test_a_header_that_would_break_the_head_is_not_sent(field: dict[str, str]) -> None:
    async with serving() as server, reaching(server) as out:
        with pytest.raises(httpx2.TransportError):
            await out.post(headers=field)
    assert not server.requests


async def test_headers_of_the_answer_are_kept_as_they_came() -> None:
    async def answer(exchange: Exchange) -> None:
        await exchange.answer(b"{}", "X-Two: a", "x-two: b", "Retry-After: 3", status="429 Slow Down")

    async with serving(answer) as server, reaching(server) as out:
        response = await out.post()
    assert response.status_code == 429
    assert response.reason_phrase == "Slow Down"
    assert response.headers.get_list("x-two") == ["a", "b"]
    assert response.headers["retry-after"] == "3"
    assert response.json() == json.loads("{}")


# ---------------------------------------------------------------- redirects, cookies, compression
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_comes_back_as_the_answer_and_nothing_is_sent_on(status: int) -> None:
    async with serving() as elsewhere:

        async def answer(exchange: Exchange) -> None:
            await exchange.answer(b"moved", f"location: {elsewhere.url}/x", status=f"{status} Moved")

        async with serving(answer) as server, reaching(server) as out:
            response = await out.post()
            assert (response.status_code, response.content) == (status, b"moved")
            assert len(server.requests) == 1
        assert elsewhere.connections == 0


async def test_a_cookie_is_neither_kept_nor_sent() -> None:
    """By name: a cookie of an address is not kept by others either."""

    async def answer(exchange: Exchange) -> None:
        await exchange.answer(b"", "set-cookie: id=1; Path=/", "set-cookie: other=2; Max-Age=999")

    async with serving(answer) as server:
        clients, to = Clients(), recipient(server.url.replace("127.0.0.1", "localhost"))
        out = Out(clients, to, clients.client(to, manifest()))
        first = await out.post()
        await out.post()
        assert not list(out.client.cookies.jar)
        await clients.aclose()
    assert len(first.headers.get_list("set-cookie")) == 2
    assert [seen.header("cookie") for seen in server.requests] == [[], []]


async def test_a_compressed_answer_is_refused_before_it_is_read() -> None:
    bomb = gzip.compress(bytes(2**24))

    async def answer(exchange: Exchange) -> None:
        await exchange.answer(bomb, "Content-Encoding: GZIP")

    async with serving(answer) as server, reaching(server) as out:
        with pytest.raises(httpx2.RemoteProtocolError, match="compressed"):
            await out.post()


async def test_an_answer_without_end_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ringfence.transport.engine.MAX_ANSWER_BYTES", 100_000)

    async def answer(exchange: Exchange) -> None:
        await exchange.begin_stream()
        while True:
            await exchange.chunk(bytes(10_000))

    async with serving(answer) as server, reaching(server) as out:
        with pytest.raises(httpx2.RemoteProtocolError, match="longer"):
            await out.post()
        await server.until_open(0)


# ---------------------------------------------------------------- connections
async def test_a_connection_is_used_again() -> None:
    async with serving() as server, reaching(server) as out:
        for _ in range(5):
            await out.post()
        assert server.connections == 1


async def test_a_connection_is_used_again_after_a_stream_that_was_read_to_its_end() -> None:
    async def answer(exchange: Exchange) -> None:
        await exchange.begin_stream()
        await exchange.chunk(b"data: 1\n\n")
        await exchange.send(b"0\r\n\r\n")

    async with serving(answer) as server, reaching(server) as out:
        for _ in range(3):
            async with out.stream() as response:
                assert b"".join([piece async for piece in response.aiter_raw()]) == b"data: 1\n\n"
        assert server.connections == 1


async def test_a_connection_of_a_half_read_answer_is_closed() -> None:
    async def answer(exchange: Exchange) -> None:
        await exchange.begin_stream()
        await exchange.chunk(b"data: 1\n\n")
        await exchange.gone()

    async with serving(answer) as server, reaching(server) as out:
        for _ in range(3):
            async with out.stream() as response:
                assert await anext(response.aiter_raw()) == b"data: 1\n\n"
            await server.until_open(0)
        assert server.connections == 3


async def _close_after_answer(exchange: Exchange) -> None:
    """A server that says it keeps the connection, and closes it."""
    await exchange.answer()
    exchange.writer.close()


async def test_a_connection_that_was_closed_while_idle_costs_no_request() -> None:
    async with serving(_close_after_answer) as server, reaching(server) as out:
        for count in range(1, 6):
            assert (await out.post()).content == b"ok"
            assert len(server.requests) == count
            await server.until_open(0)


async def test_a_connection_that_was_closed_while_the_loop_slept_costs_no_request() -> None:
    """The loop has not heard of it yet when the next request begins."""
    port: list[int] = []
    served: list[bytes] = []

    def serve() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            port.append(listening.getsockname()[1])
            ready.set()
            listening.settimeout(10)
            for _ in range(4):
                connection, _ = listening.accept()
                with connection:
                    served.append(connection.recv(65536))
                    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
                    may_close.wait(10)
                    may_close.clear()
                is_closed.set()

    ready, may_close, is_closed = threading.Event(), threading.Event(), threading.Event()
    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    ready.wait(10)
    clients, to = Clients(), recipient(f"http://127.0.0.1:{port[0]}")
    client = clients.client(to, manifest())
    for _ in range(4):
        with grant_for(to).spend(REQUEST):
            assert (await client.post(f"{to.url}/", content=b"x")).content == b"ok"
        # Between these two lines and the next request the loop does not turn once.
        may_close.set()
        is_closed.wait(10)
        is_closed.clear()
    thread.join(10)
    await clients.aclose()
    assert len(served) == 4


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "POST"])
async def test_a_request_whose_connection_breaks_unanswered_is_never_sent_twice(method: str) -> None:
    """An HTTP library may send these methods again on a new connection; a grant lets one request through."""

    async def answer(exchange: Exchange) -> None:
        if len(server.requests) == 2:
            exchange.writer.transport.abort()
        else:
            await exchange.answer()

    async with serving(answer) as server, reaching(server) as out:
        await out.request(method, "/x")
        with pytest.raises(httpx2.TransportError):
            await out.request(method, "/x")
        assert len(server.requests) == 2
        assert (await out.request(method, "/x")).status_code == 200


async def test_what_a_server_says_unasked_is_never_taken_for_an_answer() -> None:
    idle = asyncio.Event()

    async def answer(exchange: Exchange) -> None:
        await exchange.answer(b"own %d" % exchange.connection)
        await idle.wait()
        idle.clear()
        await exchange.answer(b"poison")

    async with serving(answer) as server, reaching(server) as out:
        for number in range(1, 4):
            assert (await out.post()).content == b"own %d" % number
            idle.set()
            await asyncio.sleep(0.03)


async def test_a_server_that_floods_an_idle_connection_loses_it() -> None:
    idle = asyncio.Event()

    async def answer(exchange: Exchange) -> None:
        await exchange.answer()
        await idle.wait()
        while True:
            await exchange.send(b"HTTP/1.1 204 No Content\r\n\r\n" * 1000)

    async with serving(answer) as server, reaching(server) as out:
        assert (await out.post()).content == b"ok"
        idle.set()
        # Sooner than the pool would close a connection that nobody uses.
        async with asyncio.timeout(IDLE_S / 2):
            await server.until_open(0)


async def test_two_hundred_at_once_and_half_of_them_cancelled_leave_a_pool_that_works() -> None:
    """encode/httpx#3215: the pool collapsed at 200 in flight."""
    release = asyncio.Event()

    async def answer(exchange: Exchange) -> None:
        if b"/held" in exchange.line:
            await release.wait()
        await exchange.answer(exchange.body)

    async with serving(answer) as server, reaching(server) as out:
        held = [asyncio.create_task(out.post("/held", b"%d" % number)) for number in range(200)]
        await server.until_asked(200)
        for task in held[::2]:
            task.cancel()
        results = await asyncio.gather(*held[::2], return_exceptions=True)
        assert all(isinstance(result, asyncio.CancelledError) for result in results)
        release.set()
        kept = await asyncio.gather(*held[1::2])
        assert [response.content for response in kept] == [b"%d" % number for number in range(1, 200, 2)]
        await server.until_open(100)
        # Those hundred are used again, and no other is made.
        made = server.connections
        again = await asyncio.gather(*(out.post("/now", b"%d" % number) for number in range(100)))
        assert [response.content for response in again] == [b"%d" % number for number in range(100)]
        assert server.connections == made
        await out.clients.aclose()
        await server.until_open(0)


def test_on_another_event_loop_a_client_says_so() -> None:
    async def begin() -> tuple[Clients, httpx2.AsyncClient]:
        clients = Clients()
        client = clients.client(to, manifest())
        with grant_for(to).spend(REQUEST), pytest.raises(httpx2.ConnectError):
            await client.get("http://127.0.0.1:9/")
        return clients, client

    async def go_on(clients: Clients, client: httpx2.AsyncClient) -> None:
        with grant_for(to).spend(REQUEST), pytest.raises(InvalidRequest, match="event loop"):
            await client.get("http://127.0.0.1:9/")
        await clients.aclose()

    to = recipient("http://127.0.0.1:9")
    asyncio.run(go_on(*asyncio.run(begin())))
