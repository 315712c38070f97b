"""What kind of JSON value something is, in a way that type checkers follow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard


def is_object(value: object) -> TypeGuard[Mapping[str, Any]]:
    """A JSON object; keys are taken to be strings."""
    return isinstance(value, Mapping)


def is_array(value: object) -> TypeGuard[Sequence[Any]]:
    """A JSON array, as a list or a tuple."""
    return isinstance(value, list | tuple)
