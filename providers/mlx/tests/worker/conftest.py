"""The embedded models, fetched once into the cache, and tokenizers that use other models' formats."""

from __future__ import annotations

import asyncio
import copy
import importlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from ringfence.errors import DownloadError, Unavailable
from ringfence.paths import cache_dir
from ringfence_mlx.models.store import ModelStore

mx = pytest.importorskip("mlx.core")
MakeTokenizer = Callable[..., Any]


def _folder(name: str) -> Path:
    store = ModelStore(cache_dir() / "mlx")
    try:
        return store.resolve(name).path
    except Unavailable:
        pass
    try:
        asyncio.run(_pull(store, name))
    except DownloadError as error:
        pytest.skip(f"needs the model {name}: ringfence models pull {name} ({error})")
    return store.resolve(name).path


async def _pull(store: ModelStore, name: str) -> None:
    async for _ in store.download(name):
        pass


@pytest.fixture(scope="session")
def model_folder() -> Path:
    """The folder of SmolLM2-135M."""
    return _folder("smollm2-135m-instruct")


@pytest.fixture(scope="session")
def embedding_folder() -> Path:
    """The folder of MiniLM."""
    return _folder("all-minilm-l6-v2")


@pytest.fixture(scope="session")
def tokenizer(model_folder: Path) -> Any:
    """The embedded model's tokenizer, as mlx-lm wraps it."""
    return importlib.import_module("mlx_lm.tokenizer_utils").load(model_folder)


@pytest.fixture(scope="session")
def make_tokenizer(tokenizer: Any) -> MakeTokenizer:
    """Makes the embedded tokenizer into one with another template, other markers or another format of tool calls.

    The same one for the same arguments: to copy a tokenizer takes a third of a second.
    """
    from mlx_lm.tokenizer_utils import TokenizerWrapper

    @cache
    def make(
        template: str | None = None,
        *,
        special: tuple[str, ...] = (),
        added: tuple[str, ...] = (),
        tools: str | None = None,
    ) -> Any:
        fast = copy.deepcopy(tokenizer._tokenizer)
        fast.add_special_tokens({"additional_special_tokens": list(special)}) if special else None
        fast.add_tokens(list(added)) if added else None
        if template is not None:
            fast.chat_template = template or None
        if tools is None:
            return TokenizerWrapper(fast)
        parser = importlib.import_module(f"mlx_lm.tool_parsers.{tools}")
        return TokenizerWrapper(
            fast,
            tool_parser=parser.parse_tool_call,
            tool_call_start=parser.tool_call_start,
            tool_call_end=parser.tool_call_end,
        )

    return make


@pytest.fixture
def tiny_model() -> Any:
    """A llama of two layers with random weights and the embedded model's vocabulary: the same code, much faster."""
    from mlx_lm.models.llama import Model, ModelArgs

    mx.random.seed(7)
    model: Any = Model(
        ModelArgs(
            model_type="llama",
            hidden_size=64,
            num_hidden_layers=2,
            intermediate_size=128,
            num_attention_heads=4,
            num_key_value_heads=2,
            rms_norm_eps=1e-5,
            vocab_size=49_152,
        )
    )
    model.eval()
    mx.eval(model.parameters())
    return model
