"""Where Ringfence keeps things on this machine, by the system's own conventions."""

from __future__ import annotations

import os
from pathlib import Path


def cache_dir() -> Path:
    """What can be fetched again (models): `RINGFENCE_CACHE_DIR`, else the user's cache folder."""
    if chosen := os.environ.get("RINGFENCE_CACHE_DIR"):
        return Path(chosen).expanduser()
    from platformdirs import user_cache_path  # noqa: PLC0415  (keeps `import ringfence` light)

    return user_cache_path("ringfence")


def state_dir() -> Path:
    """What cannot (the audit log): `RINGFENCE_STATE_DIR`, else the user's state folder."""
    if chosen := os.environ.get("RINGFENCE_STATE_DIR"):
        return Path(chosen).expanduser()
    from platformdirs import user_state_path  # noqa: PLC0415  (keeps `import ringfence` light)

    return user_state_path("ringfence")
