"""The layers that are put over every policy: those that an app or a command names, and those of the environment."""

from __future__ import annotations

import os
from collections.abc import Iterable
from os import PathLike
from pathlib import Path
from typing import Final

from ringfence.errors import PolicyNotReadable

VARIABLE: Final = "RINGFENCE_LAYERS"


def layers_over(named: Iterable[str | PathLike[str]] = ()) -> tuple[Path, ...]:
    """The files `named` and those of `RINGFENCE_LAYERS`, by their whole paths.

    INVARIANT: an administrator's layers hold for every policy, whoever chose it.

    Raises:
        PolicyNotReadable: the variable holds a path that is not absolute.
    """
    return (*(Path(layer).absolute() for layer in named), *_of_environment())


def _of_environment() -> tuple[Path, ...]:
    written = os.environ.get(VARIABLE)
    layers = () if written is None else tuple(written.split(os.pathsep))
    for layer in layers:
        require_absolute(VARIABLE, layer, "/…/managed.mobileconfig")
    return tuple(map(Path, layers))


def require_absolute(variable: str, named: str, example: str) -> None:
    """Refuses a path in an environment variable that depends on where the process stands.

    Raises:
        PolicyNotReadable: it does.
    """
    if not Path(named).is_absolute():
        # INVARIANT: the working directory never chooses the policy; a hostile checkout would.
        raise PolicyNotReadable(f"{variable} is not an absolute path", way_out=f"export {variable}={example}")


__all__ = ["layers_over", "require_absolute"]
