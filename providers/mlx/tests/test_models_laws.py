"""Laws of reading what others wrote: a header, config or name never does more than raise the typed error."""

from __future__ import annotations

import contextlib
import json
import struct
import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from ringfence.errors import Unavailable
from ringfence.provider import Downloadable, NotAvailable
from ringfence_mlx.models.folder import read_folder
from ringfence_mlx.models.hub import is_hub_name
from ringfence_mlx.models.safetensors import read_header
from ringfence_mlx.models.store import ModelStore

WIDTHS = {"F32": 4, "F16": 2, "BF16": 2, "U32": 4, "I8": 1}
SHAPES = st.lists(st.integers(1, 9), min_size=1, max_size=3)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-10, 2**70) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
)
CONFIG_KEYS = st.sampled_from(
    ["model_type", "hidden_size", "num_hidden_layers", "num_attention_heads", "head_dim", "text_config", "quantization"]
)


def _with_length(text: bytes) -> bytes:
    return struct.pack("<Q", len(text)) + text


def file_with(content: bytes, folder: str) -> Path:
    path = Path(folder) / "model.safetensors"
    path.write_bytes(content)
    return path


@given(st.dictionaries(st.text(min_size=1, max_size=8), st.tuples(st.sampled_from(sorted(WIDTHS)), SHAPES), max_size=6))
def test_the_bytes_of_the_weights_are_the_file_without_its_header(tensors: dict[str, tuple[str, list[int]]]) -> None:
    header: dict[str, object] = {}
    end = 0
    for name, (dtype, shape) in tensors.items():
        begin, end = end, end + WIDTHS[dtype] * _product(shape)
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    with tempfile.TemporaryDirectory() as folder:
        found = read_header(file_with(struct.pack("<Q", len(text)) + text + bytes(end), folder))
    assert found.weights_bytes == end
    assert found.tensors == {name for name in tensors if name != "__metadata__"}


@given(st.binary(max_size=64) | st.binary(max_size=64).map(_with_length))
def test_any_bytes_are_a_header_or_a_value_error(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = file_with(content, folder)
        try:
            assert read_header(path).weights_bytes <= len(content)
        except ValueError as error:
            assert "model.safetensors" in str(error)  # noqa: PT017


@given(st.dictionaries(CONFIG_KEYS, JSON, max_size=5))
def test_any_config_gives_facts_or_the_typed_error(config: dict[str, object]) -> None:
    text = b'{"w":{"dtype":"F16","shape":[1,1],"data_offsets":[0,2]}}'
    with tempfile.TemporaryDirectory() as folder:
        file_with(struct.pack("<Q", len(text)) + text + b"ab", folder)
        (Path(folder) / "tokenizer.json").write_text("{}")
        (Path(folder) / "config.json").write_text(json.dumps({"model_type": "llama"} | config))
        try:
            found = read_folder("m", Path(folder))
            assert found.kv_bytes_per_token >= 0
            assert found.card.context_tokens > 0
        except Unavailable as error:
            assert error.reason == "no_model"  # noqa: PT017


@given(st.text(max_size=40) | st.builds("{}/{}".format, st.text("ab.-_/", max_size=6), st.text("ab.-_/", max_size=6)))
def test_any_text_is_a_name_without_harm(name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = ModelStore(Path(folder) / "cache")
        if not name.startswith(("/", ".", "~")):
            assert isinstance(store.availability(name), (NotAvailable, Downloadable))
            with contextlib.suppress(Unavailable):
                assert not store.remove(name)
        assert not is_hub_name(name) or (name.count("/") == 1 and ".." not in name)


def _product(shape: list[int]) -> int:
    product = 1
    for length in shape:
        product *= length
    return product
