"""What the JSON Schema is built of: closed mappings, and the names, texts and times that stand everywhere."""

from __future__ import annotations

from typing import Any

from ringfence.policy.keys import FACT_GROUPS, Keys

NAME: dict[str, Any] = {"type": "string", "pattern": r"^[\p{L}\p{Nd}][\p{L}\p{Nd}_.-]{0,63}$"}
TEXT: dict[str, Any] = {"type": "string", "minLength": 1, "maxLength": 500}
NAMES: dict[str, Any] = {"type": "array", "items": TEXT, "minItems": 1, "uniqueItems": True}
NAMES_OR_NONE: dict[str, Any] = {**NAMES, "minItems": 0}
LABELS: dict[str, Any] = {"anyOf": [{"const": "*"}, {**NAMES, "items": {**TEXT, "not": {"const": "*"}}}]}
FACT_NAME = f"^({'|'.join(FACT_GROUPS)})\\.."
DURATION: dict[str, Any] = {"type": "string", "pattern": r"^[0-9]{0,8}[1-9][0-9]{0,8} ?[smhdw]$"}
TIME_OF_DAY: dict[str, Any] = {"type": "string", "pattern": r"^([01]?[0-9]|2[0-3]):[0-5][0-9]$|^24:00$"}
HTTP = r"^[Hh][Tt][Tt][Pp][Ss]?://[^@?#\s]+$"


def closed(keys: Keys, description: str, **properties: dict[str, Any]) -> dict[str, Any]:
    """A closed mapping of exactly `keys`."""
    if set(properties) != set(keys.works):  # pragma: no cover - a slip of this module, seen by its first test
        raise AssertionError(set(properties) ^ set(keys.works))
    return {
        "type": "object",
        "description": description,
        "properties": properties,
        "required": list(keys.needed),
        "additionalProperties": False,
    }


def one_of(*values: str) -> dict[str, Any]:
    """One of some texts."""
    return {"enum": list(values)}


def ref(name: str) -> dict[str, Any]:
    """What is defined once, under a name."""
    return {"$ref": f"#/$defs/{name}"}


def map_of(value: dict[str, Any], description: str, names: dict[str, Any] | None = None) -> dict[str, Any]:
    """A mapping of names to `value`, with at least one."""
    return {
        "type": "object",
        "description": description,
        "propertyNames": names or NAME,
        "additionalProperties": value,
        "minProperties": 1,
    }


def any_key(*keys: str) -> dict[str, Any]:
    """A mapping with one of `keys`, or several."""
    return {"anyOf": [{"required": [key]} for key in keys]}
