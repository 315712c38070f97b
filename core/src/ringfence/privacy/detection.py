"""The installed detectors, and a scan of one text by some of them. One that fails is reported, never passed over."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, cast

from ringfence.lock import Lock, find_lock
from ringfence.privacy.detector import Detector, Hit, PreparedDetector

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

ENTRY_POINT_GROUP = "ringfence.detectors"
_logger = logging.getLogger("ringfence")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """What the detectors said of one text: hits by kind, in order of start, and the kinds that gave no valid answer.

    INVARIANT: every kind that was asked for is in `failed` or ran on the whole text.
    """

    hits: Mapping[str, tuple[Hit, ...]]
    failed: frozenset[str]


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a kind gave no valid answer. `error` is the name of an exception, never its words."""

    how: Literal["is not installed", "cannot be loaded", "failed"]
    error: str = ""

    def __str__(self) -> str:
        return f"{self.how} ({self.error})" if self.error else self.how


class _Prepared:
    """One text in one scan, and what its detectors prepared of it: it goes with the scan."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._made: dict[Callable[[str], object], object] = {}

    def hits_of(self, detector: Detector) -> Iterable[object]:
        prepare: Callable[[str], object] | None = getattr(detector, "prepare", None)
        if prepare is None:
            return detector.detect(self.text)
        if prepare not in self._made:
            self._made[prepare] = prepare(self.text)
        sharing = cast("PreparedDetector[object]", detector)
        return sharing.detect_prepared(self._made[prepare])


class DetectorSet:
    """Detectors by kind, loaded when a kind is first asked for. Thread-safe as far as the detectors are.

    Without `detectors` it holds those that are installed: the entry points of the group `ringfence.detectors`. Where
    two distributions declare one kind, both run, and either can find. `lock` says which may be loaded; `None` is the
    lock in force, if any. One that the lock does not approve gives no valid answer, and nothing of it is imported.
    """

    def __init__(self, detectors: Mapping[str, Detector] | None = None, *, lock: Lock | None = None) -> None:
        self._plugin_lock = lock
        self._loaded: dict[str, tuple[Detector, ...] | None] = {}
        self._entry_points: dict[str, list[EntryPoint]] | None = None
        self._failures: dict[str, Failure] = {}
        self._reported: set[tuple[str, Failure]] = set()
        self._lock = threading.Lock()
        if detectors is not None:
            self._entry_points = {}
            self._loaded = {kind: (detector,) for kind, detector in detectors.items()}

    def available(self, kind: str) -> bool:
        """Whether `kind` is installed and could be loaded."""
        return self._detectors(kind) is not None

    def slow(self, kinds: Iterable[str]) -> bool:
        """Whether a scan for any of `kinds` may take long: a detector says so (`slow = True`), or is not loaded yet."""
        return any(
            kind not in self._loaded or any(getattr(one, "slow", False) is True for one in self._loaded[kind] or ())
            for kind in kinds
        )

    def failures(self) -> Mapping[str, Failure]:
        """The kinds that gave no valid answer so far, each with why it last gave none."""
        return MappingProxyType(dict(self._failures))

    def scan(self, kinds: Iterable[str], text: str) -> Scan:
        """Runs every detector of `kinds` over `text`; one that is missing, raises or answers nonsense has `failed`."""
        hits: dict[str, tuple[Hit, ...]] = {}
        failed: set[str] = set()
        prepared = _Prepared(text)
        for kind in kinds:
            found = self._run(kind, prepared)
            if found is None:
                failed.add(kind)
            elif found:
                hits[kind] = found
        return Scan(hits=MappingProxyType(hits), failed=frozenset(failed))

    def _run(self, kind: str, prepared: _Prepared) -> tuple[Hit, ...] | None:
        """The hits of `kind` in order of start; `None` if any of its detectors failed."""
        detectors = self._detectors(kind)
        if detectors is None:
            return None
        found: list[Hit] = []
        for detector in detectors:
            try:
                found.extend(_checked(prepared.hits_of(detector), prepared.text))
            except Exception as fault:  # noqa: BLE001  (whatever a plugin raises, its answer is missing)
                self._report(kind, Failure("failed", type(fault).__name__))
                return None
        found.sort(key=_start)
        return tuple(found)

    def _detectors(self, kind: str) -> tuple[Detector, ...] | None:
        try:
            return self._loaded[kind]
        except KeyError:
            pass
        with self._lock:
            if kind not in self._loaded:
                self._loaded[kind] = self._load(kind)
            return self._loaded[kind]

    def _load(self, kind: str) -> tuple[Detector, ...] | None:
        if self._entry_points is None:
            self._entry_points = _installed_entry_points()
        entry_points = self._entry_points.get(kind)
        if not entry_points:
            self._report(kind, Failure("is not installed"))
            return None
        try:
            # INVARIANT: nothing of a plugin is imported before the lock has approved it.
            plugin_lock = find_lock(self._plugin_lock)
            for entry_point in entry_points:
                plugin_lock.check(entry_point)
            return tuple(_usable(entry_point.load()) for entry_point in entry_points)
        except (Exception, SystemExit) as fault:  # noqa: BLE001  (a broken plugin harms only what needs it)
            self._report(kind, Failure("cannot be loaded", type(fault).__name__))
            return None

    def _report(self, kind: str, what: Failure) -> None:
        """Notes a fault of a kind, and logs it once; no text, and no words of an exception, which could quote one."""
        self._failures[kind] = what
        if (kind, what) not in self._reported:
            self._reported.add((kind, what))
            _logger.warning("detector '%s' %s; what it should have scanned is labelled as unknown", kind, what)


class MalformedHit(Exception):
    """A detector broke the detector interface."""


def _checked(hits: Iterable[object], text: str) -> list[Hit]:
    checked: list[Hit] = []
    for hit in hits:
        # There cannot be more hits than characters; the bound ends a detector that never stops.
        if not (isinstance(hit, Hit) and _is_span(hit, len(text))) or len(checked) >= len(text):
            raise MalformedHit
        checked.append(hit)
    return checked


def _is_span(hit: Hit, length: int) -> bool:
    # A plugin is checked at run time, whatever its annotations promise.
    return type(hit.start) is int and type(hit.end) is int and 0 <= hit.start < hit.end <= length


def _start(hit: Hit) -> tuple[int, int]:
    return hit.start, hit.end


def _usable(detector: object) -> Detector:
    if not callable(getattr(detector, "detect", None)):
        raise TypeError
    return detector  # type: ignore[return-value]


def _installed_entry_points() -> dict[str, list[EntryPoint]]:
    from importlib.metadata import entry_points  # noqa: PLC0415  (64 ms, and only a policy with `detect:` needs it)

    found: dict[str, list[EntryPoint]] = {}
    for entry_point in entry_points(group=ENTRY_POINT_GROUP):
        declared = found.setdefault(entry_point.name, [])
        if entry_point not in declared:
            declared.append(entry_point)
    return found


@lru_cache(maxsize=8)
def installed_detectors(lock: Lock | None = None) -> DetectorSet:
    """The detectors installed in this environment; one set for the whole process and each lock."""
    return DetectorSet(lock=lock)


__all__ = ["ENTRY_POINT_GROUP", "DetectorSet", "Failure", "MalformedHit", "Scan", "installed_detectors"]
