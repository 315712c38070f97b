"""Proofs that need a process of their own: audit events, a hostile environment, a fork, memory."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.transport import certificates
from tests.transport.support import serving

ROOT = Path(__file__).parents[2]

BEGIN = """
import asyncio, gc, json, os, ssl, sys
import httpx2
from ringfence.errors import *
from ringfence.transport import Clients, Network
from tests.transport.support import *

def say(**fields):
    print(json.dumps(fields), flush=True)
"""


async def child(script: str, *arguments: object, **environment: str) -> dict[str, Any]:
    """What `script` said last, in a process with `environment` on top of ours."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-W",
        "error",
        "-c",
        BEGIN + script,
        *map(str, arguments),
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}", **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(120):
        told, complained = await process.communicate()
    assert process.returncode == 0, complained.decode()
    found: dict[str, Any] = json.loads(told.splitlines()[-1])
    return found


AUDITED = """
events = []
sys.addaudithook(lambda event, _: events.append(event) if event in WATCHED else None)
WATCHED = {"socket.getaddrinfo", "socket.gethostbyname", "socket.connect", "socket.sendto", "socket.sendmsg"}

async def refused(to, hosts, url, *, grant=None, **fields):
    grant = grant or grant_for(to)
    clients = Clients()
    try:
        client = clients.client(to, manifest(*hosts))
        with grant.spend(REQUEST):
            await client.post(url, **fields)
    except (GateError, httpx2.InvalidURL):
        return True
    finally:
        await clients.aclose()
    return False

async def main():
    there = recipient("https://api.partner.invalid/v1")
    vendor = recipient(None)
    over = grant_for(there)
    results = [
        await refused(there, (), "https://elsewhere.invalid/"),
        await refused(there, (), "http://api.partner.invalid/"),
        await refused(there, (), "https://api.partner.invalid:8443/"),
        await refused(there, (), "https://user@api.partner.invalid/"),
        await refused(there, (), "https://api.partner.invalid./"),
        await refused(there, (), "https://api.partner.invalid/", headers={"host": "elsewhere.invalid"}),
        await refused(there, (), "https://api.partner.invalid/", extensions={"target": b"https://elsewhere.invalid/"}),
        await refused(there, (), "https://api.partner.invalid/", headers={"cookie": "a=b"}),
        await refused(there, ("api.partner.invalid",), "https://api.partner.invalid/", grant=grant_for(vendor)),
        await refused(vendor, ("api.partner.invalid",), "https://elsewhere.invalid/"),
        await refused(vendor, ("api.partner.invalid",), "http://api.partner.invalid/"),
        await refused(recipient("https://api.partner.invalid", ring="device"), (), "https://api.partner.invalid/"),
    ]
    clients = Clients()
    client = clients.client(there, manifest())
    for late in (False, True):
        try:
            if late:
                with over.spend(REQUEST):
                    over.revoke()
                    await client.post(there.url)
            await client.post(there.url)
        except GateError:
            results.append(True)
    os.environ["RINGFENCE_FORBID_NETWORK"] = "1"
    results.append(await refused(there, (), there.url))
    del os.environ["RINGFENCE_FORBID_NETWORK"]
    seen = list(events)
    # The hook does see: the same request, now allowed, looks the name up, and one to loopback connects.
    for to in (there, recipient(sys.argv[1])):
        try:
            with grant_for(to).spend(REQUEST):
                await clients.client(to, manifest()).post(to.url)
        except httpx2.ConnectError:
            pass
    await clients.aclose()
    say(refused=results, seen=seen, then=sorted(set(events)))

asyncio.run(main())
"""


async def test_a_refused_request_looks_nothing_up_and_connects_to_nothing() -> None:
    async with serving() as server:
        found = await child(AUDITED, server.url)
        assert len(server.requests) == 1
    assert found["refused"] == [True] * 15
    assert found["seen"] == []
    assert found["then"] == ["socket.connect", "socket.getaddrinfo"]


