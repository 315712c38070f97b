"""The vault of one user's request: what was redacted, and the placeholders that stand for it outside."""

from __future__ import annotations

import re
import secrets
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

MASK = "****"
"""What stands for a masked value, however long that is."""

_TAG_LETTERS = "bcdfghjkmnpqrstvwxz"
_TAG_LENGTH = 5
_NO_WORD = re.compile(r"[^A-Z0-9]+")
_MAX_NAME = 24
_SHAPE = r"\[[A-Z0-9]+(?:-[A-Z0-9]+)*-[1-9][0-9]*-%s\]"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Entry:
    """A value with the labels that it carries. `whole` is one that was the text of a part, which no detector found."""

    value: str
    labels: frozenset[str]
    name: str
    whole: bool = False

    def __repr__(self) -> str:
        return f"Entry({self.name}, labels={sorted(self.labels)})"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Issued(Entry):
    """A value for which a placeholder stands outside."""

    placeholder: str

    @property
    def tag(self) -> str:
        """That of the vault that issued it."""
        return self.placeholder[-1 - _TAG_LENGTH : -1]

    def __repr__(self) -> str:
        return f"Issued({self.placeholder}, labels={sorted(self.labels)})"


class Vault:
    """The values that were redacted in one request of a user, its retries, fallbacks and tool rounds included.

    A placeholder is `[EMAIL-1-kvxqz]`: what it is, a number, and the vault's own random tag. The same value has the
    same placeholder throughout. One that was never issued, or that another vault issued, stands for nothing.

    INVARIANT: no two requests share a vault, so no request can be given another's value.
    """

    __slots__ = ("_entries", "_placeholders", "_tag", "_values")

    def __init__(self) -> None:
        self._tag = ""
        self._entries: dict[str, Entry] = {}
        self._placeholders: dict[str, str] = {}
        self._values: dict[str, str] = {}

    @classmethod
    def of(cls, issued: Iterable[Issued]) -> Vault:
        """A vault that issued these: it stands for one that is over."""
        vault = cls()
        for entry in issued:
            vault.note(entry)
            vault._placeholders[entry.value] = entry.placeholder
            vault._values[entry.placeholder] = entry.value
            vault._tag = entry.tag
        return vault

    def begin(self, texts: Collection[str]) -> None:
        """Draws the tag, one that stands in none of `texts`; once for a vault."""
        while not self._tag:
            drawn = "".join(secrets.choice(_TAG_LETTERS) for _ in range(_TAG_LENGTH))
            if not any(drawn in text for text in texts):
                self._tag = drawn

    def note(self, entry: Entry) -> None:
        """Keeps a value; one that was known gains the labels."""
        known = self._entries.get(entry.value)
        if known is not None:
            entry = replace(known, labels=known.labels | entry.labels, whole=known.whole and entry.whole)
        self._entries[entry.value] = entry

    @property
    def entries(self) -> tuple[Entry, ...]:
        """Every value, placeholder or not."""
        return tuple(self._entries.values())

    @property
    def issued(self) -> tuple[Issued, ...]:
        """The values that a placeholder stands for."""
        entries = self._entries
        return tuple(
            Issued(
                value=value,
                labels=entries[value].labels,
                name=entries[value].name,
                whole=entries[value].whole,
                placeholder=placeholder,
            )
            for value, placeholder in self._placeholders.items()
        )

    def placeholder(self, value: str) -> str:
        """What stands for a value that was noted."""
        issued = self._placeholders.get(value)
        if issued is None:
            name = _NO_WORD.sub("-", self._entries[value].name.upper())[:_MAX_NAME].strip("-") or "DATA"
            issued = f"[{name}-{len(self._placeholders) + 1}-{self._tag}]"
            self._placeholders[value] = issued
            self._values[issued] = value
        return issued

    def values(self, labels: frozenset[str] | None = None) -> dict[str, str]:
        """The values by placeholder; with `labels` only those that carry no other label."""
        if labels is None:
            return dict(self._values)
        return {p: value for p, value in self._values.items() if self._entries[value].labels <= labels}

    def places(self, text: str) -> Iterable[tuple[int, int]]:
        """Where the vault's own placeholders stand in `text`."""
        if not self._values or self._tag not in text:
            return ()
        return (match.span() for match in self.pattern.finditer(text) if match[0] in self._values)

    @property
    def pattern(self) -> re.Pattern[str]:
        """What has the shape of a placeholder with this vault's tag."""
        return re.compile(_SHAPE % self._tag)

    def __repr__(self) -> str:
        return f"Vault({len(self._entries)} values)"


__all__ = ["MASK", "Entry", "Issued", "Vault"]
