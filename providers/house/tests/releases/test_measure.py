"""What a measure holds, and what it does not."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from ringfence_house.releases.faults import ReleasesFault
from ringfence_house.releases.measure import measure


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "code"
    (made / "inner").mkdir(parents=True)
    (made / "a.py").write_text("one")
    (made / "inner" / "b.py").write_text("two")
    return made


def test_a_file_is_measured_as_sha256sum_does(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_bytes(b"port = 1\n")
    assert measure(tmp_path / "config.toml") == hashlib.sha256(b"port = 1\n").hexdigest()


def test_a_folder_is_measured_as_is_written(folder: Path) -> None:
    one, two = hashlib.sha256(b"one").hexdigest(), hashlib.sha256(b"two").hexdigest()
    listing = f'[["a.py","{one}"],["inner/b.py","{two}"]]'.encode()
    assert measure(folder) == hashlib.sha256(b"ringfence-folder-v1\0" + listing).hexdigest()


def _rename(folder: Path) -> None:
    (folder / "a.py").rename(folder / "c.py")


CHANGES: list[Callable[[Path], object]] = [
    lambda folder: (folder / "a.py").write_text("other"),
    lambda folder: (folder / "new.py").write_text(""),
    lambda folder: (folder / "a.py").unlink(),
    _rename,
    lambda folder: (folder / "inner" / "b.py").rename(folder / "b.py"),
]


@pytest.mark.parametrize("change", CHANGES, ids=["content", "one more", "one less", "renamed", "moved"])
def test_a_change_is_measured(folder: Path, change: Callable[[Path], object]) -> None:
    before = measure(folder)
    change(folder)
    assert measure(folder) != before


def _bytecode(folder: Path) -> None:
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "a.pyc").write_text("x")


OTHER_CHANGES: list[Callable[[Path], object]] = [
    lambda folder: os.utime(folder / "a.py", (1, 1)),
    lambda folder: (folder / "a.py").chmod(0o700),
    lambda folder: (folder / "empty").mkdir(),
    _bytecode,
    lambda folder: folder.rename(folder.with_name("moved")),
]


@pytest.mark.parametrize("change", OTHER_CHANGES, ids=["time", "rights", "empty folder", "bytecode", "place"])
def test_what_is_none_of_it_is_not_measured(folder: Path, change: Callable[[Path], object]) -> None:
    before = measure(folder)
    change(folder)
    moved = folder.with_name("moved")
    assert measure(moved if moved.exists() else folder) == before


def test_a_link_to_a_file_counts_as_the_file(folder: Path, tmp_path: Path) -> None:
    before = measure(folder)
    (folder / "a.py").rename(tmp_path / "blob")
    (folder / "a.py").symlink_to(tmp_path / "blob")
    assert measure(folder) == before


def _link_to_folder(folder: Path) -> None:
    (folder / "link").symlink_to(folder.parent)


def _broken_link(folder: Path) -> None:
    (folder / "link").symlink_to(folder / "nothing")


def _pipe(folder: Path) -> None:
    os.mkfifo(folder / "pipe")


def _bytes_name(folder: Path) -> None:
    (folder / os.fsdecode(b"\xff.py")).write_text("x")


@pytest.mark.parametrize("change", [_link_to_folder, _broken_link, _bytes_name, _pipe])
def test_what_has_no_measure_is_refused(folder: Path, change: Callable[[Path], object]) -> None:
    change(folder)
    with pytest.raises(ReleasesFault):
        measure(folder)


def test_nothing_is_not_measured(tmp_path: Path) -> None:
    with pytest.raises(ReleasesFault, match="no such file"):
        measure(tmp_path / "nothing")
