"""How much memory a model may take on this machine now: what the system has left, and what a container allows.

Linux is measured by the kernel's own files (proc(5), cgroups v1 and v2). macOS is read through `vm_stat`; that part was
not run on Apple hardware.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

_UNLIMITED_BYTES = 1 << 60  # cgroup v1 writes "no limit" as a number near 2^63
_VM_STAT_FREE = ("Pages free", "Pages inactive", "Pages speculative", "Pages purgeable")


def available_bytes() -> int:
    """Bytes that can be taken without swapping: the least of what the system and every enclosing cgroup has left.

    Blocking: under a millisecond on Linux, some on macOS. 0 where it cannot be found out, so that nothing is admitted
    on a guess.
    """
    if sys.platform == "darwin":
        return _darwin_available_bytes()
    return linux_available_bytes(Path("/"))


def total_bytes() -> int:
    """The memory of the machine, whatever a container allows."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def linux_available_bytes(root: Path) -> int:
    """`available_bytes` from the kernel's files below `root`."""
    return min([_mem_available_bytes(root), *_cgroup_left_bytes(root)])


def vm_stat_available_bytes(text: str) -> int:
    """The pages that `vm_stat` calls free, or that the system can free without writing, in bytes."""
    page = re.search(r"page size of (\d+) bytes", text)
    pages = dict(re.findall(r"^(Pages [a-z ]+):\s+(\d+)\.", text, re.MULTILINE))
    return int(page.group(1)) * sum(int(pages.get(name, 0)) for name in _VM_STAT_FREE) if page else 0


def _darwin_available_bytes() -> int:
    try:
        answer = subprocess.run(["/usr/bin/vm_stat"], capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return 0
    return vm_stat_available_bytes(answer.stdout)


def _mem_available_bytes(root: Path) -> int:
    for line in _read(root / "proc/meminfo").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 0


def _cgroup_left_bytes(root: Path) -> Iterator[int]:
    """What is left under the limit of every cgroup that this process is in, from the innermost to the outermost."""
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers:
            yield from _left_along(root / "sys/fs/cgroup", path, "memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            mount = root / "sys/fs/cgroup/memory"
            files = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
            yield from _left_along(mount, path, *files)


def _left_along(mount: Path, path: str, limit_file: str, usage_file: str, cache_key: str) -> Iterator[int]:
    group = Path(path.lstrip("/"))
    # Inside a container the path may be that of the host and not exist here; then only the mount itself speaks.
    for folder in (mount / group, *(mount / parent for parent in group.parents)):
        limit = _number(_read(folder / limit_file))
        usage = _number(_read(folder / usage_file))
        if limit is None or usage is None or limit >= _UNLIMITED_BYTES:
            continue
        # The page cache counts as used, and is given back when memory is asked for.
        cache = re.search(rf"^{cache_key} (\d+)$", _read(folder / "memory.stat"), re.MULTILINE)
        yield max(limit - usage + (int(cache.group(1)) if cache else 0), 0)


def _number(text: str) -> int | None:
    return int(text) if text.strip().isdigit() else None  # "max" means that there is no limit


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""


__all__ = ["available_bytes", "linux_available_bytes", "total_bytes", "vm_stat_available_bytes"]
