"""MiniLM in MLX gives the vectors of the published model, here computed a second time with numpy alone."""

from __future__ import annotations

import importlib
import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.model

TEXTS = [
    "A cat sits on the mat.",
    "A kitten rests on a rug.",
    "The central bank raised interest rates.",
    "Grüße aus Zürich! 你好",
    "x",
    "",
]


@pytest.fixture(scope="module")
def model(embedding_folder: Path) -> Any:
    from ringfence_mlx.worker.embedding import EmbeddingModel

    return EmbeddingModel.load(embedding_folder)


class Reference:
    """BERT, written for one text at a time, in float64, from the file's own names."""

    def __init__(self, folder: Path) -> None:
        safetensors: Any = importlib.import_module("safetensors.numpy")
        from tokenizers import Tokenizer

        loaded: dict[str, Any] = safetensors.load_file(folder / "model.safetensors")
        self.weights = {name: tensor.astype(np.float64) for name, tensor in loaded.items()}
        self.config = json.loads((folder / "config.json").read_text())
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.no_padding()
        self.tokenizer.no_truncation()

    def embed(self, text: str) -> Any:
        ids = self.tokenizer.encode(text).ids
        embeddings = self.weights["embeddings.word_embeddings.weight"][ids]
        embeddings = embeddings + self.weights["embeddings.position_embeddings.weight"][: len(ids)]
        embeddings = embeddings + self.weights["embeddings.token_type_embeddings.weight"][0]
        hidden = self.norm(embeddings, "embeddings.LayerNorm")
        for number in range(self.config["num_hidden_layers"]):
            hidden = self.layer(hidden, f"encoder.layer.{number}")
        mean = hidden.mean(axis=0)
        return mean / np.sqrt((mean**2).sum())

    def layer(self, hidden: Any, name: str) -> Any:
        attended = self.linear(self.attention(hidden, f"{name}.attention.self"), f"{name}.attention.output.dense")
        hidden = self.norm(hidden + attended, f"{name}.attention.output.LayerNorm")
        inner = self.linear(hidden, f"{name}.intermediate.dense")
        inner = inner * 0.5 * (1 + np.vectorize(math.erf)(inner / math.sqrt(2)))
        return self.norm(hidden + self.linear(inner, f"{name}.output.dense"), f"{name}.output.LayerNorm")

    def attention(self, hidden: Any, name: str) -> Any:
        query, key, value = (self.linear(hidden, f"{name}.{part}") for part in ("query", "key", "value"))
        size = hidden.shape[1] // self.config["num_attention_heads"]
        heads: list[Any] = []
        for start in range(0, hidden.shape[1], size):
            part = slice(start, start + size)
            scores = np.exp(query[:, part] @ key[:, part].T / math.sqrt(size))
            heads.append(scores / scores.sum(axis=1, keepdims=True) @ value[:, part])
        return np.concatenate(heads, axis=1)

    def linear(self, hidden: Any, name: str) -> Any:
        return hidden @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"]

    def norm(self, hidden: Any, name: str) -> Any:
        centred = hidden - hidden.mean(axis=-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + self.config["layer_norm_eps"])
        return scaled * self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]


class TestVectors:
    def test_they_are_those_of_the_published_model(self, model: Any, embedding_folder: Path) -> None:
        reference = Reference(embedding_folder)
        vectors, _ = model.embed(TEXTS)
        for text, vector in zip(TEXTS, vectors, strict=True):
            assert np.abs(np.array(vector) - reference.embed(text)).max() < 1e-5

    def test_like_texts_are_near(self, model: Any) -> None:
        (cat, kitten, bank), _ = model.embed(TEXTS[:3])
        assert np.dot(cat, kitten) > 0.5
        assert np.dot(cat, bank) < 0.2

    def test_the_norm_is_one(self, model: Any) -> None:
        vectors, _ = model.embed(TEXTS)
        assert np.linalg.norm(np.array(vectors), axis=1) == pytest.approx(1, abs=1e-5)
        assert {len(vector) for vector in vectors} == {model.dimensions} == {384}

    def test_neighbours_in_a_batch_change_nothing(self, model: Any) -> None:
        texts = [f"{text} {'word ' * length}" for length in (0, 12) for text in TEXTS[:3]]
        together, tokens = model.embed(texts)
        apart = [model.embed([text]) for text in texts]
        assert np.array(together) == pytest.approx(np.array([vectors[0] for vectors, _ in apart]), abs=1e-5)
        assert tokens == sum(count for _, count in apart)

    def test_no_texts_give_no_vectors(self, model: Any) -> None:
        assert model.embed([]) == ([], 0)


class TestRefusals:
    def test_a_text_that_is_too_long_is_not_cut(self, model: Any) -> None:
        from ringfence_mlx.worker.embedding import TextTooLong

        with pytest.raises(TextTooLong) as caught:
            model.embed(["short", "secret " * 300])
        assert (caught.value.index, caught.value.needed_tokens, caught.value.context_tokens) == (1, 302, 256)
        assert "secret" not in str(caught.value)

    def test_the_longest_text_fits(self, model: Any) -> None:
        assert model.embed(["word " * 254])[1] == 256

    def test_a_lone_surrogate_is_refused(self, model: Any) -> None:
        from ringfence_mlx.worker.embedding import EmbeddingError

        with pytest.raises(EmbeddingError, match="Unicode"):
            model.embed(["\ud800"])

    @pytest.mark.parametrize(
        ("file", "content"),
        [
            ("config.json", "{}"),
            ("config.json", "[]"),
            ("config.json", '{"model_type": "roberta"}'),
            ("tokenizer.json", "{}"),
            ("model.safetensors", "junk"),
            ("1_Pooling/config.json", '{"pooling_mode_cls_token": true}'),
        ],
    )
    def test_a_folder_that_is_no_such_model_is_refused(
        self, embedding_folder: Path, tmp_path: Path, file: str, content: str
    ) -> None:
        from ringfence_mlx.worker.embedding import EmbeddingError, EmbeddingModel

        shutil.copytree(embedding_folder, tmp_path / "model")
        (tmp_path / "model" / file).parent.mkdir(exist_ok=True)
        (tmp_path / "model" / file).write_text(content)
        with pytest.raises(EmbeddingError):
            EmbeddingModel.load(tmp_path / "model")

    def test_weights_of_another_shape_are_refused(self, embedding_folder: Path, tmp_path: Path) -> None:
        from ringfence_mlx.worker.embedding import EmbeddingError, EmbeddingModel

        shutil.copytree(embedding_folder, tmp_path / "model")
        config = json.loads((embedding_folder / "config.json").read_text())
        (tmp_path / "model" / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 5}))
        with pytest.raises(EmbeddingError, match="encoder that"):
            EmbeddingModel.load(tmp_path / "model")
