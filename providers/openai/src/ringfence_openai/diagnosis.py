"""What `ringfence doctor` says of this provider. Sends nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from importlib.metadata import version

from ringfence.provider import Finding, Manifest

_PACKAGES = ("openai", "httpx2", "genai-prices")


def diagnose(manifest: Manifest) -> Sequence[Finding]:
    """Packages, and the variables that are set and ignored. The core itself looks for the key of the manifest."""
    return (*_packages(), *_ignored(manifest))


def _packages() -> Iterator[Finding]:
    for name in _PACKAGES:
        yield Finding(level="ok", subject=name, detail=version(name))


def _ignored(manifest: Manifest) -> Iterator[Finding]:
    for name in manifest.environment:
        if name in os.environ:
            yield Finding(level="ok", subject=name, detail="is set, and ignored here")


__all__ = ["diagnose"]
