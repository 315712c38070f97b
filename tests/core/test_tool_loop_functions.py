"""A Python function as a tool: what the model is told of it, and what of the model's arguments reaches it."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from enum import Enum
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field
from tests.core.support import CANARY

from ringfence import FunctionTool, InvalidRequest, tool
from ringfence.assistant.parameters import ArgumentsInvalid
from ringfence.assistant.tools import text_of


@tool
def plan_trip(  # noqa: D417  (some are described, some are not)
    city: str,
    days: int = 2,
    *,
    budget: float | None = None,
    by: Literal["train", "car"] = "train",
    stops: list[str] | None = None,
    weights: dict[str, float] | None = None,
    direct: Annotated[bool, "no change of trains"] = False,
) -> str:
    """Plans a trip.

    It asks nobody.

    Args:
        city: where to go,
            in English
        days (int): how long
        direct: not used, since the type says it

    Returns:
        A plan.
    """
    return json.dumps([city, days, budget, by, stops, weights, direct])


class Color(Enum):
    RED = "red"


class Guest(BaseModel):
    name: str
    born: date


@tool
def invite(
    guests: list[Guest], day: date, color: Color = Color.RED, seats: Annotated[int, Field(ge=1), "how many"] = 4
) -> str:
    """Invites."""
    return f"{guests[0].born.year} {day.isoformat()} {color.name} {seats}"


# ------------------------------------------------------------------ what the model is told
def test_the_definition_is_the_signature_and_the_docstring() -> None:
    definition = plan_trip.definition
    assert definition.name == plan_trip.name == "plan_trip"
    assert definition.description == "Plans a trip.\n\nIt asks nobody."
    assert definition.parameters == {
        "type": "object",
        "properties": {
            "city": {"type": "string", "description": "where to go, in English"},
            "days": {"type": "integer", "default": 2, "description": "how long"},
            "budget": {"anyOf": [{"type": "number"}, {"type": "null"}]},
            "by": {"enum": ["train", "car"], "default": "train"},
            "stops": {"anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "null"}]},
            "weights": {"anyOf": [{"type": "object", "additionalProperties": {"type": "number"}}, {"type": "null"}]},
            "direct": {"type": "boolean", "default": False, "description": "no change of trains"},
        },
        "required": ["city"],
        "additionalProperties": False,
    }


def test_other_types_are_pydantics() -> None:
    schema: Any = invite.definition.parameters
    assert schema["required"] == ["guests", "day"]
    assert schema["additionalProperties"] is False
    assert schema["properties"]["day"] == {"type": "string", "format": "date"}
    assert schema["properties"]["seats"] == {"type": "integer", "minimum": 1, "default": 4, "description": "how many"}
    assert set(schema["$defs"]) == {"Guest", "Color"}
    assert "Arguments" not in json.dumps(schema)


def test_name_and_description_may_be_given() -> None:
    @tool(name="go", description="Goes.")
    def go_there() -> None:
        """Something else."""

    assert (go_there.name, go_there.definition.description) == ("go", "Goes.")
    assert go_there.definition.parameters == {
        "type": "object", "properties": {}, "required": [], "additionalProperties": False
    }  # fmt: skip


def test_a_tool_is_still_the_function() -> None:
    assert json.loads(plan_trip("Oslo", days=3))[:2] == ["Oslo", 3]
    assert repr(plan_trip) == "FunctionTool(plan_trip)"


def test_a_bound_method_is_a_tool() -> None:
    class Shop:
        def price(self, item: str) -> int:
            """The price."""
            return len(item)

    made = FunctionTool(Shop().price)
    assert made.definition.parameters["required"] == ["item"]
    assert made.function(**made.read('{"item": "pen"}')) == 3


def test_plain_types_load_no_pydantic() -> None:
    program = (
        "import sys\nfrom ringfence import tool\n"
        "@tool\ndef add(a: int, b: list[float] | None = None) -> int: ...\n"
        "add.read('{\"a\": 1}')\nassert not {'pydantic', 'pydantic_core'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=30)


def test_without_pydantic_another_type_is_refused_with_the_way_out() -> None:
    program = (
        "import sys, datetime\nsys.modules['pydantic'] = None\nfrom ringfence import tool, InvalidRequest\n"
        "def f(day: datetime.date) -> int: ...\n"
        "try:\n    tool(f)\nexcept InvalidRequest as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout == "the type of parameter 'day' of tool 'f' needs pydantic (try: pip install pydantic)\n"


# ------------------------------------------------------------------ what cannot be a tool
def untyped(city) -> None:  # type: ignore[no-untyped-def]  # pyright: ignore  # noqa: PGH003
    ...


def many(*cities: str) -> None: ...


def keywords(**cities: str) -> None: ...


def by_place(city: str, /) -> None: ...


def unresolved(city: "Nowhere") -> None:  # type: ignore[name-defined]  # pyright: ignore  # noqa: F821, PGH003, UP037
    ...


def no_schema(call: Callable[[], int]) -> None: ...


def named(city: str) -> None: ...


REFUSED: list[tuple[Any, str | None, str]] = [
    (untyped, None, "parameter 'city' of tool 'untyped' has no type"),
    (many, None, "parameter 'cities' of tool 'many' cannot be given by name"),
    (keywords, None, "parameter 'cities' of tool 'keywords' cannot be given by name"),
    (by_place, None, "parameter 'city' of tool 'by_place' cannot be given by name"),
    (unresolved, None, "the types of tool 'unresolved' cannot be read"),
    (no_schema, None, "a type of tool 'no_schema' has no JSON Schema"),
    (named, "two words", "a tool's name is a word"),
    (named, "", "a tool's name is a word"),
    (lambda: None, None, "a tool's name is a word"),
    (functools.partial(named, "x"), None, "a tool is made of a function"),
    (Guest, None, "a tool is made of a function"),
    ("named", None, "a tool is made of a function"),
]


@pytest.mark.parametrize(("function", "name", "message"), REFUSED)
def test_what_cannot_be_a_tool_is_refused(function: Any, name: str | None, message: str) -> None:
    with pytest.raises(InvalidRequest, match=message) as caught:
        tool(function, name=name)
    assert caught.value.way_out


# ------------------------------------------------------------------ arguments
@pytest.mark.parametrize(
    ("text", "values"),
    [
        ('{"city": "Oslo"}', {"city": "Oslo"}),
        ('{"city": "Oslo", "days": 3.0, "budget": 10}', {"city": "Oslo", "days": 3, "budget": 10.0}),
        ('{"city": "", "budget": null, "stops": ["a"]}', {"city": "", "budget": None, "stops": ["a"]}),
        ('{"city": "x", "weights": {"a": 1}, "direct": true}', {"city": "x", "weights": {"a": 1.0}, "direct": True}),
    ],
)
def test_arguments_become_values_of_their_types(text: str, values: dict[str, object]) -> None:
    found = plan_trip.read(text)
    assert found == values
    assert [type(value) for value in found.values()] == [type(value) for value in values.values()]


def test_pydantic_types_arrive_as_such() -> None:
    text = '{"guests": [{"name": "Ada", "born": "1815-12-10"}], "day": "2026-01-02", "color": "red"}'
    assert invite.function(**invite.read(text)) == "1815 2026-01-02 RED 4"


@pytest.mark.parametrize(
    ("made", "text", "fault"),
    [
        (plan_trip, "{}", "city: missing"),
        (plan_trip, "", "city: missing"),
        (plan_trip, '{"city": 5}', "city: type"),
        (plan_trip, '{"city": "x", "days": 1.5}', "days: type"),
        (plan_trip, '{"city": "x", "days": true}', "days: type"),
        (plan_trip, f'{{"city": "x", "by": "{CANARY}"}}', "by: enum"),
        (plan_trip, f'{{"city": "x", "{CANARY}": 1}}', "additionalProperties"),
        (plan_trip, f'["{CANARY}"]', "they are not a JSON object"),
        (plan_trip, f'"{CANARY}', "they are not JSON"),
        (plan_trip, '{"city": "x", "budget": NaN}', "a value is not allowed"),
        (plan_trip, '{"city": "x", "days": 1e400}', None),
        (plan_trip, '{"city": "\\ud800"}', None),
        (plan_trip, "[" * 100_000, None),
        (invite, '{"day": "x"}', "guests: missing; day: date_from_datetime_parsing"),
        (invite, f'{{"guests": [{{"{CANARY}": 1}}], "day": "2026-01-02"}}', "guests: missing"),
        (invite, f'{{"guests": [], "day": "2026-01-02", "{CANARY}": 1}}', "extra_forbidden"),
        (invite, CANARY, "json_invalid"),
    ],
)  # fmt: skip
def test_arguments_that_do_not_fit_are_told_by_their_kind(made: Any, text: str, fault: str | None) -> None:
    with pytest.raises(ArgumentsInvalid) as caught:
        made.read(text)
    said = str(caught.value)
    assert said.startswith("the arguments are not valid: ")
    if fault is not None:
        assert said == f"the arguments are not valid: {fault}"
    assert CANARY not in said
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_a_type_whose_own_check_raises_is_told() -> None:
    from pydantic import AfterValidator

    def check(value: str) -> str:
        raise LookupError(value)

    def odd(word: Annotated[str, AfterValidator(check)]) -> str:
        return word

    odd.__annotations__ = {"word": Annotated[str, AfterValidator(check)]}
    with pytest.raises(ArgumentsInvalid) as caught:
        tool(odd).read(f'{{"word": "{CANARY}"}}')
    assert str(caught.value) == "the arguments are not valid: a value is not allowed"


@given(st.text(), st.integers(), st.none() | st.floats(allow_nan=False, allow_infinity=False), st.lists(st.text()))
def test_what_is_written_as_json_is_what_arrives(city: str, days: int, budget: float | None, stops: list[str]) -> None:
    values = {"city": city, "days": days, "budget": budget, "stops": stops}
    assert plan_trip.read(json.dumps(values)) == values


@given(st.text())
def test_any_text_is_read_or_refused_and_nothing_else(text: str) -> None:
    for made in (plan_trip, invite):
        with pytest.raises(ArgumentsInvalid):
            made.read(text or "{}")


# ------------------------------------------------------------------ results
@dataclass
class Point:
    x: int


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("as it is", "as it is"),
        ({"a": [1, None]}, '{"a": [1, null]}'),
        (None, "null"),
        ("ü", "ü"),
        (["ü"], '["ü"]'),
        (Point(x=1), '{"x": 1}'),
        ([Guest(name="Ada", born=date(1815, 12, 10))], '[{"name": "Ada", "born": "1815-12-10"}]'),
        ({"b", "a"}, '["a", "b"]'),
        (date(2026, 1, 2), '"2026-01-02"'),
    ],
)
def test_a_value_becomes_text(value: object, text: str) -> None:
    assert text_of(value) == text
