"""What `ringfence doctor` says of this provider. Sends nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from importlib.metadata import version

from ringfence.provider import Finding, Manifest
from ringfence.recipient import Secret

_PACKAGES = ("openai", "httpx2", "genai-prices")


def diagnose(manifest: Manifest) -> Sequence[Finding]:
    """Packages, the usual key, and the variables that are set and ignored."""
    return (*_packages(), *_key(manifest), *_ignored(manifest))


def _packages() -> Iterator[Finding]:
    for name in _PACKAGES:
        yield Finding(level="ok", subject=name, detail=version(name))


def _key(manifest: Manifest) -> Iterator[Finding]:
    if manifest.secret is None:
        return
    secret = Secret(manifest.secret)
    if secret.present():
        yield Finding(level="ok", subject="key", detail=f"'{secret.source}' is set")
    else:
        detail = f"'{secret.source}' is not set; recipients at OpenAI need it, unless they name another secret"
        yield Finding(level="warning", subject="key", detail=detail, way_out=secret.way_out)


def _ignored(manifest: Manifest) -> Iterator[Finding]:
    for name in manifest.environment:
        if name in os.environ:
            yield Finding(level="ok", subject=name, detail="is set, and ignored here")


__all__ = ["diagnose"]
