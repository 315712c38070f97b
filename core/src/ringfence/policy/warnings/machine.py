"""Plugins that a policy names and this machine lacks."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Set as AbstractSet

from ringfence.policy.document import Document
from ringfence.policy.faults import did_you_mean, listed, quoted
from ringfence.policy.place import NOWHERE, Position

_PROVIDERS = "ringfence.providers"
_DETECTORS = "ringfence.detectors"
_DEFAULT_SET = "ringfence-detectors"
_READING = {
    **dict.fromkeys(
        ("person_name", "street_address", "location", "postal_code", "personal_number"),
        "ringfence-detector-ner[rampart]",
    ),
    **dict.fromkeys(("nationality", "organisation"), "ringfence-detector-presidio"),
}
"""The kinds of our plugins beside the default set, and who brings them."""


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
            package = bringing(missing[0], detectors)
            hint = did_you_mean(missing[0], detectors) or (package and f" Try: pip install '{package}'.")
            yield (
                document.places.get(f"labels.{name}", NOWHERE),
                f"no detector for {listed(missing)} is installed: every text carries {quoted(document.unknown)}.{hint}",
            )


def bringing(kind: str, installed: AbstractSet[str]) -> str:
    """The package that brings the detector `kind`, beside those of `installed`; "" where none of ours does."""
    return _READING.get(kind) or ("" if "email" in installed else _DEFAULT_SET)


def _installed(group: str) -> frozenset[str]:
    """The names of installed plugins; none of them is imported."""
    from importlib.metadata import entry_points  # noqa: PLC0415  (64 ms, and only a check needs it)

    return frozenset(entry.name for entry in entry_points(group=group))


__all__ = ["bringing", "not_installed"]
