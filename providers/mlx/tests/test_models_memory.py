"""What memory there is for a model: the kernel's files, the limits of containers, the text of vm_stat."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from ringfence_mlx.machine.memory import available_bytes, linux_available_bytes, total_bytes, vm_stat_available_bytes

MIB = 1 << 20


def machine(root: Path, files: dict[str, str]) -> Path:
    for name, text in ({"proc/meminfo": "MemTotal: 9 kB\nMemAvailable:    1048576 kB\n"} | files).items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


TABLE: list[tuple[str, dict[str, str], int]] = [
    ("no container", {}, 1024 * MIB),
    (
        "v2, limited here, page cache given back",
        {
            "proc/self/cgroup": "0::/a/b\n",
            "sys/fs/cgroup/a/b/memory.max": f"{300 * MIB}\n",
            "sys/fs/cgroup/a/b/memory.current": f"{200 * MIB}\n",
            "sys/fs/cgroup/a/b/memory.stat": f"anon 1\ninactive_file {50 * MIB}\n",
        },
        150 * MIB,
    ),
    (
        "v2, limited further out",
        {
            "proc/self/cgroup": "0::/a/b\n",
            "sys/fs/cgroup/a/b/memory.max": "max\n",
            "sys/fs/cgroup/a/b/memory.current": "1\n",
            "sys/fs/cgroup/a/memory.max": f"{100 * MIB}\n",
            "sys/fs/cgroup/a/memory.current": f"{40 * MIB}\n",
        },
        60 * MIB,
    ),
    (
        "v2, the path is that of the host",
        {
            "proc/self/cgroup": "0::/../../host\n",
            "sys/fs/cgroup/memory.max": f"{80 * MIB}\n",
            "sys/fs/cgroup/memory.current": f"{90 * MIB}\n",
        },
        0,
    ),
    (
        "v1",
        {
            "proc/self/cgroup": "9:cpu,memory:/job\n0::/\n",
            "sys/fs/cgroup/memory/job/memory.limit_in_bytes": f"{500 * MIB}\n",
            "sys/fs/cgroup/memory/job/memory.usage_in_bytes": f"{100 * MIB}\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
            "sys/fs/cgroup/memory/memory.usage_in_bytes": "5\n",
        },
        400 * MIB,
    ),
    ("nothing is known", {"proc/meminfo": ""}, 0),
]


@pytest.mark.parametrize(("files", "wanted"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_the_least_of_all_limits_counts(files: dict[str, str], wanted: int, tmp_path: Path) -> None:
    assert linux_available_bytes(machine(tmp_path, files)) == wanted


def test_vm_stat_counts_what_is_free_or_freed_without_writing() -> None:
    text = (
        "Mach Virtual Memory Statistics: (page size of 16384 bytes)\n"
        "Pages free:                               1000.\nPages active:                           900000.\n"
        "Pages inactive:                            200.\nPages speculative:                          30.\n"
        "Pages wired down:                       500000.\nPages purgeable:                             4.\n"
    )
    assert vm_stat_available_bytes(text) == 16384 * 1234
    assert vm_stat_available_bytes("") == 0


@pytest.mark.skipif(sys.platform != "linux", reason="reads the kernel's files")
def test_this_machine_has_some_memory_and_not_more_than_it_has() -> None:
    assert 0 < available_bytes() <= total_bytes()
