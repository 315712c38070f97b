"""A hostile environment changes nothing, and nothing of a vendor is imported before its recipient is used.

Each test is a process of its own with every plugin installed.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.partners.support import APIS, DEVICE, GEMINI_KEY, KEYS, OPENAI_KEY, Api, at, backend, policy_text

from ringfence.registry import load_manifest
from ringfence.testing import PartnerServer, Scene

ASK = """
import asyncio, json, sys, warnings
from pathlib import Path
import ringfence
from ringfence import AsyncAssistant, Policy
from ringfence.testing import ScriptedProvider

async def main():
    policy, how, audit = sys.argv[1], sys.argv[2], sys.argv[3]
    texts = []
    async with AsyncAssistant(Path(policy), audit=audit, consent=lambda asked: True) as asked:
        if how == "both":
            async with asked.stream("Hello there", labels=["public"]) as stream:
                texts.append((await stream.response()).text)
        texts.append((await asked.respond("Hello there", labels=["public"])).text)
    print(json.dumps({"texts": texts}))

asyncio.run(main())
"""

QUIET = """
import asyncio, json, sys
from pathlib import Path
import ringfence
from ringfence import AsyncAssistant
from ringfence.policy import load_policy

def vendors():
    watched = ("openai", "google.genai", "httpx2", "aiohttp", "pydantic", "ringfence_openai", "ringfence_gemini",
               "ringfence_mlx", "genai_prices", "msgspec")
    return [name for name in watched if name in sys.modules]

found = {"import": vendors()}
policy = load_policy(Path(sys.argv[1]))
found["load"] = vendors()

async def main():
    from ringfence.testing import ScriptedProvider
    scripted = {"scripted": ScriptedProvider("On the device.")}
    async with AsyncAssistant(policy, audit=sys.argv[2], providers=scripted, consent=lambda asked: True) as asked:
        decision = asked.explain("Hello there", labels=["public"])
        found["plan"] = [step.recipient for step in decision.plan]
        found["explain"] = vendors()
        response = await asked.respond("Hello there", labels=["public"], to="local")
        found["text"] = response.text
        found["answer"] = vendors()
        async with asked.stream("Hello there", labels=["public"]) as stream:
            found["partner"] = (await stream.response()).text
        found["asked"] = vendors()

asyncio.run(main())
print(json.dumps(found))
"""


class Trap:
    """A server that nobody may talk to; it takes connections and keeps what comes first."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self.caught: list[bytes] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            connection.settimeout(0.5)
            try:
                self.caught.append(connection.recv(65_536))
            except OSError:
                self.caught.append(b"a connection")
            connection.close()

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def trap() -> Iterator[Trap]:
    trap = Trap()
    yield trap
    trap.close()


def run(code: str, *arguments: str, cwd: Path, **environment: str) -> dict[str, Any]:
    base = {name: value for name, value in os.environ.items() if not name.upper().endswith("_PROXY")}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *arguments],
        env={**base, **KEYS, "RINGFENCE_STATE_DIR": str(cwd / "state"), **environment},
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def hostile(trap: Trap, tmp_path: Path) -> dict[str, str]:
    """Every variable that a vendor's client or a HTTP stack might read, all of them leading to the trap."""
    url = f"http://127.0.0.1:{trap.port}"
    evil = "evil-key-from-the-environment"
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login evil password evil-key-from-the-environment\n")
    netrc.chmod(0o600)
    certificates = tmp_path / "empty.pem"
    certificates.write_text("no certificate\n")
    pip = tmp_path / "adc.json"
    pip.write_text(json.dumps({"type": "authorized_user", "client_id": "x", "token_uri": url, "refresh_token": evil}))
    proxies = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"), url)
    named = {
        "OPENAI_BASE_URL": f"{url}/v1",
        "OPENAI_API_KEY": evil,
        "OPENAI_ADMIN_KEY": evil,
        "OPENAI_ORG_ID": evil,
        "OPENAI_PROJECT_ID": evil,
        "OPENAI_CUSTOM_HEADERS": f"X-Evil: {evil}\nAuthorization: Bearer {evil}",
        "OPENAI_LOG": "debug",
        "OPENAI_API_TYPE": "azure",
        "AZURE_OPENAI_ENDPOINT": url,
        "AZURE_OPENAI_API_KEY": evil,
        "GOOGLE_API_KEY": evil,
        "GEMINI_API_KEY": evil,
        "GOOGLE_GENAI_USE_VERTEXAI": "true",
        "GOOGLE_GENAI_USE_ENTERPRISE": "true",
        "GOOGLE_GENAI_API_VERSION": "v9evil",
        "GOOGLE_GENAI_CLIENT_MODE": "replay",
        "GOOGLE_GENAI_REPLAYS_DIRECTORY": str(tmp_path),
        "GOOGLE_GENAI_REPLAY_ID": "evil",
        "GOOGLE_GENAI_HTTP_CLIENT": "aiohttp",
        "GOOGLE_CLOUD_PROJECT": "evil",
        "GOOGLE_CLOUD_LOCATION": "evil",
        "GOOGLE_GEMINI_BASE_URL": url,
        "GOOGLE_VERTEX_BASE_URL": url,
        "GOOGLE_APPLICATION_CREDENTIALS": str(pip),
        "GOOGLE_API_USE_CLIENT_CERTIFICATE": "true",
        "GOOGLE_API_USE_MTLS_ENDPOINT": "always",
        "GCE_METADATA_HOST": f"127.0.0.1:{trap.port}",
        "SSL_CERT_FILE": str(certificates),
        "SSL_CERT_DIR": str(tmp_path),
        "REQUESTS_CA_BUNDLE": str(certificates),
        "CURL_CA_BUNDLE": str(certificates),
        "NETRC": str(netrc),
        "HOME": str(tmp_path),
    }
    declared = {name for vendor in ("openai", "gemini") for name in load_manifest(f"ringfence_{vendor}").environment}
    rest = {name: url for name in declared if name not in named}
    return {**proxies, **named, **rest}


