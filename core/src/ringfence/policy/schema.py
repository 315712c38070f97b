"""The JSON Schema of a policy file, for editors: made from the same tables that the loader reads by."""

from __future__ import annotations

from typing import Any

from ringfence.policy.conditions import FACT_TYPES
from ringfence.policy.keys import (
    BROKEN_STREAM,
    CAPABILITIES,
    CONSENT,
    FACT,
    FLOW,
    LABEL,
    MODALITIES,
    PER,
    RANGE,
    RECIPIENT,
    REQUIRE,
    ROUTE,
    SCOPE,
    SHOWN,
    TOOL,
    TOP,
    Keys,
)
from ringfence.recipient import RINGS

_NAME: dict[str, Any] = {"type": "string", "pattern": r"^[\p{L}\p{Nd}][\p{L}\p{Nd}_.-]{0,63}$"}
_TEXT: dict[str, Any] = {"type": "string", "minLength": 1, "maxLength": 500}
_NAMES: dict[str, Any] = {"type": "array", "items": _TEXT, "minItems": 1, "uniqueItems": True}


def _object(keys: Keys, description: str, **properties: dict[str, Any]) -> dict[str, Any]:
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


def _one_of(*values: str) -> dict[str, Any]:
    return {"enum": list(values)}


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/$defs/{name}"}


def _map_of(value: dict[str, Any], description: str, names: dict[str, Any] | None = None) -> dict[str, Any]:
    return {
        "type": "object",
        "description": description,
        "propertyNames": names or _NAME,
        "additionalProperties": value,
        "minProperties": 1,
    }


