"""JSON and base64 with one spelling for one meaning: what two readers could read differently is not read at all."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode, urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from typing import NoReturn


def canonical(document: object) -> bytes:
    """The one spelling of a JSON document here: names sorted, no blanks, ASCII."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")


def strict_json(data: bytes) -> object:
    """The document that `data` holds.

    Raises:
        ValueError: it is no JSON in UTF-8, says a name twice, holds a number that JSON lacks, or is nested too deep.
    """
    try:
        return json.loads(
            data.decode("utf-8"), object_pairs_hook=_no_name_twice, parse_constant=_refuse, parse_float=_refuse
        )
    except (ValueError, RecursionError):
        raise ValueError("no strict JSON") from None


def _no_name_twice(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    # INVARIANT: duplicate names are refused at every depth; joserfc and json keep the last, others the first.
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name twice")
    return found


def _refuse(_: str) -> NoReturn:
    raise ValueError("a number that is no integer")


def to_base64url(data: bytes) -> str:
    """`data` in base64url without padding."""
    return urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def from_base64url(text: str) -> bytes:
    """What `text` encodes, if it is the one way to write it.

    Raises:
        ValueError: it has padding, a foreign character or stray bits.
    """
    data = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    # Python skips what is no base64, so what it read must read as it was written.
    if to_base64url(data) != text:
        raise ValueError("another spelling")
    return data


def from_base64(text: str) -> bytes:
    """What `text` encodes in base64 with padding, if it is the one way to write it.

    Raises:
        ValueError: it is another spelling.
    """
    data = b64decode(text, validate=True)
    if b64encode(data).decode("ascii") != text:
        raise ValueError("another spelling")
    return data


__all__ = ["canonical", "from_base64", "from_base64url", "strict_json", "to_base64url"]
