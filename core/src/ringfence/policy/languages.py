"""Telling YAML from TOML, and straight quotes from curly ones, so that a fault can say what to do."""

from __future__ import annotations

import re

_TOML_LINE = re.compile(r"\[\[?\s*[\w.\"'-]+\s*\]\]?\s*(?:#.*)?$|[\w.\"'-]+\s*=")
_YAML_LINE = re.compile(r"---\s*$|-\s|[\w.-]+\s*:(?:\s|$)")
_CURLY = re.compile("[\u201c\u201d\u201e\u2018\u2019\u201a]")
_IN_CURLY = re.compile("[\u201c\u201d\u201e\u2018\u2019\u201a]\\S*[\u201c\u201d\u2018\u2019]")

CURLY = "curly quotes are part of the text here. Write straight ones, \" or '"


def looks_like_toml(text: str) -> bool:
    """Whether the first line that says something is one of TOML; no YAML policy begins with such a line."""
    return _TOML_LINE.match(_first(text)) is not None


def looks_like_yaml(text: str) -> bool:
    """Whether the first line that says something is one of YAML; no TOML begins with such a line."""
    return _YAML_LINE.match(_first(text)) is not None


def has_curly_quotes(text: str, line: int | None) -> bool:
    """Whether curly quotes stand in that line of `text`."""
    lines = text.split("\n")
    return line is not None and line <= len(lines) and _CURLY.search(lines[line - 1]) is not None


def is_in_curly_quotes(text: str) -> bool:
    """Whether `text` begins and ends with a curly quote."""
    return len(text) > 1 and _CURLY.match(text) is not None and _CURLY.match(text[-1]) is not None


def in_curly_quotes(word: str) -> bool:
    """Whether `word` is one word that somebody meant to quote."""
    return _IN_CURLY.fullmatch(word) is not None


def _first(text: str) -> str:
    lines = (line.strip() for line in text.splitlines())
    return next((line for line in lines if line and not line.startswith("#")), "")
