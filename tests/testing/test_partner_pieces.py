"""Scenes survive the control connection; what the double makes up holds what it says."""

from __future__ import annotations

import json
import zlib
from typing import get_args

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.request import FilePart, ImagePart, ToolCallPart
from ringfence.response import FinishReason, Usage
from ringfence.testing.partners.asked import interleaved
from ringfence.testing.partners.scene_json import scene_from_json, scene_to_json, seen_from_json, seen_to_json
from ringfence.testing.partners.schema_instance import instance_of
from ringfence.testing.partners.silence import pixel_png, silence
from ringfence.testing.scenes import ErrorKind, Fault, Scene, Seen

TEXTS = st.lists(st.text(max_size=8), max_size=3).map(tuple)
CALLS = st.lists(st.builds(ToolCallPart, st.text(), st.text(), st.text(max_size=30)), max_size=3).map(tuple)
MEDIA = st.one_of(
    st.builds(ImagePart, st.binary(max_size=9)), st.builds(FilePart, st.binary(max_size=9), name=st.none() | st.text())
)
COUNTS = st.none() | st.integers(0, 99)
SCENES = st.builds(
    Scene,
    text=TEXTS,
    reasoning=TEXTS,
    tool_calls=CALLS,
    media=st.lists(MEDIA, max_size=2).map(tuple),
    vectors=st.lists(st.tuples(st.floats(-1, 1), st.floats(-1, 1)), max_size=2).map(tuple),
    finish=st.none() | st.sampled_from(get_args(FinishReason)),
    usage=st.builds(Usage, input_tokens=COUNTS, output_tokens=COUNTS, cached_input_tokens=COUNTS),
    error=st.none() | st.sampled_from(get_args(ErrorKind)),
    retry_after_s=st.none() | st.floats(0, 9),
    fault=st.none() | st.sampled_from(get_args(Fault)),
    fault_at=st.integers(0, 9),
)


@given(SCENES)
def test_a_scene_comes_through_as_it_was(scene: Scene) -> None:
    assert scene_from_json(json.loads(json.dumps(scene_to_json(scene)))) == scene


@given(st.binary(), st.none() | st.floats(0, 9))
def test_what_was_seen_comes_through_as_it_was(body: bytes, disconnected_s: float | None) -> None:
    seen = Seen(method="POST", path="/é", query="", headers={"a": "b"}, body=body, disconnected_s=disconnected_s)
    assert seen_from_json(json.loads(json.dumps(seen_to_json(seen)))) == seen


@given(CALLS)
def test_interleaved_pieces_add_up_to_the_arguments(calls: tuple[ToolCallPart, ...]) -> None:
    grown = [""] * len(calls)
    for index, piece in interleaved(calls):
        assert 0 < len(piece) <= 4
        grown[index] += piece
    assert grown == [call.arguments for call in calls]


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"a": {"type": "string", "minLength": 3}, "b": {}}, "required": ["a"]},
        {
            "type": "object",
            "properties": {"a": {"$ref": "#/$defs/A"}},
            "required": ["a"],
            "$defs": {"A": {"enum": [7]}},
        },
        {"type": ["null", "string"]},
        {"type": "array", "minItems": 2, "items": {"type": "boolean"}},
        {"anyOf": [{"type": "integer", "minimum": 5}, {"type": "string"}]},
        {"type": "number"},
        {"const": "x"},
    ],
)
def test_an_instance_is_valid(schema: dict[str, object]) -> None:
    assert jsonschema_rs.is_valid(schema, instance_of(schema))


def test_a_schema_that_holds_itself_ends() -> None:
    schema = {"type": "object", "properties": {"next": {"$ref": "#"}}, "required": ["next"]}
    assert json.dumps(instance_of(schema)).count("next") < 20


def test_the_pixel_is_a_png() -> None:
    png = pixel_png()
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    assert zlib.crc32(png[12:29]) == int.from_bytes(png[29:33])


@pytest.mark.parametrize(("audio_format", "size"), [("pcm", 24_000), ("wav", 24_044), ("mp3", 21 * 96)])
def test_silence_is_half_a_second(audio_format: str, size: int) -> None:
    assert len(silence(audio_format) or b"") == size
    assert silence("opus") is None
