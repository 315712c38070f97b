"""What comes out under a constraint satisfies the schema; what cannot be enforced is refused; nothing raises."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ringfence_mlx.worker.schemas import closed

mx = pytest.importorskip("mlx.core")
pytestmark = pytest.mark.model

ORDER: dict[str, Any] = {
    "$defs": {
        "Color": {"enum": ["red", "dark blue"], "type": "string"},
        "Item": {
            "type": "object",
            "properties": {
                "name": {"type": "string", "maxLength": 6},
                "count": {"type": "integer", "minimum": 1, "maximum": 12},
            },
            "required": ["name", "count"],
        },
    },
    "type": "object",
    "properties": {
        "items": {"type": "array", "items": {"$ref": "#/$defs/Item"}, "minItems": 1, "maxItems": 2},
        "color": {"anyOf": [{"$ref": "#/$defs/Color"}, {"type": "null"}], "default": None},
        "day": {"type": "string", "format": "date"},
        "code": {"type": "string", "pattern": "^[A-Z]{2}[0-9]{3}$"},
        "price": {"type": "integer", "minimum": 0, "exclusiveMaximum": 95},
    },
    "required": ["items", "day", "code", "price"],
}
SCHEMAS: dict[str, dict[str, Any]] = {
    "order": ORDER,
    "boolean": {"type": "boolean"},
    "number": {"type": "number", "minimum": 0, "exclusiveMaximum": 9.5},
    "bounded integer": {"type": "integer", "minimum": -3, "maximum": 12},
    "multiples": {"type": "integer", "multipleOf": 7, "minimum": 0, "maximum": 70},
    "constant": {"const": {"a": [1, "ü"]}},
    "tuple": {"type": "array", "prefixItems": [{"type": "boolean"}, {"type": "null"}], "items": False, "minItems": 2},
    "union of objects": {
        "oneOf": [
            {
                "type": "object",
                "properties": {"kind": {"const": "a"}, "x": {"type": "null"}},
                "required": ["kind", "x"],
            },
            {"type": "object", "properties": {"kind": {"const": "b"}}, "required": ["kind"]},
        ],
        "discriminator": {"propertyName": "kind"},
    },
    "merged objects": {
        "allOf": [
            {"type": "object", "properties": {"a": {"type": "boolean"}}, "required": ["a"]},
            {
                "type": "object",
                "properties": {"a": {}, "b": {"type": "null"}},
                "required": ["b"],
                "additionalProperties": False,
            },
        ]
    },
}


def generate(processor: Any, *, seed: int, steps: int = 400, vocabulary: int = 49_152) -> list[int]:
    """Tokens sampled from noise under the mask, driven as mlx-lm's batch does: prompt first, then one token a call."""
    mx.random.seed(seed)
    context = [1, 2, 3]
    for _ in range(steps):
        masked = processor(mx.array(context), mx.random.normal((1, vocabulary)))
        token = int(mx.argmax(masked[0]).item())
        context.append(token)
        if token == 2:
            break
    return context[3:]


def text_of(tokenizer: Any, tokens: list[int]) -> str:
    return str(tokenizer.decode([token for token in tokens if token != 2]))


