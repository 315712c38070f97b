"""The header of a safetensors file: what is in it and how many bytes, without reading a weight.

Format: 8 bytes little-endian length, that many bytes of JSON, then the data (https://github.com/huggingface/safetensors).
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ringfence_mlx.models.regular import regular_bytes
from ringfence_mlx.precision import FLOAT32_BYTES

_LENGTH_BYTES = 8
_LARGEST_HEADER_BYTES = 100_000_000  # the limit of the format's own reader
_FLOAT_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightsHeader:
    """`weights_bytes` is exact; `float_bytes` is the widest float among the tensors of more than one dimension.

    `widened_bytes` is what the same weights take with every float in float32.
    """

    weights_bytes: int
    widened_bytes: int
    float_bytes: int
    tensors: frozenset[str]


def read_header(path: Path) -> WeightsHeader:
    """The header of `path`, checked against the size of the file, so that a cut file shows.

    Raises:
        ValueError: the file is not a regular one, not safetensors, or is cut; the message is safe to show.
        OSError: it cannot be read.
    """
    file_bytes = regular_bytes(path)
    with path.open("rb") as file:
        length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
        if file_bytes < _LENGTH_BYTES or not 0 < length <= min(_LARGEST_HEADER_BYTES, file_bytes - _LENGTH_BYTES):
            raise ValueError(f"{path.name} is not a safetensors file")
        text = file.read(length)
    try:
        tensors = {name: _tensor(entry) for name, entry in json.loads(text).items() if name != "__metadata__"}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ValueError(f"the header of {path.name} is damaged") from None
    end = max((tensor.end for tensor in tensors.values()), default=0)
    if _LENGTH_BYTES + length + end != file_bytes:
        raise ValueError(f"{path.name} is cut: its header names {end} bytes of weights")
    return WeightsHeader(
        weights_bytes=sum(tensor.end - tensor.begin for tensor in tensors.values()),
        widened_bytes=sum(tensor.widened_bytes for tensor in tensors.values()),
        float_bytes=max((tensor.float_bytes for tensor in tensors.values()), default=0),
        tensors=frozenset(tensors),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tensor:
    begin: int
    end: int
    widened_bytes: int
    float_bytes: int


def _tensor(entry: Any) -> _Tensor:
    begin, end = (int(offset) for offset in entry["data_offsets"])
    if not 0 <= begin <= end or math.prod(entry["shape"]) < 0:
        raise ValueError("offsets")
    size_bytes, width = end - begin, _FLOAT_BYTES.get(str(entry["dtype"]), 0)
    return _Tensor(
        begin=begin,
        end=end,
        widened_bytes=size_bytes * FLOAT32_BYTES // width if width else size_bytes,
        # One-dimensional tensors are left out: routers and norms are kept in float32 beside narrower weights.
        float_bytes=width if len(entry["shape"]) > 1 else 0,
    )


__all__ = ["WeightsHeader", "read_header"]
