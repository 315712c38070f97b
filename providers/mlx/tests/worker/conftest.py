"""The embedded models, fetched once into the cache, and tokenizers that use other models' formats."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ringfence.errors import DownloadError, Unavailable
from ringfence.paths import cache_dir
from ringfence_mlx.models.store import ModelStore

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
    from mlx_lm.tokenizer_utils import load

    return load(model_folder)


@pytest.fixture(scope="session")
def make_tokenizer(tokenizer: Any) -> MakeTokenizer:
    """Makes the embedded tokenizer into one with another template, other markers or another format of tool calls."""
    import importlib

    from mlx_lm.tokenizer_utils import TokenizerWrapper

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
