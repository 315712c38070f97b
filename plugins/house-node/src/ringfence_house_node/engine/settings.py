"""What the operator says of the engine that computes, checked before anything is started."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal, TypeAlias
from urllib.parse import urlsplit

from ringfence.errors import InvalidRequest
from ringfence.provider import Capability

EngineKind: TypeAlias = Literal["mlx", "openai", "command"]
EngineServer: TypeAlias = Literal["mlx_lm", "vllm", "other"]

_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_MLX_LM_SERVER = ("mlx_lm.server", "mlx_lm/server.py")
_PLACE = re.compile(r"env:[A-Za-z_][A-Za-z0-9_]*|file:[^~].*")
_CACHE_SIZE = "--prompt-cache-size"


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """One engine: `mlx`, a supervised worker of ours; `openai`, a server on loopback; `command`, one that is run here.

    `model` is the name that callers ask for, and for `mlx` the model itself. `url` is the base URL of the server's API,
    on loopback; a `command` serves it. `server` says whose server it is, and with it what may be asked of it
    (`engine/limits.py`); `served_model` is its own name for the model, where that is another.

    `capabilities` say what the model can do; `None` takes what is known of the engine: what the worker says of the
    model; of a server text alone, and of `vllm` schemas too. `context_tokens` bounds prompt and answer of a server,
    which may know no bound of its own. `concurrency` is how many answers are made side by side. `options` are those of
    the provider `mlx`.

    `key` is where a server's key is, `env:NAME` or `file:PATH`; `None` sends none.

    `start_timeout_s` is how long a start may take until the first token. A server that gave no event for
    `probe_every_s` is asked for one token, and has `probe_timeout_s` for it.

    Raises:
        InvalidRequest: something is missing, does not fit the kind, or is no address on loopback.
    """

    kind: EngineKind
    model: str
    url: str | None = None
    command: tuple[str, ...] = ()
    server: EngineServer = "other"
    served_model: str | None = None
    capabilities: frozenset[Capability] | None = None
    context_tokens: int | None = None
    concurrency: int = 16
    key: str | None = None
    options: Mapping[str, object] = field(default_factory=dict[str, object], hash=False)
    start_timeout_s: float = 600.0
    probe_every_s: float = 5.0
    probe_timeout_s: float = 60.0

    def __post_init__(self) -> None:
        fault = _fault(self)
        if fault is not None:
            raise InvalidRequest(fault[0], way_out=fault[1])


def _fault(settings: EngineSettings) -> tuple[str, str] | None:
    """What is wrong, and the way out; `None` where nothing is."""
    checks = (_kind_fault, _number_fault, _url_fault, _key_fault, _command_fault)
    return next((fault for check in checks if (fault := check(settings)) is not None), None)


def _kind_fault(settings: EngineSettings) -> tuple[str, str] | None:
    if settings.kind not in ("mlx", "openai", "command"):
        return "there is no such kind of engine", "mlx, openai or command"
    if settings.server not in ("mlx_lm", "vllm", "other"):
        return "there is no such kind of server", "mlx_lm, vllm or other"
    if not settings.model:
        return "the engine has no model", "--model NAME"
    return None


def _number_fault(settings: EngineSettings) -> tuple[str, str] | None:
    least = {
        "concurrency": 1,
        "context_tokens": 1,
        "start_timeout_s": 0.1,
        "probe_every_s": 0.1,
        "probe_timeout_s": 0.1,
    }
    for name, low in least.items():
        value = getattr(settings, name)
        if value is not None and not value >= low:
            return f"{name} of the engine is too small", f"{name} ≥ {low}"
    return None


def _url_fault(settings: EngineSettings) -> tuple[str, str] | None:
    if settings.kind == "mlx":
        return (
            None
            if settings.url is None
            else ("an engine of kind mlx has no url", "leave --engine-url out, or add --engine openai")
        )
    example = "--engine-url http://127.0.0.1:8080/v1"
    if settings.url is None:
        return "the engine has no url", example
    # INVARIANT: what was opened here goes to no other machine than this one, not even by a slip of the operator.
    parts = urlsplit(settings.url)
    if parts.scheme != "http" or parts.hostname not in _LOOPBACK or parts.query or parts.fragment or parts.username:
        return "the engine's url is not an address on loopback", example
    return None


def _key_fault(settings: EngineSettings) -> tuple[str, str] | None:
    if settings.key is None:
        return None
    if settings.kind == "mlx":
        return "an engine of kind mlx has no key", "leave --engine-key out"
    # INVARIANT: what is wrong is not quoted: somebody may have given the key itself.
    if not _PLACE.fullmatch(settings.key):
        return "the engine's key is no place where one is", "--engine-key env:NAME or file:PATH"
    return None


def _command_fault(settings: EngineSettings) -> tuple[str, str] | None:
    if settings.kind != "command":
        return (
            None
            if not settings.command
            else ("only an engine of kind command has a command", "leave --engine-command out, or add --engine command")
        )
    if not settings.command or not all(settings.command):
        return "the engine has no command", "--engine-command 'mlx.launch … mlx_lm.server …'"
    served = any(word.endswith(_MLX_LM_SERVER) for word in settings.command)
    if served and not _caches_nothing(settings.command):
        # INVARIANT: no caller learns from the time of an answer what another has asked: its cache knows no callers.
        return "mlx_lm.server would share its prompt cache between callers", f"add {_CACHE_SIZE} 0 to the command"
    return None


def _caches_nothing(command: tuple[str, ...]) -> bool:
    return (_CACHE_SIZE, "0") in pairwise(command) or f"{_CACHE_SIZE}=0" in command


__all__ = ["EngineKind", "EngineServer", "EngineSettings"]
