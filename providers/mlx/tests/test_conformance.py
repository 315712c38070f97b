"""The provider under the public conformance kit, with the embedded models."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import pytest

from ringfence.request import Settings
from ringfence.testing.kit import ProviderConformance
from ringfence_mlx.models.catalog import EMBEDDED_MODEL, EMBEDDING_MODEL
from ringfence_mlx.provider import MlxProvider

if TYPE_CHECKING:
    from collections.abc import Mapping


pytestmark = [pytest.mark.model, pytest.mark.usefixtures("mlx_cache_dir", "embedding_model")]


class TestConformance(ProviderConformance):
    provider = MlxProvider
    model = EMBEDDED_MODEL
    models: ClassVar[Mapping[str, str]] = {"embed": EMBEDDING_MODEL}
    # As short as the structured answer of the kit allows: a model computes every token.
    settings: ClassVar[Settings | None] = Settings(max_output_tokens=12)
    honoured: ClassVar[frozenset[str]] = frozenset(
        {
            *("max_output_tokens", "temperature", "top_p", "top_k", "min_p", "repetition_penalty"),
            *("presence_penalty", "frequency_penalty", "seed", "stop", "logit_bias"),
        }
    )
