"""Whether a recipient could run on this machine at all: platform, packages, options, memory. Imports none of them."""

from __future__ import annotations

import sys
from importlib.util import find_spec

from ringfence.provider import NotAvailable
from ringfence.recipient import Recipient
from ringfence_mlx.fleet import ModelFacts, least_bytes

PLATFORMS = ("darwin", "linux")
PACKAGES = ("mlx", "mlx_lm", "llguidance")
_MIB = 1024 * 1024


def platform_fault(platform: str = sys.platform) -> NotAvailable | None:
    """Why nothing can run on `platform`, a value of `sys.platform`."""
    if platform in PLATFORMS:
        return None
    return NotAvailable(
        reason="wrong_platform",
        detail=f"MLX does not run on {platform}",
        way_out="use macOS or Linux, or a recipient that is not on the device",
    )


def package_fault(packages: tuple[str, ...] = PACKAGES) -> NotAvailable | None:
    """Which package is missing, if one is."""
    missing = next((name for name in packages if find_spec(name) is None), None)
    if missing is None:
        return None
    return NotAvailable(
        reason="no_package", detail=f"the package {missing} is not installed", way_out="pip install ringfence-mlx"
    )


def options_fault(recipient: Recipient) -> NotAvailable | None:
    """Why the options of `recipient` make no sense: a recipient of mlx has none."""
    unknown = next(iter(recipient.options), None)
    if unknown is None:
        return None
    return NotAvailable(
        reason="not_configured",
        detail=f"recipient '{recipient.name}' has the option '{unknown}', which mlx does not know",
        way_out="take it out of the policy; the options of mlx are the app's",
    )


def memory_fault(facts: ModelFacts, budget_bytes: int) -> NotAvailable | None:
    """Why the model can never be loaded within `budget_bytes`; what is loaded now could be unloaded for it."""
    needed_bytes = least_bytes(facts)
    if needed_bytes <= budget_bytes:
        return None
    return NotAvailable(
        reason="no_memory",
        detail=f"the model needs {needed_bytes // _MIB} MiB; {budget_bytes // _MIB} MiB are allowed",
        way_out="raise the option memory_bytes, or use a smaller model",
    )


__all__ = ["memory_fault", "options_fault", "package_fault", "platform_fault"]
