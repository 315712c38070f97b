"""The public data that can be measured on: which files, and what they say is in which text."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SYNTHETIC = ("synth_dataset_v2.json", "generated_large.json")
MULTIPRIV = {"multipriv_zh.json": "Chinese", "multipriv_en.json": "English"}
NEWS = ("msra.test", "peoples_daily.test")
PROSE = ("prose.txt", "prose_zh.txt")

_SYNTHETIC_KINDS = {
    "EMAIL_ADDRESS": "email",
    "PHONE_NUMBER": "phone",
    "CREDIT_CARD": "credit_card",
    "IBAN_CODE": "iban",
    "US_SSN": "us_ssn",
    "IP_ADDRESS": "ip_address",
}
_SYNTHETIC_READ = {"PERSON": "person_name", "STREET_ADDRESS": "street_address", "GPE": "location"}
_MULTIPRIV_FIELDS = {
    "emailAddress": "email",
    "phoneNumbers": "phone",
    "idCardNumbers": "cn_resident_id",
    "name": "zh_person_name",
    "doctor": "zh_person_name",
}
_MULTIPRIV_READ = {"name": "person_name", "doctor": "person_name", "location": "street_address"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One text, and where the data says that a kind stands in it."""

    text: str
    spans: Mapping[str, tuple[tuple[int, int], ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Corpus:
    """Texts of one source; `kinds` are those that it marks, `read` those of them that only a model can find."""

    name: str
    language: str
    kinds: tuple[str, ...]
    samples: tuple[Sample, ...]
    read: tuple[str, ...] = ()

    @property
    def characters(self) -> int:
        """How much text it is."""
        return sum(len(sample.text) for sample in self.samples)


def corpora(folder: Path) -> Iterator[Corpus]:
    """Those whose files lie in `folder`."""
    for name in SYNTHETIC:
        if (folder / name).exists():
            yield _synthetic(folder / name)
    for name, language in MULTIPRIV.items():
        if (folder / name).exists():
            yield _multipriv(folder / name, language)
    for name in NEWS:
        if (folder / name).exists():
            yield _news(folder / name)


def prose(folder: Path) -> Iterator[tuple[str, str]]:
    """Texts that hold no identifier, by file name."""
    for name in PROSE:
        if (folder / name).exists():
            yield name, (folder / name).read_text(encoding="utf-8")


def _synthetic(path: Path) -> Corpus:
    samples: list[Sample] = []
    for one in _json(path):
        spans: dict[str, tuple[tuple[int, int], ...]] = {}
        for span in one["spans"]:
            kind = _SYNTHETIC_KINDS.get(span["entity_type"]) or _SYNTHETIC_READ.get(span["entity_type"])
            if kind:
                spans[kind] = (*spans.get(kind, ()), (span["start_position"], span["end_position"]))
        samples.append(Sample(text=one["full_text"], spans=spans))
    kinds = tuple(_SYNTHETIC_KINDS.values())
    read = tuple(_SYNTHETIC_READ.values())
    return Corpus(name=path.stem, language="English", kinds=kinds, read=read, samples=tuple(samples))


def _multipriv(path: Path, language: str) -> Corpus:
    kinds = ["email", "phone", *(("cn_resident_id", "zh_person_name") if language == "Chinese" else ())]
    read = ("person_name", "street_address")
    samples: list[Sample] = []
    for person in _json(path):
        text = str(person["naturalParagraph"])
        spans: dict[str, tuple[tuple[int, int], ...]] = {}
        for field, kind in (*_MULTIPRIV_FIELDS.items(), *_MULTIPRIV_READ.items()):
            value = str(person.get(field) or "")
            if value and kind in (*kinds, *read):
                found = tuple(match.span() for match in re.finditer(re.escape(value), text))
                spans[kind] = (*spans.get(kind, ()), *found)
        samples.append(Sample(text=text, spans=spans))
    return Corpus(name="MultiPriv", language=language, kinds=tuple(kinds), read=read, samples=tuple(samples))


def _news(path: Path) -> Corpus:
    samples = [_tagged(block.splitlines()) for block in re.split(r"\n\s*\n", path.read_text(encoding="utf-8"))]
    return Corpus(name=path.name, language="Chinese", kinds=("zh_person_name",), samples=tuple(samples))


def _tagged(lines: list[str]) -> Sample:
    """A sentence of one character and its tag a line."""
    pairs = [line.split() for line in lines if line.strip()]
    text = "".join(pair[0] for pair in pairs)
    tags = "".join({"B-PER": "B", "I-PER": "I"}.get(pair[-1], "o") for pair in pairs)
    spans = tuple(match.span() for match in re.finditer("BI*", tags)) if len(tags) == len(text) else ()
    return Sample(text=text, spans={"zh_person_name": spans} if spans else {})


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


__all__ = ["MULTIPRIV", "NEWS", "PROSE", "SYNTHETIC", "Corpus", "Sample", "corpora", "prose"]
