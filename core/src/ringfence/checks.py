"""What untyped callers pass, checked at the door: one sentence that says what is wanted, and how to give it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, TypeGuard, TypeVar, cast

from ringfence.errors import InvalidRequest

T = TypeVar("T")

_COLLECTIONS = (list, tuple, set, frozenset)


def require(holds: bool, what: str, way_out: str) -> None:  # noqa: FBT001  (reads as the sentence it is)
    """Does nothing if `holds`.

    Raises:
        InvalidRequest: it does not; `what` says what is wanted, `way_out` shows how to give it.
    """
    if not holds:
        raise InvalidRequest(what, way_out=way_out)


def is_collection_of(value: object, kinds: type[T] | tuple[type[T], ...]) -> TypeGuard[Collection[T]]:
    """Whether `value` is a list, tuple or set that holds only `kinds`. A string or a mapping is none."""
    if not isinstance(value, _COLLECTIONS):
        return False
    for item in cast("Collection[object]", value):  # noqa: SIM110  (a generator would cost more than the checks)
        if not isinstance(item, kinds):
            return False
    return True


def is_mapping(value: object, *, of: type | tuple[type, ...] | None = None) -> TypeGuard[Mapping[str, Any]]:
    """Whether `value` maps strings, to `of` where that is given."""
    if not isinstance(value, Mapping):
        return False
    return all(isinstance(key, str) and (of is None or isinstance(item, of)) for key, item in value.items())  # pyright: ignore[reportUnknownVariableType]


_DEEPEST = 64


def json_copy(value: object, *, depth: int = 0) -> object:
    """JSON data that shares no mapping and no list with `value`, whose owner may change it at any time.

    Raises:
        InvalidRequest: it is nested more than 64 deep, or holds itself.
    """
    require(depth <= _DEEPEST, "a schema or option is nested too deeply", "a flatter one")
    if isinstance(value, Mapping):
        items = cast("Mapping[object, object]", value).items()
        return {key: json_copy(item, depth=depth + 1) for key, item in items}
    if isinstance(value, list | tuple):
        return [json_copy(item, depth=depth + 1) for item in cast("Collection[object]", value)]
    return value
