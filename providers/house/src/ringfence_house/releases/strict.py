"""JSON as strictly as it is signed: bounded, no name twice, every field known, every value of its form."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from re import Pattern
from typing import NoReturn, cast

from ringfence_house.releases.faults import Malformed

LARGEST = 2**53 - 1
"""The largest number: what every reader of JSON holds exactly."""


class Fields:
    """The fields of one JSON object, each taken once; `end` refuses what nobody took. `where` names it in faults."""

    def __init__(self, value: object, where: str) -> None:
        if not isinstance(value, dict):
            raise Malformed(f"{where} is not an object")
        self._left = dict(cast("Mapping[str, object]", value))
        self._where = where

    def take(self, name: str) -> object:
        """The value of `name`, which must be there."""
        if name not in self._left:
            raise Malformed(f"{self._where} lacks {name}")
        return self._left.pop(name)

    def text(self, name: str, form: Pattern[str]) -> str:
        """A string that is all of `form`."""
        return text(self.take(name), form, f"{self._where}: {name}")

    def number(self, name: str, *, least: int = 0, most: int = LARGEST) -> int:
        """A whole number within bounds."""
        return number(self.take(name), f"{self._where}: {name}", least=least, most=most)

    def flag(self, name: str) -> bool:
        """A truth value."""
        value = self.take(name)
        if not isinstance(value, bool):
            raise Malformed(f"{self._where}: {name} is neither true nor false")
        return value

    def each(self, name: str, form: Pattern[str], *, most: int, called: str = "a name") -> Iterator[tuple[str, object]]:
        """The names, each of `form` and `called` so in faults, and values of an object of at most `most`."""
        value = self.take(name)
        if not isinstance(value, dict):
            raise Malformed(f"{self._where}: {name} is not an object")
        members = cast("Mapping[str, object]", value)
        if len(members) > most:
            raise Malformed(f"{self._where}: {name} has more than {most} entries")
        for member, inner in members.items():
            yield text(member, form, f"{self._where}: {called} in {name}"), inner

    def array(self, name: str, *, most: int) -> list[object]:
        """An array of at most `most`."""
        return array(self.take(name), f"{self._where}: {name}", most=most)

    def end(self) -> None:
        """Refuses fields that were not taken."""
        if self._left:
            raise Malformed(f"{self._where} has fields that this version does not know")


def parse(data: bytes, what: str, *, most_bytes: int) -> Fields:
    """The fields of the document `data`, called `what` in faults.

    Raises:
        Malformed: it is too long, no JSON object in UTF-8, or names something twice.
    """
    if len(data) > most_bytes:
        raise Malformed(f"{what} is longer than {most_bytes} bytes")
    try:
        value = json.loads(data.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise Malformed(f"{what} is not strict json") from None
    return Fields(value, what)


def canonical(value: object) -> bytes:
    """The one spelling of `value`: ASCII, sorted names, no blanks."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")


def text(value: object, form: Pattern[str], where: str) -> str:
    """`value` as a string that is all of `form`."""
    if not isinstance(value, str) or form.fullmatch(value) is None:
        raise Malformed(f"{where} is not of its form", form=form)
    return value


def number(value: object, where: str, *, least: int = 0, most: int = LARGEST) -> int:
    """`value` as a whole number within bounds; a truth value is none."""
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise Malformed(f"{where} is not a whole number within its bounds", way_out=f"one from {least} to {most}")
    return value


def array(value: object, where: str, *, most: int) -> list[object]:
    """`value` as an array of at most `most`."""
    if not isinstance(value, list):
        raise Malformed(f"{where} is not an array")
    members = cast("list[object]", value)
    if len(members) > most:
        raise Malformed(f"{where} has more than {most} entries")
    return members


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError
    return found


def _no_constant(_: str) -> NoReturn:
    raise ValueError


__all__ = ["LARGEST", "Fields", "array", "canonical", "number", "parse", "text"]
