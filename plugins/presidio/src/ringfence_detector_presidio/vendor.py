"""Presidio, imported when it is needed and kept from the log and the network."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from functools import cache
from importlib import import_module
from typing import Any, Protocol


class Finding(Protocol):
    """What a recogniser answers."""

    start: int
    end: int
    score: float


class Recognizer(Protocol):
    """The part of presidio's `EntityRecognizer` that is used here."""

    supported_entities: list[str]

    def analyze(self, text: str, entities: list[str], nlp_artifacts: None) -> Iterable[Finding] | None:
        """What was found in `text`."""
        ...


def vendor(module: str) -> Any:
    """`presidio_analyzer` or a module of it, after its log has been closed."""
    _close_log()
    return import_module(module)


def recognizer(name: str) -> Recognizer:
    """A new recogniser of presidio's, by the name of its class."""
    made = getattr(vendor("presidio_analyzer.predefined_recognizers"), name)()
    if name == "EmailRecognizer":
        made.validate_result = _is_of_a_known_domain
    found: Recognizer = made
    return found


def patience_s() -> float:
    """After how long presidio drops what a pattern would have found, and tells nobody but its log."""
    return float(vendor("presidio_analyzer.pattern_recognizer").REGEX_TIMEOUT_SECONDS)


@cache
def _close_log() -> None:
    # INVARIANT: no content in logs. Presidio logs text that it could not validate, also as an error.
    logging.getLogger("presidio-analyzer").addFilter(_nothing)


def _nothing(_: logging.LogRecord) -> bool:
    return False


def _is_of_a_known_domain(text: str) -> bool:
    # INVARIANT: no network. Presidio's own check downloads the list of public suffixes when it is first used.
    return bool(_suffixes()(text).fqdn)


@cache
def _suffixes() -> Any:
    return import_module("tldextract").TLDExtract(suffix_list_urls=(), cache_dir=None)


__all__ = ["Finding", "Recognizer", "patience_s", "recognizer", "vendor"]
