"""Lets the tests here use the chains and evidence that the client's tests are made of, when they run alone too."""

from __future__ import annotations

import sys
from pathlib import Path

_ROOT = str(Path(__file__).parents[4])

if _ROOT not in sys.path:
    sys.path.append(_ROOT)
