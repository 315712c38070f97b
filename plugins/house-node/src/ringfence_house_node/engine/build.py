"""Puts the service of an engine together."""

from __future__ import annotations

from ringfence_house_node.engine.assistant import engine_assistant
from ringfence_house_node.engine.service import EngineService
from ringfence_house_node.engine.settings import EngineSettings


def engine_service(settings: EngineSettings) -> EngineService:
    """The service of the engine that `settings` describe, with the providers that are installed."""
    return EngineService(settings, engine_assistant(settings))


__all__ = ["engine_service"]
