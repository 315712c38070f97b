"""The JSON Schema of a policy file, for editors: made from the same tables that the loader reads by."""

from __future__ import annotations

from typing import Any

from ringfence.policy.cel import MAX_EXPRESSION
from ringfence.policy.conditions import FACT_TYPES
from ringfence.policy.keys import (
    AUDIT,
    BEYOND_THE_DEVICE,
    BROKEN_STREAM,
    CAPABILITIES,
    CAPACITIES,
    CONSENT,
    DAYS,
    FACT,
    FLOW,
    HEDGE,
    LABEL,
    MODALITIES,
    OF_A_HOUSE,
    OVERFLOW,
    PER,
    RANGE,
    RECIPIENT,
    REDACT,
    REQUIRE,
    ROUTE,
    SCOPE,
    SHOWN,
    TIME,
    TOOL,
    TOP,
)
from ringfence.policy.layers.sections import LAYER
from ringfence.policy.schema_sections import budget, invariants, tests
from ringfence.policy.schema_words import (
    DURATION,
    FACT_NAME,
    HTTP,
    LABELS,
    NAME,
    NAMES,
    TEXT,
    TIME_OF_DAY,
    any_key,
    closed,
    map_of,
    one_of,
    ref,
)
from ringfence.recipient import RINGS


