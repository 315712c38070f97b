"""LoRA adapters put into a loaded model and taken out again, exactly and within milliseconds."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, TypeGuard

import mlx.core as mx
import mlx.nn  # pyright: ignore[reportMissingTypeStubs]
import mlx.utils
import mlx_lm.tuner.lora

from ringfence_mlx.worker.jsonlike import is_object

__all__ = ["AdapterError", "AdapterSwitch"]

# Neither has types.
_nn: Any = mlx.nn
_utils: Any = mlx.utils
_lora: Any = mlx_lm.tuner.lora

MAX_RANK: Final = 1024
_CONFIG: Final = "adapter_config.json"
_TENSORS: Final = "adapters.safetensors"
_HALVES: Final = ("lora_a", "lora_b")


class AdapterError(ValueError):
    """The adapter does not fit the model, or is none. What was in force stays in force."""


class AdapterSwitch:
    """The adapter in force in one model. Belongs to the thread that owns the model; not while a batch is under way.

    The layers an adapter changes are exchanged whole: with `None` the model is made of the very layers it was loaded
    with, so adapters may differ in rank and in the layers they change. Base weights are shared, never copied.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self._base: dict[str, Any] = dict(model.named_modules())
        self._changed: tuple[str, ...] = ()
        self.current: str | None = None
        """The path given to `use`, or `None` for the base model."""

    def use(self, path: str | None) -> None:
        """Puts the adapter in the folder `path` in force, or the base model for `None`.

        The folder is one that `mlx_lm lora` writes: `adapter_config.json` and `adapters.safetensors`, of type "lora".

        Raises:
            AdapterError: there is no such adapter, it is of another kind, or a tensor does not fit the model.
        """
        if path == self.current:
            return
        layers = {} if path is None else _layers(Path(path), self._base)
        # INVARIANT: nothing before this line changes the model, and nothing after it can fail.
        self._exchange({name: self._base[name] for name in self._changed} | layers)
        self._changed = tuple(layers)
        self.current = path

    def _exchange(self, modules: Mapping[str, Any]) -> None:
        if modules:
            self._model.update_modules(_utils.tree_unflatten(list(modules.items())))


def _layers(folder: Path, base: Mapping[str, Any]) -> dict[str, Any]:
    rank, scale = _settings(folder)
    tensors = _tensors(folder)
    targets = sorted({name.rpartition(".")[0] for name in tensors})
    halves = {f"{target}.{half}" for target in targets for half in _HALVES}
    if set(tensors) != halves:
        raise AdapterError("the adapter's tensors are not pairs of lora_a and lora_b")
    layers: dict[str, Any] = {}
    for target in targets:
        layer = base.get(target)
        if not isinstance(layer, (_nn.Linear, _nn.QuantizedLinear)):
            raise AdapterError("the adapter changes layers that the model does not have, or that are not linear")
        first, second = (tensors[f"{target}.{half}"] for half in _HALVES)
        outputs, inputs = _dimensions(layer)
        if first.shape != (inputs, rank) or second.shape != (rank, outputs):
            raise AdapterError("the shapes of the adapter's tensors do not fit the model and the adapter's own rank")
        layers[target] = _with_lora(layer, first, second, scale)
    return layers


def _with_lora(layer: Any, first: mx.array, second: mx.array, scale: float) -> Any:
    lora = _lora.LoRALinear.from_base(layer, r=first.shape[1], dropout=0.0, scale=scale)
    lora.update({"lora_a": first, "lora_b": second})
    return lora.eval()


def _dimensions(layer: Any) -> tuple[int, int]:
    outputs, inputs = layer.weight.shape
    return outputs, inputs * 32 // layer.bits if isinstance(layer, _nn.QuantizedLinear) else inputs


def _settings(folder: Path) -> tuple[int, float]:
    """The rank and the scale."""
    try:
        config: object = json.loads((folder / _CONFIG).read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        raise AdapterError(f"the adapter has no readable {_CONFIG}") from None
    parameters = config.get("lora_parameters") if is_object(config) else None
    if not is_object(config) or not is_object(parameters):
        raise AdapterError(f"{_CONFIG} has no lora_parameters")
    if config.get("fine_tune_type", "lora") != "lora":
        raise AdapterError('only adapters of fine_tune_type "lora" can be exchanged')
    rank, scale = parameters.get("rank"), parameters.get("scale")
    if not _is_number(rank) or rank != int(rank) or not 1 <= rank <= MAX_RANK:
        raise AdapterError(f"the adapter's rank is not a whole number from 1 to {MAX_RANK}")
    if not _is_number(scale) or abs(scale) > 1e6:  # noqa: PLR2004 - far beyond any that is in use
        raise AdapterError("the adapter's scale is not a number of ordinary size")
    return int(rank), float(scale)


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _tensors(folder: Path) -> dict[str, mx.array]:
    """What the file holds, read to its end, finite, and in a floating type."""
    try:
        tensors = mx.load(str(folder / _TENSORS))
        if not isinstance(tensors, dict) or not tensors:
            raise AdapterError(f"{_TENSORS} holds no tensors")
        if not all(mx.issubdtype(tensor.dtype, mx.floating) for tensor in tensors.values()):
            raise AdapterError("the adapter's tensors are not floating-point numbers")
        is_finite = mx.all(mx.stack([mx.all(mx.isfinite(tensor)) for tensor in tensors.values()])).item()
    except (RuntimeError, OSError):
        raise AdapterError(f"the adapter has no readable {_TENSORS}") from None
    if not is_finite:
        raise AdapterError("the adapter's tensors hold values that are not finite")
    return tensors
