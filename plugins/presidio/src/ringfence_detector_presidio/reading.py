"""Detectors over presidio's spaCy engine, for a model that is installed. One reading serves all kinds of a scan."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from ringfence.privacy.detector import Hit
from ringfence_detector_presidio.vendor import vendor

MODEL_VARIABLE = "RINGFENCE_PRESIDIO_MODEL"
USUAL_MODEL = "en_core_web_sm"

Entities = tuple[tuple[str, Hit], ...]


class ModelMissing(Exception):
    """No spaCy model of that name is installed, or it finds no entities."""


class Reader:
    """Presidio's spaCy engine over one model. Threads take turns."""

    def __init__(self, model: str) -> None:
        spacy: Any = import_module("spacy")
        # INVARIANT: no network. Presidio's engine would download a model that is missing, so it never looks for one.
        if not (spacy.util.is_package(model) or Path(model).is_dir()):
            raise ModelMissing(f"spaCy has no model of that name; try: install one and name it in {MODEL_VARIABLE}")
        self._nlp: Any = spacy.load(model)
        if not self._nlp.has_pipe("ner"):
            raise ModelMissing(f"the spaCy model finds no entities; try: another one in {MODEL_VARIABLE}")
        self._engine: Any = vendor("presidio_analyzer.nlp_engine").SpacyNlpEngine()
        self._engine.nlp = {"en": self._nlp}
        self._lock = threading.Lock()

    def read(self, text: str) -> Entities:
        """What the model finds in `text`, by presidio's names, in order of start."""
        # INVARIANT: nothing of a text is remembered. Outside a zone spaCy keeps every word that it meets; zones are
        # not made for several threads.
        with self._lock, self._nlp.memory_zone():
            found = self._engine.process_text(text, "en").entities
            return tuple((str(one.label_), Hit(one.start_char, one.end_char)) for one in found)


@cache
def the_reader() -> Reader:
    """The one reader of the process, over the model that the environment names.

    Raises:
        ModelMissing: There is no such model.
    """
    return Reader(os.environ.get(MODEL_VARIABLE, USUAL_MODEL))


def read(text: str) -> Entities:
    """Reads `text` once, for every detector of a scan."""
    return the_reader().read(text)


class ReadingDetector:
    """Finds what the model takes for `entity`. Made only where there is a model."""

    slow = True

    def __init__(self, entity: str) -> None:
        self._entity = entity
        the_reader()

    @property
    def prepare(self) -> Callable[[str], Entities]:
        """The same for all of them, so that a scan reads a text once."""
        return read

    def detect(self, text: str) -> Iterable[Hit]:
        """Every occurrence in `text`, in order of start."""
        return self.detect_prepared(read(text))

    def detect_prepared(self, prepared: Entities) -> Iterable[Hit]:
        """Every occurrence in the text that was read, in order of start."""
        return [hit for entity, hit in prepared if entity == self._entity]


__all__ = [
    "MODEL_VARIABLE",
    "USUAL_MODEL",
    "Entities",
    "ModelMissing",
    "Reader",
    "ReadingDetector",
    "read",
    "the_reader",
]
