"""JSON Schema in OpenAI's strict dialect, where that keeps the meaning of the schema.

Strict means: every object is closed, every property required, and only some keywords (the vendor's guide to Structured
Outputs; openai/lib/_pydantic.py does the same to pydantic models). Kept is the meaning if every answer that fits the
strict schema fits the schema given, and nothing that the schema leaves out has to be invented: a property that may be
left out becomes required only if it may be null.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeGuard, cast

from ringfence.request import JsonValue

_ANNOTATIONS = frozenset(
    {"default", "examples", "deprecated", "readOnly", "writeOnly", "$comment", "$schema", "$id", "discriminator"}
)
"""They constrain nothing and are dropped."""

_PLAIN = frozenset(
    {
        "title",
        "description",
        "enum",
        "pattern",
        "multipleOf",
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "exclusiveMaximum",
        "minItems",
        "maxItems",
    }
)
_FORMATS = frozenset({"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"})
_TYPES = frozenset({"string", "number", "integer", "boolean", "object", "array", "null"})
_DEEPEST = 32


class _NotStrict(Exception):
    """The schema means something that the dialect cannot say."""


def strict_schema(schema: Mapping[str, JsonValue]) -> dict[str, JsonValue] | None:
    """`schema` in the strict dialect; `None` where its meaning would not be kept."""
    try:
        root = _schema(schema, schema, 0)
    except _NotStrict:
        return None
    return root if root.get("type") == "object" and "anyOf" not in root else None


def _schema(schema: JsonValue, root: Mapping[str, JsonValue], depth: int) -> dict[str, JsonValue]:
    if not isinstance(schema, Mapping) or depth > _DEEPEST:
        raise _NotStrict
    if "$ref" in schema:
        return _reference(schema, root)
    if _is_single(schema.get("allOf")):
        inner = cast("Sequence[JsonValue]", schema["allOf"])[0]
        rest = {key: value for key, value in schema.items() if key != "allOf"}
        if not isinstance(inner, Mapping) or rest.keys() - _ANNOTATIONS - {"title", "description"}:
            raise _NotStrict
        return _schema(inner, root, depth + 1)
    out: dict[str, JsonValue] = {}
    for key, value in schema.items():
        out |= _keyword(key, value, schema, root, depth)
    if "anyOf" not in out and "enum" not in out and not _is_typed(out.get("type")):
        raise _NotStrict
    if "object" in _types(out.get("type")):
        out |= _object(schema, root, depth)
    if "array" in _types(out.get("type")) and "items" not in out:
        raise _NotStrict
    return out


def _keyword(  # noqa: C901, PLR0911, PLR0912  (one keyword a case)
    key: str, value: JsonValue, schema: Mapping[str, JsonValue], root: Mapping[str, JsonValue], depth: int
) -> dict[str, JsonValue]:
    match key:
        case "properties" | "required" | "additionalProperties":
            if "object" not in _types(schema.get("type")):
                raise _NotStrict
            return {}
        case "type":
            return {key: value}
        case "const":
            return {"enum": [value]}
        case "enum" if "const" in schema:
            # Both hold at once: the constant, which must be among the values.
            if not _is_among(schema["const"], value):
                raise _NotStrict
            return {}
        case "format":
            # An annotation: it asserts nothing (JSON Schema 2020-12, section 7.2.1).
            return {key: value} if value in _FORMATS else {}
        case "items":
            return {key: _schema(value, root, depth + 1)}
        case "anyOf":
            if not isinstance(value, Sequence) or isinstance(value, str):
                raise _NotStrict
            return {key: [_schema(item, root, depth + 1) for item in value]}
        case "$defs" | "definitions":
            if not isinstance(value, Mapping):
                raise _NotStrict
            return {key: {name: _schema(item, root, depth + 1) for name, item in value.items()}}
        case _ if key in _PLAIN:
            return {key: value}
        case _ if key in _ANNOTATIONS:
            return {}
        case _:
            raise _NotStrict


def _object(schema: Mapping[str, JsonValue], root: Mapping[str, JsonValue], depth: int) -> dict[str, JsonValue]:
    properties, required = schema.get("properties"), schema.get("required", [])
    # An object without named properties is an open map.
    if not isinstance(properties, Mapping) or schema.get("additionalProperties", False) is not False:
        raise _NotStrict
    if not isinstance(required, Sequence) or isinstance(required, str) or set(required) - properties.keys():
        raise _NotStrict
    for name, inner in properties.items():
        if name not in required and not _takes_null(inner, root, 0):
            raise _NotStrict
    return {
        "properties": {name: _schema(inner, root, depth + 1) for name, inner in properties.items()},
        "required": list(properties),
        "additionalProperties": False,
    }


def _reference(schema: Mapping[str, JsonValue], root: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    if schema.keys() - _ANNOTATIONS - {"$ref", "title", "description"}:
        raise _NotStrict
    if _resolve(schema["$ref"], root) is None:
        raise _NotStrict
    return {"$ref": schema["$ref"]}


def _resolve(reference: JsonValue, root: Mapping[str, JsonValue]) -> Mapping[str, JsonValue] | None:
    if not isinstance(reference, str):
        return None
    if reference == "#":
        return root
    place, _, name = reference.removeprefix("#/").partition("/")
    definitions = root.get(place) if reference.startswith("#/") and place in ("$defs", "definitions") else None
    found = definitions.get(name) if isinstance(definitions, Mapping) else None
    return found if isinstance(found, Mapping) else None


def _takes_null(schema: JsonValue, root: Mapping[str, JsonValue], depth: int) -> bool:
    if not isinstance(schema, Mapping) or depth > _DEEPEST:
        return False
    if "$ref" in schema:
        return _takes_null(_resolve(schema["$ref"], root), root, depth + 1)
    any_of = schema.get("anyOf")
    if isinstance(any_of, Sequence) and not isinstance(any_of, str) and "type" not in schema:
        return any(_takes_null(item, root, depth + 1) for item in any_of)
    values = [schema["const"]] if "const" in schema else schema.get("enum")
    if isinstance(values, Sequence) and not isinstance(values, str):
        return None in values and ("type" not in schema or "null" in _types(schema["type"]))
    return "null" in _types(schema.get("type"))


def _types(given: JsonValue) -> tuple[object, ...]:
    return (given,) if isinstance(given, str) else tuple(given) if isinstance(given, Sequence) else ()


def _is_among(constant: JsonValue, values: JsonValue) -> bool:
    """Whether `constant` is one of `values`; `True` is not 1."""
    if not isinstance(values, Sequence) or isinstance(values, str):
        return False
    return any(type(value) is type(constant) and value == constant for value in values)


def _is_typed(given: JsonValue) -> bool:
    types = _types(given)
    return bool(types) and all(kind in _TYPES for kind in types)


def _is_single(given: JsonValue) -> TypeGuard[Sequence[JsonValue]]:
    return isinstance(given, Sequence) and not isinstance(given, str) and len(given) == 1


__all__ = ["strict_schema"]
