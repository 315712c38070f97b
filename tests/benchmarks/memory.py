"""Whether memory stays flat over 20,000 calls, and over as many streams that are cancelled."""

from __future__ import annotations

import json

from tests.benchmarks.row import Bar, Row
from tests.benchmarks.setting import Setting, child

_FLAT_MB = 1.0
"""What two looks at the resident memory of an idle process may differ by: allocator pools, not calls."""


def rows(setting: Setting) -> list[Row]:
    """Each kind in a fresh process: the memory after a tenth of the calls, and after all of them."""
    few, many = (100, 1_000) if setting.quick else (2_000, 20_000)
    found: list[Row] = []
    for kind, what in (("calls", "scripted calls"), ("cancelled", "streams cancelled at their second event")):
        answer = json.loads(child(["-m", "tests.benchmarks.memory_child", kind, str(few), str(many)]))
        first, last = (int(held) / 1e6 for held in answer)
        found.append(
            Row(
                group="memory",
                what=f"memory grown from {few:,} to {many:,} {what}",
                value=last - first,
                unit="MB",
                bar=Bar(limit=_FLAT_MB, text=f"flat (< {_FLAT_MB:g} MB)"),
                note=f"{first:.1f} MB, then {last:.1f} MB",
            )
        )
    return found
