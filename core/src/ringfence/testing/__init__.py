"""The public test kit: doubles for apps and plugin authors. Each is imported on first use."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ringfence.testing.forbid import forbid_real_requests
    from ringfence.testing.kit import DetectorConformance, ProviderConformance
    from ringfence.testing.partners import PartnerServer
    from ringfence.testing.replay import recording, replaying
    from ringfence.testing.scenes import Backend, Scene, Seen
    from ringfence.testing.scripted import Script, ScriptedProvider, call_events, failing, text_events

_HOMES = {
    "Backend": "scenes",
    "DetectorConformance": "kit",
    "PartnerServer": "partners",
    "ProviderConformance": "kit",
    "Scene": "scenes",
    "Script": "scripted",
    "ScriptedProvider": "scripted",
    "Seen": "scenes",
    "call_events": "scripted",
    "failing": "scripted",
    "forbid_real_requests": "forbid",
    "recording": "replay",
    "replaying": "replay",
    "text_events": "scripted",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'ringfence.testing' has no attribute '{name}'")
    return getattr(importlib.import_module(f"ringfence.testing.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)


__all__ = [
    "Backend",
    "DetectorConformance",
    "PartnerServer",
    "ProviderConformance",
    "Scene",
    "Script",
    "ScriptedProvider",
    "Seen",
    "call_events",
    "failing",
    "forbid_real_requests",
    "recording",
    "replaying",
    "text_events",
]
