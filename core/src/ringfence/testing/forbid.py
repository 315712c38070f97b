"""No test reaches the real network by mistake."""

from __future__ import annotations

import os
from types import TracebackType
from typing import Self

VARIABLE = "RINGFENCE_FORBID_NETWORK"
"""The guarded transport reads it at each request: 1 forbids whatever leaves this machine."""


class Forbidden:
    """The state in which real requests are forbidden: a block, or from `start` to `stop`."""

    def __init__(self) -> None:
        self._before: str | None = None

    def start(self) -> None:
        """Forbids from now on."""
        self._before = os.environ.get(VARIABLE)
        os.environ[VARIABLE] = "1"

    def stop(self) -> None:
        """Back to what held before."""
        if self._before is None:
            os.environ.pop(VARIABLE, None)
        else:
            os.environ[VARIABLE] = self._before

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def forbid_real_requests() -> Forbidden:
    """Forbids requests beyond this machine: each is refused with a `GateError` before a name is looked up.

    Servers on loopback stay within reach. It holds for the whole process and for those it begins.

        with forbid_real_requests(): ...
        forbid_real_requests().start()  # in conftest.py: for all tests

    `RINGFENCE_FORBID_NETWORK=1 pytest` does the same from outside.
    """
    return Forbidden()


__all__ = ["VARIABLE", "Forbidden", "forbid_real_requests"]
