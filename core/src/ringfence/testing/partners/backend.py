"""The test's side: `PartnerServer` starts the server process and controls it."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Literal, Self, TypeAlias

from ringfence.testing.partners import gemini_content, openai_chat, openai_responses
from ringfence.testing.partners.loose_json import JsonObject, as_object, as_text, encoded, objects_in
from ringfence.testing.partners.scene_json import scene_to_json, seen_from_json
from ringfence.testing.scenes import Scene, Seen

Api: TypeAlias = Literal["responses", "chat", "gemini"]

_COUNTS = {
    "responses": openai_responses.wire_events,
    "chat": openai_chat.wire_events,
    "gemini": gemini_content.wire_events,
}


def wire_events(scene: Scene, api: Api = "responses") -> int:
    """How many wire events `scene` has when it is streamed: a fault can be put at each index below.

    The mark that ends a chat completion counts, and so does its usage, for a request that asks for it.
    """
    return _COUNTS[api](scene)


class PartnerServer:
    """A process on loopback that speaks the real wire of OpenAI and Gemini.

    `openai` and `gemini` are its two backends, each with scenes of its own; the server itself is the one that speaks
    `api`. The process ends with the block, and with the process that began it. Any key is good enough for it; a model
    whose name begins with `missing-` is not known to it. With `echo` its sentence is what was asked, as the wire held
    it, in small pieces: so one sees a pseudonym go out and come back. With `keyless` it wants
    no key where it speaks OpenAI's API, as servers on loopback do.
    """

    def __init__(self, api: Api = "responses", *, echo: bool = False, keyless: bool = False) -> None:
        self._flags = [*(["--echo"] if echo else []), *(["--keyless"] if keyless else [])]
        self.api: Api = api
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self.openai = PartnerBackend(self, "openai", "chat" if api == "chat" else "responses")
        self.gemini = PartnerBackend(self, "gemini", "gemini")
        self._own = self.gemini if api == "gemini" else self.openai
        self.url = ""
        """The base URL of the server's own backend; empty before it was entered."""

    def play(self, *scenes: Scene) -> None:
        """As `Backend.play`; without a scene it answers as a request asks."""
        self._own.play(*scenes)

    def seen(self) -> Sequence[Seen]:
        """As `Backend.seen`."""
        return self._own.seen()

    def wire_events(self, scene: Scene) -> int:
        """`wire_events` for the server's own API."""
        return wire_events(scene, self.api)

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "ringfence.testing.partners", "--control", *self._flags]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # noqa: S603  (ours)
        told = self._line()
        self.openai.url, self.gemini.url = as_text(told.get("openai")), as_text(told.get("gemini"))
        self.url = self._own.url
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        process, self._process = self._process, None
        if process is not None:
            with process:
                process.terminate()

    def control(self, command: JsonObject) -> JsonObject:
        """One command and its answer, over the process's own pipes, where no client can come between."""
        with self._lock:
            process = self._running()
            if process.stdin is not None:
                process.stdin.write(encoded(command) + b"\n")
                process.stdin.flush()
            told = self._line()
        if "error" in told:
            raise RuntimeError(f"the server of the partners refused a command: {as_text(told['error'])}")
        return told

    def _line(self) -> JsonObject:
        process = self._running()
        line = process.stdout.readline() if process.stdout else b""
        if not line:
            raise RuntimeError("the server of the partners ended")
        return as_object(json.loads(line))

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError("the server of the partners runs inside its with block only")
        return self._process


class PartnerBackend:
    """One vendor of a `PartnerServer`."""

    def __init__(self, server: PartnerServer, vendor: str, api: Api) -> None:
        self._server = server
        self._vendor = vendor
        self.api: Api = api
        self.url = ""

    def play(self, *scenes: Scene) -> None:
        """As `Backend.play`; without a scene it answers as a request asks."""
        plain = [scene_to_json(scene) for scene in scenes]
        self._server.control({"do": "play", "vendor": self._vendor, "scenes": plain})

    def seen(self) -> Sequence[Seen]:
        """As `Backend.seen`."""
        told = self._server.control({"do": "seen", "vendor": self._vendor})
        return tuple(seen_from_json(plain) for plain in objects_in(told.get("seen")))

    def wire_events(self, scene: Scene) -> int:
        """`wire_events` for this backend's API."""
        return wire_events(scene, self.api)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None
