"""The server process: it says where it is, speaks robust HTTP/1.1, and never outlives who began it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from ringfence.testing import PartnerServer
from ringfence.testing.scenes import Scene

COMMAND = [sys.executable, "-m", "ringfence.testing.partners"]
PATIENCE_S = 20


def asking(body: bytes = b'{"model":"m","input":"x"}', *extra: str, framed: bytes | None = None) -> bytes:
    """One raw request."""
    length = f"content-length: {len(body)}" if framed is None else "transfer-encoding: chunked"
    lines = ["POST /v1/responses HTTP/1.1", "host: x", "authorization: Bearer k", "content-type: application/json"]
    return "\r\n".join([*lines, length, *extra, "", ""]).encode() + (body if framed is None else framed)


@asynccontextmanager
async def connection(server: PartnerServer) -> AsyncGenerator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    place = urlsplit(server.url)
    async with asyncio.timeout(PATIENCE_S):
        reader, writer = await asyncio.open_connection(place.hostname, place.port)
        try:
            yield reader, writer
        finally:
            writer.close()
            await writer.wait_closed()


async def answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """The status and body of the next whole answer."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    (length,) = [line.partition(":")[2] for line in head.split("\r\n") if line.startswith("content-length:")]
    return int(head.split(" ")[1]), await reader.readexactly(int(length))


async def test_pipelined_requests_are_answered_in_order(server: PartnerServer) -> None:
    server.play(Scene(text=("one",)), Scene(text=("two",)))
    async with connection(server) as (reader, writer):
        writer.write(asking() + asking())
        said = [await answer(reader), await answer(reader)]
    texts = [json.loads(body)["output"][0]["content"][0]["text"] for _, body in said]
    assert texts == ["one", "two"]


async def test_a_chunked_body_in_single_bytes_is_understood(server: PartnerServer) -> None:
    framed = b'7;x=y\r\n{"model\r\n12\r\n":"m","input":"x"}\r\n0\r\ntrailer: t\r\n\r\n'
    async with connection(server) as (reader, writer):
        for byte in asking(framed=framed):
            writer.write(bytes([byte]))
            await writer.drain()
        status, _ = await answer(reader)
    assert status == 200
    assert server.seen()[0].body == b'{"model":"m","input":"x"}'


async def test_expect_continue_is_answered(server: PartnerServer) -> None:
    request = asking(b'{"model":"m","input":"x"}', "expect: 100-continue")
    head, _, body = request.partition(b"\r\n\r\n")
    async with connection(server) as (reader, writer):
        writer.write(head + b"\r\n\r\n")
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(body)
        assert (await answer(reader))[0] == 200


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/1.0\r\n\r\n", 505),
        (b"POST /v1/responses HTTP/1.1\r\ncontent-length: -1\r\n\r\n", 400),
        (b"POST /v1/responses HTTP/1.1\r\ncontent-length: 999999999\r\n\r\n", 413),
        (b"POST /v1/responses HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", 400),
        (b"GET /" + b"x" * 100_000, 431),
    ],
)
async def test_bytes_that_are_no_request_end_the_connection(
    server: PartnerServer, request_bytes: bytes, status: int
) -> None:
    async with connection(server) as (reader, writer):
        writer.write(request_bytes)
        assert (await answer(reader))[0] == status
        assert await reader.read() == b""
    assert server.seen() == ()


async def test_connection_close_is_obeyed(server: PartnerServer) -> None:
    async with connection(server) as (reader, writer):
        writer.write(asking(b'{"model":"m","input":"x"}', "connection: close"))
        assert (await answer(reader))[0] == 200
        assert await reader.read() == b""


async def test_many_connections_at_once(server: PartnerServer) -> None:
    async def one() -> int:
        async with connection(server) as (reader, writer):
            writer.write(asking())
            return (await answer(reader))[0]

    assert await asyncio.gather(*(one() for _ in range(200))) == [200] * 200
    assert len(server.seen()) == 200


