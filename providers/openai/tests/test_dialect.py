"""Schemas in the strict dialect: what keeps its meaning, and what does not."""

from __future__ import annotations

from typing import Any, Literal

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.lib._pydantic import to_strict_json_schema
from pydantic import BaseModel, Field

from ringfence_openai.dialect import strict_schema

STRING: dict[str, Any] = {"type": "string"}


def an_object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


class Address(BaseModel):
    street: str
    number: int | None = None


class Person(BaseModel):
    name: str = Field(description="in full")
    kind: Literal["a", "b"]
    address: Address
    others: list[Address]
    nickname: str | None = None


def test_a_pydantic_model_becomes_what_the_sdk_makes_of_it() -> None:
    ours = strict_schema(Person.model_json_schema())
    theirs = to_strict_json_schema(Person)
    assert ours == theirs


def test_objects_are_closed_and_every_property_required() -> None:
    assert strict_schema(an_object(a=STRING)) == {**an_object(a=STRING), "additionalProperties": False}


def test_a_property_that_may_be_left_out_is_required_if_it_may_be_null() -> None:
    schema: dict[str, Any] = {"type": "object", "properties": {"a": {"type": ["string", "null"]}}}
    found = strict_schema(schema)
    assert found is not None
    assert found["required"] == ["a"]


def test_a_constant_becomes_an_enum_of_one() -> None:
    found = strict_schema(an_object(a={"const": 3}))
    assert found is not None
    assert found["properties"] == {"a": {"enum": [3]}}


@pytest.mark.parametrize("names", [("const", "enum"), ("enum", "const")])
def test_a_constant_beside_an_enumeration_stays_the_only_value(names: tuple[str, str]) -> None:
    both = {"const": 1, "enum": [1, 2]}
    found = strict_schema(an_object(a={"type": "integer", **{name: both[name] for name in names}}))
    assert found is not None
    assert found["properties"] == {"a": {"type": "integer", "enum": [1]}}


@pytest.mark.parametrize(
    "schema", [{"const": 3, "enum": [1, 2]}, {"const": True, "enum": [1, 2]}, {"const": "1", "enum": "1"}]
)
def test_a_constant_that_is_not_in_its_enumeration_has_no_strict_form(schema: dict[str, Any]) -> None:
    assert strict_schema(an_object(a=schema)) is None


def test_a_null_that_the_constant_forbids_makes_no_property_required() -> None:
    schema: dict[str, Any] = {"type": "object", "properties": {"a": {"const": 1, "enum": [1, None]}}}
    assert strict_schema(schema) is None


def test_annotations_are_dropped_and_descriptions_kept() -> None:
    found = strict_schema(
        an_object(a={**STRING, "default": "x", "examples": ["y"], "description": "d", "format": "uri"})
    )
    assert found is not None
    assert found["properties"] == {"a": {"type": "string", "description": "d"}}


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"a": STRING}},
        {"type": "object", "properties": {"a": {"enum": ["x"], "type": ["string", "null"]}}},
        {"type": "object"},
        {"type": "object", "additionalProperties": STRING},
        {**an_object(a=STRING), "additionalProperties": True},
        {**an_object(a=STRING), "patternProperties": {"x": STRING}},
        {**an_object(a=STRING), "minProperties": 1},
        {"type": "object", "properties": {"a": STRING}, "required": ["a", "b"]},
        an_object(a={**STRING, "minLength": 3}),
        an_object(a={}),
        an_object(a={"type": "array"}),
        an_object(a={"type": "array", "items": STRING, "uniqueItems": True}),
        an_object(a={"oneOf": [STRING, {"type": "null"}]}),
        an_object(a={"allOf": [STRING, {"pattern": "x"}]}),
        an_object(a={"not": STRING}),
        an_object(a={"$ref": "#/$defs/missing"}),
        an_object(a={"$ref": "https://example.com/schema"}),
        an_object(a=True),
        {"type": "array", "items": STRING},
        {"anyOf": [an_object(a=STRING), an_object(b=STRING)]},
        STRING,
    ],
)
def test_what_the_dialect_cannot_say_is_not_made_strict(schema: dict[str, Any]) -> None:
    assert strict_schema(schema) is None


def test_a_schema_that_refers_to_itself_is_strict() -> None:
    tree: dict[str, Any] = {
        "type": "object",
        "properties": {"sub": {"type": "array", "items": {"$ref": "#"}}},
        "required": ["sub"],
    }
    assert strict_schema(tree) is not None


_LEAVES = st.sampled_from(
    [
        STRING,
        {"type": "integer"},
        {"type": ["string", "null"]},
        {"const": "k"},
        {"enum": [1, None]},
        {"enum": ["k", "l"], "const": "k"},
        {"enum": [None, 1], "const": 1},
    ]
)


def _objects(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    def made(properties: dict[str, Any], optional: bool) -> dict[str, Any]:
        return {"type": "object", "properties": properties, "required": [] if optional else list(properties)}

    return st.builds(made, st.dictionaries(st.sampled_from("abc"), inner, min_size=1, max_size=3), st.booleans())


def _arrays(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    def made(items: Any) -> dict[str, Any]:
        return {"type": "array", "items": items}

    return st.builds(made, inner)


_SCHEMAS = _objects(st.recursive(_LEAVES, lambda inner: _objects(inner) | _arrays(inner), max_leaves=5))


def _instance(schema: Any) -> Any:
    if "const" in schema or "enum" in schema:
        return schema.get("const", schema.get("enum", [None])[-1])
    kind = schema["type"][-1] if isinstance(schema["type"], list) else schema["type"]
    match kind:
        case "object":
            return {name: _instance(schema["properties"][name]) for name in schema["required"]}
        case "array":
            return [_instance(schema["items"])]
        case _:
            return {"string": "s", "integer": 1, "null": None}[kind]


@given(schema=_SCHEMAS)
def test_what_fits_the_strict_schema_fits_the_one_given(schema: dict[str, Any]) -> None:
    strict = strict_schema(schema)
    if strict is not None:
        instance = _instance(strict)
        assert jsonschema_rs.is_valid(strict, instance)
        assert jsonschema_rs.is_valid(schema, instance)
