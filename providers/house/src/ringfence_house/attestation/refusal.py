"""Why evidence was refused: by which check, in words that hold nothing the other side wrote."""

from __future__ import annotations

from typing import Literal, TypeAlias

CheckName: TypeAlias = Literal[
    "form", "type", "endorsement", "binding", "signature", "claims", "key", "release", "device", "model", "duplicate"
]
CHECKS: tuple[CheckName, ...] = (
    "form",
    "type",
    "endorsement",
    "binding",
    "signature",
    "claims",
    "key",
    "release",
    "device",
    "model",
    "duplicate",
)
"""In the order in which they are made. `duplicate` needs a whole directory."""


class EvidenceRefused(Exception):
    """A check of evidence failed. `sentence` is lower case and safe to show."""

    def __init__(self, check: CheckName, sentence: str) -> None:
        super().__init__(sentence)
        self.check: CheckName = check
        self.sentence = sentence


__all__ = ["CHECKS", "CheckName", "EvidenceRefused"]
