"""The groups of the table, in order. Nothing of a group is imported before it runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module
from types import MappingProxyType
from typing import Final, TypeAlias, cast

from tests.benchmarks.row import Row
from tests.benchmarks.setting import Setting

Measure: TypeAlias = Callable[[Setting], list[Row]]

CORE: Final = MappingProxyType(
    {
        "import": "tests.benchmarks.imports:rows",
        "decide": "tests.benchmarks.decisions:rows",
        "prove": "tests.benchmarks.proofs:rows",
        "call": "tests.benchmarks.calls:rows",
        "sync": "tests.benchmarks.calls:sync_rows",
        "partners": "tests.benchmarks.partners:rows",
        "audit": "tests.benchmarks.auditing:rows",
        "detectors": "tests.benchmarks.detection:rows",
        "house-codec": "tests.benchmarks.house_codec:rows",
        "memory": "tests.benchmarks.memory:rows",
    }
)
"""What needs no model."""

MODEL: Final = MappingProxyType(
    {
        "tokens": "tests.benchmarks.tokens:rows",
        "batch": "tests.benchmarks.tokens:batch_rows",
        "first-word": "tests.benchmarks.first_word:rows",
        "session": "tests.benchmarks.first_word:session_rows",
    }
)
"""What runs the embedded model."""

HOUSE: Final = MappingProxyType(
    {
        "house-verify": "tests.benchmarks.house_costs:verify_rows",
        "house": "tests.benchmarks.house_calls:call_rows",
        "house-memory": "tests.benchmarks.house_calls:memory_rows",
        "house-model": "tests.benchmarks.house_calls:model_rows",
    }
)
"""What the house ring costs, with nodes of its own; measured when asked for."""


def measure(names: list[str], setting: Setting) -> Iterator[tuple[str, list[Row]]]:
    """The rows of each group, as they are done."""
    for name in names:
        module, _, function = {**CORE, **MODEL, **HOUSE}[name].partition(":")
        yield name, cast("Measure", getattr(import_module(module), function))(setting)


def model_is_here() -> bool:
    """Whether the embedded model can run without a download."""
    try:
        from ringfence.paths import cache_dir
        from ringfence.provider import Available
        from ringfence_mlx.models.catalog import EMBEDDED_MODEL
        from ringfence_mlx.models.store import ModelStore
    except ImportError:
        return False
    return isinstance(ModelStore(cache_dir() / "mlx").availability(EMBEDDED_MODEL), Available)
