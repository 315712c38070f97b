"""Nothing is taken from the environment: with every variable of the SDK set against us, the wire is the same."""

from __future__ import annotations

import importlib.util
import logging
import subprocess
import sys
import warnings
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from google.genai import _api_client
from providers.gemini.tests.conftest import KEY, MODEL, Wire, asking, recipient

from ringfence.errors import GateError, Unavailable
from ringfence.recipient import Secret
from ringfence_gemini.client import Vendor
from ringfence_gemini.options import Place
from ringfence_gemini.provider import GeminiProvider

if TYPE_CHECKING:
    from pathlib import Path

HOSTILE = {
    "GOOGLE_API_KEY": "stolen",
    "GOOGLE_GENAI_USE_VERTEXAI": "true",
    "GOOGLE_GENAI_USE_ENTERPRISE": "true",
    "GOOGLE_GENAI_API_VERSION": "v9evil",
    "GOOGLE_GENAI_HTTP_CLIENT": "httpx2",
    "GOOGLE_GENAI_CLIENT_MODE": "record",
    "GOOGLE_GENAI_REPLAYS_DIRECTORY": "/nowhere/replays",
    "GOOGLE_GENAI_REPLAY_ID": "evil",
    "GOOGLE_CLOUD_PROJECT": "evil-project",
    "GOOGLE_CLOUD_LOCATION": "evil-location",
    "GOOGLE_GEMINI_BASE_URL": "https://evil.example",
    "GOOGLE_VERTEX_BASE_URL": "https://evil.example",
    "GOOGLE_APPLICATION_CREDENTIALS": "/nowhere/credentials.json",
    "GOOGLE_API_USE_CLIENT_CERTIFICATE": "true",
    "GOOGLE_API_USE_MTLS_ENDPOINT": "always",
    "SSL_CERT_FILE": "/nowhere/ca.pem",
    "SSL_CERT_DIR": "/nowhere",
    "HTTPS_PROXY": "http://evil.example:1",
    "HTTP_PROXY": "http://evil.example:1",
    "ALL_PROXY": "http://evil.example:1",
}
PLACE = Place(url="https://generativelanguage.googleapis.com", api_version="v1beta")