def json_schema() -> dict[str, Any]:
    """The schema (draft 2020-12). It finds what a schema can; `ringfence policy check` finds the rest."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Ringfence policy",
        **_object(
            TOP,
            "Which data may reach which recipient, and which recipient is preferred.",
            version={"const": 1},
            name=_NAME,
            recipients=_map_of(_ref("recipient"), "Every place bytes can go.", {**_NAME, "not": _one_of(*RINGS)}),
            labels=_map_of(_ref("label"), "The closed vocabulary of data classes."),
            unknown={
                **_NAME,
                "not": {"const": "public"},
                "description": "The label of what could not be scanned; never public.",
            },
            clean={**_NAME, "description": "The label of a text that every detector scanned without a hit."},
            tasks={**_NAMES, "description": "Tasks of the file's own."},
            facts={
                **_map_of(_ref("fact"), "What the app supplies; absent = not evaluable."),
                "propertyNames": {"pattern": r"^user\."},
                "minProperties": 0,
            },
            tools={
                **_map_of(_ref("tool"), "The ring that each tool of the app reaches."),
                "propertyNames": {"pattern": r"^\S{1,128}$"},
                "minProperties": 0,
            },
            consent={**_map_of(_ref("consent"), "How consent is asked, by ring or recipient."), "minProperties": 0},
            flow={
                "type": "array",
                "items": _ref("flow_rule"),
                "description": "Privacy: default deny; deny beats allow; the order does not matter.",
            },
            route={
                "type": "array",
                "items": _ref("route_rule"),
                "minItems": 1,
                "description": "Preference, only among what flow allows: the first match counts.",
            },
        ),
        "$defs": _definitions(),
    }


def _definitions() -> dict[str, Any]:
    return {
        "recipient": _recipient(),
        "label": _object(
            LABEL,
            "A data class.",
            detect={**_NAMES, "description": "Detector kinds that find it."},
            declare={"type": "boolean", "description": "Only the app can know it."},
        ),
        "fact": _fact(),
        "tool": _object(TOOL, "A tool of the app, which is a recipient too.", ring=_one_of(*RINGS)),
        "consent": _object(
            CONSENT,
            "How a person is asked.",
            per={**_one_of(*PER), "description": "Whom a yes counts for."},
            lasts={"const": "request", "description": "The user's request, while its labels do not grow."},
            show={**_NAMES, "items": _one_of(*SHOWN), "description": "What the person sees."},
            when_no_ui={"const": "deny"},
        ),
        "flow_rule": _flow_rule(),
        "scope": _object(
            SCOPE,
            "Which labels, to which rings and recipients.",
            labels={"anyOf": [{"const": "*"}, {**_NAMES, "items": {**_TEXT, "not": {"const": "*"}}}]},
            to=_NAMES,
        ),
        "require": {
            **_object(
                REQUIRE,
                "What an allow asks of its recipient.",
                attested={"const": True},
                retention=_NAME,
                region={"anyOf": [_NAME, {**_NAMES, "items": _NAME}]},
            ),
            "minProperties": 1,
        },
        "route_rule": _object(
            ROUTE,
            "A preference.",
            id=_NAME,
            when=_ref("route_condition"),
            prefer=_NAMES,
            fallback={"anyOf": [{"const": "none"}, _NAMES]},
            on_broken_stream=_one_of(*BROKEN_STREAM),
        ),
        "flow_condition": _condition("flow_condition", may_read_labels=False),
        "route_condition": _condition("route_condition", may_read_labels=True),
        "token_range": _range("integer"),
        "fact_range": _range("number"),
    }


def _recipient() -> dict[str, Any]:
    schema = _object(
        RECIPIENT,
        "One place bytes can go.",
        ring=_one_of(*RINGS),
        provider=_NAME,
        model=_TEXT,
        url={**_TEXT, "pattern": r"^[Hh][Tt][Tt][Pp][Ss]?://[^@?#\s]+$", "description": "The base URL of its API."},
        secret={
            **_TEXT,
            "pattern": r"^(env:[A-Za-z_][A-Za-z0-9_]*|file:[^~].*)$",
            "description": "Where its key is: env:NAME or file:PATH. Never the key itself.",
        },
        region={**_NAME, "description": "Where it computes; a require: on an allow is decided by it."},
        retention={**_NAME, "description": "How long it keeps what it gets, such as none or 30d."},
        capabilities={**_NAMES, "items": _one_of(*CAPABILITIES), "description": "What the model there can do."},
        options={"type": "object", "description": "The provider's own."},
    )
    on_the_device = {"properties": {"ring": {"const": "device"}}, "required": ["ring"]}
    return {**schema, "if": on_the_device, "then": {"not": _any_key("url", "secret")}}


def _fact() -> dict[str, Any]:
    schema = _object(
        FACT,
        "A fact the app supplies.",
        type=_one_of(*FACT_TYPES),
        values=_NAMES,
        min={"type": "number"},
        max={"type": "number"},
    )
    enum = {"properties": {"type": {"const": "enum"}}, "required": ["values"], "not": _any_key("min", "max")}
    boolean = {"properties": {"type": {"const": "bool"}}, "not": _any_key("values", "min", "max")}
    ranged = {"properties": {"type": _one_of("int", "number")}, "not": _any_key("values")}
    return {**schema, "oneOf": [enum, boolean, ranged]}


def _any_key(*keys: str) -> dict[str, Any]:
    return {"anyOf": [{"required": [key]} for key in keys]}


def _flow_rule() -> dict[str, Any]:
    schema = _object(
        FLOW,
        "A privacy rule: exactly one of allow and deny.",
        id=_NAME,
        allow=_ref("scope"),
        deny=_ref("scope"),
        when=_ref("flow_condition"),
        require=_ref("require"),
        consent={"const": "ask", "description": "A person must consent to what this allow lets through."},
        reason=_TEXT,
    )
    to_a_partner = {"properties": {"to": {"contains": {"const": "partner"}}}, "required": ["to"]}
    return {
        **schema,
        "oneOf": [{"required": ["allow"]}, {"required": ["deny"], "not": _any_key("require", "consent")}],
        "not": {"required": ["allow", "deny"]},
        "if": {"properties": {"allow": to_a_partner}, "required": ["allow"]},
        "then": {"required": ["consent"]},
    }


def _condition(name: str, *, may_read_labels: bool) -> dict[str, Any]:
    parts = {"type": "array", "items": _ref(name), "minItems": 1}
    properties: dict[str, Any] = {
        "task": _NAMES,
        "modality": {**_NAMES, "items": _one_of(*MODALITIES)},
        "input_tokens": _ref("token_range"),
        "all": parts,
        "any": parts,
        "not": _ref(name),
    }
    if may_read_labels:
        properties["labels"] = _NAMES
    fact = {"anyOf": [{"type": "boolean"}, _NAMES, _ref("fact_range")]}
    return {
        "type": "object",
        "description": "Matchers; all of them must hold.",
        "properties": properties,
        "patternProperties": {r"^user\.": fact},
        "additionalProperties": False,
        "minProperties": 1,
    }


def _range(type_: str) -> dict[str, Any]:
    bounds = {key: {"type": type_} for key in RANGE.works}
    return {"type": "object", "properties": bounds, "additionalProperties": False, "minProperties": 1}
