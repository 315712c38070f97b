"""Where the boxes and lines of the picture of a policy stand. Sizes are in pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ringfence.recipient import RINGS, Ring

if TYPE_CHECKING:
    from ringfence.policy.document import Document
    from ringfence.policy.reach import Way, Ways

WIDTH: Final = 960
LABELS_X, LABELS_WIDTH = 24, 190
RECIPIENTS_X, RECIPIENTS_WIDTH = 652, 268
FLAT: Final = 132
"""The level end of each line, where its words stand."""
NAME_HEIGHT: Final = 22
BAND_PADDING: Final = 16
BAND_HEAD: Final = 30
TOP: Final = 84
_BOX_PADDING = 8
_GAP = 14
_WIDEST_GAP = 64
_PORT, _PORT_WITH_WORDS = 9, 19


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """Names that stand together because every line to or from them is the same."""

    names: tuple[str, ...]
    x: float
    y: float
    width: float
    height: float

    def port(self, index: int, count: int) -> float:
        """The height at which the line `index` of `count` meets the box."""
        return self.y + self.height * (index + 0.5) / count


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line from a box of labels to a box of recipients."""

    labels: Box
    recipients: Box
    ring: Ring
    way: Way
    from_y: float
    to_y: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """One ring with its boxes."""

    ring: Ring
    boxes: tuple[Box, ...]
    y: float
    height: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The whole picture."""

    labels: tuple[Box, ...]
    bands: tuple[Band, ...]
    lines: tuple[Line, ...]
    bottom: float


def lay_out(document: Document, ways: Ways) -> Layout:
    """The places of everything in `ways`."""
    label_groups = _grouped({label: tuple(sorted(reach.items(), key=_first)) for label, reach in ways.items()})
    bands, bottom = _bands(document, ways, label_groups)
    targets: list[tuple[Ring, Box]] = [(band.ring, box) for band in bands for box in band.boxes]
    leaving: dict[tuple[str, ...], list[tuple[Ring, Box]]] = {
        group: [(ring, box) for ring, box in targets if box.names[0] in ways[group[0]]] for group in label_groups
    }
    labels = _label_boxes(leaving, TOP, bottom)
    lines = tuple(
        Line(
            labels=source,
            recipients=target,
            ring=ring,
            way=ways[source.names[0]][target.names[0]],
            from_y=source.port(index, len(leaving[source.names])),
            to_y=_arrival(source, target, labels, ways),
        )
        for source in labels
        for index, (ring, target) in enumerate(leaving[source.names])
    )
    lowest = max((box.y + box.height for box in labels), default=bottom)
    return Layout(labels=labels, bands=bands, lines=lines, bottom=max(bottom, lowest))


def has_words(way: Way) -> bool:
    """Whether something is written at the line."""
    return bool(way.kinds) or way.consent != "never"


def _first(item: tuple[str, object]) -> str:
    return item[0]


def _grouped(keys: Mapping[str, object]) -> list[tuple[str, ...]]:
    """The names with equal keys together, in order of the first of each."""
    groups: dict[object, list[str]] = {}
    for name, key in keys.items():
        groups.setdefault(key, []).append(name)
    return [tuple(names) for names in groups.values()]


def _bands(document: Document, ways: Ways, label_groups: Sequence[tuple[str, ...]]) -> tuple[tuple[Band, ...], float]:
    bands: list[Band] = []
    y: float = TOP
    for ring in RINGS:
        names = [name for name, one in document.recipients.items() if one.ring == ring]
        groups = _grouped({name: tuple(ways[label].get(name) for label in ways) for name in names})
        if not groups:
            continue
        top, y = y, y + BAND_HEAD
        boxes: list[Box] = []
        for group in groups:
            arriving = [way for labels in label_groups if (way := ways[labels[0]].get(group[0])) is not None]
            height = _height(len(group), arriving)
            boxes.append(Box(names=group, x=RECIPIENTS_X, y=y, width=RECIPIENTS_WIDTH, height=height))
            y += height + _GAP
        y += BAND_PADDING - _GAP
        bands.append(Band(ring=ring, boxes=tuple(boxes), y=top, height=y - top))
        y += _GAP
    return tuple(bands), y - _GAP


def _height(names: int, arriving: Sequence[Way]) -> float:
    port = _PORT_WITH_WORDS if any(has_words(way) for way in arriving) else _PORT
    return max(names * NAME_HEIGHT + 2 * _BOX_PADDING, len(arriving) * port + _BOX_PADDING)


def _label_boxes(leaving: Mapping[tuple[str, ...], Sequence[object]], top: float, bottom: float) -> tuple[Box, ...]:
    """The boxes of labels, spread over the height of the recipients."""
    heights = [
        max(len(group) * NAME_HEIGHT + 2 * _BOX_PADDING, len(lines) * _PORT + _BOX_PADDING)
        for group, lines in leaving.items()
    ]
    free = (bottom - top - sum(heights)) / max(1, len(heights) - 1)
    gap = min(_WIDEST_GAP, max(_GAP, free))
    y = max(top, top + (bottom - top - sum(heights) - gap * (len(heights) - 1)) / 2)
    boxes: list[Box] = []
    for group, height in zip(leaving, heights, strict=True):
        boxes.append(Box(names=group, x=LABELS_X, y=y, width=LABELS_WIDTH, height=height))
        y += height + gap
    return tuple(boxes)


def _arrival(source: Box, target: Box, labels: Sequence[Box], ways: Ways) -> float:
    """Lines arrive in the order in which they leave, so that none crosses another where its words stand."""
    arriving = [box for box in labels if target.names[0] in ways[box.names[0]]]
    return target.port(arriving.index(source), len(arriving))


__all__ = ["Band", "Box", "Layout", "Line", "has_words", "lay_out"]