async def test_what_was_seen_is_the_request_as_it_came(server: PartnerServer) -> None:
    async with connection(server) as (reader, writer):
        writer.write(
            asking(b'{"model":"m","input":"\\u00e9"}', "X-Odd: Value").replace(b"/responses", b"/responses?a=b")
        )
        await answer(reader)
    (seen,) = server.seen()
    assert (seen.method, seen.path, seen.query) == ("POST", "/v1/responses", "a=b")
    assert seen.headers["x-odd"] == "Value"
    assert seen.body == b'{"model":"m","input":"\\u00e9"}'


def test_the_control_connection_is_no_route(server: PartnerServer) -> None:
    """What a client under test sends can neither play a scene nor read what others sent."""
    assert {"control", "play", "seen"}.isdisjoint(urlsplit(server.url).path.split("/"))

    async def paths() -> list[int]:
        statuses: list[int] = []
        for path in (b"/control", b"/play", b"/seen", b"/v1/seen"):
            async with connection(server) as (reader, writer):
                writer.write(asking().replace(b"/v1/responses", path))
                statuses.append((await answer(reader))[0])
        return statuses

    assert asyncio.run(paths()) == [404] * 4


def test_a_server_is_its_own_backend_for_each_api() -> None:
    with PartnerServer(api="gemini") as server:
        assert server.url == server.gemini.url
        assert server.openai.url == f"{server.url}/v1"
        server.play(Scene())
        assert server.seen() == server.gemini.seen() == ()
    with pytest.raises(RuntimeError, match="with block"):
        server.seen()


def test_a_command_that_is_none_is_an_error_and_the_next_is_obeyed() -> None:
    with PartnerServer() as server:
        with pytest.raises(RuntimeError, match="refused a command: KeyError"):
            server.control({"vendor": "nobody"})
        server.play(Scene())
        assert server.seen() == ()


def begun(*arguments: str, stdin: int | None = subprocess.DEVNULL) -> tuple[subprocess.Popen[bytes], dict[str, object]]:
    process = subprocess.Popen([*COMMAND, *arguments], stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    told: dict[str, object] = json.loads(process.stdout.readline())
    return process, told


@pytest.mark.parametrize("name", [signal.SIGTERM, signal.SIGINT])
def test_by_hand_it_prints_one_line_and_ends_with_a_signal(name: signal.Signals) -> None:
    process, told = begun("--port", "0")
    with process:
        assert told["openai"] == f"http://127.0.0.1:{told['port']}/v1"
        assert told["gemini"] == f"http://127.0.0.1:{told['port']}"
        process.send_signal(name)
        out, err = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, out, err) == (0, b"", b"")


def test_it_ends_with_its_stdin() -> None:
    process, _ = begun("--control", stdin=subprocess.PIPE)
    with process:
        out, err = process.communicate(b"", timeout=PATIENCE_S)
    assert (process.returncode, out, err) == (0, b"", b"")


def test_it_ends_with_the_process_that_began_it() -> None:
    program = (
        "import os, time\nfrom ringfence.testing import PartnerServer\n"
        "with PartnerServer() as server:\n    print(server._process.pid, flush=True)\n    time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    with parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.kill()
    assert _within(lambda: not _runs(child))


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # Nobody may collect an orphan in a container: ended is ended.
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"


def _within(holds: Callable[[], bool]) -> bool:
    end_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < end_s:
        if holds():
            return True
        time.sleep(0.02)
    return False


def test_a_command_runs_beside_the_partners_and_ends_them_with_its_exit_code() -> None:
    code = (
        "import sys, urllib.request as u\ntry: u.urlopen(sys.argv[1])\nexcept u.HTTPError as e: sys.exit(e.code // 100)"
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    beside = [sys.executable, "-m", "ringfence.testing.partners", "--port", str(port), "--"]
    done = subprocess.run(
        [*beside, sys.executable, "-c", code, f"http://127.0.0.1:{port}/v1/models"], timeout=60, check=False
    )
    assert done.returncode == 4  # it answered: no key
