"""A file server that misbehaves as its paths say: `python models_server.py FILE LOG`. Prints its port.

`/range` honours Range · `/plain` does not · `/drop` closes in the middle, twice · `/stuck` always closes at the same
place · `/slow` trickles · `/wrong` other bytes · `/longer` another size · `/endless` more than the size, without
saying so · `/changed` another file under another entity tag · `/busy` 503 twice · `/gone` 404 · `/simple-json` and
`/simple-html` index pages, with `-local` of links to the file itself.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

FILE = Path(sys.argv[1])
LOG = Path(sys.argv[2])
BODY = FILE.read_bytes()
COUNTS: dict[str, int] = {}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass

    def do_GET(self) -> None:
        mode = self.path.split("/")[1]
        COUNTS[mode] = COUNTS.get(mode, 0) + 1
        with LOG.open("a") as log:
            log.write(
                json.dumps({"path": self.path, "headers": {k.lower(): v for k, v in self.headers.items()}}) + "\n"
            )
        self.close_connection = True
        if mode.startswith("simple"):
            self.page(mode)
        elif mode == "gone" or (mode == "busy" and COUNTS[mode] <= 2):
            self.send_response(404 if mode == "gone" else 503)
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            self.file(mode)

    def page(self, mode: str) -> None:
        url = f"/range/{FILE.name}" if "local" not in mode else FILE.as_uri()
        digest = hashlib.sha256(BODY).hexdigest() if "other" not in mode else "0" * 64
        if "json" in mode:
            text = json.dumps({"files": [{"url": url, "filename": FILE.name, "hashes": {"sha256": digest}}]})
            media_type = "application/vnd.pypi.simple.v1+json"
        else:
            link = f"..{url}" if url.startswith("/") else url
            text = f'<html><a href="/range/else.whl">x</a><a href="{link}#sha256={digest}">{FILE.name}</a></html>'
            media_type = "text/html"
        self.send_response(200)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def file(self, mode: str) -> None:
        body = {"wrong": bytes(len(BODY)), "longer": BODY + b"x"}.get(mode, BODY)
        tag = '"second"' if mode == "changed" else '"first"'
        begin = 0
        asked = self.headers.get("Range")
        if asked and mode != "plain" and self.headers.get("If-Range", tag) == tag:
            begin = int(asked.removeprefix("bytes=").removesuffix("-"))
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {begin}-{len(body) - 1}/{len(body)}")
        else:
            self.send_response(200)
        self.send_header("ETag", tag)
        if mode != "endless":
            self.send_header("Content-Length", str(len(body) - begin))
        self.end_headers()
        self.send_body(mode, body[begin:], begin)

    def send_body(self, mode: str, body: bytes, begin: int) -> None:
        if mode == "drop" and COUNTS[mode] <= 2:
            body = body[: len(BODY) // 3]
        elif mode == "stuck":
            body = body[: max(len(BODY) // 2 - begin, 0)]
        elif mode == "endless":
            body += b"more"
        step = 20_000 if mode == "slow" else 1 << 20
        try:
            for start in range(0, len(body), step):
                self.wfile.write(body[start : start + step])
                if mode == "slow":
                    time.sleep(0.02)
        except (BrokenPipeError, ConnectionResetError):
            pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
