"""`import ringfence.testing` costs next to nothing, and everything in it is there when asked for."""

from __future__ import annotations

import subprocess
import sys

import pytest

from ringfence import testing


def test_every_name_is_there() -> None:
    assert [getattr(testing, name).__name__ for name in testing.__all__] == testing.__all__
    assert dir(testing) == sorted(testing.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Scenery'"):
        _ = testing.Scenery


def test_importing_the_package_imports_none_of_its_parts() -> None:
    program = (
        "import sys, ringfence.testing\n"
        "from ringfence.testing import forbid_real_requests\n"
        "heavy = ('ringfence.testing.', 'asyncio', 'httpx2', 'pytest')\n"
        "print([name for name in sys.modules if name.startswith(heavy)])"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "['ringfence.testing.forbid']"
