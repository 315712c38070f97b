"""A server with ranks, as `mlx.launch` starts one: `python fake_server.py PORT FOLDER`. Standard library only.

It prints what it is asked, and does what the file FOLDER/mode says: answer, `mute`, `refuse`, or `exit`. Its process
ids stand in FOLDER/pids; its second rank has a session of its own and would outlive it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

FOLDER = Path(sys.argv[2])


def mode() -> str:
    try:
        return (FOLDER / "mode").read_text()
    except OSError:
        return ""


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        asked = self.rfile.read(int(self.headers["content-length"]))
        print(asked.decode(), flush=True)
        if mode() == "exit":
            os._exit(3)
        if mode() == "mute":
            time.sleep(60)
        if mode() == "refuse":
            self.send_error(500)
            return
        new = FOLDER / f"asked.{threading.get_ident()}"
        new.write_bytes(asked)
        new.replace(FOLDER / "asked")  # whole, whoever reads it meanwhile
        self.answer(json.loads(asked))

    def answer(self, asked: Any) -> None:
        if asked.get("stream"):
            self.send_response(200)
            self.send_header("content-type", "text/event-stream")
            self.end_headers()
            self.chunk({"content": "Hi"}, None)
            self.chunk({}, "stop")
            self.wfile.write(b"data: [DONE]\n\n")
            return
        message = {"role": "assistant", "content": "Hi"}
        body = json.dumps({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def chunk(self, delta: Any, finish_reason: str | None) -> None:
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
        self.wfile.write(b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\n")


def main() -> None:
    rank = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(600)"], start_new_session=True)
    with (FOLDER / "pids").open("a") as file:
        file.write(f"{os.getpid()}\n{rank.pid}\n")
    # One rank that is gone ends the group, as with mlx.launch.
    threading.Thread(target=lambda: os._exit(abs(rank.wait())), daemon=True).start()
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()


if __name__ == "__main__":
    main()
