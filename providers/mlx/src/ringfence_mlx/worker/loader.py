"""A model folder, loaded: weights, tokenizer and the facts the engine needs. Never executes code from the folder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import mlx.core as mx

from ringfence_mlx.precision import widens
from ringfence_mlx.worker.job import JobFault
from ringfence_mlx.worker.sampling import SAMPLING_DEFAULTS
from ringfence_mlx.worker.vendor import evaluate, load

_CONTEXT_KEYS = ("max_position_embeddings", "max_sequence_length", "seq_length", "n_positions", "model_max_length")
_FALLBACK_CONTEXT = 4096
_BOUNDS: dict[str, tuple[float, float]] = {
    "repetition_penalty": (0, 100),
    "temperature": (0, 2),
    "top_p": (0, 1),
    "top_k": (0, 2**31),
    "min_p": (0, 1),
}


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class LoadedModel:
    """A model in memory. `vocabulary` is the width of its logits; `defaults` are those of generation_config.json."""

    model: Any
    tokenizer: Any
    vocabulary: int
    context_tokens: int
    end_tokens: frozenset[int]
    defaults: dict[str, float]


def load_model(folder: Path, context_tokens: int | None) -> LoadedModel:
    """Loads `folder`; its weights are in memory when this returns.

    Raises:
        JobFault: it is not a model that mlx-lm can load.
    """
    try:
        model, tokenizer, config = load(folder)
        if widens():
            # Scales and biases of quantized weights as well: the activations take on their type.
            model.set_dtype(mx.float32)
        evaluate(model.parameters())
    except FileNotFoundError:
        raise JobFault("no_model", "the model folder misses a file") from None
    except (ValueError, KeyError, TypeError, AttributeError, RuntimeError, OSError) as error:
        raise JobFault("no_model", f"the model folder cannot be loaded ({type(error).__name__})") from None
    return LoadedModel(
        model=model,
        tokenizer=tokenizer,
        vocabulary=_vocabulary(model),
        context_tokens=context_tokens or _context(config),
        end_tokens=frozenset(int(token) for token in tokenizer.eos_token_ids),
        defaults=read_defaults(folder),
    )


def _vocabulary(model: Any) -> int:
    """The width of the logits, measured: a table may be padded beyond the tokenizer's own count."""
    logits = model(mx.array([[0]]))
    evaluate(logits)
    return int(logits.shape[-1])


def _context(config: dict[str, Any]) -> int:
    for source in (config, config.get("text_config") or {}):
        for key in _CONTEXT_KEYS:
            if isinstance(value := source.get(key), int) and value > 0:
                return value
    return _FALLBACK_CONTEXT


def read_defaults(folder: Path) -> dict[str, float]:
    """What the model's makers set: `repetition_penalty` always, the rest of sampling only where they sample at all."""
    try:
        document: object = json.loads((folder / "generation_config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    facts = cast("dict[str, Any]", document) if isinstance(document, dict) else {}
    names = ("repetition_penalty", *(SAMPLING_DEFAULTS if facts.get("do_sample") else ()))
    return {name: facts[name] for name in names if _in_bounds(name, facts.get(name))}


def _in_bounds(name: str, value: object) -> bool:
    """A folder may come from anyone: what is beyond the bounds of a request's own settings is left out."""
    low, high = _BOUNDS[name]
    kinds = int if name == "top_k" else (int, float)
    return isinstance(value, kinds) and not isinstance(value, bool) and low < value <= high


__all__ = ["LoadedModel", "load_model", "read_defaults"]
