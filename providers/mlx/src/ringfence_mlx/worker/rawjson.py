"""The text of one member of a JSON object, exactly as it was written."""

from __future__ import annotations

import json
import re

_BEGIN = re.compile(r"\s*\{\s*")
_COLON = re.compile(r"\s*:\s*")
_NEXT = re.compile(r"\s*([,}])\s*")


def member_text(document: str, name: str) -> str | None:
    """The text of the value of `name` in the JSON object `document`, or `None` where that is not what it is.

    Of members of the same name the last counts, as for `json.loads`.

    Raises:
        RecursionError: it is nested too deep.
    """
    found: str | None = None
    decoder = json.JSONDecoder()
    begin = _BEGIN.match(document)
    try:
        place = begin.end() if begin else -1
        while place >= 0:
            key, place = decoder.raw_decode(document, place)
            colon = _COLON.match(document, place)
            if colon is None or not isinstance(key, str):
                return None
            _, place = decoder.raw_decode(document, colon.end())
            if key == name:
                found = document[colon.end() : place]
            following = _NEXT.match(document, place)
            if following is None:
                return None
            if following[1] == "}":
                return found
            place = following.end()
    except ValueError:
        return None
    return None


__all__ = ["member_text"]