@pytest.fixture
def hostile(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in HOSTILE.items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("hostile")
async def test_with_every_variable_set_against_us_the_request_is_the_same(
    wire: Wire, caplog: pytest.LogCaptureFixture
) -> None:
    with warnings.catch_warnings(), caplog.at_level(logging.DEBUG, "google_genai"):
        warnings.simplefilter("error")
        await wire.events(asking(), recipient())
    (request,) = wire.requests
    assert str(request.url) == (
        f"https://generativelanguage.googleapis.com/v1beta/models/{MODEL}:streamGenerateContent?alt=sse"
    )
    assert request.headers["x-goog-api-key"] == KEY
    assert "authorization" not in request.headers
    told = f"{request.headers} {request.content!r}"
    assert not any(word in told for word in ("evil", "stolen"))
    # The SDK would say that it uses the key of GOOGLE_API_KEY, which is not so.
    assert not caplog.records


@pytest.mark.usefixtures("hostile")
async def test_a_url_and_a_secret_of_the_policy_are_used_and_the_vendors_key_is_not(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTHER_KEY", "other")
    to = recipient(url="https://proxy.example/gemini", secret=Secret("env:OTHER_KEY"))
    await wire.events(asking(), to)
    assert str(wire.requests[0].url).startswith("https://proxy.example/gemini/v1beta/models/")
    assert wire.requests[0].headers["x-goog-api-key"] == "other"


@pytest.mark.usefixtures("hostile")
async def test_a_url_without_a_secret_gets_no_key_at_all(wire: Wire) -> None:
    await wire.events(asking(), recipient(url="http://127.0.0.1:9/v1"))
    assert "x-goog-api-key" not in wire.requests[0].headers
    assert str(wire.requests[0].url).startswith("http://127.0.0.1:9/v1/models/")


def vendor() -> Vendor:
    return Vendor(httpx2.AsyncClient(trust_env=False), PLACE, "k")


def inside(made: Vendor) -> Any:
    """The SDK's own client object."""
    return made._api  # pyright: ignore[reportPrivateUsage]


@pytest.mark.usefixtures("hostile")
async def test_the_paths_of_the_sdk_beside_the_guarded_client_are_shut() -> None:
    api = inside(vendor())
    assert api._use_aiohttp() is False
    assert api._use_google_auth_sync() is False
    assert api._use_google_auth_async() is False
    assert api._httpx_url("https://x.googleapis.com/a", is_async=True) == "https://x.googleapis.com/a"
    assert api._aiohttp_sessions == {}
    assert not hasattr(api, "_async_client_session_request_args")
    assert type(inside(vendor())) is _api_client.BaseApiClient
    with pytest.raises(GateError):
        api._httpx_client.get("https://generativelanguage.googleapis.com")
    assert api._websocket_ssl_ctx["ssl"].get_ca_certs() == []


def test_the_sdk_retries_nothing() -> None:
    api = inside(vendor())
    assert api._async_retry.stop.max_attempt_number == 1
    assert api._retry.stop.max_attempt_number == 1
    assert api._http_options.retry_options.attempts == 1


def test_the_private_names_that_are_used_are_there() -> None:
    """Where this fails, the SDK has changed inside: read `client.py` again before the pin moves."""
    request = vendor().request("models/m:generateContent", b"{}")
    assert str(request.url) == "https://generativelanguage.googleapis.com/v1beta/models/m:generateContent"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["x-goog-api-key"] == "k"
    assert request.headers["x-goog-api-client"].startswith("google-genai-sdk/")


def test_what_is_kept_of_a_request_is_nothing_of_its_body() -> None:
    made = vendor()
    bodies = (b"{}", b'{"contents": []}', b"")
    requests = [made.request("models/m:generateContent", body) for body in bodies]
    assert [request.content for request in requests] == list(bodies)
    assert [request.headers.get("content-length") for request in requests] == ["2", "16", "0"]


@pytest.mark.skipif(importlib.util.find_spec("httpx") is not None, reason="the other HTTP client is installed")
async def test_a_variable_that_the_sdk_insists_on_is_told(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOGLE_GENAI_HTTP_CLIENT", "httpx")
    with pytest.raises(Unavailable) as caught:
        await wire.events(asking(), recipient())
    assert caught.value.way_out == "unset GOOGLE_GENAI_HTTP_CLIENT"
    assert wire.requests == []


def test_the_manifest_names_every_variable_that_is_ignored() -> None:
    """Proxies are not the SDK's own, and the core says what it does with them."""
    named = set(GeminiProvider.manifest.environment)
    assert {name for name in HOSTILE if not name.endswith("_PROXY")} <= named
    assert "GEMINI_API_KEY" in named


def test_importing_the_provider_imports_neither_the_sdk_nor_the_prices() -> None:
    code = (
        "import sys, ringfence_gemini.provider; "
        "print([name for name in ('google.genai', 'genai_prices', 'pydantic', 'aiohttp') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_no_variable_of_the_sdk_is_unknown_here() -> None:
    """Every name that the SDK reads from the environment, in the modules that are used, is in the manifest."""
    import re
    from pathlib import Path as File

    folder = File(str(_api_client.__file__)).parent
    text = "".join((folder / name).read_text() for name in ("_api_client.py", "client.py", "_base_url.py"))
    named = set(re.findall(r"(?:environ\.get|getenv)\(\s*'([A-Z_]+)'", text))
    assert named
    assert named <= set(GeminiProvider.manifest.environment)


async def test_a_new_key_is_used_at_once(wire: Wire, tmp_path: Path) -> None:
    file = tmp_path / "key"
    to = recipient(secret=Secret(f"file:{file}"))
    for key in ("first", "second"):
        file.write_text(key)
        await wire.events(asking(), to)
    assert [request.headers["x-goog-api-key"] for request in wire.requests] == ["first", "second"]
