"""JSON that a client sent: what is not of the expected shape counts as empty, so that nothing here ever raises."""

from __future__ import annotations

import json
from typing import TypeAlias, cast

JsonObject: TypeAlias = dict[str, object]


def as_object(value: object) -> JsonObject:
    """`value` if it is a JSON object, else an empty one."""
    return cast("JsonObject", value) if isinstance(value, dict) else {}


def as_list(value: object) -> list[object]:
    """`value` if it is a JSON array, else an empty one."""
    return cast("list[object]", value) if isinstance(value, list) else []


def objects_in(value: object) -> list[JsonObject]:
    """The JSON objects in an array."""
    return [cast("JsonObject", item) for item in as_list(value) if isinstance(item, dict)]


def as_text(value: object, default: str = "") -> str:
    """`value` if it is a string."""
    return value if isinstance(value, str) else default


def as_count(value: object, default: int, *, most: int) -> int:
    """`value` if it is a whole number from 1 to `most`."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= most else default


def object_in(data: bytes) -> JsonObject | None:
    """The JSON object that `data` is the text of; `None` if it is something else."""
    try:
        value: object = json.loads(data)
    except ValueError:
        return None
    return cast("JsonObject", value) if isinstance(value, dict) else None


def encoded(value: object) -> bytes:
    """Compact JSON in UTF-8."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def names(text: str) -> frozenset[str]:
    """The words of `text`."""
    return frozenset(text.split())
