"""A provider whose module is heavy, as one that imports a vendor's SDK is."""

from __future__ import annotations

import time

from tests.kit.broken.whole import Whole

while time.process_time() < 2.0:
    pass


class Heavy(Whole):
    """Correct but for its import."""