class TestWhatComesOut:
    @pytest.mark.parametrize("name", SCHEMAS)
    @settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(seed=st.integers(0, 2**32))
    def test_noise_under_the_mask_satisfies_the_schema(self, tokenizer: Any, name: str, seed: int) -> None:
        from ringfence_mlx.worker.constrain import Constraint

        processor = Constraint.compile(tokenizer, SCHEMAS[name]).processor()
        tokens = generate(processor, seed=seed)

        assert processor.failure is None
        jsonschema_rs.validate(SCHEMAS[name], json.loads(text_of(tokenizer, tokens)))

    def test_finished_holds_with_the_last_character_and_not_before(self, tokenizer: Any) -> None:
        from ringfence_mlx.worker.constrain import Constraint

        processor = Constraint.compile(tokenizer, {"const": [1]}).processor()
        context = [5, 6]
        states: list[bool] = []
        for token in (None, *tokenizer.encode("[1]", add_special_tokens=False)):
            context += [] if token is None else [token]
            processor(mx.array(context), mx.zeros((1, 49_152)))
            states.append(processor.finished)
        assert states == [False] * (len(states) - 1) + [True]

    def test_the_same_constraint_serves_many_requests(self, tokenizer: Any) -> None:
        from ringfence_mlx.worker.constrain import Constraint

        constraint = Constraint.compile(tokenizer, SCHEMAS["order"])
        assert generate(constraint.processor(), seed=4) == generate(constraint.processor(), seed=4)

    def test_inside_a_batch(self, tokenizer: Any, tiny_model: Any) -> None:
        """Two constrained answers and a free one, in mlx-lm's own batch, which asks one step ahead."""
        from mlx_lm.generate import BatchGenerator

        from ringfence_mlx.worker.constrain import Constraint

        constraint = Constraint.compile(tokenizer, SCHEMAS["order"])
        processors = [constraint.processor(), constraint.processor()]
        prompts = [[1, 40, 50, 60], [1, 41], [1, 42, 52]]
        generator: Any = BatchGenerator(tiny_model, max_tokens=200, stop_tokens=[[2]])
        uids = generator.insert(prompts, logits_processors=[[processors[0]], [], [processors[1]]])
        answers: dict[int, list[int]] = {uid: [] for uid in uids}
        waiting = set(uids)
        while waiting:
            for response in generator.next()[1]:
                answers[response.uid].append(response.token)
                waiting -= {response.uid} if response.finish_reason else set()
        generator.close()

        for uid, processor in zip((uids[0], uids[2]), processors, strict=True):
            assert processor.finished
            jsonschema_rs.validate(SCHEMAS["order"], json.loads(text_of(tokenizer, answers[uid])))
        assert len(answers[uids[1]]) == 200


class TestProcessor:
    @pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
    def test_the_type_stays_and_ids_beyond_the_tokenizer_are_masked(self, tokenizer: Any, dtype: str) -> None:
        from ringfence_mlx.worker.constrain import Constraint

        processor = Constraint.compile(tokenizer, {"type": "boolean"}).processor()
        masked = processor(mx.array([1]), mx.zeros((1, 50_000), dtype=getattr(mx, dtype)))

        assert masked.dtype == getattr(mx, dtype)
        assert masked.shape == (1, 50_000)
        assert mx.all(mx.isinf(masked[0, 49_152:])).item()
        assert 0 < mx.sum(masked[0] == 0).item() < 10

    def test_a_token_that_was_not_allowed_ends_the_answer_without_raising(self, tokenizer: Any) -> None:
        from ringfence_mlx.worker.constrain import Constraint

        processor = Constraint.compile(tokenizer, {"type": "boolean"}).processor()
        processor(mx.array([1]), mx.zeros((1, 49_152)))
        masked = processor(mx.array([1, 999]), mx.zeros((1, 49_152)))

        assert processor.failure is not None
        assert not processor.finished
        assert int(mx.argmax(masked[0]).item()) == 2

    def test_an_exception_inside_is_recorded_and_ends_the_answer(self, tokenizer: Any) -> None:
        from ringfence_mlx.worker.constrain import Constraint

        processor = Constraint.compile(tokenizer, {"type": "boolean"}).processor()
        nothing: Any = None
        masked = processor(nothing, mx.zeros((1, 49_152)))

        assert processor.failure == "the constraint failed with AttributeError"
        assert int(mx.argmax(masked[0]).item()) == 2

    def test_calls_after_the_end_are_harmless(self, tokenizer: Any) -> None:
        from ringfence_mlx.worker.constrain import Constraint

        processor = Constraint.compile(tokenizer, {"type": "boolean"}).processor()
        tokens = generate(processor, seed=1)
        for extra in ([2], [2, 2]):
            masked = processor(mx.array([1, 2, 3, *tokens, *extra]), mx.zeros((1, 49_152)))
            assert int(mx.argmax(masked[0]).item()) == 2
        assert processor.failure is None


