"""A provider whose module is heavy, as one that imports a vendor's SDK is."""

from __future__ import annotations

import time

from tests.kit.broken.whole import Whole

time.sleep(1.0)


class Heavy(Whole):
    """Correct but for its import."""
