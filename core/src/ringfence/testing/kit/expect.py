"""How a rule of the kit fails: with a sentence for the author of the provider."""

from __future__ import annotations

from typing import NoReturn


def expect(holds: object, otherwise: str) -> None:
    """Does nothing where `holds` is true.

    Raises:
        AssertionError: it is not; the message says what the provider did.
    """
    if not holds:
        fail(otherwise)


def fail(message: str) -> NoReturn:
    """The provider broke a rule.

    Raises:
        AssertionError: always.
    """
    raise AssertionError(message)


def named(error: BaseException | None) -> str:
    """An outcome in a word, for a message."""
    return "no error" if error is None else type(error).__name__


__all__ = ["expect", "fail", "named"]
