"""What an operator sees and does: readiness, draining, metrics and logs without content."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from support import CANARY, Gate, House, ScriptedService, opened, served, until

from ringfence_house.protocol import names
from ringfence_house_node.server.limits import Limits
from ringfence_house_node.server.metrics import OUTCOMES
from ringfence_house_node.service import Readiness


async def admin(house: House, path: str) -> tuple[int, str]:
    response = await house.http.get(house.admin_url + path)
    return response.status_code, response.text


async def test_a_node_is_alive_and_ready(house: House) -> None:
    assert await admin(house, "/healthz") == (200, "alive\n")
    assert await admin(house, "/readyz") == (200, '{"ready": true, "obstacles": []}')


@pytest.mark.parametrize("readiness", ["starting", "failed"])
async def test_a_node_without_an_engine_is_alive_but_takes_nothing(house: House, readiness: Readiness) -> None:
    sealed = house.seal()
    house.service.readiness = readiness
    response = await house.post(sealed.body)
    evidence = await house.http.get(house.url + names.EVIDENCE_PATH)

    assert (await admin(house, "/healthz"))[0] == 200
    assert evidence.status_code == 503
    assert await admin(house, "/readyz") == (503, f'{{"ready": false, "obstacles": ["engine {readiness}"]}}')
    assert (response.status_code, response.headers["retry-after"]) == (503, "1")
    assert house.service.calls == []


async def test_readyz_says_why_an_engine_is_not_ready(tmp_path: Path) -> None:
    @dataclass
    class Explaining(ScriptedService):
        cause: str | None = None

    service = Explaining()
    async with served(tmp_path, service) as house:
        service.readiness, service.cause = "failed", "key_refused"
        assert '["engine failed: key_refused"]' in (await admin(house, "/readyz"))[1]


async def test_a_node_that_drains_ends_what_runs_and_takes_nothing_new(tmp_path: Path) -> None:
    gate = Gate()
    async with served(tmp_path, ScriptedService(script=gate)) as house:
        running = asyncio.create_task(house.ask())
        await gate.holds(1)
        late = house.seal()
        drain = asyncio.create_task(house.node.drain())
        await until(lambda: house.node.draining)
        refused = await house.post(late.body)
        directory = await house.http.get(house.url + names.EVIDENCE_PATH)
        ready = await admin(house, "/readyz")
        gate.open.set()
        await drain

        assert (await running).words == ["begun", "done"]
    assert (refused.status_code, directory.status_code, ready[0]) == (503, 503, 503)
    assert len(house.service.calls) == 1


async def test_what_does_not_end_in_time_is_cut_without_an_end(tmp_path: Path) -> None:
    gate = Gate()
    limits = Limits(drain_s=0.2, concurrency=1)
    async with served(tmp_path, ScriptedService(script=gate), limits=limits) as house:
        running = asyncio.create_task(house.ask())
        await gate.holds(1)
        waiting = asyncio.create_task(house.ask())
        await until(lambda: house.node.admission.waiting == 1)
        await house.node.drain()
        cut, unanswered = await running, await waiting

    assert (cut.words, cut.whole) == (["begun"], False)
    assert (unanswered.status, unanswered.code) == (503, "interrupted")
    assert house.service.ended == ["cancelled"]


async def test_metrics_count_how_requests_ended_and_hold_nothing_of_them(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    fields = house.fields(ringfence_tenant=CANARY.replace(" ", "-"), authorization=f"Bearer {CANARY}")
    sealed = house.seal(CANARY.encode(), fields=fields)
    opened(await house.post(sealed.body), sealed.opener)
    await house.ask(path="/v1/" + CANARY.replace(" ", "-"))
    await house.post(CANARY.encode())
    await house.post(sealed.body, ringfence_node=CANARY)
    await house.http.get(f"{house.url}/{CANARY}?{CANARY}")
    await house.http.get(house.url + names.NODE_EVIDENCE_PATH.format(kid=CANARY))
    text = (await house.http.get(house.admin_url + "/metrics")).text

    counted = {outcome: f'ringfence_node_requests_total{{outcome="{outcome}"}}' for outcome in OUTCOMES}
    values = {outcome: await house.metric(name) for outcome, name in counted.items()}
    assert (values["answered"], values["refused"], values["unopened"]) == (1, 1, 2)
    # The client logs in this process too.
    logged = "\n".join(each.getMessage() for each in caplog.records if not each.name.startswith("http"))
    for word in ("canary", "7f3a", house.kid, "Bearer"):
        assert word not in text
        assert word not in logged
    # A refusal inside is 200 outside: the log says which.
    for outcome in ("200 answered", "200 path_unknown", "400 unopened"):
        assert f"POST {names.OHTTP_PATH} {outcome} " in logged
    assert "GET other 404" in logged


async def test_over_tls_http_2_is_chosen(tmp_path: Path) -> None:
    certificate, key = self_signed(tmp_path)
    async with served(tmp_path, certificate=certificate, key=key) as house:
        trusting = ssl.create_default_context(cafile=str(certificate))
        async with httpx2.AsyncClient(http2=True, verify=trusting, trust_env=False) as http:
            sealed = house.seal()
            headers = {"content-type": names.REQUEST_TYPE}
            response = await http.post(house.url + names.OHTTP_PATH, content=sealed.body, headers=headers)

    assert house.url.startswith("https://")
    assert response.http_version == "HTTP/2"
    assert opened(response, sealed.opener).whole


def self_signed(folder: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1, and its key."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "n")])
    now = datetime.now(UTC)
    draft = x509.CertificateBuilder(name, name, key.public_key(), 1, now - timedelta(1), now + timedelta(1))
    alternative = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    certificate = draft.add_extension(alternative, critical=False).sign(key, hashes.SHA256())
    paths = folder / "cert.pem", folder / "key.pem"
    paths[0].write_bytes(certificate.public_bytes(Encoding.PEM))
    paths[1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return paths


async def test_an_exception_is_logged_by_its_type_alone(
    house: House, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(**_: object) -> None:
        raise RuntimeError(CANARY)

    monkeypatch.setattr(house.attestor, "issue", fail)
    url = house.url + names.NODE_EVIDENCE_PATH.format(kid=house.kid)
    response = await house.http.get(url, params={"nonce": "n" * 16})

    assert response.status_code == 500
    assert CANARY not in response.text
    assert "RuntimeError" in caplog.text
    assert CANARY not in caplog.text


async def test_the_public_port_has_none_of_the_operators_pages(house: House) -> None:
    for path in ("/metrics", "/readyz", "/healthz"):
        assert (await house.http.get(house.url + path)).status_code == 404


async def test_a_development_node_serves_its_releases_and_nothing_beside_them(tmp_path: Path) -> None:
    for name in ("metadata/timestamp.json", "targets/a.json", "secret.json", "metadata/key.pem"):
        (tmp_path / "releases" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "releases" / name).write_text("{}")
    (tmp_path / "releases" / "metadata" / "keys").mkdir()
    async with served(tmp_path, releases=tmp_path / "releases") as house:
        base = house.url + names.RELEASES_PATH
        found = await house.http.get(base + "metadata/timestamp.json")
        paths = ("secret.json", "metadata/key.pem", "metadata/%2e%2e/secret.json", "metadata/none.json", "metadata/")
        missing = [(await house.http.get(base + path)).status_code for path in paths]

    assert (found.status_code, found.headers["content-type"], found.text) == (200, "application/json", "{}")
    assert missing == [404] * len(paths)


@pytest.mark.parametrize("method", ["CANARY42", "DELETE", "OPTIONS"])
async def test_a_method_is_logged_only_where_it_is_one_of_ours(
    house: House, method: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    await house.http.request(method, house.url + names.OHTTP_PATH)

    logged = "\n".join(each.getMessage() for each in caplog.records if each.name.startswith("ringfence"))
    assert f"other {names.OHTTP_PATH} 405" in logged
    assert method not in logged


@pytest.mark.parametrize("where", ["public", "admin"])
async def test_a_request_of_two_lengths_is_refused_and_its_connection_closed(house: House, where: str) -> None:
    url = house.url if where == "public" else house.admin_url
    host, _, port = url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    lines = (f"POST {names.OHTTP_PATH} HTTP/1.1", "Host: x", f"Content-Type: {names.REQUEST_TYPE}")
    hidden = b"0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    lengths = (f"Content-Length: {len(hidden)}", "Transfer-Encoding: chunked")
    writer.write("\r\n".join([*lines, *lengths, "", ""]).encode() + hidden)
    async with asyncio.timeout(20):
        answer = await reader.read()
    writer.close()

    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1 ") == 1
    assert b"connection: close" in answer.lower()
    assert house.service.calls == []
