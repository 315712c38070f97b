"""The detector interface: what finds a kind of personal data in a text. Standard library only.

Discovery: an entry point in the group `ringfence.detectors` whose *name is the kind* (`email`, `iban`, …) and whose
value is `package.module:object`, an object with `detect`. It is loaded when a policy that names the kind is first used;
one that cannot be loaded or raises makes the scanned part carry the policy's `unknown` label (fail closed).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol, TypeVar

Prepared = TypeVar("Prepared")


@dataclass(frozen=True, slots=True)
class Hit:
    """One finding: `text[start:end]`, offsets in characters, 0 ≤ start < end ≤ len(text)."""

    start: int
    end: int


class Detector(Protocol):
    """Finds one kind. Pure and thread-safe; linear in the length of the text.

    One that takes more than about a millisecond for 1,000 characters, such as a model, has an attribute `slow = True`:
    every text is then scanned in a thread, so that the app's event loop goes on.
    """

    def detect(self, text: str) -> Iterable[Hit]:
        """Every occurrence in `text`, in order of start."""
        ...


class PreparedDetector(Detector, Protocol[Prepared]):
    """A detector that shares work with others of one scan. Optional: one with `detect` alone is a whole detector.

    All detectors of a scan whose `prepare` is the same function get one and the same result of it.

    INVARIANT: what was prepared ends with the scan; nothing of a text is remembered.
    """

    @property
    def prepare(self) -> Callable[[str], Prepared]:
        """What is worked out of a text once, for every detector that names this function. Pure, linear."""
        ...

    def detect_prepared(self, prepared: Prepared) -> Iterable[Hit]:
        """What `detect` finds in the text that `prepared` was made from, in offsets of that text."""
        ...
