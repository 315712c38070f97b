"""The environment of a worker: what it needs to run and nothing of the app's secrets."""

from __future__ import annotations

import os
import sys

_PASSED_ON = (
    "LD_PRELOAD",
    "PATH",
    "HOME",
    "USER",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "TZ",
    "TMPDIR",
    "PYTHONPATH",
    "PYTHONHOME",
    "PYTHONUSERBASE",
    "PYTHONNOUSERSITE",
    "VIRTUAL_ENV",
    "LD_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH",
)
"""Finding Python, its packages and its libraries. Keys and tokens of the app stay with the app."""

_OWN = {
    # The folder is complete or it is refused: nothing is looked up anywhere.
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "TOKENIZERS_PARALLELISM": "false",
}


def worker_environment() -> dict[str, str]:
    """The environment of a worker before the machine adds its choices, such as a fast BLAS."""
    environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ} | _OWN
    if sys.platform == "linux":
        # On its CPU, MLX would write C++ to a folder that all users share, compile it there and load the result.
        environment["MLX_DISABLE_COMPILE"] = "1"
    return environment


__all__ = ["worker_environment"]
