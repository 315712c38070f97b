"""Texts to vectors with a BERT encoder such as MiniLM, run in MLX."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import mlx.core as mx
import numpy as np
from mlx import nn
from tokenizers import Tokenizer

__all__ = ["EmbeddingError", "EmbeddingModel", "TextTooLong"]

# Padding to the longest text of a batch wastes work: texts of like length are computed together, this many at a time.
_BATCH: Final = 16


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

    def __init__(self, encoder: _Encoder, tokenizer: Tokenizer, config: _Config) -> None:
        self._encoder = encoder
        self._tokenizer = tokenizer
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
        encoder = _Encoder(config)
        try:
            tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
            encoder.load_weights(_weights(folder), strict=True)
        except Exception:  # noqa: BLE001 - tokenizers raises bare Exception
            raise EmbeddingError("the folder's tokenizer or weights cannot be read as a BERT encoder") from None
        tokenizer.no_truncation()
        tokenizer.no_padding()
        encoder.eval()
        mx.eval(encoder.parameters())
        return cls(encoder, tokenizer, config)

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
        padded = np.zeros((len(tokens), longest), dtype=np.int32)
        mask = np.zeros((len(tokens), longest), dtype=np.float32)
        for row, ids in enumerate(tokens):
            padded[row, : len(ids)] = ids
            mask[row, : len(ids)] = 1
        vectors: list[list[float]] = self._encoder(mx.array(padded), mx.array(mask)).tolist()
        return vectors


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


class _Encoder(nn.Module):
    """BERT (Devlin et al. 2018) with the mean over tokens, scaled to length 1. Names are those of the weights."""

    def __init__(self, config: _Config) -> None:
        super().__init__()
        self.embeddings = _Embeddings(config)
        self.layer = [_Layer(config) for _ in range(config.layers)]

    def __call__(self, tokens: mx.array, mask: mx.array) -> mx.array:
        """Vectors of shape [texts, width] for tokens and mask (1 where there is a token) of shape [texts, length]."""
        hidden = self.embeddings(tokens)
        attended = mx.where(mask[:, None, None, :] > 0, 0.0, -mx.inf)
        for layer in self.layer:
            hidden = layer(hidden, attended)
        weights = mask[:, :, None]
        mean = (hidden * weights).sum(axis=1) / weights.sum(axis=1)
        return mean / mx.linalg.norm(mean, axis=-1, keepdims=True)


class _Embeddings(nn.Module):
    def __init__(self, config: _Config) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(config.vocabulary, config.width)
        self.position_embeddings = nn.Embedding(config.positions, config.width)
        self.token_type_embeddings = nn.Embedding(config.types, config.width)
        self.norm = nn.LayerNorm(config.width, eps=config.epsilon)

    def __call__(self, tokens: mx.array) -> mx.array:
        positions = self.position_embeddings(mx.arange(tokens.shape[1]))
        # A single text is all of type 0.
        summed = self.word_embeddings(tokens) + positions + self.token_type_embeddings(mx.array(0))
        normed: mx.array = self.norm(summed)
        return normed


class _Layer(nn.Module):
    def __init__(self, config: _Config) -> None:
        super().__init__()
        self.heads = config.heads
        self.query, self.key, self.value, self.output = (nn.Linear(config.width, config.width) for _ in range(4))
        self.attention_norm = nn.LayerNorm(config.width, eps=config.epsilon)
        self.up = nn.Linear(config.width, config.inner_width)
        self.down = nn.Linear(config.inner_width, config.width)
        self.norm = nn.LayerNorm(config.width, eps=config.epsilon)

    def __call__(self, hidden: mx.array, attended: mx.array) -> mx.array:
        hidden = self.attention_norm(hidden + self.output(self._attention(hidden, attended)))
        normed: mx.array = self.norm(hidden + self.down(nn.gelu(self.up(hidden))))
        return normed

    def _attention(self, hidden: mx.array, attended: mx.array) -> mx.array:
        texts, length, width = hidden.shape
        size = width // self.heads
        query, key, value = (
            part(hidden).reshape(texts, length, self.heads, size).transpose(0, 2, 1, 3)
            for part in (self.query, self.key, self.value)
        )
        found = mx.fast.scaled_dot_product_attention(query, key, value, scale=size**-0.5, mask=attended)
        return found.transpose(0, 2, 1, 3).reshape(texts, length, width)


# ---------------------------------------------------------------- files

_RENAMED: Final = (
    ("embeddings.LayerNorm.", "embeddings.norm."),
    ("attention.self.", ""),
    ("attention.output.dense.", "output."),
    ("attention.output.LayerNorm.", "attention_norm."),
    ("intermediate.dense.", "up."),
    ("output.dense.", "down."),
    ("output.LayerNorm.", "norm."),
)


def _weights(folder: Path) -> list[tuple[str, mx.array]]:
    loaded: Any = mx.load(str(folder / "model.safetensors"))
    found: list[tuple[str, mx.array]] = []
    for name, tensor in loaded.items():
        short = name.removeprefix("bert.").removeprefix("encoder.")
        if short.startswith("pooler.") or short == "embeddings.position_ids":
            continue  # of no use to mean pooling
        for old, new in _RENAMED:
            # One replacement a name: "output.dense." also ends the name that was renamed first.
            if old in short:
                short = short.replace(old, new)
                break
        found.append((short, tensor.astype(mx.float32)))
    return found


def _config(folder: Path) -> _Config:
    try:
        config = json.loads((folder / "config.json").read_text("utf-8"))
        if config["model_type"] != "bert" or config.get("hidden_act") != "gelu":
            raise EmbeddingError("only BERT encoders with exact gelu are run here")
        if config.get("position_embedding_type", "absolute") != "absolute":
            raise EmbeddingError("only BERT encoders with absolute positions are run here")
        _check_pooling(folder)
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


def _check_pooling(folder: Path) -> None:
    file = folder / "1_Pooling" / "config.json"
    if file.exists() and not json.loads(file.read_text("utf-8")).get("pooling_mode_mean_tokens"):
        raise EmbeddingError("only mean pooling is run here")


def _sentence_tokens(folder: Path) -> int:
    """How long a text the model was trained on: beyond it, the vectors mean little."""
    file = folder / "sentence_bert_config.json"
    return int(json.loads(file.read_text("utf-8"))["max_seq_length"]) if file.exists() else 512
