"""How long to wait before the next start of what keeps dying."""

from __future__ import annotations

_FREE_DEATHS = 2
"""In a row, after which a start is immediate; from then on each doubles the pause."""

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 60.0
_MOST_DOUBLINGS = 16


def pause_s(deaths: int) -> float:
    """Seconds to wait after so many deaths in a row."""
    over = deaths - _FREE_DEATHS
    return 0.0 if over < 0 else min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2 ** min(over, _MOST_DOUBLINGS))


__all__ = ["pause_s"]