@pytest.mark.parametrize("api", APIS)
def test_the_environment_leads_nowhere(server: PartnerServer, trap: Trap, tmp_path: Path, api: Api) -> None:
    """Neither a stream nor a whole answer."""
    double = backend(api, server)
    double.play(*[Scene(text=("From", " the policy's", " url."))] * 2)
    policy = tmp_path / "policy.yaml"
    policy.write_text(policy_text({"first": at(api, server)}))
    environment = hostile(trap, tmp_path)
    answer = run(ASK, str(policy), "both", str(tmp_path / "audit"), cwd=tmp_path, **environment)
    assert answer["texts"] == ["From the policy's url."] * 2
    assert trap.caught == []
    header, key = ("x-goog-api-key", GEMINI_KEY) if api == "gemini" else ("authorization", f"Bearer {OPENAI_KEY}")
    streamed, whole = double.seen()
    for seen in (streamed, whole):
        assert seen.headers[header] == key
        said = "\n".join((*seen.headers, *seen.headers.values(), seen.path, seen.query, seen.body.decode())).lower()
        assert "evil" not in said
        assert str(trap.port) not in said
    kept = [path for path in (tmp_path / "audit").rglob("*") if path.is_file()]
    assert kept
    assert not any("evil" in path.read_text() for path in kept)


@pytest.mark.parametrize(("api", "where"), [("responses", "writable"), ("gemini", "missing")])
def test_the_file_for_tls_keys_is_not_opened(server: PartnerServer, tmp_path: Path, api: Api, where: str) -> None:
    """The core takes care of it when it imports aiohttp; where the file cannot be opened, the import itself fails."""
    backend(api, server).play(Scene(text=("Hello",)))
    policy = tmp_path / "policy.yaml"
    policy.write_text(policy_text({"first": at(api, server)}))
    file = tmp_path / ("keys.log" if where == "writable" else "missing/keys.log")
    answer = run(ASK, str(policy), "whole", str(tmp_path / "audit"), cwd=tmp_path, SSLKEYLOGFILE=str(file))
    assert answer["texts"] == ["Hello"]
    assert not file.exists()


@pytest.mark.parametrize("api", ["chat", "gemini"])
def test_the_vendors_own_key_does_not_go_to_another_url(server: PartnerServer, tmp_path: Path, api: Api) -> None:
    """A recipient with a url and without a secret: the request arrives without any key, whatever is exported."""
    double = backend(api, server)
    policy = tmp_path / "policy.yaml"
    named = re.sub(r"secret: env:\w+, ", "", at(api, server))
    assert "secret" not in named
    policy.write_text(policy_text({"first": named, "local": DEVICE}))
    keys = {name: f"{name}-evil" for name in ("OPENAI_API_KEY", "GEMINI_API_KEY", "GOOGLE_API_KEY", "OPENAI_ADMIN_KEY")}
    code = ASK.replace(
        "asyncio.run(main())",
        "try:\n    asyncio.run(main())\nexcept ringfence.RingfenceError as error:\n"
        "    print(json.dumps({'error': type(error).__name__, 'shown': str(error)}))",
    )
    answer = run(code, str(policy), "whole", str(tmp_path / "audit"), cwd=tmp_path, **keys)
    (seen,) = double.seen()
    assert "authorization" not in seen.headers
    assert "x-goog-api-key" not in seen.headers
    assert "evil" not in "\n".join((*seen.headers.values(), seen.path, seen.query, seen.body.decode()))
    # The double, as the vendor, wants a key.
    assert answer["error"] == "AuthenticationFailed"
    assert "evil" not in answer["shown"]


def test_nothing_of_a_vendor_is_imported_before_its_recipient_is_used(server: PartnerServer, tmp_path: Path) -> None:
    server.openai.play(Scene(text=("From a partner.",)))
    policy = tmp_path / "policy.yaml"
    recipients = {"first": at("responses", server), "second": at("gemini", server), "local": DEVICE}
    recipients["own"] = '{ring: house, provider: house, model: m, url: "https://house.invalid"}'
    policy.write_text(policy_text(recipients, prefer=["first", "own"], fallback=["second", "local"]))
    found = run(QUIET, str(policy), str(tmp_path / "audit"), cwd=tmp_path)
    assert found["import"] == found["load"] == found["explain"] == found["answer"] == []
    assert found["plan"] == ["first", "second", "local"]
    assert found["text"] == "On the device."
    assert found["partner"] == "From a partner."
    assert {"openai", "ringfence_openai", "httpx2"} <= set(found["asked"])
    assert not {"google.genai", "ringfence_gemini", "ringfence_mlx"} & set(found["asked"])


def test_after_a_gemini_request_there_is_no_openai(server: PartnerServer, tmp_path: Path) -> None:
    server.gemini.play(Scene(text=("From a partner.",)))
    policy = tmp_path / "policy.yaml"
    recipients = {"first": at("gemini", server), "second": at("responses", server), "local": DEVICE}
    policy.write_text(policy_text(recipients, fallback=["second", "local"]))
    found = run(QUIET, str(policy), str(tmp_path / "audit"), cwd=tmp_path)
    assert found["partner"] == "From a partner."
    assert "google.genai" in found["asked"]
    assert not {"openai", "ringfence_openai"} & set(found["asked"])
