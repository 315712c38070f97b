"""Servers on loopback that no TLS connection comes about with."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import BaseRequestHandler, TCPServer, ThreadingTCPServer

from tests.transport.certificates import make
from typing_extensions import override


class _Quiet(ThreadingHTTPServer):
    @override
    def handle_error(self, request: object, client_address: object) -> None:
        """Clients hang up here, which is what the tests are about."""


@contextmanager
def serving_tls(folder: Path) -> Generator[str]:
    """The base URL of a server that speaks TLS with a certificate of a new authority; it ends with the block."""
    _, context = make(folder)
    server = _Quiet(("127.0.0.1", 0), BaseHTTPRequestHandler)
    server.socket = _wrapped(server, context)
    with _running(server) as port:
        yield f"https://127.0.0.1:{port}"


class _Refuses(BaseRequestHandler):
    @override
    def handle(self) -> None:
        self.request.sendall(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        self.request.recv(65_536)


@contextmanager
def serving_no_tls() -> Generator[str]:
    """An https URL of a server that speaks plain HTTP, and takes nothing else for a request."""
    with _running(ThreadingTCPServer(("127.0.0.1", 0), _Refuses)) as port:
        yield f"https://127.0.0.1:{port}"


@contextmanager
def _running(server: TCPServer) -> Generator[int]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _wrapped(server: ThreadingHTTPServer, context: ssl.SSLContext) -> ssl.SSLSocket:
    # The handshake is made with the first read, in the thread of the connection.
    return context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)


__all__ = ["serving_no_tls", "serving_tls"]