def json_schema() -> dict[str, Any]:
    """The schema (draft 2020-12). It finds what a schema can; `ringfence policy check` finds the rest."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Ringfence policy",
        **closed(
            TOP,
            "Which data may reach which recipient, and which recipient is preferred.",
            version={"const": 1},
            name=NAME,
            include={**NAMES, "description": "Policy files that narrow this one; beside this file."},
            shadow={**TEXT, "description": "A policy file that is decided beside this one; it sends nothing."},
            recipients=map_of(ref("recipient"), "Every place bytes can go.", {**NAME, "not": one_of(*RINGS)}),
            labels=map_of(ref("label"), "The closed vocabulary of data classes."),
            unknown={
                **NAME,
                "not": {"const": "public"},
                "description": "The label of what could not be scanned; never public.",
            },
            clean={**NAME, "description": "The label of a text that every detector scanned without a hit."},
            tasks={**NAMES, "description": "Tasks of the file's own."},
            facts={
                **map_of(ref("fact"), "What the app supplies; absent = not evaluable."),
                "propertyNames": {**NAME, "allOf": [{"pattern": FACT_NAME}]},
                "minProperties": 0,
            },
            tools={
                **map_of(ref("tool"), "The ring that each tool of the app reaches."),
                "propertyNames": {"pattern": r"^\S{1,128}$"},
                "minProperties": 0,
            },
            consent={**map_of(ref("consent"), "How consent is asked, by ring or recipient."), "minProperties": 0},
            flow={
                "type": "array",
                "items": ref("flow_rule"),
                "description": "Privacy: default deny; deny beats allow; the order does not matter.",
            },
            route={
                "type": "array",
                "items": ref("route_rule"),
                "minItems": 1,
                "description": "Preference, only among what flow allows: the first match counts.",
            },
            budgets={"type": "array", "items": ref("budget"), "description": "The most that may be spent."},
            audit=ref("audit"),
            invariants={
                "type": "array",
                "items": ref("invariant"),
                "minItems": 1,
                "description": "What must hold for every request; proved when the file is loaded.",
            },
            tests={
                "type": "array",
                "items": ref("test"),
                "minItems": 1,
                "description": "Requests and what must come out; run by: ringfence policy test.",
            },
        ),
        "required": list(LAYER.needed),
        # A file that declares nothing is a layer, which needs none of what a whole policy needs.
        "if": any_key(*(key for key in TOP.works if key not in LAYER.works)),
        "then": {"required": list(TOP.needed)},
        "$defs": _definitions(),
    }


def _definitions() -> dict[str, Any]:
    return {
        "recipient": _recipient(),
        "label": closed(
            LABEL,
            "A data class.",
            detect={**NAMES, "description": "Detector kinds that find it."},
            declare={"type": "boolean", "description": "Only the app can know it."},
        ),
        "fact": _fact(),
        "tool": closed(TOOL, "A tool of the app, which is a recipient too.", ring=one_of(*RINGS)),
        "consent": closed(
            CONSENT,
            "How a person is asked.",
            per={**one_of(*PER), "description": "Whom a yes counts for."},
            lasts={
                "anyOf": [one_of("request", "session"), DURATION],
                "description": "How long a yes holds for its labels: request, session, or a time such as 30d.",
            },
            show={**NAMES, "items": one_of(*SHOWN), "description": "What the person sees."},
            when_no_ui={"const": "deny"},
        ),
        "flow_rule": _flow_rule(),
        "scope": closed(
            SCOPE,
            "Which labels, to which rings and recipients.",
            labels=LABELS,
            to=NAMES,
        ),
        "require": {
            **closed(
                REQUIRE,
                "What an allow asks of its recipient.",
                attested={"const": True},
                retention=NAME,
                region={"anyOf": [NAME, {**NAMES, "items": NAME}]},
            ),
            "minProperties": 1,
        },
        "route_rule": closed(
            ROUTE,
            "A preference.",
            id=NAME,
            when=ref("route_condition"),
            prefer=NAMES,
            overflow=ref("overflow"),
            hedge=ref("hedge"),
            fallback={"anyOf": [{"const": "none"}, NAMES]},
            on_broken_stream=one_of(*BROKEN_STREAM),
        ),
        "overflow": closed(
            OVERFLOW,
            "Where the requests of a full recipient go.",
            to=NAMES,
            when_utilisation_over={"type": "number", "exclusiveMinimum": 0, "maximum": 1},
        ),
        "hedge": closed(
            HEDGE,
            "Where a request goes as well while one that was asked says nothing.",
            to=NAMES,
            after={**DURATION, "description": "How long nothing came before it is sent a second time, such as 2s."},
        ),
        "budget": budget(),
        "audit": closed(
            AUDIT,
            "The record of what was sent where.",
            content={"const": "none", "description": "What people write is never in the record."},
            keep={**DURATION, "description": "How long the record is kept, such as 400d."},
        ),
        **invariants(),
        **tests(),
        "flow_condition": _condition("flow_condition", may_read_labels=False),
        "route_condition": _condition("route_condition", may_read_labels=True),
        "time": {
            **closed(
                TIME,
                "When it holds; to: may be earlier than from:, over midnight.",
                days={**NAMES, "items": one_of(*DAYS)},
                **{"from": {**TIME_OF_DAY, "not": {"const": "24:00"}}, "to": TIME_OF_DAY},
                zone={**TEXT, "description": "A time zone such as Europe/Zurich; UTC where none is named."},
            ),
            "anyOf": [{"required": [key]} for key in TIME.works if key != "zone"],
        },
        "token_range": _range("integer"),
        "fact_range": _range("number"),
    }


def _recipient() -> dict[str, Any]:
    schema = closed(
        RECIPIENT,
        "One place bytes can go.",
        ring=one_of(*RINGS),
        provider=NAME,
        model=TEXT,
        url={**TEXT, "pattern": HTTP, "description": "The base URL of its API."},
        secret={
            **TEXT,
            "pattern": r"^(env:[A-Za-z_][A-Za-z0-9_]*|file:[^~].*)$",
            "description": "Where its key is: env:NAME or file:PATH. Never the key itself.",
        },
        region={**NAME, "description": "Where it computes; a require: on an allow is decided by it."},
        retention={**NAME, "description": "How long it keeps what it gets, such as none or 30d."},
        capacity={**one_of(*CAPACITIES), "description": "Whose machines these are; owned where nothing is said."},
        directory={**TEXT, "pattern": HTTP, "description": "Where a house says what its nodes are."},
        trust={**TEXT, "pattern": "^[^~]", "description": "The file of the house's first root of trust."},
        min_tier={**NAME, "description": "The least endorsement that a node must show, such as apple-mda."},
        capabilities={**NAMES, "items": one_of(*CAPABILITIES), "description": "What the model there can do."},
        options={"type": "object", "description": "The provider's own."},
    )
    excluded = {"device": BEYOND_THE_DEVICE, "partner": OF_A_HOUSE}
    return {**schema, "allOf": [_without(ring, keys) for ring, keys in excluded.items()]}


def _without(ring: str, keys: tuple[str, ...]) -> dict[str, Any]:
    return {
        "if": {"properties": {"ring": {"const": ring}}, "required": ["ring"]},
        "then": {"not": any_key(*keys)},
    }


def _fact() -> dict[str, Any]:
    schema = closed(
        FACT,
        "A fact the app supplies.",
        type=one_of(*FACT_TYPES),
        values=NAMES,
        min={"type": "number"},
        max={"type": "number"},
    )
    enum = {"properties": {"type": {"const": "enum"}}, "required": ["values"], "not": any_key("min", "max")}
    boolean = {"properties": {"type": {"const": "bool"}}, "not": any_key("values", "min", "max")}
    ranged = {"properties": {"type": one_of("int", "number")}, "not": any_key("values")}
    return {**schema, "oneOf": [enum, boolean, ranged]}


def _flow_rule() -> dict[str, Any]:
    schema = closed(
        FLOW,
        "A privacy rule: exactly one of allow and deny.",
        id=NAME,
        allow=ref("scope"),
        deny=ref("scope"),
        when=ref("flow_condition"),
        require=ref("require"),
        redact={**one_of(*REDACT), "description": "How what it covers is redacted before it is sent."},
        consent={"const": "ask", "description": "A person must consent to what this allow lets through."},
        reason=TEXT,
    )
    to_a_partner = {"properties": {"to": {"contains": {"const": "partner"}}}, "required": ["to"]}
    return {
        **schema,
        "oneOf": [{"required": ["allow"]}, {"required": ["deny"], "not": any_key("require", "redact", "consent")}],
        "not": {"required": ["allow", "deny"]},
        "if": {"properties": {"allow": to_a_partner}, "required": ["allow"]},
        "then": {"required": ["consent"]},
    }


def _condition(name: str, *, may_read_labels: bool) -> dict[str, Any]:
    parts = {"type": "array", "items": ref(name), "minItems": 1}
    properties: dict[str, Any] = {
        "task": NAMES,
        "modality": {**NAMES, "items": one_of(*MODALITIES)},
        "input_tokens": ref("token_range"),
        "time": ref("time"),
        "cel": {"type": "string", "minLength": 1, "maxLength": MAX_EXPRESSION},
        "all": parts,
        "any": parts,
        "not": ref(name),
    }
    if may_read_labels:
        properties["labels"] = NAMES
    fact = {"anyOf": [{"type": "boolean"}, NAMES, ref("fact_range")]}
    return {
        "type": "object",
        "description": "Matchers; all of them must hold.",
        "properties": properties,
        "patternProperties": {FACT_NAME: fact},
        "additionalProperties": False,
        "minProperties": 1,
    }


def _range(type_: str) -> dict[str, Any]:
    bounds = {key: {"type": type_} for key in RANGE.works}
    return {"type": "object", "properties": bounds, "additionalProperties": False, "minProperties": 1}
