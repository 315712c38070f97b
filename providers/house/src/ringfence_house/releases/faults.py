"""What can be wrong with the releases. No content of a document is in any of them, only names and places.

For whoever reads a repository: `Missing` and `Unreachable` are what a fetch raises, `ReleasesUnreachable` and
`ReleasesRefused` what a reader does. For its operator: `ReleasesFault` and those under it.
"""

from __future__ import annotations

from re import Pattern
from typing import Literal, TypeAlias

from ringfence.errors import RingfenceError

Refusal: TypeAlias = Literal[
    "expired", "log", "malformed", "rollback", "signature", "size", "state", "tampered", "trust"
]
"""Why a repository is not believed. `state` and `trust` are local: the kept state, the trust file."""


class Missing(Exception):
    """There is nothing at that path of the repository."""


class Unreachable(Exception):
    """The repository did not answer."""


class ReleasesUnreachable(Exception):
    """The repository cannot be reached, and nothing that was kept is still valid. `str()` is lower case."""


class ReleasesRefused(Exception):
    """What the repository says is not believed. `str()` is lower case; `way_out` says what a person can do, if any."""

    def __init__(self, code: Refusal, sentence: str, *, way_out: str | None = None) -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence
        self.way_out = way_out


class Malformed(Exception):
    """A document is not what the protocol says; `str()` names the field, never its value.

    `form` is the form that it does not have, `way_out` what else whoever wrote it can do; each if there is one.
    """

    def __init__(self, sentence: str, *, form: Pattern[str] | None = None, way_out: str | None = None) -> None:
        super().__init__(sentence)
        self.form = form
        self.way_out = way_out


class ReleasesFault(RingfenceError):
    """The operator's repository cannot do that, or is not whole."""


class KeysMissing(ReleasesFault):
    """Fewer keys are at hand than the signatures need."""


__all__ = [
    "KeysMissing",
    "Malformed",
    "Missing",
    "Refusal",
    "ReleasesFault",
    "ReleasesRefused",
    "ReleasesUnreachable",
    "Unreachable",
]
