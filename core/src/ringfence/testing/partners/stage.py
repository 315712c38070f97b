"""One vendor's stage: the scenes that were played to it, and what it has seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ringfence.testing.partners.asked import Asked, default_scene
from ringfence.testing.partners.wire import HttpRequest
from ringfence.testing.scenes import Scene, Seen


class Stage:
    """Hands out scenes in order, the last again and again; without any, what the request asks for decides.

    With `echo` a sentence of it is what was asked; `keyless` says that no key is needed.
    """

    def __init__(self, *, echo: bool = False, keyless: bool = False) -> None:
        self._echo = echo
        self.keyless = keyless
        self._scenes: list[Scene] = []
        self._next = 0
        self._act = 0
        self._seen: list[Seen] = []

    def play(self, scenes: Sequence[Scene]) -> None:
        """Begins anew with these."""
        self._scenes = list(scenes)
        self._next = 0
        self._act += 1
        self._seen = []

    def seen(self) -> Sequence[Seen]:
        """The requests so far."""
        return tuple(self._seen)

    def scene(self, asked: Asked) -> Scene:
        """What the next request gets."""
        if not self._scenes:
            return default_scene(asked, echo=self._echo)
        scene = self._scenes[min(self._next, len(self._scenes) - 1)]
        self._next += 1
        return scene

    def note(self, request: HttpRequest) -> tuple[int, int]:
        """Keeps a request; the result names it to `gone`."""
        self._seen.append(
            Seen(
                method=request.method,
                path=request.path,
                query=request.query,
                headers=request.headers,
                body=request.body,
            )
        )
        return self._act, len(self._seen) - 1

    def gone(self, noted: tuple[int, int], after_s: float) -> None:
        """The client of a request left before its answer was complete."""
        act, index = noted
        if act == self._act:
            self._seen[index] = replace(self._seen[index], disconnected_s=after_s)
