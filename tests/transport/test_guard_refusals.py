"""Invariant 4: no bytes without a grant, and none to another place than the recipient's."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import httpx2
import pytest
from tests.transport.support import REQUEST, grant_for, manifest, plainly, reaching, recipient, serving

from ringfence.errors import Closed, GateError
from ringfence.transport import Clients


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

    monkeypatch.setattr("ringfence.transport.making.Engine", make)
    return engine


async def _ask(engine: Recorder, declared: str | None, hosts: tuple[str, ...], url: str, **fields: Any) -> bool:
    """Whether a request to `url` got through to the engine."""
    to = recipient(declared)
    clients = Clients()
    before = len(engine.sent)
    try:
        client = clients.client(to, manifest(*hosts))
        with grant_for(to).spend(REQUEST):
            await client.request(fields.pop("method", "POST"), url, **fields)
    except (GateError, httpx2.InvalidURL):
        assert len(engine.sent) == before
        return False
    finally:
        await clients.aclose()
    return len(engine.sent) == before + 1


DECLARED = "https://api.example.com/v1"


@pytest.mark.parametrize(
    "url",
    [
        "https://api.example.com/v1/chat",
        "https://API.Example.COM/other/path",
        "https://api.example.com:443/v1/chat",
        "https://api.example.com/v1/chat?to=https://evil.example#x",
        "https://api.example.com//evil.example/x",
    ],
)
async def test_a_request_to_the_recipients_own_origin_goes_through(behind: Recorder, url: str) -> None:
    assert await _ask(behind, DECLARED, (), url)


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/v1/chat",
        "http://api.example.com/v1/chat",
        "http://api.example.com:443/v1/chat",
        "https://api.example.com:8443/v1/chat",
        "https://api.example.com./v1/chat",
        "https://sub.api.example.com/v1/chat",
        "https://xapi.example.com/v1/chat",
        "https://api.example.com.evil.example/v1/chat",
        "https://api.example.com@evil.example/v1/chat",
        "https://api.example.com%2eevil.example/v1/chat",
        "https://api.example.com%00.evil.example/",
        "https://api.example.com\\@evil.example/",
        "https://evil.example\\@api.example.com/",
        "https://user:password@api.example.com/v1/chat",
        "https://аpi.example.com/v1/chat",  # Cyrillic first letter
        "https://ａpi.example.com.evil.example/",
        "ws://api.example.com/v1/chat",
        "wss://api.example.com/v1/chat",
        "ftp://api.example.com/v1/chat",
        "file:///etc/passwd",
        "//api.example.com/v1/chat",
        "/v1/chat",
        "",
        "https://93.184.216.34/v1/chat",
        "https://127.0.0.1/v1/chat",
        "https://localhost/v1/chat",
        "https://[::1]/v1/chat",
    ],
)
async def test_a_request_to_another_origin_is_refused(behind: Recorder, url: str) -> None:
    assert not await _ask(behind, DECLARED, (), url)


@pytest.mark.parametrize(
    ("declared", "url", "through"),
    [
        ("https://bücher.example/v1", "https://xn--bcher-kva.example/x", True),
        ("https://xn--bcher-kva.example/v1", "https://BÜCHER.example/x", True),
        ("https://bücher.example/v1", "https://bucher.example/x", False),
        ("http://[::1]:8080/v1", "http://[::1]:8080/x", True),
        ("http://[::1]:8080/v1", "http://[::1]:8081/x", False),
        ("http://[::1]:8080/v1", "http://[::2]:8080/x", False),
        ("http://[::1]:8080/v1", "http://127.0.0.1:8080/x", False),
        ("http://127.0.0.1:8080/v1", "http://127.1:8080/x", False),
        ("http://127.0.0.1:8080/v1", "http://2130706433:8080/x", False),
        ("http://127.0.0.1:8080/v1", "http://localhost:8080/x", False),
        ("https://api.example.com./v1", "https://api.example.com/x", False),
        ("https://api.example.com./v1", "https://api.example.com./x", True),
    ],
)
async def test_origins_are_compared_as_they_would_be_connected_to(
    behind: Recorder, declared: str, url: str, *, through: bool
) -> None:
    assert await _ask(behind, declared, (), url) is through


@pytest.mark.parametrize(
    ("url", "through"),
    [
        ("https://api.vendor.example/v1", True),
        ("https://eu.vendor.example/v1", True),
        ("https://api.vendor.example:8443/v1", False),
        ("http://api.vendor.example/v1", False),
        ("http://api.vendor.example:443/v1", False),
        ("https://vendor.example/v1", False),
    ],
)
async def test_without_a_url_the_manifests_hosts_are_reached_over_tls_and_nothing_else(
    behind: Recorder, url: str, *, through: bool
) -> None:
    assert await _ask(behind, None, ("api.vendor.example", "EU.vendor.example"), url) is through


async def test_a_recipient_with_a_url_does_not_reach_the_manifests_hosts(behind: Recorder) -> None:
    assert not await _ask(behind, DECLARED, ("api.vendor.example",), "https://api.vendor.example/v1")


async def test_without_a_url_and_without_hosts_nothing_is_reached(behind: Recorder) -> None:
    assert not await _ask(behind, None, (), "https://api.vendor.example/v1")


@pytest.mark.parametrize(
    "host", ["a.example:444", "user@a.example", "a.example/path", "*.example", "a.example?x", "", "a b", "[::1"]
)
async def test_a_manifest_whose_host_is_more_than_a_name_gets_no_client(behind: Recorder, host: str) -> None:
    if host == "*.example":
        # A name like any other: it matches no host but itself.
        assert not await _ask(behind, None, (host,), "https://a.example/")
        return
    with pytest.raises(GateError):
        Clients().client(recipient(None), manifest(host))


@pytest.mark.parametrize(
    "url", ["ftp://a.example", "https://u:secret-word@a.example", "https://", "a.example", "http://["]
)
async def test_an_address_that_cannot_be_held_to_gets_no_client_and_is_not_repeated(url: str) -> None:
    with pytest.raises(GateError) as refusal:
        Clients().client(recipient(url), manifest())
    assert "secret-word" not in str(refusal.value)


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example"},
        {"Host": "evil.example"},
        {"host": "api.example.com:8443"},
        {"host": "api.example.com, evil.example"},
        {"host": ""},
        {":authority": "evil.example"},
        {":authority": "api.example.com"},
        {"host ": "evil.example"},
        {" host": "evil.example"},
        {"x\r\nhost": "evil.example"},
        {"x y": "z"},
        {"": "z"},
        [("host", "api.example.com"), ("Host", "evil.example")],
    ],
)
async def test_a_host_header_that_differs_from_the_url_is_refused(behind: Recorder, headers: Any) -> None:
    assert not await _ask(behind, DECLARED, (), DECLARED, headers=headers)


@pytest.mark.parametrize("value", ["api.example.com", "API.example.com", "api.example.com:443"])
async def test_a_host_header_that_says_the_same_goes_through(behind: Recorder, value: str) -> None:
    assert await _ask(behind, DECLARED, (), DECLARED, headers={"host": value})


@pytest.mark.parametrize(
    "extensions",
    [{"target": b"https://evil.example/"}, {"sni_hostname": "evil.example"}, {"trace": print}],
)
async def test_an_extension_that_could_send_it_elsewhere_is_refused(
    behind: Recorder, extensions: dict[str, Any]
) -> None:
    assert not await _ask(behind, DECLARED, (), DECLARED, extensions=extensions)


async def test_connect_is_refused(behind: Recorder) -> None:
    assert not await _ask(behind, DECLARED, (), DECLARED, method="CONNECT")


@pytest.mark.parametrize("fields", [{"cookies": {"a": "b"}}, {"headers": {"cookie": "a=b"}}])
@pytest.mark.filterwarnings("ignore:Setting per-request cookies:DeprecationWarning")
async def test_a_cookie_that_the_caller_sets_is_refused(behind: Recorder, fields: dict[str, Any]) -> None:
    assert not await _ask(behind, DECLARED, (), DECLARED, **fields)


# ---------------------------------------------------------------- grants
async def test_a_request_without_a_grant_is_refused() -> None:
    async with serving() as server, reaching(server) as out:
        with pytest.raises(GateError, match="without a grant"):
            await out.client.post(server.url)
        assert server.connections == 0


async def test_a_request_after_the_block_is_refused() -> None:
    async with serving() as server, reaching(server) as out:
        with grant_for(out.recipient).spend(REQUEST):
            pass
        with pytest.raises(GateError, match="without a grant"):
            await out.client.post(server.url)
        assert server.connections == 0


async def test_a_second_request_under_one_grant_is_refused() -> None:
    async with serving() as server, reaching(server) as out:
        with grant_for(out.recipient).spend(REQUEST):
            await out.client.post(server.url)
            with pytest.raises(GateError, match="one request"):
                await out.client.post(server.url)
        assert len(server.requests) == 1


async def test_a_request_that_failed_has_used_the_grant_up() -> None:
    async with serving() as server, reaching(server) as out:
        pass
    async with reaching(server) as out:
        with grant_for(out.recipient).spend(REQUEST):
            with pytest.raises(httpx2.ConnectError):
                await out.client.post(server.url)
            with pytest.raises(GateError, match="one request"):
                await out.client.post(server.url)


async def test_of_two_requests_at_once_under_one_grant_one_goes_through() -> None:
    async with serving() as server, reaching(server) as out:
        with grant_for(out.recipient).spend(REQUEST):
            results = await asyncio.gather(*(out.client.post(server.url) for _ in range(5)), return_exceptions=True)
        assert sum(isinstance(result, GateError) for result in results) == 4
        assert len(server.requests) == 1


async def test_a_grant_of_another_recipient_is_refused() -> None:
    async with serving() as server, reaching(server) as out:
        for other in (recipient("https://elsewhere.example"), recipient(server.url, name="near"), recipient(None)):
            with grant_for(other).spend(REQUEST), pytest.raises(GateError, match="is not for"):
                await out.client.post(server.url)
        assert server.connections == 0


async def test_a_grant_of_the_same_recipient_from_a_policy_read_again_is_taken() -> None:
    async with serving() as server, reaching(server) as out:
        again = recipient(server.url)
        assert again is not out.recipient
        with grant_for(again).spend(REQUEST):
            assert (await out.client.post(server.url)).status_code == 200


async def test_a_request_after_the_run_has_ended_is_refused() -> None:
    async with serving() as server, reaching(server) as out:
        grant = grant_for(out.recipient)
        with grant.spend(REQUEST):
            grant.revoke()
            with pytest.raises(GateError, match="over"):
                await out.client.post(server.url)
        assert server.connections == 0


async def test_a_task_that_outlives_its_run_is_refused() -> None:
    go = asyncio.Event()

    async with serving() as server, reaching(server) as out:

        async def late() -> None:
            await go.wait()
            await out.client.post(server.url)

        grant = grant_for(out.recipient)
        with grant.spend(REQUEST):
            task = asyncio.create_task(late())
        grant.revoke()
        go.set()
        with pytest.raises(GateError, match="over"):
            await task
        assert server.connections == 0


async def test_a_redirect_that_the_caller_wants_followed_is_refused_at_the_second_request() -> None:
    async def answer(exchange: Any) -> None:
        await exchange.answer(b"", "location: /other", status="307 Temporary Redirect")

    async with serving(answer) as server, reaching(server) as out:
        with pytest.raises(GateError, match="one request"):
            await out.post(follow_redirects=True)
        assert len(server.requests) == 1


async def test_a_retry_of_an_auth_flow_is_refused_at_the_second_request() -> None:
    async def answer(exchange: Any) -> None:
        await exchange.answer(b"", 'www-authenticate: Digest realm="r", nonce="n"', status="401 Unauthorized")

    async with serving(answer) as server, reaching(server) as out:
        with pytest.raises(GateError, match="one request"):
            await out.post(auth=httpx2.DigestAuth("user", "password"))
        assert len(server.requests) == 1


async def test_a_client_of_a_closed_assistant_is_refused() -> None:
    async with serving() as server:
        async with reaching(server) as out:
            pass
        with pytest.raises(Closed):
            await out.post()
        assert server.connections == 0


# ---------------------------------------------------------------- the switch of a test run
async def test_the_switch_forbids_what_is_beyond_this_machine(
    behind: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await _ask(behind, DECLARED, (), DECLARED)
    monkeypatch.setenv("RINGFENCE_FORBID_NETWORK", "1")
    assert not await _ask(behind, DECLARED, (), DECLARED)
    assert not await _ask(behind, "http://10.0.0.1/v1", (), "http://10.0.0.1/v1")
    assert not await _ask(behind, "http://localhost.example/v1", (), "http://localhost.example/v1")
    assert not await _ask(behind, "http://127.0.0.1.example/v1", (), "http://127.0.0.1.example/v1")


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1/x", "http://127.8.8.8/x", "http://[::1]:1/x", "http://localhost/x"]
)
async def test_the_switch_lets_loopback_through(behind: Recorder, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("RINGFENCE_FORBID_NETWORK", "1")
    assert await _ask(behind, url, (), url)


async def test_the_switch_says_how_to_lift_it_and_leaves_the_grant_unused(monkeypatch: pytest.MonkeyPatch) -> None:
    to, clients = recipient(DECLARED), Clients()
    monkeypatch.setenv("RINGFENCE_FORBID_NETWORK", "1")
    grant = grant_for(to)
    with grant.spend(REQUEST), pytest.raises(GateError, match="RINGFENCE_FORBID_NETWORK") as refusal:
        await clients.client(to, manifest()).post(DECLARED)
    assert refusal.value.way_out is not None
    assert "unset RINGFENCE_FORBID_NETWORK" in refusal.value.way_out
    grant.claim(to)
    await clients.aclose()


async def test_a_refusal_holds_nothing_of_the_request() -> None:
    async with serving(plainly) as server, reaching(server) as out:
        with grant_for(out.recipient).spend(REQUEST), pytest.raises(GateError) as refusal:
            await out.client.post(
                "https://hidden-host.example/hidden-path?q=hidden", content=b"hidden", headers={"x-k": "hidden"}
            )
        assert "hidden" not in f"{refusal.value!r} {refusal.value} {refusal.value.__context__!r}"


async def test_a_run_that_ends_while_its_connection_is_made_sends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A plugin's task may outlive the run; a slow look-up must not let bytes out afterwards."""
    looked_up, go_on = asyncio.Event(), asyncio.Event()

    class Slow(aiohttp.ThreadedResolver):
        async def resolve(self, host: str, *arguments: Any, **named: Any) -> Any:
            looked_up.set()
            await go_on.wait()
            return await super().resolve(host, *arguments, **named)

    monkeypatch.setattr("ringfence.transport.engine.aiohttp.ThreadedResolver", Slow)
    async with serving() as server:
        to = recipient(server.url.replace("127.0.0.1", "localhost"))
        clients, grant = Clients(), grant_for(to)
        with grant.spend(REQUEST):
            stray = asyncio.create_task(clients.client(to, manifest()).post(f"{to.url}/x", content=b"words"))
            await looked_up.wait()
        grant.revoke()
        go_on.set()
        with pytest.raises(GateError, match="has ended"):
            await stray
        await clients.aclose()
        assert server.requests == []
