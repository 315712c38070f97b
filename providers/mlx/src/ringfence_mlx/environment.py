"""The environment of a worker: what it needs to run and nothing of the app's secrets."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

_PASSED_ON = (
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
    "PYTHONDONTWRITEBYTECODE": "1",
}


def worker_environment(chosen: Mapping[str, str]) -> dict[str, str]:
    """The whole environment of a worker; `chosen` is what the machine asks for, such as a fast BLAS, and wins."""
    environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    environment |= _OWN
    if sys.platform == "linux":
        # On its CPU, MLX would write C++ to a folder that all users share, compile it there and load the result.
        environment["MLX_DISABLE_COMPILE"] = "1"
    return environment | dict(chosen)


__all__ = ["worker_environment"]
