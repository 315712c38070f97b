"""A loopback server that answers with bytes that the double of the partners once wrote: it costs next to nothing.

As a module it is that server: `python -m tests.benchmarks.partner_wire FILE`, where FILE holds the answers as JSON.
"""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Self
from urllib.parse import urlsplit

from tests.benchmarks.setting import ROOT

CHUNKS: Final = 500
_WORDS = tuple(f" word{number}" for number in range(CHUNKS))
_MESSAGES = '"messages":[{"role":"user","content":"x"}]'
_CONTENTS = '{"contents":[{"role":"user","parts":[{"text":"x"}]}]}'
_ASKED: Final[Mapping[str, tuple[str, str]]] = {
    "/responses": ("/v1/responses", '{"model":"m","input":"x"}'),
    "/responses stream": ("/v1/responses", '{"model":"m","input":"x","stream":true}'),
    "/chat": ("/v1/chat/completions", f'{{"model":"m",{_MESSAGES}}}'),
    "/chat stream": (
        "/v1/chat/completions",
        f'{{"model":"m",{_MESSAGES},"stream":true,"stream_options":{{"include_usage":true}}}}',
    ),
    "generateContent": ("/v1beta/models/m:generateContent", _CONTENTS),
    "streamGenerateContent stream": ("/v1beta/models/m:streamGenerateContent?alt=sse", _CONTENTS),
}


def recorded() -> dict[str, str]:
    """The raw answers, head and all, by what a request's first line holds and whether it streams."""
    from ringfence.testing.partners import PartnerServer
    from ringfence.testing.scenes import Scene

    with PartnerServer() as server:
        scene = Scene(text=_WORDS)
        server.openai.play(scene)
        server.gemini.play(scene)
        place = urlsplit(server.openai.url)
        assert place.hostname is not None and place.port is not None  # noqa: PT018  (a URL of our own)
        return {name: _raw(place.hostname, place.port, *asked) for name, asked in _ASKED.items()}


def _raw(host: str, port: int, path: str, body: str) -> str:
    head = f"POST {path} HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer k\r\nx-goog-api-key: k\r\n"
    head += f"content-type: application/json\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
    with socket.create_connection((host, port)) as link:
        link.sendall((head + body).encode())
        return b"".join(iter(lambda: link.recv(65536), b"")).decode("latin-1")


class Replay(asyncio.Protocol):
    """Answers each request with the recorded bytes for it."""

    answers: Mapping[str, bytes]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._buffer = b""

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._end()) is not None:
            request, self._buffer = self._buffer[:end], self._buffer[end:]
            self._transport.write(self._answer(request))

    def _end(self) -> int | None:
        head = self._buffer.find(b"\r\n\r\n")
        if head < 0:
            return None
        length = self._buffer[:head].lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
        end = head + 4 + int(length or b"0")
        return end if len(self._buffer) >= end else None

    def _answer(self, request: bytes) -> bytes:
        line, _, rest = request.partition(b"\r\n")
        streams = b"streamGenerate" in line or b'"stream":true' in rest or b'"stream": true' in rest
        for name, answer in self.answers.items():
            fragment, _, stream = name.partition(" ")
            if fragment.encode() in line and bool(stream) == streams:
                return answer
        return b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"


class PartnerWire:
    """The server, as a process of its own. Use it as a context manager; `url` has no path."""

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory()
        file = Path(self._folder.name, "answers.json")
        file.write_text(json.dumps(recorded()), encoding="utf-8")
        command = [sys.executable, "-m", "tests.benchmarks.partner_wire", str(file)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT, text=True)
        assert self._process.stdout is not None
        self.url = f"http://127.0.0.1:{int(self._process.stdout.readline())}"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()
        self._folder.cleanup()


async def _serve(texts: dict[str, str]) -> None:
    # The recorded heads say that the connection ends; here it goes on.
    Replay.answers = {name: text.replace("connection: close\r\n", "").encode("latin-1") for name, text in texts.items()}
    server = await asyncio.get_running_loop().create_server(Replay, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))))
