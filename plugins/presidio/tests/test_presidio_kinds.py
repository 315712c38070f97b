"""What presidio's recognisers find through the plugin, and that it stays quiet, offline and closed when it fails."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.util import find_spec

import pytest

from ringfence.privacy.detection import DetectorSet
from ringfence.privacy.detector import Detector, Hit

_MISSING = [name for name in ("presidio_analyzer", "ringfence_detector_presidio") if find_spec(name) is None]
if _MISSING:
    pytest.skip(
        f"{' and '.join(_MISSING)} not installed: presidio-analyzer brings spaCy, about 190 MB, and its kinds would "
        "run beside the default set's in every other test; plugins/presidio/README.md says how to run these",
        allow_module_level=True,
    )

from ringfence_detector_presidio import kinds, reading, vendor  # noqa: E402  (the skip comes first)
from ringfence_detector_presidio.kinds import ENTITIES, RECOGNIZERS  # noqa: E402  (the skip comes first)
from ringfence_detector_presidio.patterns import GaveUp  # noqa: E402  (the skip comes first)

MODEL = os.environ.get(reading.MODEL_VARIABLE, reading.USUAL_MODEL)
with_a_model = pytest.mark.skipif(find_spec(MODEL) is None, reason=f"no spaCy model {MODEL}: they are not on PyPI")

FOUND = [
    ("EMAIL", "Mail ", "anna@example.com", " today."),
    ("PHONE", "Call ", "+41 44 668 18 00", "."),
    ("CREDIT_CARD", "Card ", "4111 1111 1111 1111", "."),
    ("IBAN", "to ", "DE89370400440532013000", "."),
    ("IP_ADDRESS", "from ", "23.1.2.3", "."),
    ("MAC_ADDRESS", "at ", "00:1A:2B:3C:4D:5E", "."),
    ("CRYPTO_ADDRESS", "to ", "1BoatSLRHtKNngkdXEeobR76b53LETtpyT", "."),
    ("US_SSN", "SSN ", "219-09-9998", "."),
    ("US_ITIN", "ITIN ", "912-70-1234", "."),
    ("UK_NHS", "NHS ", "943 476 5919", "."),
    ("UK_NINO", "NI ", "AB 12 34 56 C", "."),
    ("IT_CODICE_FISCALE", "codice ", "RCCMNL83S18D969H", "."),
    ("PL_PESEL", "PESEL ", "44051401359", "."),
    ("ES_DNI", "NIE ", "X2482300W", "."),
    ("ES_DNI", "DNI ", "54362315K", "."),
    ("SG_NRIC", "NRIC ", "S1234567D", "."),
    ("IN_PAN", "PAN ", "ACUPA7085R", "."),
    ("IN_AADHAAR", "Aadhaar ", "234123412346", "."),
]
READ = [
    ("PERSON_NAME", "Yesterday ", "Barack Obama", " came to dinner."),
    ("LOCATION", "She works in ", "Paris", " now."),
    ("NATIONALITY", "She met a ", "German", " lawyer."),
    ("ORGANISATION", "He is employed by ", "Siemens", " as an engineer."),
]


def _detector(kind: str) -> Detector:
    found: Detector = getattr(kinds, kind)
    return found


@pytest.mark.parametrize(("kind", "before", "written", "after"), FOUND)
@pytest.mark.parametrize("around", ["", "😀𠮷e\u0301 "])
def test_a_pattern_kind_covers_the_whole_of_what_it_stands_for(
    kind: str, before: str, written: str, after: str, around: str
) -> None:
    start = len(around + before)
    assert list(_detector(kind).detect(around + before + written + after)) == [Hit(start, start + len(written))]


def test_every_pattern_kind_is_tried_and_every_kind_that_is_read() -> None:
    assert {kind for kind, *_ in FOUND} == set(RECOGNIZERS)
    assert {kind for kind, *_ in READ} == set(ENTITIES)


def test_every_kind_is_declared() -> None:
    from importlib.metadata import entry_points

    points = [one for one in entry_points(group="ringfence.detectors") if one.module == kinds.__name__]
    assert {point.attr for point in points} == {*RECOGNIZERS, *ENTITIES}
    assert all(point.name == point.attr.lower() for point in points)


@with_a_model
@pytest.mark.parametrize(("kind", "before", "written", "after"), READ)
def test_a_kind_that_is_read_covers_the_whole_of_what_it_stands_for(
    kind: str, before: str, written: str, after: str
) -> None:
    (hit,) = _detector(kind).detect(before + written + after)
    assert hit == Hit(len(before), len(before) + len(written))


@with_a_model
def test_a_scan_is_read_once_and_no_word_of_it_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = reading.the_reader()
    made: list[str] = []
    read = reading.Reader.read

    def counted(self: reading.Reader, text: str) -> reading.Entities:
        made.append(text)
        return read(self, text)

    monkeypatch.setattr(reading.Reader, "read", counted)
    text = "Xylophanes Quintabular works in Paris for Siemens."
    names = {kind: _detector(kind) for kind in ENTITIES}
    scan = DetectorSet(names).scan(names, text)
    assert "LOCATION" in scan.hits
    assert made == [text]
    assert "Quintabular" not in reader._nlp.vocab.strings  # pyright: ignore[reportPrivateUsage]


@with_a_model
def test_threads_find_what_one_finds_alone() -> None:
    texts = [f"{name} works in Paris." for name in ("Barack Obama", "Angela Merkel", "John Smith")] * 6
    names = {"person_name": _detector("PERSON_NAME"), "email": _detector("EMAIL")}
    detectors = DetectorSet(names)
    alone = [detectors.scan(names, text).hits for text in texts]
    with ThreadPoolExecutor(4) as threads:
        together = [scan.hits for scan in threads.map(partial(detectors.scan, names), texts)]
    assert together == alone
    assert all(together)


def test_without_its_model_a_kind_that_is_read_fails_and_the_others_do_not() -> None:
    program = (
        "from ringfence.privacy.detection import DetectorSet\n"
        "print(sorted(DetectorSet().scan(['person_name', 'us_itin'], 'I am Barack Obama').failed))"
    )
    environment = {**os.environ, reading.MODEL_VARIABLE: "no_such_model"}
    ran = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "['person_name']"


def test_what_runs_out_of_time_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    detectors = DetectorSet({"us_ssn": _detector("US_SSN")})
    text = "SSN 219-09-9998 " * 2_000
    assert not detectors.scan(["us_ssn"], text).failed
    monkeypatch.setattr("presidio_analyzer.pattern_recognizer.REGEX_TIMEOUT_SECONDS", 1e-6)
    assert detectors.scan(["us_ssn"], text).failed == {"us_ssn"}
    with pytest.raises(GaveUp) as gave_up:
        _detector("US_SSN").detect(text)
    assert "219" not in str(gave_up.value)


def test_presidio_writes_no_text_to_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    _detector("IBAN")
    logging.getLogger("presidio-analyzer").error("Failed to validate text %s", "a canary")
    list(_detector("IBAN").detect("DE89 3704 0044 0532 0130 00 and ＤＥ89370400440532013000"))
    assert "canary" not in caplog.text
    assert "3704" not in caplog.text


def test_no_network_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    def refused(*where: object) -> object:
        asked.append(where)
        raise OSError

    monkeypatch.setattr(socket, "getaddrinfo", refused)
    monkeypatch.setattr(socket.socket, "connect", refused)
    vendor._suffixes.cache_clear()  # pyright: ignore[reportPrivateUsage]
    for kind in RECOGNIZERS:
        list(_detector(kind).detect("Mail anna@example.co.uk or bob@no.such.suffixx, call +41 44 668 18 00."))
    # Noted and not only refused: whoever looks up may take a failure for an answer.
    assert asked == []
