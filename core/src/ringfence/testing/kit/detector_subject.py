"""What an author says of a detector, and the process that it is asked in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import pytest

from ringfence.privacy.detector import Detector
from ringfence.testing.kit.expect import expect
from ringfence.testing.kit.scanner import Scanned, Scanner
from ringfence.testing.kit.sealed import Sealed


class DetectorSubject(metaclass=Sealed):
    """The detector under test, in its author's words. All but `detector` and `kind` have a default."""

    detector: ClassVar[Detector]
    """The object that the entry point names."""

    kind: ClassVar[str]
    """What it finds: the name of the entry point."""

    finds: ClassVar[Mapping[str, Sequence[str]]] = {}
    """Texts, each with all that is to be found in it, in order."""

    passes_over: ClassVar[Sequence[str]] = ()
    """Texts in which nothing is to be found, though it may look like it."""

    xfail: ClassVar[Mapping[str, str]] = {}
    """Rules known to be broken, each with the reason: `{"test_name": "why"}`, or `{"test_name[case]": "why"}`."""

    # ------------------------------------------------------------------ what the kit does with it
    _kit_scanner: ClassVar[Scanner]

    @classmethod
    def setup_class(cls) -> None:
        """Prepares the process; it starts with the first text."""
        type.__setattr__(cls, "_kit_scanner", Scanner(cls))

    @classmethod
    def teardown_class(cls) -> None:
        """Ends it."""
        cls._kit_scanner.close()

    @pytest.fixture(autouse=True)
    def _kit_rule(self, request: pytest.FixtureRequest) -> None:
        """A strict xfail where the author says so."""
        name: str = request.node.name
        reason = self.xfail.get(name) or self.xfail.get(name.partition("[")[0])
        if reason:
            request.applymarker(pytest.mark.xfail(reason=reason, strict=True))

    def _kit_example(self) -> str:
        """A text with something to be found, where the author gave one."""
        return next(filter(None, self.finds), "AB-1234 5678 / ab@example.test")

    def _kit_examples(self) -> list[str]:
        """That text, and all others that the author gave."""
        return [self._kit_example(), *self.finds, *self.passes_over]

    def _kit_hits(self, text: str, *, prepared: bool = False) -> list[tuple[int, int]]:
        """The hits in `text`, none of them malformed."""
        return checked(self._kit_scanner.scan(text, prepared=prepared), text)

    def _kit_outcome(self, text: str, *, prepared: bool = False) -> list[tuple[int, int]] | str:
        """The hits in `text`, or the name of what was raised: for rules that are about something else."""
        return outcome(self._kit_scanner.scan(text, prepared=prepared), text)


def outcome(scanned: Scanned, text: str) -> list[tuple[int, int]] | str:
    """The hits of `scanned` as pairs, or the name of what was raised.

    Raises:
        AssertionError: a hit is none.
    """
    return checked(scanned, text) if scanned.error is None else scanned.error


def checked(scanned: Scanned, text: str) -> list[tuple[int, int]]:
    """The hits of `scanned` as pairs.

    Raises:
        AssertionError: the detector raised, or a hit is none.
    """
    expect(scanned.error is None, f"it raised {scanned.error} on a text of {len(text)} characters")
    expect(len(scanned.hits) <= len(text), "it yields more hits than a text has characters")
    for hit in scanned.hits:
        expect(not isinstance(hit, str), f"it yields {hit}, and not ringfence.privacy.detector.Hit with two int")
        start, end = hit
        expect(0 <= start < end <= len(text), f"Hit({start}, {end}) is no span of a text of {len(text)} characters")
    return [(start, end) for start, end in scanned.hits]


__all__ = ["DetectorSubject", "outcome"]
