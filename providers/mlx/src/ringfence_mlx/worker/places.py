"""Where something was raised, in words free of content: a message or a value may hold what a user wrote."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType


def describe(error: BaseException) -> str:
    """The type of `error` and the place of its innermost frame: `KeyError at engine.py:120`."""
    return f"{type(error).__name__} at {place_of(error.__traceback__)}"


def place_of(traceback: TracebackType | None) -> str:
    """File name and line of the innermost frame."""
    place = "an unknown place"
    while traceback is not None:
        place = f"{Path(traceback.tb_frame.f_code.co_filename).name}:{traceback.tb_lineno}"
        traceback = traceback.tb_next
    return place


__all__ = ["describe", "place_of"]
