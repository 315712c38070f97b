"""The JSON Schema of a policy file, for editors: made from the same tables that the loader reads by."""

from __future__ import annotations

from typing import Any

from ringfence.policy.cel import MAX_EXPRESSION
from ringfence.policy.conditions import FACT_TYPES
from ringfence.policy.keys import (
    AUDIT,
    BEYOND_THE_DEVICE,
    BROKEN_STREAM,
    BUDGET,
    CAPABILITIES,
    CAPACITIES,
    CONSENT,
    DAYS,
    EXPECT,
    FACT,
    FACT_GROUPS,
    FLOW,
    INVARIANT,
    LABEL,
    MODALITIES,
    NEVER,
    OF_A_HOUSE,
    ONLY,
    ONLY_WITH_CONSENT,
    OUTCOMES,
    OVERFLOW,
    PER,
    PERIODS,
    RANGE,
    RECIPIENT,
    REDACT,
    REQUIRE,
    ROUTE,
    SCOPE,
    SHOWN,
    TEST,
    TEST_REQUEST,
    TIME,
    TOOL,
    TOP,
    UNITS,
    Keys,
)
from ringfence.policy.layers.sections import LAYER
from ringfence.recipient import RINGS

_NAME: dict[str, Any] = {"type": "string", "pattern": r"^[\p{L}\p{Nd}][\p{L}\p{Nd}_.-]{0,63}$"}
_TEXT: dict[str, Any] = {"type": "string", "minLength": 1, "maxLength": 500}
_NAMES: dict[str, Any] = {"type": "array", "items": _TEXT, "minItems": 1, "uniqueItems": True}
_NAMES_OR_NONE: dict[str, Any] = {**_NAMES, "minItems": 0}
_LABELS: dict[str, Any] = {"anyOf": [{"const": "*"}, {**_NAMES, "items": {**_TEXT, "not": {"const": "*"}}}]}
_FACT_NAME = f"^({'|'.join(FACT_GROUPS)})\\.."
_DURATION: dict[str, Any] = {"type": "string", "pattern": r"^[0-9]{0,8}[1-9][0-9]{0,8} ?[smhdw]$"}
_TIME_OF_DAY: dict[str, Any] = {"type": "string", "pattern": r"^([01]?[0-9]|2[0-3]):[0-5][0-9]$|^24:00$"}
_HTTP = r"^[Hh][Tt][Tt][Pp][Ss]?://[^@?#\s]+$"


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
            include={**_NAMES, "description": "Policy files that narrow this one; beside this file."},
            shadow={**_TEXT, "description": "A policy file that is decided beside this one; it sends nothing."},
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
                "propertyNames": {**_NAME, "allOf": [{"pattern": _FACT_NAME}]},
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
            budgets={"type": "array", "items": _ref("budget"), "description": "The most that may be spent."},
            audit=_ref("audit"),
            invariants={
                "type": "array",
                "items": _ref("invariant"),
                "minItems": 1,
                "description": "What must hold for every request; proved when the file is loaded.",
            },
            tests={
                "type": "array",
                "items": _ref("test"),
                "minItems": 1,
                "description": "Requests and what must come out; run by: ringfence policy test.",
            },
        ),
        "required": list(LAYER.needed),
        # A file that declares nothing is a layer, which needs none of what a whole policy needs.
        "if": _any_key(*(key for key in TOP.works if key not in LAYER.works)),
        "then": {"required": list(TOP.needed)},
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
            lasts={
                "anyOf": [_one_of("request", "session"), _DURATION],
                "description": "How long a yes holds for its labels: request, session, or a time such as 30d.",
            },
            show={**_NAMES, "items": _one_of(*SHOWN), "description": "What the person sees."},
            when_no_ui={"const": "deny"},
        ),
        "flow_rule": _flow_rule(),
        "scope": _object(
            SCOPE,
            "Which labels, to which rings and recipients.",
            labels=_LABELS,
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
            overflow=_ref("overflow"),
            fallback={"anyOf": [{"const": "none"}, _NAMES]},
            on_broken_stream=_one_of(*BROKEN_STREAM),
        ),
        "overflow": _object(
            OVERFLOW,
            "Where the requests of a full recipient go.",
            to=_NAMES,
            when_utilisation_over={"type": "number", "exclusiveMinimum": 0, "maximum": 1},
        ),
        "budget": _budget(),
        "audit": _object(
            AUDIT,
            "The record of what was sent where.",
            content={"const": "none", "description": "What people write is never in the record."},
            keep={**_DURATION, "description": "How long the record is kept, such as 400d."},
        ),
        **_invariants(),
        **_tests(),
        "flow_condition": _condition("flow_condition", may_read_labels=False),
        "route_condition": _condition("route_condition", may_read_labels=True),
        "time": {
            **_object(
                TIME,
                "When it holds; to: may be earlier than from:, over midnight.",
                days={**_NAMES, "items": _one_of(*DAYS)},
                **{"from": {**_TIME_OF_DAY, "not": {"const": "24:00"}}, "to": _TIME_OF_DAY},
                zone={**_TEXT, "description": "A time zone such as Europe/Zurich; UTC where none is named."},
            ),
            "anyOf": [{"required": [key]} for key in TIME.works if key != "zone"],
        },
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
        url={**_TEXT, "pattern": _HTTP, "description": "The base URL of its API."},
        secret={
            **_TEXT,
            "pattern": r"^(env:[A-Za-z_][A-Za-z0-9_]*|file:[^~].*)$",
            "description": "Where its key is: env:NAME or file:PATH. Never the key itself.",
        },
        region={**_NAME, "description": "Where it computes; a require: on an allow is decided by it."},
        retention={**_NAME, "description": "How long it keeps what it gets, such as none or 30d."},
        capacity={**_one_of(*CAPACITIES), "description": "Whose machines these are; owned where nothing is said."},
        directory={**_TEXT, "pattern": _HTTP, "description": "Where a house says what its nodes are."},
        trust={**_TEXT, "pattern": "^[^~]", "description": "The file of the house's first root of trust."},
        min_tier={**_NAME, "description": "The least endorsement that a node must show, such as apple-mda."},
        capabilities={**_NAMES, "items": _one_of(*CAPABILITIES), "description": "What the model there can do."},
        options={"type": "object", "description": "The provider's own."},
    )
    excluded = {"device": BEYOND_THE_DEVICE, "partner": OF_A_HOUSE}
    return {**schema, "allOf": [_without(ring, keys) for ring, keys in excluded.items()]}


