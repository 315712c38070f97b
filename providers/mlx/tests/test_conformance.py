"""The provider under the public conformance kit.

The model is a small one with random weights: the rules are about what the provider does, and the embedded model would
take ten times as long to do it. What that answers is looked at in `test_engine_*`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import pytest

from ringfence.paths import cache_dir
from ringfence.request import Settings
from ringfence.testing.kit import ProviderConformance
from ringfence_mlx.models.catalog import EMBEDDING_MODEL
from ringfence_mlx.provider import MlxProvider

if TYPE_CHECKING:
    from collections.abc import Mapping


pytestmark = [pytest.mark.model, pytest.mark.usefixtures("small_model", "embedding_model")]


class TestConformance(ProviderConformance):
    provider = MlxProvider
    model = str(cache_dir() / "mlx" / "small")  # where the fixture puts it; a process of the kit has no fixtures
    models: ClassVar[Mapping[str, str]] = {"embed": EMBEDDING_MODEL}
    # As short as the structured answer of the kit allows: a model computes every token.
    settings: ClassVar[Settings | None] = Settings(max_output_tokens=12)
    honoured: ClassVar[frozenset[str]] = frozenset(
        {
            *("max_output_tokens", "temperature", "top_p", "top_k", "min_p", "repetition_penalty"),
            *("presence_penalty", "frequency_penalty", "seed", "stop", "logit_bias"),
        }
    )
