"""The vendor's client: nothing from the environment, the key read when something is sent, nothing else on the wire."""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx2
import openai as sdk
import pytest

from ringfence.errors import Closed, InvalidRequest, Unavailable
from ringfence.provider import Available, NotAvailable
from ringfence.recipient import Recipient, Secret
from ringfence.testing.scenes import Scene
from ringfence_openai.options import read_options
from ringfence_openai.provider import OpenAIProvider

ALLOWED = {"host", "accept", "accept-encoding", "connection", "user-agent", "content-type", "content-length"} | {
    "authorization",
    "x-stainless-retry-count",
}


async def test_only_headers_that_are_needed_go_out(kit: Any) -> None:
    await kit.ask("Hello", Scene())
    assert set(kit.last().headers) <= ALLOWED
    assert kit.last().headers["authorization"] == "Bearer sk-test-0123456789"


async def test_the_environment_changes_nothing(kit: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in OpenAIProvider.manifest.environment:
        monkeypatch.setenv(name, "X-Stolen: yes\nAuthorization: Bearer other")
    await kit.ask("Hello", Scene())
    assert set(kit.last().headers) <= ALLOWED
    assert kit.last().headers["authorization"] == "Bearer sk-test-0123456789"


def test_every_variable_of_the_sdk_is_listed() -> None:
    folder = Path(sdk.__file__).parent
    read: set[str] = set()
    # The modules that our client runs through; those of Azure, Bedrock and Vertex are others.
    for path in (folder / "__init__.py", folder / "lib" / "_client_auth.py", folder / "_utils" / "_logs.py"):
        read |= set(re.findall(r'environ\.get\("([A-Z_]+)"\)', path.read_text(encoding="utf-8")))
    assert read - {"OPENAI_API_KEY"} == set(OpenAIProvider.manifest.environment)
    assert OpenAIProvider.manifest.secret == "env:OPENAI_API_KEY"


def test_the_log_switch_of_the_sdk_is_not_heard() -> None:
    code = (
        "import logging, os; import ringfence_openai.sdk; "
        "print(logging.getLogger('openai').level, logging.getLogger().handlers, os.environ['OPENAI_LOG'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "OPENAI_LOG": "debug"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "0 [] debug"


def test_importing_the_provider_imports_nothing_of_the_vendor() -> None:
    code = (
        "import sys, ringfence_openai.provider; "
        "print([m for m in ('openai', 'httpx2', 'pydantic', 'genai_prices', 'msgspec') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


async def test_without_a_secret_no_authorization_is_sent(kit: Any) -> None:
    """A server of one's own, such as Ollama, gets no header; the double, as the vendor, wants one."""
    open_kit = kit.at(secret=None, options={"api": kit.recipient.options["api"]})
    with pytest.raises(Exception, match="credential"):
        await open_kit.ask("Hello", Scene())
    assert "authorization" not in open_kit.last().headers


async def test_the_key_is_read_anew_for_each_request(kit: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    await kit.ask("Hello", Scene())
    monkeypatch.setenv("TEST_OPENAI_KEY", "sk-rotated")
    await kit.ask("Hello", Scene())
    assert kit.last().headers["authorization"] == "Bearer sk-rotated"


async def test_every_request_of_a_route_goes_out_alike(kit: Any) -> None:
    sent: list[dict[str, str]] = []
    for text in ("Hello", "Hello again, with more to say"):
        await kit.ask(text, Scene())
        headers = dict(kit.last().headers)
        assert int(headers.pop("content-length")) > len(text)
        sent.append(headers)
    assert sent[0] == sent[1]


async def test_what_goes_out_is_what_the_sdk_would_send(kit: Any) -> None:
    await kit.ask("Hello", Scene())
    ours = set(kit.last().headers)
    seen: list[httpx2.Request] = []

    def keep(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        return httpx2.Response(200, json={})

    http = httpx2.AsyncClient(transport=httpx2.MockTransport(keep))
    await sdk.AsyncOpenAI(api_key="sk-x", base_url=kit.recipient.url, http_client=http).post(
        kit.last().path.removeprefix("/v1"), cast_to=object, body={}
    )
    # The SDK tells about the machine too, and how long it will wait.
    theirs = {name for name in seen[0].headers if not name.startswith("x-stainless-")}
    assert ours - {"x-stainless-retry-count"} == theirs
    assert seen[0].url.path == kit.last().path


async def test_the_workspace_is_for_the_operators_layers_and_is_not_sent(kit: Any) -> None:
    await kit.at(options={**kit.recipient.options, "workspace": "acme-workspace"}).ask("Hi", Scene())
    assert "acme-workspace" not in str(kit.last())


async def test_organization_and_project_are_options(kit: Any) -> None:
    await kit.at(options={**kit.recipient.options, "organization": "org-1", "project": "proj_1"}).ask("Hi", Scene())
    assert kit.last().headers["openai-organization"] == "org-1"
    assert kit.last().headers["openai-project"] == "proj_1"


def _recipient(**fields: Any) -> Recipient:
    given: dict[str, Any] = {"name": "far", "ring": "partner", "provider": "openai", "model": "gpt-5.5", **fields}
    return Recipient(**given)


@pytest.mark.parametrize(
    ("fields", "url", "api"),
    [
        ({}, "https://api.openai.com/v1", "responses"),
        ({"region": "eu"}, "https://eu.api.openai.com/v1", "responses"),
        ({"region": "EU"}, "https://eu.api.openai.com/v1", "responses"),
        ({"region": "ch"}, "https://api.openai.com/v1", "responses"),
        ({"url": "https://api.openai.com/v1"}, "https://api.openai.com/v1", "responses"),
        ({"url": "http://127.0.0.1:11434/v1", "region": "eu"}, "http://127.0.0.1:11434/v1", "chat"),
        ({"url": "https://example.com/v1", "options": {"api": "responses"}}, "https://example.com/v1", "responses"),
        ({"url": "https://evil-api.openai.com.example/v1"}, "https://evil-api.openai.com.example/v1", "chat"),
    ],
)
def test_where_a_recipient_is_decides_what_it_speaks(fields: dict[str, Any], url: str, api: str) -> None:
    options = read_options(_recipient(**fields))
    assert (options.base_url, options.api) == (url, api)
    assert options.store is False


def test_the_regions_are_those_of_the_sdk() -> None:
    from openai import _data_residency  # pyright: ignore[reportPrivateUsage]

    urls = _data_residency._DATA_RESIDENCY_BASE_URLS  # pyright: ignore[reportPrivateUsage]
    for region, url in urls.items():
        assert read_options(_recipient(region=region)).base_url == url
    hosts = {url.split("/")[2] for url in urls.values()}
    assert hosts == set(OpenAIProvider.manifest.hosts)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"apj": "chat"}, "did you mean 'api'"),
        ({"api": "completions"}, "'api'"),
        ({"store": "yes"}, "'store'"),
        ({"store": 1}, "'store'"),
        ({"output": True}, "'output'"),
        ({"organization": ""}, "'organization'"),
        ({"project": "a\nb"}, "'project'"),
    ],
)
async def test_an_option_that_makes_no_sense_is_told(openai: OpenAIProvider, options: Any, named: str) -> None:
    to = _recipient(options=options, secret=Secret("env:TEST_OPENAI_KEY"))
    state = await openai.availability(to)
    assert isinstance(state, NotAvailable)
    assert state.reason == "not_configured"
    assert named in state.detail
    assert state.way_out
    with pytest.raises(Unavailable):
        await openai.card(to)


async def test_a_missing_key_is_told(openai: OpenAIProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    state = await openai.availability(_recipient())
    assert isinstance(state, NotAvailable)
    assert state.way_out == "export OPENAI_API_KEY=…"
    monkeypatch.setenv("OPENAI_API_KEY", "sk-x")
    assert await openai.availability(_recipient()) == Available()


async def test_the_vendor_at_a_url_needs_a_key_by_name(openai: OpenAIProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-x")
    state = await openai.availability(_recipient(url="https://api.openai.com/v1"))
    assert isinstance(state, NotAvailable)
    assert "secret: env:OPENAI_API_KEY" in state.way_out


async def test_a_server_of_ones_own_needs_no_key(openai: OpenAIProvider) -> None:
    assert await openai.availability(_recipient(url="http://127.0.0.1:11434/v1")) == Available()


async def test_options_of_the_app_are_refused(openai: OpenAIProvider) -> None:
    assert openai._context is not None  # pyright: ignore[reportPrivateUsage]
    context = dataclasses.replace(openai._context, options={"api": "chat"})  # pyright: ignore[reportPrivateUsage]
    with pytest.raises(InvalidRequest, match="api"):
        await OpenAIProvider().open(context)


async def test_a_provider_that_is_closed_says_so(kit: Any) -> None:
    plan = await kit.plan(kit.request())
    await kit.provider.close()
    await kit.provider.close()
    with pytest.raises(Closed):
        await anext(kit.provider.run(plan, kit.grant(plan.request)))


async def test_doctor_names_what_is_ignored(openai: OpenAIProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "https://elsewhere.example")
    found = {one.subject: one for one in await openai.diagnose()}
    assert "ignored" in found["OPENAI_BASE_URL"].detail
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret-value")
    told = repr(await openai.diagnose())
    assert "sk-secret-value" not in told
    assert "elsewhere" not in told
