"""What the detectors of one scan share: the plain text, made once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import final

from ringfence.privacy.detector import Hit
from ringfence_detectors.plain import PlainText, plain_text


class PlainDetector(ABC):
    """A detector that searches the plain text. Its subclasses hold no state, so any thread may use them."""

    __slots__ = ()

    @property
    @final
    def prepare(self) -> Callable[[str], PlainText]:
        """The same for all of them, so that a scan makes one plain text."""
        return plain_text

    @final
    def detect(self, text: str) -> Iterable[Hit]:
        """Every occurrence in `text`, in order of start."""
        return self.detect_prepared(plain_text(text))

    @abstractmethod
    def detect_prepared(self, plain: PlainText, /) -> Iterable[Hit]:
        """Every occurrence in the text that `plain` was made from, in order of start."""


__all__ = ["PlainDetector"]
