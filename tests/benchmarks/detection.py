"""What the detectors cost on plain text, English and Chinese."""

from __future__ import annotations

from tests.benchmarks.clock import median, take_turns
from tests.benchmarks.row import Bar, Row
from tests.benchmarks.setting import Setting, input_text

from ringfence.privacy.detection import ENTRY_POINT_GROUP, installed_detectors

_CHARACTERS = 20_000


def rows(setting: Setting) -> list[Row]:
    """Every kind of the default set over the texts of the examples, repeated to 20,000 characters."""
    from importlib.metadata import entry_points

    detectors = installed_detectors()
    ours = (point for point in entry_points(group=ENTRY_POINT_GROUP) if point.module.startswith("ringfence_detectors."))
    kinds = tuple(sorted({point.name for point in ours}))
    texts = {"English": _long(input_text("article.txt")), "Chinese": _long(input_text("chinese.txt"))}
    works = {name: (lambda text=text: detectors.scan(kinds, text)) for name, text in texts.items()}
    missing = [kind for kind in kinds if not detectors.available(kind)]
    taken = take_turns(works, rounds=setting.rounds(15))
    found: list[Row] = []
    for name, used in taken.items():
        each_ms = [one * 1e3 / (_CHARACTERS / 1_000) for one in used]
        found.append(
            Row(
                group="detectors",
                what=f"detectors, 1,000 characters of {name}",
                value=median(each_ms),
                unit="ms",
                lowest=min(each_ms),
                bar=Bar(limit=1, text="< 1 ms"),
                note=f"not installed: {', '.join(missing)}" if missing else f"{len(kinds)} kinds together",
            )
        )
    return found


def _long(text: str) -> str:
    return (text * (_CHARACTERS // len(text) + 1))[:_CHARACTERS]
