"""The float type that a worker computes in: half precision on Metal, float32 on a CPU.

An x86 CPU has no arithmetic for float16 or bfloat16, and MLX hands only float32 to the BLAS: a model in half precision
reads a prompt many times more slowly. So on Linux the worker widens it when it is loaded. Imports no MLX: whether a
model fits is decided before a worker is started.
"""

from __future__ import annotations

import sys

FLOAT32_BYTES = 4


def widens(platform: str = sys.platform) -> bool:
    """Whether a worker on `platform`, a value of `sys.platform`, widens half precision to float32."""
    return platform == "linux"


__all__ = ["FLOAT32_BYTES", "widens"]
