"""A folder as a worker loads it: in the float type of this machine, and without running what it brings."""

from __future__ import annotations

import contextlib
import importlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from ringfence_mlx.precision import widens
from ringfence_mlx.worker.job import JobFault

mx: Any = pytest.importorskip("mlx.core")
pytestmark = pytest.mark.model

CONFIG = {
    "model_type": "llama",
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "intermediate_size": 128,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-5,
    "vocab_size": 49_152,
    "tie_word_embeddings": True,
    "eos_token_id": 2,
}


def weights_of(model: Any) -> dict[str, Any]:
    return dict(importlib.import_module("mlx.utils").tree_flatten(model.parameters()))


def write_folder(folder: Path, model_folder: Path, model: Any, **config: object) -> Path:
    """A model of two layers with the embedded model's tokenizer, as a hub would have it."""
    folder.mkdir()
    mx.save_safetensors(str(folder / "model.safetensors"), weights_of(model), metadata={"format": "mlx"})
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(model_folder / name, folder)
    (folder / "config.json").write_text(json.dumps(CONFIG | config), encoding="utf-8")
    return folder


def dtypes(model: Any) -> set[Any]:
    return {weight.dtype for weight in weights_of(model).values() if mx.issubdtype(weight.dtype, mx.floating)}


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_widened_where_a_cpu_computes(
    tiny_model: Any, model_folder: Path, tmp_path: Path, dtype: str
) -> None:
    from ringfence_mlx.worker.loader import load_model

    tiny_model.set_dtype(getattr(mx, dtype))
    loaded = load_model(write_folder(tmp_path / "m", model_folder, tiny_model), None)
    assert dtypes(loaded.model) == {mx.float32 if widens() else getattr(mx, dtype)}


def test_the_scales_of_quantized_weights_are_widened_too(tiny_model: Any, model_folder: Path, tmp_path: Path) -> None:
    from ringfence_mlx.worker.loader import load_model

    tiny_model.set_dtype(mx.bfloat16)
    nn: Any = importlib.import_module("mlx.nn")
    nn.quantize(tiny_model, group_size=64, bits=4)
    folder = write_folder(tmp_path / "m", model_folder, tiny_model, quantization={"group_size": 64, "bits": 4})
    loaded = load_model(folder, None)
    assert dtypes(loaded.model) == {mx.float32 if widens() else mx.bfloat16}
    assert loaded.vocabulary == 49_152


def plant(folder: Path, marker: Path, file_name: str) -> None:
    (folder / file_name).write_text(f"open({str(marker)!r}, 'w').close()\n", encoding="utf-8")


def test_a_model_file_is_refused_and_not_run(tiny_model: Any, model_folder: Path, tmp_path: Path) -> None:
    from ringfence_mlx.worker.loader import load_model

    folder = write_folder(tmp_path / "m", model_folder, tiny_model, model_file="evil.py")
    plant(folder, tmp_path / "ran", "evil.py")
    with pytest.raises(JobFault) as caught:
        load_model(folder, None)
    assert caught.value.kind == "no_model"
    assert not (tmp_path / "ran").exists()


def test_a_tokenizer_of_its_own_code_is_not_run(tiny_model: Any, model_folder: Path, tmp_path: Path) -> None:
    from ringfence_mlx.worker.counting import TokenCounter
    from ringfence_mlx.worker.loader import load_model

    folder = write_folder(tmp_path / "m", model_folder, tiny_model)
    plant(folder, tmp_path / "ran", "evil.py")
    settings = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    settings |= {"tokenizer_class": "Evil", "auto_map": {"AutoTokenizer": ["evil.Evil", "evil.Evil"]}}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    for load in (lambda: TokenCounter.load(folder), lambda: load_model(folder, None)):
        with contextlib.suppress(JobFault):  # refused, or read without its code: both are well
            load()
    assert not (tmp_path / "ran").exists()
