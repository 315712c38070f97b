"""The assistant that a node computes with: a policy of its own with one recipient, no detector, and no record.

The policy decides nothing here: what may reach the node was decided where the request was made. The plug-in lock of the
machine holds all the same: it says which code may run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ringfence import AsyncAssistant, Policy, Retry, Timeouts
from ringfence.policy.loading import read_policy
from ringfence.policy.reload import PolicySource
from ringfence.provider import Provider
from ringfence_house_node.engine.limits import Limits, limits_of
from ringfence_house_node.engine.settings import EngineSettings

ENGINE = "engine"
"""The name of the one recipient."""

_CONNECT_S, _FIRST_EVENT_S, _BETWEEN_EVENTS_S = 120.0, 600.0, 120.0


def engine_assistant(
    settings: EngineSettings, *, providers: Mapping[str, Provider | Mapping[str, object]] | None = None
) -> AsyncAssistant:
    """An assistant that reaches the engine of `settings` and nothing else. `providers` stand in for those installed."""
    return AsyncAssistant(
        # Fixed, so that no layer of this machine is put over it: no detector is ever loaded for it.
        PolicySource.fixed(engine_policy(settings, limits_of(settings))),
        reload=False,
        providers=_providers(settings) if providers is None else providers,
        audit=False,
        # A retry is the client's: it may have another node, and counts what it waits.
        retry=Retry(attempts=1),
        timeouts=Timeouts(
            connect_s=max(_CONNECT_S, settings.start_timeout_s),
            first_event_s=_FIRST_EVENT_S,
            between_events_s=_BETWEEN_EVENTS_S,
        ),
    )


def engine_policy(settings: EngineSettings, limits: Limits) -> Policy:
    """One recipient, one label that everything carries, one rule that allows it."""
    # A server on loopback is beyond the process, so it is no `device`: there, there is no network at all.
    ring = "device" if settings.kind == "mlx" else "house"
    written: dict[str, Any] = {
        "version": 1,
        "name": "house-node",
        "recipients": {ENGINE: {"ring": ring, **_recipient(settings, limits)}},
        "labels": {"sealed": {}},
        "unknown": "sealed",
        "flow": [{"id": ENGINE, "allow": {"labels": "*", "to": [ring]}}],
        "route": [{"id": ENGINE, "prefer": [ENGINE]}],
    }
    return read_policy(json.dumps(written), source="house-node")


def _recipient(settings: EngineSettings, limits: Limits) -> dict[str, Any]:
    found: dict[str, Any] = {"provider": "mlx", "model": settings.model}
    if settings.kind != "mlx":
        found = {"provider": "openai", "model": _served(settings), "url": settings.url}
        found["options"] = {"api": "chat", "extended_sampling": "top_k" in limits.settings}
    if settings.key is not None:
        found["secret"] = settings.key
    if limits.capabilities is not None:
        found["capabilities"] = sorted(limits.capabilities)
    return found


def _served(settings: EngineSettings) -> str:
    """The server's own name for the model. To mlx_lm.server any other name is a path that it loads."""
    return settings.served_model or ("default_model" if settings.server == "mlx_lm" else settings.model)


def _providers(settings: EngineSettings) -> Mapping[str, Mapping[str, object]]:
    return {"mlx": {"batch": settings.concurrency, **settings.options}} if settings.kind == "mlx" else {}


__all__ = ["ENGINE", "engine_assistant", "engine_policy"]
