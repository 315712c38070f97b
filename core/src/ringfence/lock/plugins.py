"""The distributions that declare plugins, found without importing any of them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.metadata import Distribution, EntryPoint

PROVIDERS = "ringfence.providers"
DETECTORS = "ringfence.detectors"
"""The groups of entry points that a lock covers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plugin:
    """One installed distribution and the plugins that it declares, by name."""

    distribution: Distribution
    providers: tuple[str, ...] = ()
    detectors: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The distribution's name, as a lock writes it."""
        return normal_name(self.distribution.name)


def normal_name(distribution: str) -> str:
    """The one spelling of a distribution's name (PEP 503), so that `Ringfence_OpenAI` is `ringfence-openai`."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


def top_packages(distribution: Distribution) -> tuple[str, ...]:
    """The top-level packages that the distribution's plugins are imported from, in order."""
    entries = [entry for entry in distribution.entry_points if entry.group in (PROVIDERS, DETECTORS)]
    return tuple(sorted({top_package(entry) for entry in entries}))


def top_package(entry: EntryPoint) -> str:
    """The top-level package that `entry` is imported from."""
    return entry.value.partition(":")[0].partition(".")[0].strip()


def installed_plugins() -> tuple[Plugin, ...]:
    """Every distribution that declares a provider or a detector, by name. Imports nothing of them."""
    from importlib.metadata import entry_points  # noqa: PLC0415  (costs tens of ms)

    found: dict[str, Distribution] = {}
    names: dict[str, dict[str, set[str]]] = {}
    for group in (PROVIDERS, DETECTORS):
        for entry in entry_points(group=group):
            if entry.dist is not None:
                key = normal_name(entry.dist.name)
                found[key] = entry.dist
                names.setdefault(key, {}).setdefault(group, set()).add(entry.name)
    return tuple(
        Plugin(
            distribution=found[key],
            providers=tuple(sorted(names[key].get(PROVIDERS, ()))),
            detectors=tuple(sorted(names[key].get(DETECTORS, ()))),
        )
        for key in sorted(found)
    )
