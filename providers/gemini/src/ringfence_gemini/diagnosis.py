"""What `ringfence doctor` prints of this provider."""

from __future__ import annotations

import importlib.util

from ringfence.provider import Finding


def sdk() -> Finding:
    """Whether the SDK can be found. The core itself looks for the key of the manifest."""
    if importlib.util.find_spec("google") is not None and importlib.util.find_spec("google.genai") is not None:
        return Finding(level="ok", subject="google-genai", detail="installed")
    return Finding(
        level="fault", subject="google-genai", detail="not installed", way_out="pip install ringfence-gemini"
    )
