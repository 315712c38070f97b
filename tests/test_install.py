"""Members install together with the root: no package index is ever asked for a distribution of ours."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MEMBERS = [
    "./providers/mlx",
    "./providers/openai",
    "./providers/gemini",
    "./providers/house",
    "./plugins/house-node",
    "./plugins/detectors",
]


@dataclass
class Index:
    """A package index on loopback that has every package, empty, and remembers what it was asked for."""

    url: str = ""
    asked: set[str] = field(default_factory=set[str])


VERSIONS = ("3.99", "9999.0")
"""One that upper bounds of today admit, and one that only missing bounds do."""


def _wheel(name: str, version: str) -> bytes:
    stem = f"{name.replace('-', '_')}-{version}"
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as wheel:
        info = f"{stem}.dist-info"
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", "")
    return data.getvalue()


@pytest.fixture
def index() -> Iterator[Index]:
    found = Index()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            kind, _, name = self.path.strip("/").partition("/")
            if kind == "simple":
                found.asked.add(name)
                files = [f"{name.replace('-', '_')}-{version}-py3-none-any.whl" for version in VERSIONS]
                links = (f'<a href="/file/{name}/{file}">{file}</a>' for file in files)
                body, mime = "".join(links).encode(), "text/html"
            else:
                package, _, file = name.partition("/")
                body, mime = _wheel(package, file.split("-")[1]), "application/octet-stream"
            self.send_response(200)
            self.send_header("Content-Type", mime)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        found.url = f"http://127.0.0.1:{server.server_port}/simple"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield found
        server.shutdown()


def resolve(index: Index, *arguments: str) -> subprocess.CompletedProcess[str]:
    """What pip would install, from nothing."""
    return subprocess.run(
        [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--no-build-isolation", *arguments],
        cwd=ROOT,
        env={
            "PATH": os.environ["PATH"],
            "HOME": os.environ.get("HOME", "/"),
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_INDEX_URL": index.url,
            "PIP_NO_CACHE_DIR": "1",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        },
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )


def ours(index: Index) -> set[str]:
    return {name for name in index.asked if name.startswith("ringfence")}


def test_no_index_is_asked_for_ringfence(index: Index) -> None:
    done = resolve(index, "-r", "requirements.txt")
    assert done.returncode == 0, done.stderr
    assert "mlx-lm" in index.asked
    assert ours(index) == set()


def test_members_without_the_root_would_ask(index: Index) -> None:
    """What the test above would see if the root were forgotten."""
    resolve(index, *MEMBERS)
    assert ours(index) == {"ringfence"}


def test_the_partners_install_beside_the_root(index: Index) -> None:
    done = resolve(index, ".", "./providers/openai", "./providers/gemini")
    assert done.returncode == 0, done.stderr
    assert {"openai", "google-genai", "httpx2"} <= index.asked
    assert ours(index) == set()


def test_installing_the_core_brings_no_vendor_and_no_network_client(index: Index) -> None:
    done = resolve(index, ".")
    assert done.returncode == 0, done.stderr
    assert "click" in index.asked
    assert index.asked & {"openai", "google-genai", "httpx2", "pydantic", "genai-prices", "mlx-lm"} == set()
