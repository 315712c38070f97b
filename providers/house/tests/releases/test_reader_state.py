"""What a reader keeps: damage, folders that cannot be written, full disks, and several readers at once."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
from providers.house.tests.releases.support import DAY, NOW, House

from ringfence_house.releases import reader as module
from ringfence_house.releases.faults import ReleasesRefused, ReleasesUnreachable
from ringfence_house.releases.files import locked
from ringfence_house.releases.kept import KEPT_FILE


def flip(data: bytes) -> bytes:
    """One bit in the middle changed."""
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "other": lambda _: b"{}",
    "cut": lambda data: data[:-1],
    "longer": lambda data: data + b"\n",
    "one bit": flip,
    "without its digest": lambda data: data[65:],
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_state_is_refused_until_a_person_removes_it(house: House, damage: Callable[[bytes], bytes]) -> None:
    """To begin anew by itself would let whoever damages it show an older repository."""
    before = house.files()
    house.add("r2")
    house.read()
    file = house.state / KEPT_FILE
    file.write_bytes(damage(file.read_bytes()))
    house.lies = before
    with pytest.raises(ReleasesRefused) as raised:
        house.read()
    assert raised.value.code == "state"
    assert str(file) in str(raised.value.way_out)
    house.lies = {}
    file.unlink()
    assert "r2" in house.read().releases


def test_a_state_that_cannot_be_read_is_refused(house: House) -> None:
    (house.state / KEPT_FILE).mkdir(parents=True)
    assert house.refused() == "state"


def test_a_folder_that_cannot_be_made_is_refused(house: House) -> None:
    house.state.write_text("a file")
    assert house.refused() == "state"


def test_the_state_is_for_its_owner_alone(house: House) -> None:
    house.read()
    assert (house.state / KEPT_FILE).stat().st_mode & 0o777 == 0o600
    assert house.state.stat().st_mode & 0o777 == 0o700


@contextmanager
def full_disk(bytes_left: int) -> Generator[None]:
    """No file of this process may grow beyond that."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_left, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("bytes_left", [0, 1000, 5000])
def test_a_full_disk_is_refused_and_leaves_what_was_kept(house: House, bytes_left: int) -> None:
    """Given out without being kept, the next start could be shown an older one."""
    house.read()
    before = (house.state / KEPT_FILE).read_bytes()
    house.add("r2")
    with full_disk(bytes_left):
        code = house.refused()
    assert code == "state"
    assert (house.state / KEPT_FILE).read_bytes() == before
    assert {path.name for path in house.state.iterdir()} == {KEPT_FILE, "releases.lock"}
    assert "r2" in house.read().releases


def test_a_refusal_leaves_what_was_kept(house: House) -> None:
    house.read()
    before = (house.state / KEPT_FILE).read_bytes()
    house.forge(by=())
    assert house.refused() == "signature"
    assert (house.state / KEPT_FILE).read_bytes() == before
    house.lies = {}
    assert "r1" in house.read().releases


def test_what_was_kept_is_checked_like_what_is_fetched(house: House) -> None:
    """Without a network too, its signatures and its end count."""
    house.read()
    house.down = True
    assert "r1" in house.read().releases
    with pytest.raises(ReleasesUnreachable):
        house.read(NOW + 2 * DAY)


def test_a_reader_whose_folder_another_holds_goes_by_what_was_kept(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = house.read()
    house.add("r2")
    monkeypatch.setattr(module, "_LOCK_TIMEOUT_S", 0.05)
    with locked(house.state / "releases.lock", timeout_s=1):
        assert house.read() == first
    assert "r2" in house.read().releases


READ = """
import sys, time
from pathlib import Path
from ringfence_house.releases.faults import Missing
from ringfence_house.releases.reader import ReleaseReader

top, state = Path(sys.argv[1]), Path(sys.argv[2])

def fetch(path):
    try:
        return (top / path).read_bytes()
    except FileNotFoundError:
        raise Missing from None

reader = ReleaseReader((top / "metadata" / "1.root.json").read_bytes(), state, fetch)
for _ in range(15):
    print(reader.refresh(time.time()).version, flush=True)
"""


def test_processes_that_refresh_at_once_do_not_harm_each_other(house: House) -> None:
    command = [sys.executable, "-c", READ, str(house.folder / "releases"), str(house.state)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(3)]
    for number in range(5):
        house.add(f"more{number}")
    for process in processes:
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err.decode()
        assert len(out.split()) == 15
    assert len(house.read().releases) == 6


def test_a_reader_that_is_killed_leaves_a_state_to_go_on_from(house: House) -> None:
    house.read()
    command = [sys.executable, "-c", READ, str(house.folder / "releases"), str(house.state)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        house.add("r2")
        process.kill()
    assert "r2" in house.read().releases


def test_the_state_lies_in_one_file(house: House, tmp_path: Path) -> None:
    house.read()
    assert sorted(path.name for path in house.state.iterdir()) == [KEPT_FILE, "releases.lock"]
