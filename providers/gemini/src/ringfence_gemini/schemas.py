"""JSON Schema as the API understands it: keywords that it does not know are left out, and named.

The keywords are those that the vendor's reference lists for `responseJsonSchema` and `parametersJsonSchema`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from ringfence.request import JsonValue

_PLAIN = frozenset(
    {
        "$id",
        "$ref",
        "$anchor",
        "type",
        "format",
        "title",
        "description",
        "enum",
        "minItems",
        "maxItems",
        "minimum",
        "maximum",
        "required",
        "propertyOrdering",
    }
)
_ONE = frozenset({"items", "additionalProperties"})
_SEVERAL = frozenset({"prefixItems", "anyOf", "oneOf"})
_NAMED = frozenset({"properties", "$defs"})
_SILENT = frozenset({"$schema", "$comment", "examples", "default", "deprecated", "readOnly", "writeOnly"})
"""They ask nothing of an answer."""


def for_the_api(schema: Mapping[str, JsonValue]) -> tuple[dict[str, Any], frozenset[str]]:
    """The schema as it is sent, and the keywords that were left out of it although they ask something."""
    left_out: set[str] = set()
    return _object(schema, left_out), frozenset(left_out)


def _object(schema: Mapping[str, Any], left_out: set[str]) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for key, value in schema.items():
        if key in _PLAIN:
            kept[key] = value
        elif key in _ONE:
            kept[key] = _any(value, left_out)
        elif key in _SEVERAL and isinstance(value, Sequence):
            kept[key] = [_any(one, left_out) for one in _list(value)]
        elif key in _NAMED and isinstance(value, Mapping):
            kept[key] = {name: _any(one, left_out) for name, one in cast("Mapping[str, Any]", value).items()}
        elif key != "const" and key not in _SILENT:
            left_out.add(key)
    if "const" in schema:
        # One value is an enumeration of one, and no wider for an enumeration beside it.
        kept["enum"] = [schema["const"]]
    return kept


def _any(schema: Any, left_out: set[str]) -> Any:
    return _object(cast("Mapping[str, Any]", schema), left_out) if isinstance(schema, Mapping) else schema


def _list(value: Any) -> list[Any]:
    return list(value)
