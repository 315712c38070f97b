"""The server process: both vendors on one loopback port, and a control connection on stdin and stdout."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import threading
from typing import cast

from ringfence.testing.partners import gemini_routes, openai_routes
from ringfence.testing.partners.answer import Answer
from ringfence.testing.partners.loose_json import JsonObject, as_object, as_text, encoded, objects_in
from ringfence.testing.partners.playback import play
from ringfence.testing.partners.scene_json import scene_from_json, seen_to_json
from ringfence.testing.partners.stage import Stage
from ringfence.testing.partners.wire import BadHttp, ClientGone, Wire, read_request

HOST = "127.0.0.1"
_STDIN = 0


class Partners:
    """The two stages, and the connections to them."""

    def __init__(self, *, echo: bool = False, keyless: bool = False) -> None:
        self.stages = {"openai": Stage(echo=echo, keyless=keyless), "gemini": Stage(echo=echo)}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answers one connection's requests in order, until either side ends it."""
        wire = Wire(reader, writer)
        try:
            while await self._one(wire):
                pass
        except (ClientGone, asyncio.CancelledError):
            # Cancelled: the process ends, and with it every connection.
            pass
        except BadHttp as fault:
            with contextlib.suppress(ClientGone):
                await play(wire, Answer(status=fault.status, media_type="text/plain", body=b"bad request\n"))
        finally:
            await wire.close()

    async def _one(self, wire: Wire) -> bool:
        request = await read_request(wire)
        for_gemini = gemini_routes.takes(request)
        stage = self.stages["gemini" if for_gemini else "openai"]
        noted = stage.note(request)
        try:
            answer = gemini_routes.answer(request, stage) if for_gemini else openai_routes.answer(request, stage)
            again = await play(wire, answer)
        except ClientGone:
            stage.gone(noted, wire.gone_s - request.arrived_s)
            raise
        return again and request.stays

    def obey(self, line: bytes) -> JsonObject:
        """Does what a line of the control connection says, and returns its answer."""
        said = as_object(json.loads(line))
        stage = self.stages[as_text(said.get("vendor"))]
        if said.get("do") == "play":
            stage.play([scene_from_json(scene) for scene in objects_in(said.get("scenes"))])
            return {"done": True}
        return {"seen": [seen_to_json(seen) for seen in stage.seen()]}


async def run(port: int, *, control: bool, echo: bool = False, keyless: bool = False) -> None:
    """Serves until SIGTERM or SIGINT; with `control`, until stdin ends too, which it does with the process that began.

    The first line on stdout is a JSON object: `port`, and the base URLs `openai` and `gemini`.
    """
    partners = Partners(echo=echo, keyless=keyless)
    over = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(name, over.set)
    server = await asyncio.start_server(partners.serve, HOST, port, backlog=1024)
    bound = cast("int", server.sockets[0].getsockname()[1])
    base = f"http://{HOST}:{bound}"
    _say({"port": bound, "openai": f"{base}/v1", "gemini": base})
    if control:
        threading.Thread(target=_listen, args=(partners, loop, over), daemon=True).start()
    await over.wait()
    server.close()


def _listen(partners: Partners, loop: asyncio.AbstractEventLoop, over: asyncio.Event) -> None:
    # A thread, because stdin may be any kind of file; and not `sys.stdin`, whose lock it would hold when the process
    # ends. `obey` runs on the loop, where the stages belong.
    pending = b""
    while data := os.read(_STDIN, 65_536):
        *lines, pending = (pending + data).split(b"\n")
        for line in lines:
            _say(asyncio.run_coroutine_threadsafe(_obeyed(partners, line), loop).result())
    loop.call_soon_threadsafe(over.set)


async def _obeyed(partners: Partners, line: bytes) -> JsonObject:
    try:
        return partners.obey(line)
    except Exception as error:  # noqa: BLE001  (an answer must come, or the test waits for ever)
        return {"error": type(error).__name__}


def _say(said: JsonObject) -> None:
    sys.stdout.buffer.write(encoded(said) + b"\n")
    sys.stdout.buffer.flush()
