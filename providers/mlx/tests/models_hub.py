"""A model hub with one model in a folder: `python models_hub.py FOLDER LOG`. Prints its port; logs the paths asked for.

It speaks as much of the hub's protocol as huggingface_hub asks for when it brings a model.
"""

from __future__ import annotations

import hashlib
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

COMMIT = "0123456789abcdef" * 2 + "01234567"
FILES = {path.name: path.read_bytes() for path in Path(sys.argv[1]).iterdir()}
LOG = Path(sys.argv[2])


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        with LOG.open("a") as log:
            log.write(f"{self.command} {path}\n")
        if path.startswith("/api/models/absent/"):
            self.answer(404, b"{}", {"X-Error-Code": "RepoNotFound"})
        elif "/tree/" in path:
            files = [{"type": "file", "path": name, "size": len(body)} for name, body in FILES.items()]
            self.answer(200, json.dumps([file | {"oid": "a" * 40} for file in files]).encode(), {})
        elif path.startswith("/api/models/"):
            names = [{"rfilename": name} for name in FILES]
            self.answer(200, json.dumps({"id": "org/name", "sha": COMMIT, "siblings": names}).encode(), {})
        else:
            body = FILES[path.rpartition("/")[2]]
            tag = f'"{hashlib.sha256(body).hexdigest()}"'
            self.answer(200, body, {"ETag": tag, "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"})

    def answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
