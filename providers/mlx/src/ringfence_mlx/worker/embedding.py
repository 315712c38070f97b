"""Texts to vectors with a BERT encoder such as MiniLM, run in MLX."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

import mlx.core as mx
from tokenizers import Tokenizer

from ringfence_mlx.worker.jsonlike import is_object

__all__ = ["EmbeddingError", "EmbeddingModel", "TextTooLong"]

# For what MLX's types know only in part.
_mx: Any = mx

# Padding to the longest text of a batch wastes work: texts of like length are computed together, this many at a time.
_BATCH: Final = 16
_SENTENCE_TOKENS: Final = 256


class EmbeddingError(ValueError):
    """The folder holds no embedding model that this runs, or a text is not valid Unicode."""


class TextTooLong(ValueError):
    """A text is longer than the model can read; nothing was computed, and nothing is cut off."""

    def __init__(self, *, index: int, needed_tokens: int, context_tokens: int) -> None:
        super().__init__(f"text {index} has {needed_tokens} tokens, the model reads {context_tokens}")
        self.index = index
        self.needed_tokens = needed_tokens
        self.context_tokens = context_tokens


class EmbeddingModel:
    """An encoder with mean pooling. Belongs to the thread that loaded it."""

    def __init__(self, weights: Mapping[str, mx.array], tokenizer: Tokenizer, config: _Config) -> None:
        self._weights = weights
        self._tokenizer = tokenizer
        self._config = config
        self.context_tokens = config.context_tokens
        """The longest text, in tokens, with the two that mark its ends."""
        self.dimensions = config.width

    @classmethod
    def load(cls, folder: Path | str) -> EmbeddingModel:
        """Loads `config.json`, `tokenizer.json` and `model.safetensors`; a context given for sentences counts.

        Raises:
            EmbeddingError: a file is missing, or the model is not a BERT encoder with mean pooling.
        """
        folder = Path(folder)
        config = _config(folder)
        try:
            tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
            weights = _weights(folder)
        except Exception:  # noqa: BLE001 - tokenizers raises bare Exception
            raise EmbeddingError("the folder's tokenizer or weights cannot be read") from None
        if {name: tensor.shape for name, tensor in weights.items()} != _shapes(config):
            raise EmbeddingError("the weights are not those of the encoder that config.json describes")
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return cls(weights, tokenizer, config)

    def embed(self, texts: Sequence[str]) -> tuple[list[list[float]], int]:
        """A vector of `dimensions` numbers and Euclidean norm 1 for each text, in order, and the tokens read.

        Raises:
            TextTooLong: a text has more tokens than `context_tokens`; none is embedded.
            EmbeddingError: a text is not valid Unicode.
        """
        tokens = self._tokens(texts)
        vectors: list[list[float]] = [[]] * len(tokens)
        by_length = sorted(range(len(tokens)), key=lambda place: len(tokens[place]))
        for first in range(0, len(by_length), _BATCH):
            places = by_length[first : first + _BATCH]
            for place, vector in zip(places, self._vectors([tokens[place] for place in places]), strict=True):
                vectors[place] = vector
        return vectors, sum(len(ids) for ids in tokens)

    def _tokens(self, texts: Sequence[str]) -> list[list[int]]:
        try:
            found = [encoding.ids for encoding in self._tokenizer.encode_batch(list(texts))]
        except (UnicodeError, TypeError):
            raise EmbeddingError("a text is not valid Unicode") from None
        for index, ids in enumerate(found):
            if len(ids) > self.context_tokens:
                raise TextTooLong(index=index, needed_tokens=len(ids), context_tokens=self.context_tokens)
        return found

    def _vectors(self, tokens: Sequence[Sequence[int]]) -> list[list[float]]:
        longest = max(len(ids) for ids in tokens)
        padded = mx.array([[*ids, *[0] * (longest - len(ids))] for ids in tokens])
        mask = mx.array([[1.0] * len(ids) + [0.0] * (longest - len(ids)) for ids in tokens])
        vectors = _encoded(self._weights, self._config, padded, mask)
        return cast("list[list[float]]", vectors.tolist())


# ---------------------------------------------------------------- encoder


@dataclass(frozen=True, slots=True, kw_only=True)
class _Config:
    width: int
    layers: int
    heads: int
    inner_width: int
    vocabulary: int
    positions: int
    types: int
    epsilon: float
    context_tokens: int


def _encoded(weights: Mapping[str, mx.array], config: _Config, tokens: mx.array, mask: mx.array) -> mx.array:
    """BERT (Devlin et al. 2018), the mean over tokens, scaled to length 1: float32 of shape [texts, width].

    `tokens` and `mask` (1 where there is a token) have the shape [texts, length].
    """
    hidden = _embedded(weights, config, tokens)
    attended = mx.where(mask[:, None, None, :] > 0, 0.0, -mx.inf)
    for layer in range(config.layers):
        hidden = _layer(weights, config, f"encoder.layer.{layer}", hidden, attended)
    present = mask[:, :, None]
    mean = (hidden * present).sum(axis=1) / present.sum(axis=1)
    return mean / mx.linalg.norm(mean, axis=-1, keepdims=True)


def _embedded(weights: Mapping[str, mx.array], config: _Config, tokens: mx.array) -> mx.array:
    words = weights["embeddings.word_embeddings.weight"][tokens]
    positions = weights["embeddings.position_embeddings.weight"][: tokens.shape[1]]
    # A single text is all of type 0.
    types = weights["embeddings.token_type_embeddings.weight"][0]
    return _normed(weights, config, "embeddings.LayerNorm", words + positions + types)


def _layer(
    weights: Mapping[str, mx.array], config: _Config, name: str, hidden: mx.array, attended: mx.array
) -> mx.array:
    texts, length, width = hidden.shape
    size = width // config.heads
    query, key, value = (
        mx.transpose(
            mx.reshape(_linear(weights, f"{name}.attention.self.{part}", hidden), (texts, length, config.heads, size)),
            (0, 2, 1, 3),
        )
        for part in ("query", "key", "value")
    )
    found = mx.fast.scaled_dot_product_attention(query, key, value, scale=size**-0.5, mask=attended)
    joined = mx.reshape(mx.transpose(found, (0, 2, 1, 3)), (texts, length, width))
    attention = _linear(weights, f"{name}.attention.output.dense", joined)
    hidden = _normed(weights, config, f"{name}.attention.output.LayerNorm", hidden + attention)
    inner = _gelu(_linear(weights, f"{name}.intermediate.dense", hidden))
    return _normed(
        weights, config, f"{name}.output.LayerNorm", hidden + _linear(weights, f"{name}.output.dense", inner)
    )


def _linear(weights: Mapping[str, mx.array], name: str, hidden: mx.array) -> mx.array:
    return mx.addmm(weights[f"{name}.bias"], hidden, weights[f"{name}.weight"].T)


def _normed(weights: Mapping[str, mx.array], config: _Config, name: str, hidden: mx.array) -> mx.array:
    return mx.fast.layer_norm(hidden, weights[f"{name}.weight"], weights[f"{name}.bias"], config.epsilon)


def _gelu(hidden: mx.array) -> mx.array:
    return hidden * (1 + mx.erf(hidden / math.sqrt(2))) / 2


# ---------------------------------------------------------------- files


def _weights(folder: Path) -> dict[str, mx.array]:
    """The tensors of the encoder as float32, read to the end; those of the pooler are of no use to mean pooling."""
    loaded = cast("dict[str, mx.array]", mx.load(str(folder / "model.safetensors")))
    found = {name.removeprefix("bert."): tensor.astype(mx.float32) for name, tensor in loaded.items()}
    kept = {
        name: tensor
        for name, tensor in found.items()
        if not name.startswith("pooler.") and name != "embeddings.position_ids"
    }
    _mx.eval(list(kept.values()))
    return kept


def _shapes(config: _Config) -> dict[str, tuple[int, ...]]:
    width, inner = config.width, config.inner_width
    linear = {f"attention.self.{part}": (width, width) for part in ("query", "key", "value")} | {
        "attention.output.dense": (width, width),
        "intermediate.dense": (inner, width),
        "output.dense": (width, inner),
    }
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (config.vocabulary, width),
        "embeddings.position_embeddings.weight": (config.positions, width),
        "embeddings.token_type_embeddings.weight": (config.types, width),
    }
    norms = ["embeddings.LayerNorm"]
    for layer in (f"encoder.layer.{place}." for place in range(config.layers)):
        norms += [f"{layer}attention.output.LayerNorm", f"{layer}output.LayerNorm"]
        for name, shape in linear.items():
            shapes |= {f"{layer}{name}.weight": shape, f"{layer}{name}.bias": shape[:1]}
    return shapes | {f"{name}.{part}": (width,) for name in norms for part in ("weight", "bias")}


def _config(folder: Path) -> _Config:
    try:
        config = _read(folder / "config.json")
        if config["model_type"] != "bert" or config.get("hidden_act") != "gelu":
            raise EmbeddingError("only BERT encoders with exact gelu are run here")
        if config.get("position_embedding_type", "absolute") != "absolute":
            raise EmbeddingError("only BERT encoders with absolute positions are run here")
        pooling = folder / "1_Pooling" / "config.json"
        if pooling.exists() and not _read(pooling).get("pooling_mode_mean_tokens"):
            raise EmbeddingError("only mean pooling is run here")
        return _Config(
            width=int(config["hidden_size"]),
            layers=int(config["num_hidden_layers"]),
            heads=int(config["num_attention_heads"]),
            inner_width=int(config["intermediate_size"]),
            vocabulary=int(config["vocab_size"]),
            positions=int(config["max_position_embeddings"]),
            types=int(config["type_vocab_size"]),
            epsilon=float(config["layer_norm_eps"]),
            context_tokens=min(int(config["max_position_embeddings"]), _sentence_tokens(folder)),
        )
    except (OSError, KeyError, TypeError, json.JSONDecodeError):
        raise EmbeddingError("the folder has no readable config.json of an encoder") from None


def _sentence_tokens(folder: Path) -> int:
    """How long a text the model was trained on, 256 if nothing says so: beyond it, the vectors mean little."""
    file = folder / "sentence_bert_config.json"
    return int(_read(file)["max_seq_length"]) if file.exists() else _SENTENCE_TOKENS


def _read(file: Path) -> Mapping[str, Any]:
    value: object = json.loads(file.read_text("utf-8"))
    if not is_object(value):
        raise EmbeddingError(f"{file.name} is no JSON object")
    return value