def nested(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "integer"}
    for _ in range(levels):
        schema = {"type": "array", "items": schema}
    return schema


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "contains": ({"type": "array", "contains": {"type": "integer"}}, "contains"),
    "not": ({"type": "string", "not": {"const": "a"}}, "not"),
    "two oneOf that overlap": ({"oneOf": [{"type": "string"}, {"type": "string", "maxLength": 3}]}, "oneOf"),
    "look-ahead": ({"type": "string", "pattern": "(?=a)b"}, "pattern"),
    "unknown format": ({"type": "string", "format": "secret-format"}, "format"),
    "reference elsewhere": ({"$ref": "https://secret.example/x.json"}, "$ref"),
    "costly multipleOf": ({"allOf": [{"multipleOf": 9_973}, {"multipleOf": 9_967}]}, "multipleOf"),
    "lenient by itself": ({"x-guidance": {"lenient": True}, "type": "array", "uniqueItems": True}, "uniqueItems"),
}
HOSTILE: dict[str, dict[str, Any]] = {
    "deep": nested(10_000),
    "many values": {"enum": list(range(5_000))},
    "long": {"const": "x" * 70_000},
    "many patterns": {"type": "object", "patternProperties": {f"^a{n}[a-z]*$": {} for n in range(65)}},
    "refers to itself": {"$ref": "#"},
    "refers to nothing": {"$ref": "#/$defs/secret"},
    "satisfied by nothing": {"type": "string", "minLength": 5, "maxLength": 2},
    "no schema": {"type": 5},
    "properties that are none": {"properties": [1, 2]},
    "required that is none": {"properties": {}, "required": 5},
    "surrogate": {"const": "\ud800"},
    "infinite": {"minimum": float("inf")},
    "bytes": {"const": b"secret"},
}


class TestWhatIsRefused:
    @pytest.mark.parametrize("name", REFUSED)
    def test_a_keyword_that_cannot_be_enforced_is_named(self, tokenizer: Any, name: str) -> None:
        from ringfence_mlx.worker.constrain import Constraint, ConstraintError

        schema, keyword = REFUSED[name]
        with pytest.raises(ConstraintError) as caught:
            Constraint.compile(tokenizer, schema)
        assert caught.value.keywords == (keyword,)
        assert "secret" not in str(caught.value)

    @pytest.mark.parametrize("name", HOSTILE)
    def test_a_hostile_schema_is_refused_without_quoting_it(self, tokenizer: Any, name: str) -> None:
        from ringfence_mlx.worker.constrain import Constraint, ConstraintError

        with pytest.raises(ConstraintError) as caught:
            Constraint.compile(tokenizer, HOSTILE[name])
        assert "secret" not in str(caught.value)
        assert caught.value.__cause__ is None


OBJECT = {"type": "object", "properties": {"a": {"type": "integer"}}}
SHUT = {**OBJECT, "additionalProperties": False}
REFERENCES = [{"$ref": "#/$defs/A"}, {"$ref": "#/$defs/B"}]
SHARED = {"allOf": REFERENCES, "$defs": {"A": OBJECT, "B": {"$ref": "#/$defs/C"}, "C": OBJECT}}
STRING, INTEGER, NUMBER = {"type": "string"}, {"type": "integer"}, {"type": "number"}
CLOSED: dict[str, tuple[Mapping[str, Any], Mapping[str, Any]]] = {
    "an object that lists properties": (OBJECT, SHUT),
    "one that lists none": ({"type": "object"}, {"type": "object"}),
    "one that lists an empty set": ({"properties": {}}, {"properties": {}, "additionalProperties": False}),
    "one that says otherwise": ({**OBJECT, "additionalProperties": True}, {**OBJECT, "additionalProperties": True}),
    "one that needs what it does not list": ({**OBJECT, "required": ["b"]}, {**OBJECT, "required": ["b"]}),
    "objects in an array": ({"items": OBJECT}, {"items": SHUT}),
    "branches of anyOf": ({"anyOf": [OBJECT, {"type": "null"}]}, {"anyOf": [SHUT, {"type": "null"}]}),
    "the only branch of allOf": ({"allOf": [OBJECT]}, {"allOf": [SHUT]}),
    "two branches of allOf": ({"allOf": [OBJECT, OBJECT]}, {"allOf": [OBJECT, OBJECT]}),
    "anyOf beside properties": ({**OBJECT, "anyOf": [OBJECT]}, {**OBJECT, "anyOf": [OBJECT]}),
    "under not": ({"not": OBJECT}, {"not": OBJECT}),
    "referred to": ({"$ref": "#/$defs/A", "$defs": {"A": OBJECT}}, {"$ref": "#/$defs/A", "$defs": {"A": SHUT}}),
    "referred to from allOf": (SHARED, SHARED),
    "a property named like a keyword": (
        {"properties": {"oneOf": {"type": "string"}, "not": OBJECT}},
        {"properties": {"oneOf": {"type": "string"}, "not": SHUT}, "additionalProperties": False},
    ),
    "oneOf of different types": ({"oneOf": [STRING, INTEGER]}, {"anyOf": [STRING, INTEGER]}),
    "oneOf of integer and number": ({"oneOf": [INTEGER, NUMBER]}, {"oneOf": [INTEGER, NUMBER]}),
    "a format that is only a note": ({"type": "string", "format": "path"}, {"type": "string"}),
}


