"""What computes for a node: one engine, kept alive, behind the `Service` of the contract."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ringfence_house_node.engine.settings import EngineKind, EngineServer, EngineSettings

if TYPE_CHECKING:
    from ringfence_house_node.service import Service


def build_service(settings: EngineSettings) -> Service:
    """The service of the engine that `settings` describe. Starts nothing: `start` does."""
    from ringfence_house_node.engine.build import engine_service  # noqa: PLC0415  (the assistant, on first use)

    return engine_service(settings)


__all__ = ["EngineKind", "EngineServer", "EngineSettings", "build_service"]
