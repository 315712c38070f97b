"""A policy and the files that it was made from: whether they changed, and the newest version that could be loaded.

INVARIANT: there is always a policy. A version that cannot be loaded, because it is broken, half written or gone,
leaves the one before it in force, and `state` says so.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TypeAlias

from ringfence.errors import PolicyError, PolicyInvalid, describe
from ringfence.policy.loading import Report, policy_of, tell_of_shadow
from ringfence.policy.policy import Policy

_log = logging.getLogger("ringfence")

_GRAIN_NS: Final = 2_000_000_000
"""The coarsest time stamp of a file system in use: what was written this recently may be written again unseen."""

Signature: TypeAlias = tuple[int, int, int, int, int] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyState:
    """The policy in force: its digest, where it came from, and when it was loaded, in Unix time.

    `faults` are those of a newer version that is broken and therefore not in force, as `file:line:col: message`.
    """

    digest: str
    source: str
    loaded_at: float
    faults: tuple[str, ...] = ()


class PolicySource:
    """One policy that is loaded anew when `load` would give another. Not safe in two threads at once.

    Raises:
        PolicyError: there is no first version.
    """

    def __init__(self, load: Callable[[], Report]) -> None:
        self._load = load
        started = time.time_ns()
        report = load()
        self.policy = policy_of(report)
        tell_of_shadow(report)
        self.state = PolicyState(digest=self.policy.digest, source=self.policy.source, loaded_at=time.time())
        self._watch(report.files, started)

    @classmethod
    def fixed(cls, policy: Policy) -> PolicySource:
        """A policy that comes from no file and never changes."""
        return cls(lambda: Report(source=policy.source, policy=policy, faults=()))

    def changed(self) -> bool:
        """Whether a file may have changed since it was read. Some microseconds for each file."""
        return self._unsettled or any(_signature(path) != seen for path, seen in self._seen.items())

    def renew(self) -> PolicyError | None:
        """Loads what the files say now; the error of a version that cannot be used, which changes nothing."""
        started, files = time.time_ns(), tuple(self._seen)
        error: PolicyError | None = None
        try:
            report = self._load()
            files = report.files
            policy = policy_of(report)
            if _identity(policy) != _identity(self.policy):
                tell_of_shadow(report)
                self.policy = policy
        except PolicyError as found:
            error = found
        except Exception as found:  # noqa: BLE001  INVARIANT: whatever a file does to its reader, the policy stays.
            error = PolicyInvalid(f"the policy cannot be loaded: {describe(found)}", faults=())
        self._settle(error)
        self._watch(files, started)
        return error

    def _settle(self, error: PolicyError | None) -> None:
        faults = () if error is None else _lines(error)
        if faults and faults != self.state.faults:
            _log.warning(
                "a new version of policy %s is not used, and the one before it stays in force: %s",
                self.policy.source,
                "; ".join(faults),
            )
        if self.policy.digest == self.state.digest:
            self.state = replace(self.state, faults=faults)
        else:
            self.state = PolicyState(digest=self.policy.digest, source=self.policy.source, loaded_at=time.time())

    def _watch(self, files: tuple[Path, ...], started_ns: int) -> None:
        self._seen = {path: _signature(path) for path in files}
        # A file that was written while it was read, or after, has a time as late as that; a time to come says nothing.
        earliest, latest = started_ns - _GRAIN_NS, time.time_ns() + _GRAIN_NS
        times = (stamp for seen in self._seen.values() if seen is not None for stamp in seen[:2])
        self._unsettled = any(earliest < stamp < latest for stamp in times)


def _signature(path: Path) -> Signature:
    """What changes when the file does; `None` where there is none."""
    try:
        found = os.stat(path)  # noqa: PTH116  (half the time of Path.stat, at every request)
    except (OSError, ValueError):
        return None
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino, found.st_dev


def _identity(policy: Policy) -> tuple[str, str | None]:
    return policy.digest, None if policy.shadow is None else policy.shadow.digest


def _lines(error: PolicyError) -> tuple[str, ...]:
    return error.faults if isinstance(error, PolicyInvalid) and error.faults else (error.message,)
