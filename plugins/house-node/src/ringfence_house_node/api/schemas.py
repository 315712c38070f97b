"""Schemas of callers: looked at and bounded, and compiled by nobody here.

INVARIANT: what a caller sends takes no longer to check than to read. To compile a schema of two thousand patterns took
a hundred seconds, so that is left to the engine, which has limits for it and a process of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import jsonschema_rs

from ringfence.assistant.output import Output
from ringfence.request import OutputSchema
from ringfence.response import Response
from ringfence_house_node.api.faults import refused

_DEEPEST, _MOST_NODES = 32, 20_000
_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")


class Shape(Output[None]):
    """A shape that the engine keeps to and the caller validates: here an answer is passed on as it came."""

    def __init__(self, schema: Mapping[str, Any]) -> None:  # pylint: disable=super-init-not-called
        self.schema = OutputSchema(schema=schema)

    def validate(self, response: Response[object]) -> None:  # noqa: ARG002  (the caller's business)
        """Nothing: an answer that was cut is the caller's to see as one."""
        return


def check_schema(schema: Mapping[str, Any], param: str) -> None:
    """Does nothing for a JSON Schema within bounds that refers to itself alone; `param` is the field that it stands in.

    Raises:
        Refused: it is none, or goes beyond.
    """
    level: list[Any] = [schema]
    nodes = 0
    for _ in range(_DEEPEST):
        if any(map(_refers_elsewhere, level)):
            raise refused("a schema refers to itself only", param)
        level = [child for node in level for child in _children(node)]
        nodes += len(level)
        if not level or nodes > _MOST_NODES:
            break
    if level:
        raise refused(f"a schema is nested at most {_DEEPEST} deep and holds at most {_MOST_NODES} values", param)
    # Its dialect is left out: the library would look one up that it does not know.
    plain = {name: value for name, value in schema.items() if name != "$schema"}
    if not jsonschema_rs.meta.is_valid(plain):
        raise refused("the schema is not a valid JSON Schema", param)


def _refers_elsewhere(node: Any) -> bool:
    if not isinstance(node, dict):
        return False
    given = (cast("dict[str, Any]", node).get(name) for name in _REFERENCES)
    return any(isinstance(reference, str) and not reference.startswith("#") for reference in given)


def _children(node: Any) -> Sequence[Any]:
    if isinstance(node, dict):
        return list(cast("dict[str, Any]", node).values())
    return cast("Sequence[Any]", node) if isinstance(node, list) else ()


__all__ = ["Shape", "check_schema"]
