"""The smallest instance of a JSON Schema: what the double calls a tool with when no scene says otherwise."""

from __future__ import annotations

from ringfence.testing.partners.loose_json import JsonObject, as_list, as_object, as_text

_DEEPEST = 12
_LONGEST = 1000


def instance_of(schema: object, root: object = None, depth: int = 0) -> object:
    """A value that a plain schema accepts. Patterns, formats and conditions are not looked at."""
    rules = as_object(schema)
    root = schema if root is None else root
    if depth > _DEEPEST:
        return None
    for word in ("const", "default"):
        if word in rules:
            return rules[word]
    if choices := as_list(rules.get("enum")):
        return choices[0]
    if target := _target(as_text(rules.get("$ref")), root):
        return instance_of(target, root, depth + 1)
    for word in ("anyOf", "oneOf", "allOf"):
        if branches := as_list(rules.get(word)):
            return instance_of(branches[0], root, depth + 1)
    return _of_type(rules, root, depth)


def _of_type(rules: JsonObject, root: object, depth: int) -> object:
    kinds = as_list(rules.get("type")) or [rules.get("type")]
    match as_text(kinds[0]).lower():
        case "string":
            return "x" * _bound(rules.get("minLength")) or "text"
        case "integer" | "number":
            return rules.get("minimum", 1)
        case "boolean":
            return True
        case "array":
            return [instance_of(rules.get("items"), root, depth + 1)] * _bound(rules.get("minItems"))
        case "null":
            return None
        case _:
            return _object(rules, root, depth)


def _object(rules: JsonObject, root: object, depth: int) -> JsonObject:
    properties = as_object(rules.get("properties"))
    needed = {as_text(name) for name in as_list(rules.get("required"))}
    return {name: instance_of(rule, root, depth + 1) for name, rule in properties.items() if name in needed}


def _bound(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= _LONGEST else 0


def _target(reference: str, root: object) -> object:
    found: object = root
    if not reference.startswith("#/"):
        return None
    for step in reference[2:].split("/"):
        found = as_object(found).get(step)
    return found
