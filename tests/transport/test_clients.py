"""The clients of one assistant: one for each recipient, made on first use, closed together."""

from __future__ import annotations

import builtins
import sys
from typing import Any

import pytest
from tests.transport.support import REQUEST, grant_for, manifest, recipient, serving

from ringfence.errors import Closed, GateError, Unavailable
from ringfence.transport import Clients


async def test_a_recipient_keeps_its_client() -> None:
    clients = Clients()
    one = clients.client(recipient("http://127.0.0.1:1"), manifest())
    assert clients.client(recipient("http://127.0.0.1:1"), manifest()) is one
    assert clients.client(recipient("http://127.0.0.1:1", name="other"), manifest()) is not one
    await clients.aclose()


async def test_there_is_no_client_on_the_device_ring() -> None:
    with pytest.raises(GateError, match="device ring"):
        Clients().client(recipient("http://127.0.0.1:1", ring="device"), manifest())


async def test_a_changed_recipient_gets_a_new_client_and_the_old_one_is_closed() -> None:
    async with serving() as server:
        clients, before = Clients(), recipient(server.url)
        old = clients.client(before, manifest())
        with grant_for(before).spend(REQUEST):
            await old.post(server.url)
        assert server.open == 1
        after = recipient(server.url, model="another")
        new = clients.client(after, manifest())
        assert new is not old
        await server.until_open(0)
        with grant_for(before).spend(REQUEST), pytest.raises(Closed):
            await old.post(server.url)
        with grant_for(after).spend(REQUEST):
            assert (await new.post(server.url)).status_code == 200
        await clients.aclose()


def test_a_client_replaced_where_no_loop_runs_is_closed_with_the_others() -> None:
    import asyncio

    clients = Clients()
    old = clients.client(recipient("http://127.0.0.1:1"), manifest())
    clients.client(recipient("http://127.0.0.1:2"), manifest())

    async def close() -> None:
        await clients.aclose()
        with grant_for(recipient("http://127.0.0.1:1")).spend(REQUEST), pytest.raises(Closed):
            await old.get("http://127.0.0.1:1")

    asyncio.run(close())


async def test_a_client_that_a_vendors_sdk_closed_is_made_anew() -> None:
    async with serving() as server:
        clients, to = Clients(), recipient(server.url)
        await clients.client(to, manifest()).aclose()
        with grant_for(to).spend(REQUEST):
            assert (await clients.client(to, manifest()).post(server.url)).status_code == 200
        await clients.aclose()


async def test_closing_twice_is_closing_once_and_no_client_is_made_after() -> None:
    clients = Clients()
    clients.client(recipient("http://127.0.0.1:1"), manifest())
    await clients.aclose()
    await clients.aclose()
    with pytest.raises(Closed):
        clients.client(recipient("http://127.0.0.1:1"), manifest())


async def test_one_that_fails_to_close_does_not_keep_the_others_open(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from ringfence.transport.guard import Guard

    closed: list[Guard] = []

    async def aclose(guard: Guard) -> None:
        closed.append(guard)
        if len(closed) == 2:
            raise OSError("secret-word")

    monkeypatch.setattr(Guard, "aclose", aclose)
    clients = Clients()
    for name in "abc":
        clients.client(recipient("http://127.0.0.1:1", name=name), manifest())
    await clients.aclose()
    assert len(closed) == 3
    assert "OSError" in caplog.text
    assert "secret-word" not in caplog.text


@pytest.mark.parametrize("missing", ["httpx2", "aiohttp"])
async def test_a_package_that_is_not_installed_is_said_with_the_way_out(
    monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any, **named: Any) -> Any:
        if name.partition(".")[0] == missing:
            raise ModuleNotFoundError(name)
        return real(name, *rest, **named)

    for name in [name for name in sys.modules if name.startswith("ringfence.transport.")]:
        if name not in {"ringfence.transport.clients", "ringfence.transport.network"}:
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(Unavailable) as refusal:
        Clients().client(recipient("http://127.0.0.1:1"), manifest())
    assert refusal.value.reason == "no_package"
    assert refusal.value.way_out == "pip install 'ringfence[network]'"
