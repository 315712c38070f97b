"""Which schemas are compiled at all: what a hostile one could cost in time, memory, or the process itself."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from ringfence_mlx.worker.jsonlike import is_array, is_object

# A schema is compiled while others wait: these bounds keep the worst ones found at about one second.
MAX_SCHEMA_CHARACTERS = 65_536
MAX_SCHEMA_VALUES = 4_000
MAX_SCHEMA_DEPTH = 48
# Every pattern is compared with every other: 300 of them take 2.5 s.
MAX_PATTERN_PROPERTIES = 64
# An automaton with so many states; two factors under one allOf multiply, and llguidance's own limits do not see it.
MAX_MULTIPLE_OF = 10_000


class ConstraintError(ValueError):
    """The schema cannot be enforced. The message names keywords of JSON Schema and limits, nothing else of it.

    `keywords` are those that cannot be enforced, if that is the reason.
    """

    def __init__(self, message: str, *, keywords: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.keywords = tuple(keywords)


def check_limits(schema: Mapping[str, Any]) -> None:
    """Lets a schema through if it can be compiled in reasonable time.

    Raises:
        ConstraintError: it is too large, too deep, too costly, or not JSON.
    """
    values = _values(schema)
    try:
        size = len(json.dumps(schema, allow_nan=False))
    except (TypeError, ValueError):
        raise ConstraintError("the schema is not JSON") from None
    if size > MAX_SCHEMA_CHARACTERS:
        raise ConstraintError(f"the schema is longer than {MAX_SCHEMA_CHARACTERS:,} characters")
    _check_cost([value for value in values if is_object(value)])


def _values(schema: Mapping[str, Any]) -> list[Any]:
    """Every value in the schema. No recursion: llguidance recurses on the native stack, where too deep is the end."""
    found: list[Any] = []
    level: list[Any] = [schema]
    for _ in range(MAX_SCHEMA_DEPTH):
        found += level
        if len(found) > MAX_SCHEMA_VALUES:
            raise ConstraintError(f"the schema has more than {MAX_SCHEMA_VALUES:,} values")
        level = [item for value in level for item in _children(value)]
        if not level:
            return found
    raise ConstraintError(f"the schema is more than {MAX_SCHEMA_DEPTH} levels deep")


def _children(value: Any) -> Iterator[Any]:
    if is_object(value):
        yield from value.values()
    elif is_array(value):
        yield from value


def _check_cost(objects: Sequence[Mapping[str, Any]]) -> None:
    patterns = [found for value in objects if is_object(found := value.get("patternProperties"))]
    if sum(map(len, patterns)) > MAX_PATTERN_PROPERTIES:
        raise ConstraintError(f"the schema has more than {MAX_PATTERN_PROPERTIES} patternProperties")
    factors = [found for value in objects if isinstance(found := value.get("multipleOf"), int | float)]
    if math.lcm(*map(_digits, factors)) > MAX_MULTIPLE_OF:
        raise ConstraintError("the schema's multipleOf are too large together", keywords=("multipleOf",))


def _digits(factor: float) -> int:
    """The number without its point and the zeros at its end: powers of ten cost nothing."""
    digits = Decimal(str(factor)).normalize().as_tuple().digits
    return int("".join(map(str, digits)))
