"""Plugins that a policy names and this machine lacks."""

from __future__ import annotations

from collections.abc import Iterator

from ringfence.policy.document import Document
from ringfence.policy.faults import did_you_mean, listed, quoted
from ringfence.policy.place import NOWHERE, Position

_PROVIDERS = "ringfence.providers"
_DETECTORS = "ringfence.detectors"


def not_installed(document: Document) -> Iterator[tuple[Position, str]]:
    """The providers and detectors that are not installed, and what follows."""
    providers = _installed(_PROVIDERS)
    for name, recipient in document.recipients.items():
        if recipient.provider not in providers:
            hint = did_you_mean(recipient.provider, providers)
            yield (
                document.places.get(f"recipients.{name}", NOWHERE),
                f"provider {quoted(recipient.provider)} is not installed, so {quoted(name)} is unavailable.{hint}",
            )
    detectors = _installed(_DETECTORS)
    for name, label in document.labels.items():
        missing = [kind for kind in label.detect if kind not in detectors]
        if missing:
            hint = did_you_mean(missing[0], detectors)
            yield (
                document.places.get(f"labels.{name}", NOWHERE),
                f"no detector for {listed(missing)} is installed: every text carries {quoted(document.unknown)}.{hint}",
            )


def _installed(group: str) -> frozenset[str]:
    """The names of installed plugins; none of them is imported."""
    from importlib.metadata import entry_points  # noqa: PLC0415  (64 ms, and only a check needs it)

    return frozenset(entry.name for entry in entry_points(group=group))


__all__ = ["not_installed"]
