"""The provider's options, given by the app: `Assistant(providers={"mlx": {...}})`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import cast

from ringfence.errors import InvalidRequest

_LEAST_MEMORY_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What an app may set. Bytes and seconds; `None` leaves it to the provider.

    `memory_bytes` bounds all models, caches and answers together. `idle_unload_s` ends a worker that nobody used for so
    long; `None` keeps it until its memory is needed. `adapters` maps a name to a LoRA
    adapter's folder: that of a task is used for it unasked, and a request can ask for no other folder. `batch` is how
    many answers one model makes side by side.
    """

    memory_bytes: int | None = None
    prefix_cache_bytes: int = 256 * 1024 * 1024
    idle_unload_s: float | None = None
    start_timeout_s: float = 300.0
    hang_timeout_s: float = 60.0
    batch: int = 16
    adapters: Mapping[str, str] = field(default_factory=dict[str, str])

    @classmethod
    def parse(cls, given: Mapping[str, object]) -> Options:
        """The options, checked.

        Raises:
            InvalidRequest: one is unknown, ill-typed or out of bounds; all of them are named.
        """
        known = [option.name for option in fields(cls)]
        faults = [_unknown(name, known) for name in given if name not in known]
        faults += [fault for name in known if name in given and (fault := _fault(name, given[name])) is not None]
        if faults:
            raise InvalidRequest("; ".join(faults), way_out=f"options of mlx: {', '.join(known)}")
        return cls(**given)  # type: ignore[arg-type]  # every value was checked above


def _unknown(name: str, known: list[str]) -> str:
    import difflib  # noqa: PLC0415  (only a mistake needs it)

    near = difflib.get_close_matches(name, known, n=1)
    return f"unknown option '{name}' of mlx" + (f"; did you mean '{near[0]}'?" if near else "")


def _fault(name: str, value: object) -> str | None:
    match name:
        case "adapters":
            return None if _is_text_map(value) else "adapters maps names to folders"
        case "memory_bytes":
            return _number_fault(name, value, _LEAST_MEMORY_BYTES, optional=True)
        case "prefix_cache_bytes":
            return _number_fault(name, value, 0)
        case "batch":
            return _number_fault(name, value, 1)
        case _:
            return _number_fault(name, value, 0, optional=name == "idle_unload_s", whole=False)


def _is_text_map(value: object) -> bool:
    if not isinstance(value, Mapping):
        return False
    pairs = cast("Mapping[object, object]", value).items()
    return all(isinstance(task, str) and isinstance(folder, str) and folder for task, folder in pairs)


def _number_fault(name: str, value: object, least: float, *, optional: bool = False, whole: bool = True) -> str | None:
    if value is None and optional:
        return None
    kinds = int if whole else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds):
        return f"{name} must be {'a whole number' if whole else 'a number'}"
    return None if value >= least else f"{name} must be at least {least:.0f}"


__all__ = ["Options"]
