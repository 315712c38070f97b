"""What may be asked of an engine, as a table by the server that it is: facts of servers, and not of requests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ringfence.provider import Capability
from ringfence_house_node.engine.settings import EngineServer, EngineSettings

_CHAT = frozenset({"max_output_tokens", "temperature", "top_p", "presence_penalty", "frequency_penalty"})
_EVERY = _CHAT | {"seed", "stop", "logit_bias", "reasoning_effort"}
_EXTENDED = _EVERY | {"top_k", "min_p", "repetition_penalty"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one engine takes. `settings` are the names of `ringfence.request.Settings` that it honours.

    `capabilities` is `None` where the engine itself says what its model can do. `choices` are the values of
    `tool_choice` that it keeps. `salts`: whether it keeps the caches of callers apart by a salt in the request.
    """

    settings: frozenset[str]
    capabilities: frozenset[Capability] | None
    choices: frozenset[str] = frozenset({"auto", "none", "required"})
    context_tokens: int | None = None
    salts: bool = False


_OF_A_WORKER = Limits(settings=_EXTENDED, capabilities=None)

_OF_SERVERS: Mapping[EngineServer, Limits] = {
    # It dies of a logit_bias beyond its vocabulary and of a top_k as large; a seed ends its batch; it goes on after a
    # stop sequence, and ignores every format. Ours is none of the fields that it reads without a check.
    "mlx_lm": Limits(settings=_CHAT, capabilities=frozenset({"text"}), choices=frozenset({"auto", "none"})),
    "vllm": Limits(settings=_EXTENDED, capabilities=frozenset({"text", "output_schema"}), salts=True),
    "other": Limits(settings=_EVERY, capabilities=frozenset({"text"})),
}


def limits_of(settings: EngineSettings) -> Limits:
    """What the engine of `settings` takes; the operator's word on capabilities counts."""
    found = _OF_A_WORKER if settings.kind == "mlx" else _OF_SERVERS[settings.server]
    return Limits(
        settings=found.settings,
        capabilities=found.capabilities if settings.capabilities is None else settings.capabilities,
        choices=found.choices,
        context_tokens=None if settings.kind == "mlx" else settings.context_tokens,
        salts=found.salts,
    )


__all__ = ["Limits", "limits_of"]