def _without(ring: str, keys: tuple[str, ...]) -> dict[str, Any]:
    return {
        "if": {"properties": {"ring": {"const": ring}}, "required": ["ring"]},
        "then": {"not": _any_key(*keys)},
    }


def _budget() -> dict[str, Any]:
    money, whole = r"^[0-9]{1,15}(\.[0-9]{1,2})? +USD$", rf"^[0-9]{{1,15}} +({'|'.join(UNITS[1:])})$"
    return _object(
        BUDGET,
        "The most that may be spent at some recipients in one calendar period, in UTC.",
        id=_NAME,
        of={"anyOf": [_TEXT, _NAMES], "description": "A ring or recipient, or a list of them."},
        limit={
            "type": "string",
            "pattern": f"{money}|{whole}",
            "not": {"pattern": r"^[0.]+ "},
            "description": "500 USD, 1000000 tokens or 200 requests.",
        },
        per=_one_of(*PERIODS),
        when_spent={"const": "deny"},
    )


def _invariants() -> dict[str, Any]:
    when = _ref("flow_condition")
    never = _object(
        NEVER,
        "No request with any of these labels may reach these.",
        labels=_LABELS,
        to=_NAMES,
        when=when,
        unless={"const": "redacted"},
    )
    without_names = {"properties": {"labels": {"const": "*"}}, "required": ["unless"]}
    consent = _object(
        ONLY_WITH_CONSENT, "No request may reach these without consent.", labels=_LABELS, to=_NAMES, when=when
    )
    only = _object(
        ONLY, "Every request of these tasks goes nowhere but here.", task=_NAMES, labels=_LABELS, to=_NAMES, when=when
    )
    kinds = {"never": _ref("never"), "consent": _ref("consent_before"), "only": _ref("only")}
    return {
        "never": {**never, "not": without_names},
        "consent_before": consent,
        "only": only,
        "invariant": {
            **_object(INVARIANT, "Exactly one of never, consent and only.", **kinds),
            "minProperties": 1,
            "maxProperties": 1,
        },
    }


def _tests() -> dict[str, Any]:
    facts: dict[str, Any] = {"type": "object", "additionalProperties": {"type": ["string", "boolean", "number"]}}
    redactions = {"type": "object", "additionalProperties": _one_of(*REDACT)}
    request = _object(
        TEST_REQUEST,
        "A request. Without a text its labels are those declared, else the unknown one.",
        task=_TEXT,
        text={"type": "string", "maxLength": 20_000},
        labels=_NAMES,
        modality={**_NAMES, "items": _one_of(*MODALITIES)},
        input_tokens={"type": "integer", "minimum": 0},
        **dict.fromkeys(FACT_GROUPS, facts),
        to=_NAMES,
        at={**_TEXT, "description": "A moment such as 2026-03-02T09:30, in the policy's time zone."},
    )
    expect = _object(
        EXPECT,
        "What must come out; what is not named is not looked at.",
        labels=_NAMES,
        outcome=_one_of(*OUTCOMES),
        route=_TEXT,
        plan=_NAMES_OR_NONE,
        allowed=_NAMES_OR_NONE,
        never=_NAMES,
        consent=_NAMES_OR_NONE,
        redact={"type": "object", "additionalProperties": redactions},
    )
    test = _object(TEST, "One test.", name=_TEXT, request=_ref("test_request"), expect=_ref("expect"))
    return {"test": test, "test_request": request, "expect": {**expect, "minProperties": 1}}


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
        redact={**_one_of(*REDACT), "description": "How what it covers is redacted before it is sent."},
        consent={"const": "ask", "description": "A person must consent to what this allow lets through."},
        reason=_TEXT,
    )
    to_a_partner = {"properties": {"to": {"contains": {"const": "partner"}}}, "required": ["to"]}
    return {
        **schema,
        "oneOf": [{"required": ["allow"]}, {"required": ["deny"], "not": _any_key("require", "redact", "consent")}],
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
        "time": _ref("time"),
        "cel": {"type": "string", "minLength": 1, "maxLength": MAX_EXPRESSION},
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
        "patternProperties": {_FACT_NAME: fact},
        "additionalProperties": False,
        "minProperties": 1,
    }


def _range(type_: str) -> dict[str, Any]:
    bounds = {key: {"type": type_} for key in RANGE.works}
    return {"type": "object", "properties": bounds, "additionalProperties": False, "minProperties": 1}
