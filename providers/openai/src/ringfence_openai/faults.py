"""What the decoders find wrong with an answer. `errors` says it in the words of the provider interface."""

from __future__ import annotations


class Malformed(Exception):
    """The backend sent what its API does not say. It holds nothing of what was sent."""


class Cut(Malformed):
    """The answer ended inside a tool call. Half of a call never passes for a whole one."""


class Refused(Exception):
    """The backend said inside its answer that it failed. `codes` are its words for why, from structured fields."""

    def __init__(self, *codes: object) -> None:
        super().__init__()
        self.codes = tuple(code for code in codes if isinstance(code, str))


__all__ = ["Cut", "Malformed", "Refused"]
