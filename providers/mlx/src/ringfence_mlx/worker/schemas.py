"""A JSON Schema made ready for constrained decoding: closed where its author left it open without meaning to.

A small model goes on adding properties for as long as it may. So an object that lists its `properties` and says nothing
about others allows no others. That narrows what is generated; every value that comes out satisfies the schema as given.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ringfence_mlx.worker.jsonlike import is_array, is_object

# What an object says about properties that it does not list.
_ABOUT_OTHERS = frozenset({"additionalProperties", "unevaluatedProperties", "patternProperties"})
# Beside one of these, an object's other properties may be listed elsewhere.
_COMPOSED = frozenset(
    {"$ref", "$dynamicRef", "allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas"}
)
_NAMED_SCHEMAS = frozenset({"properties", "patternProperties", "$defs", "definitions"})
_ONE_SCHEMA = frozenset({"items", "additionalProperties", "contains", "propertyNames"})
_UNBOUND = frozenset({"not", "if", "then", "else", "dependentSchemas"})
# A format that is only a note to people or to one library; no text breaks it.
_NOTES = frozenset({"path", "file-path", "directory-path", "password", "binary"})
# The options that llguidance would take from the schema itself; `discriminator` only repeats what the branches say.
_DROPPED = frozenset({"x-guidance", "discriminator"})


def closed(schema: Mapping[str, Any]) -> dict[str, Any]:
    """`schema` with `additionalProperties: false` on every object that lists properties and leaves others unsaid.

    Left as they are: an object without `properties`; one that takes part in `allOf`, or has `anyOf` and the like beside
    its properties, itself or through a `$ref`, because its branches would exclude one another; and what stands under
    `not` and `if`. A `oneOf` becomes `anyOf` where its branches cannot both hold.
    """
    shared: frozenset[str] = frozenset()
    while True:
        walk = _Walk(shared)
        result = walk.schema(schema, "#", may_close=True)
        if walk.shared == shared:
            return result
        shared = walk.shared


class _Walk:
    """One pass. `shared` are the pointers of schemas that describe only a part of some object."""

    def __init__(self, shared: frozenset[str]) -> None:
        self.shared = shared

    def schema(self, schema: Mapping[str, Any], pointer: str, *, may_close: bool) -> dict[str, Any]:
        may_close = may_close and pointer not in self.shared
        lists_properties = not {"properties", *_ABOUT_OTHERS}.isdisjoint(schema)
        if isinstance(reference := schema.get("$ref"), str) and (lists_properties or not may_close):
            self.shared |= {reference}
        result: dict[str, Any] = {}
        for keyword, value in schema.items():
            if keyword in _DROPPED or (keyword == "format" and value in _NOTES):
                continue
            below = f"{pointer}/{keyword}"
            branches_close = may_close and not lists_properties
            if keyword == "allOf":
                branches_close = branches_close and is_array(value) and len(value) == 1
            name = "anyOf" if keyword == "oneOf" and _cannot_both_hold(schema, value) else keyword
            result[name] = self._value(keyword, value, below, branches_close=branches_close)
        if may_close and _is_open(schema):
            result["additionalProperties"] = False
        return result

    def _value(self, keyword: str, value: Any, pointer: str, *, branches_close: bool) -> Any:
        if keyword in _UNBOUND:
            return value
        if is_object(value):
            if keyword in _NAMED_SCHEMAS:
                return {name: self._any(item, f"{pointer}/{_escaped(name)}") for name, item in value.items()}
            if keyword in _ONE_SCHEMA:
                return self._any(value, pointer)
        if is_array(value):
            if keyword in ("allOf", "anyOf", "oneOf"):
                return [
                    self._any(item, f"{pointer}/{place}", may_close=branches_close) for place, item in enumerate(value)
                ]
            if keyword == "prefixItems":
                return [self._any(item, f"{pointer}/{place}") for place, item in enumerate(value)]
        return value

    def _any(self, schema: Any, pointer: str, *, may_close: bool = True) -> Any:
        return self.schema(schema, pointer, may_close=may_close) if is_object(schema) else schema


def _is_open(schema: Mapping[str, Any]) -> bool:
    properties = schema.get("properties")
    if not is_object(properties) or not (_ABOUT_OTHERS | _COMPOSED).isdisjoint(schema):
        return False
    required = schema.get("required", ())
    return is_array(required) and all(name in properties for name in required)


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


def _cannot_both_hold(schema: Mapping[str, Any], branches: Any) -> bool:
    """Whether at most one branch can hold: told by a discriminator, or by types that share no value."""
    if "anyOf" in schema or not is_array(branches):
        return False
    if "discriminator" in schema:
        return True
    types = ["number" if name == "integer" else name for branch in branches for name in _types(branch)]
    return "" not in types and len(set(types)) == len(types)


def _types(branch: Any) -> Iterator[str]:
    found: object = branch.get("type", "") if is_object(branch) else ""
    if isinstance(found, str):
        yield found
    elif is_array(found):
        yield from (str(name) for name in found)
