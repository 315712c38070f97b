"""Detectors that a policy names, tried on this machine: one that is installed may still be of no use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ringfence.policy.faults import Fault, quoted
from ringfence.policy.place import NOWHERE
from ringfence.privacy.detection import DetectorSet

if TYPE_CHECKING:
    from ringfence.policy.document import Document


def unloadable(document: Document, detectors: DetectorSet | None = None) -> tuple[Fault, ...]:
    """A warning for each detector of `document` that is installed and cannot be loaded; only those are imported."""
    tried = detectors or DetectorSet()
    for kind in sorted({kind for label in document.labels.values() for kind in label.detect}):
        tried.available(kind)
    broken = {kind: why for kind, why in tried.failures().items() if why.how == "cannot be loaded"}
    return tuple(
        Fault(
            document.places.get(f"labels.{name}", NOWHERE),
            f"the detector for {quoted(kind)} is installed and {broken[kind]}: every text carries "
            f"{quoted(document.unknown)}. Reinstall the plugin that brings it; 'ringfence doctor' says more.",
        )
        for name, label in document.labels.items()
        for kind in label.detect
        if kind in broken
    )


__all__ = ["unloadable"]