class TestClosing:
    @pytest.mark.parametrize("name", CLOSED)
    def test_objects_are_closed_where_nobody_said_otherwise(self, name: str) -> None:
        given_schema, expected = CLOSED[name]
        before = json.dumps(given_schema)
        assert closed(given_schema) == expected
        assert json.dumps(given_schema) == before


TOOLS: list[dict[str, Any]] = [
    {
        "type": "function",
        "function": {
            "name": 'say "hi"',
            "parameters": {
                "type": "object",
                "properties": {"to": {"$ref": "#/$defs/Name"}},
                "required": ["to"],
                "$defs": {"Name": {"type": "string", "maxLength": 5}},
            },
        },
    },
    {"type": "function", "function": {"name": "stop", "parameters": {"type": "object", "properties": {}}}},
]


class TestTools:
    @pytest.mark.parametrize("special", [(), ("<tool_call>", "</tool_call>", "[TOOL_CALLS]")])
    @pytest.mark.parametrize("tools", ["json_tools", "mistral"])
    def test_noise_becomes_one_valid_call(self, make_tokenizer: Any, tools: str, special: tuple[str, ...]) -> None:
        from ringfence_mlx.worker.constrain import Constraint
        from ringfence_mlx.worker.toolcalls import ToolCallStream

        tokenizer = make_tokenizer(tools=tools, special=special)
        constraint = Constraint.compile_tools(tokenizer, TOOLS)
        names: set[str] = set()
        for seed in range(8):
            processor = constraint.processor()
            tokens = generate(processor, seed=seed, vocabulary=len(tokenizer))
            stream = ToolCallStream(tokenizer, TOOLS)
            events = [*stream.feed(text_of(tokenizer, tokens)), *stream.finish("stop")]
            assert [event["type"] for event in events] == ["tool_call_start", "tool_call_delta", "tool_call_end"]
            parameters = next(tool["function"] for tool in TOOLS if tool["function"]["name"] == events[0]["name"])
            jsonschema_rs.validate(parameters["parameters"], json.loads(events[1]["arguments"]))
            names.add(events[0]["name"])
        assert names == {'say "hi"', "stop"}

    @pytest.mark.parametrize("special", [(), ("<tool_call>", "</tool_call>", "[TOOL_CALLS]")])
    @pytest.mark.parametrize("tools", ["json_tools", "mistral"])
    def test_beside_a_schema_noise_becomes_one_valid_call_or_answer(
        self, make_tokenizer: Any, tools: str, special: tuple[str, ...]
    ) -> None:
        from ringfence_mlx.worker.constrain import Constraint
        from ringfence_mlx.worker.either import SchemaOrCallStream

        tokenizer = make_tokenizer(tools=tools, special=special)
        schema = {"enum": [[1], 2]}
        constraint = Constraint.compile_tools(tokenizer, TOOLS, schema=schema)
        kinds: set[str] = set()
        for seed in range(16):
            tokens = generate(constraint.processor(), seed=seed, vocabulary=len(tokenizer))
            stream = SchemaOrCallStream(tokenizer, TOOLS)
            events = [event for character in text_of(tokenizer, tokens) for event in stream.feed(character)]
            events += stream.finish("stop")
            kinds.add(events[0]["type"])
            if events[0]["type"] == "text_start":
                text = "".join(event["text"] for event in events if event["type"] == "text_delta")
                jsonschema_rs.validate(schema, json.loads(text))
            else:
                assert [event["type"] for event in events] == ["tool_call_start", "tool_call_delta", "tool_call_end"]
        assert kinds == {"text_start", "tool_call_start"}

    def test_a_format_that_cannot_be_forced_is_refused(self, make_tokenizer: Any) -> None:
        from ringfence_mlx.worker.constrain import Constraint, ConstraintError

        with pytest.raises(ConstraintError, match="format of tool calls"):
            Constraint.compile_tools(make_tokenizer(tools="pythonic"), TOOLS)
