"""The detector interface: what finds a kind of personal data in a text. Standard library only.

Discovery: an entry point in the group `ringfence.detectors` whose *name is the kind* (`email`, `iban`, …) and whose
value is `package.module:object`, an object with `detect`. It is loaded when a policy that names the kind is first used;
one that cannot be loaded or raises makes the scanned part carry the policy's `unknown` label (fail closed).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Hit:
    """One finding: `text[start:end]`, offsets in characters, 0 ≤ start < end ≤ len(text)."""

    start: int
    end: int


class Detector(Protocol):
    """Finds one kind. Pure and thread-safe; linear in the length of the text."""

    def detect(self, text: str) -> Iterable[Hit]:
        """Every occurrence in `text`, in order of start."""
        ...
