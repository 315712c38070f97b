"""Several writers at once, writers that are killed, forks, and a disk that is full."""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ringfence.errors import AuditError
from ringfence.privacy.audit import AuditLog
from ringfence.privacy.audit.files import RECORDS_FILE
from ringfence.receipt import Receipt

RECEIPT = """
import sys
from pathlib import Path
from ringfence.errors import AuditError
from ringfence.privacy.audit import AuditLog
from ringfence.receipt import Receipt
def receipt(number):
    known = {"policy": "p", "policy_digest": "d", "task": "t", "labels": ()}
    return Receipt(id=str(number), started_at=1.0, outcome="answered", **known)
log = AuditLog(Path(sys.argv[1]))
"""


def _start(program: str, folder: Path, *arguments: str) -> subprocess.Popen[str]:
    source = RECEIPT + textwrap.dedent(program)
    return subprocess.Popen([sys.executable, "-c", source, str(folder), *arguments], stdout=subprocess.PIPE, text=True)


def test_four_processes_write_one_chain(folder: Path) -> None:
    program = """
    for number in range(100):
        log.append(receipt(f"{sys.argv[2]}-{number}"))
    """
    writers = [_start(program, folder, str(writer)) for writer in range(4)]
    for process in writers:
        process.communicate(timeout=60)
    assert [writer.returncode for writer in writers] == [0] * 4
    log = AuditLog(folder)
    found = log.verify()
    assert (found.ok, found.count, found.problems, found.notes) == (True, 400, (), ())
    ids = [record.receipt["id"] for record in log.records()]
    assert sorted(ids) == sorted(f"{writer}-{number}" for writer in range(4) for number in range(100))
    for writer in range(4):
        own = [name for name in ids if name.startswith(f"{writer}-")]
        assert own == [f"{writer}-{number}" for number in range(100)]


def test_threads_write_one_chain(log: AuditLog, receipt: Receipt) -> None:
    def write() -> None:
        for _ in range(25):
            log.append(receipt)

    threads = [threading.Thread(target=write) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (log.verify().ok, log.verify().count) == (True, 200)


def test_a_killed_writer_loses_no_record_it_reported(folder: Path) -> None:
    """`kill -9` at any instant: what `append` returned from is there, and the log is whole."""
    program = """
    for number in range(1_000_000):
        log.append(receipt(number))
        print(number, flush=True)
    """
    reported = 0
    for seed in range(12):
        writer = _start(program, folder)
        assert writer.stdout is not None
        writer.stdout.readline()
        time.sleep(random.Random(seed).random() / 20)
        writer.send_signal(signal.SIGKILL)
        reported += 1 + len(writer.stdout.read().splitlines())
        writer.wait(timeout=30)
        writer.stdout.close()
        found = AuditLog(folder).verify()
        assert found.ok, found.problems
        # A record whose writer died before it could report it may be there as well, one a writer.
        assert reported <= found.count <= reported + seed + 1


def test_a_writer_killed_under_the_lock_does_not_hold_it(folder: Path, receipt: Receipt) -> None:
    program = """
    import fcntl, time
    log.append(receipt(1))
    fcntl.flock(log._handle.records, fcntl.LOCK_EX)
    print("locked", flush=True)
    time.sleep(60)
    """
    writer = _start(program, folder)
    assert writer.stdout is not None
    assert writer.stdout.readline() == "locked\n"
    log = AuditLog(folder, lock_timeout_s=0.2)
    with pytest.raises(AuditError, match="locked"):
        log.append(receipt)
    writer.kill()
    writer.wait(timeout=30)
    writer.stdout.close()
    log.append(receipt)
    assert (log.verify().ok, log.verify().count) == (True, 2)


def test_a_fork_opens_its_own_log(folder: Path) -> None:
    """Even while another thread of the parent is in the middle of an append."""
    program = """
    import os, threading
    def write(name, count):
        for number in range(count):
            log.append(receipt(f"{name}-{number}"))
    write("before", 1)
    thread = threading.Thread(target=write, args=("parent", 200))
    thread.start()
    children = []
    for child in range(5):
        pid = os.fork()
        if not pid:
            write(f"child{child}", 20)
            os._exit(0)
        children.append(pid)
    thread.join()
    write("after", 1)
    print([os.waitpid(pid, 0)[1] for pid in children])
    """
    parent = _start(program, folder)
    out, _ = parent.communicate(timeout=60)
    assert out == "[0, 0, 0, 0, 0]\n"
    found = AuditLog(folder).verify()
    assert (found.ok, found.count, found.notes) == (True, 302, ())


FILL = """
import os, resource, signal
if len(sys.argv) > 2:
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
count = 0
try:
    while count < 100_000:
        log.append(receipt(count))
        count += 1
except AuditError as error:
    print(count, "no room" in str(error), "free some space" in str(error))
try:
    log.append(receipt("again"))
except AuditError:
    print("again")
"""


def test_a_file_that_may_not_grow_ends_in_an_error_and_leaves_nothing_half_written(folder: Path) -> None:
    writer = _start(FILL, folder, "20000")
    out, _ = writer.communicate(timeout=60)
    count = out.split()[0]
    assert out == f"{count} True True\nagain\n"
    log = AuditLog(folder)
    found = log.verify()
    assert (found.ok, found.count, found.notes) == (True, int(count), ())
    assert (folder / RECORDS_FILE).stat().st_size <= 20_000
    log.append(next(_receipts()))
    assert (log.verify().ok, log.verify().count) == (True, int(count) + 1)


def _receipts() -> Iterator[Receipt]:
    yield Receipt(id="x", started_at=1.0, outcome="failed", policy="p", policy_digest="d", task="t", labels=())


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 KiB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = shutil.which("mount")
    if mount is None or os.geteuid() != 0:
        pytest.skip("mount: a small disk needs root")
    made = subprocess.run(
        [mount, "-t", "tmpfs", "-o", "size=64k", "none", str(place)], capture_output=True, check=False
    )
    if made.returncode:
        pytest.skip("mount: this machine lets nobody mount a tmpfs")
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.mark.system
def test_a_full_disk_ends_in_an_error_and_leaves_nothing_half_written(small_disk: Path) -> None:
    writer = _start(FILL, small_disk / "audit")
    out, _ = writer.communicate(timeout=60)
    count = int(out.split()[0])
    assert out == f"{count} True True\nagain\n"
    found = AuditLog(small_disk / "audit").verify()
    assert (found.ok, found.count, found.notes) == (True, count, ())


@pytest.mark.system
def test_a_disk_that_is_full_already_is_known_at_open(small_disk: Path) -> None:
    filler = os.open(small_disk / "filler", os.O_WRONLY | os.O_CREAT)
    os.posix_fallocate(filler, 0, 65_536)
    os.close(filler)
    with pytest.raises(AuditError, match="no room for the audit log"):
        AuditLog(small_disk / "audit").open()


def test_file_descriptors_do_not_pile_up(folder: Path, receipt: Receipt) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 256), hard))
    try:
        for _ in range(300):
            log = AuditLog(folder)
            log.append(receipt)
            log.verify()
            log.close()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert AuditLog(folder).verify().count == 300