HOSTILE = """
async def ask(url, network=None):
    clients, to = Clients(network), recipient(url)
    try:
        with grant_for(to).spend(REQUEST):
            return (await clients.client(to, manifest()).post(url)).status_code
    except httpx2.TransportError as error:
        return f"{type(error).__name__}: {error}"
    finally:
        await clients.aclose()

async def main():
    plain, secure, ca_file, key_log = sys.argv[1:]
    found = {"plain": await ask(plain), "untrusted": await ask(secure)}
    found["own"] = await ask(secure, Network(ca_file=ca_file))
    found["kept"] = os.environ["SSLKEYLOGFILE"] == key_log
    found["logged"] = os.path.exists(key_log)
    # The variables do work: what Python makes by default trusts that server.
    del os.environ["SSLKEYLOGFILE"]
    port = int(secure.rpartition(":")[2].partition("/")[0])
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=ssl.create_default_context())
    writer.close()
    say(**found)

asyncio.run(main())
"""


@pytest.mark.parametrize("key_log", ["{folder}/keys", "{folder}/missing/keys"])
async def test_a_hostile_environment_is_ignored(tmp_path: Path, key_log: str) -> None:
    ca_file, context = certificates.make(tmp_path)
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1\nlogin user\npassword secret-word\n")
    netrc.chmod(0o600)
    log = key_log.format(folder=tmp_path)
    async with serving() as trap, serving() as plain, serving(context=context) as secure:
        proxies = {
            spelt: f"http://127.0.0.1:{trap.port}"
            for name in ("http_proxy", "https_proxy", "all_proxy", "ws_proxy")
            for spelt in (name, name.upper())
        }
        trust = dict.fromkeys(("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"), str(ca_file))
        others = {
            "SSL_CERT_DIR": str(tmp_path),
            "SSLKEYLOGFILE": log,
            "NETRC": str(netrc),
            "NO_PROXY": "",
            "no_proxy": "",
        }
        found = await child(HOSTILE, plain.url, secure.url, ca_file, log, **proxies, **trust, **others)
        assert trap.connections == 0
        assert [seen.header("authorization") for seen in plain.requests] == [[]]
        assert len(secure.requests) == 1
    assert found == {
        "plain": 200,
        "untrusted": "ConnectError: the server's certificate is not trusted",
        "own": 200,
        "kept": True,
        "logged": False,
    }


FORKED = """
async def ask():
    with grant_for(to).spend(REQUEST):
        return (await clients.client(to, manifest()).post(to.url)).status_code

clients, to = Clients(), recipient(sys.argv[1])
loop = asyncio.new_event_loop()
first = loop.run_until_complete(ask())
child = os.fork()
if child == 0:
    try:
        asyncio.run(ask())
    except InvalidRequest as error:
        os._exit(7 if "event loop" in str(error) else 8)
    except BaseException:
        os._exit(9)
    os._exit(10)
_, status = os.waitpid(child, 0)
second = loop.run_until_complete(ask())
loop.run_until_complete(clients.aclose())
loop.close()
say(first=first, second=second, child=os.waitstatus_to_exitcode(status))
"""


async def test_after_a_fork_the_child_is_refused_and_the_parents_connection_lives() -> None:
    async with serving() as server:
        assert await child(FORKED, server.url) == {"first": 200, "second": 200, "child": 7}
        assert server.connections == 1


MEMORY = """
import tracemalloc

async def main():
    clients, to = Clients(), recipient(sys.argv[1])
    client = clients.client(to, manifest())

    async def ask(number):
        with grant_for(to).spend(REQUEST):
            if number % 4 == 0:
                async with client.stream("POST", to.url, content=b"{}") as response:
                    await anext(response.aiter_raw())
            else:
                await client.post(to.url, content=b"{}")

    used = []
    tracemalloc.start()
    for step in range(4):
        for number in range(500):
            await ask(number)
        gc.collect()
        used.append(tracemalloc.get_traced_memory()[0])
    await clients.aclose()
    say(used=used)

asyncio.run(main())
"""


async def test_memory_is_flat_over_two_thousand_requests() -> None:
    async with serving() as server:
        found = await child(MEMORY, server.url)
    grown = found["used"][-1] - found["used"][0]
    # The limits of time are remembered, 16 at most; 1,500 requests that left 100 bytes each would be over this.
    assert grown < 100_000, found["used"]
