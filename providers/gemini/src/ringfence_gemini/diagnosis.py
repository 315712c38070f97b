"""What `ringfence doctor` prints of this provider."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

from ringfence.provider import Finding
from ringfence.recipient import Secret

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ringfence.provider import Manifest


def findings(manifest: Manifest) -> Sequence[Finding]:
    """Whether the SDK and the usual key are there. A recipient's own `secret:` is looked at when it is asked."""
    return (_sdk(), _key(Secret(manifest.secret or "")))


def _sdk() -> Finding:
    if importlib.util.find_spec("google") is not None and importlib.util.find_spec("google.genai") is not None:
        return Finding(level="ok", subject="google-genai", detail="installed")
    return Finding(
        level="fault", subject="google-genai", detail="not installed", way_out="pip install ringfence-gemini"
    )


def _key(secret: Secret) -> Finding:
    if secret.present():
        return Finding(level="ok", subject="key", detail=f"found in '{secret.source}'")
    return Finding(level="warning", subject="key", detail=f"nothing in '{secret.source}'", way_out=secret.way_out)
