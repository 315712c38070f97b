"""A partner on loopback behind a recorder of every byte that it is sent."""

from __future__ import annotations

import selectors
import socket
import threading
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from ringfence.testing import PartnerServer


class Recorder:
    """Passes bytes between its own port and the double's, and keeps all that a client sent."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._to = (parts.hostname or "", parts.port or 0)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._sent: list[bytes] = []
        self.connections = 0
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}{parts.path}"
        threading.Thread(target=self._accept, daemon=True).start()

    def sent(self) -> bytes:
        """All that was sent since it was last forgotten."""
        return b"".join(self._sent)

    def forget(self) -> None:
        """Begins anew."""
        self._sent.clear()
        self.connections = 0

    def close(self) -> None:
        """Takes no more connections."""
        self._listening.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._pass_on, args=(client,), daemon=True).start()

    def _pass_on(self, client: socket.socket) -> None:
        with client, socket.create_connection(self._to) as server, selectors.DefaultSelector() as ready:
            ready.register(client, selectors.EVENT_READ, server)
            ready.register(server, selectors.EVENT_READ, client)
            while True:
                for key, _ in ready.select():
                    source, target = key.fileobj, key.data
                    assert isinstance(source, socket.socket)
                    try:
                        data = source.recv(65_536)
                        if source is client:
                            self._sent.append(data)
                        target.sendall(data)
                    except OSError:
                        return
                    if not data:
                        return


@pytest.fixture(scope="session")
def partner_server() -> Iterator[PartnerServer]:
    with PartnerServer() as server:
        yield server


@pytest.fixture(scope="session")
def recorders(partner_server: PartnerServer) -> Iterator[dict[str, Recorder]]:
    found = {"openai": Recorder(partner_server.openai.url), "gemini": Recorder(partner_server.gemini.url)}
    yield found
    for recorder in found.values():
        recorder.close()


@pytest.fixture
def wires(
    recorders: dict[str, Recorder], partner_server: PartnerServer, monkeypatch: pytest.MonkeyPatch
) -> dict[str, Recorder]:
    """The partners by provider, quiet again, and nothing recorded."""
    monkeypatch.setenv("CANARY_KEY", "sk-key-of-the-partner")
    partner_server.openai.play()
    partner_server.gemini.play()
    for recorder in recorders.values():
        recorder.forget()
    return recorders


@pytest.fixture
def wire(wires: dict[str, Recorder]) -> Recorder:
    """The first of them."""
    return wires["openai"]
