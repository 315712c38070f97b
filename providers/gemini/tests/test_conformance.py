"""The conformance kit, on the loopback double of the API."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ringfence.testing.kit import ProviderConformance
from ringfence.testing.partners import PartnerServer
from ringfence_gemini.provider import GeminiProvider

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ringfence.testing.scenes import Backend


class TestConformance(ProviderConformance):
    provider = GeminiProvider
    model = "gemini-2.5-flash"
    models: ClassVar[Mapping[str, str]] = {
        "embed": "gemini-embedding-001",
        "draw": "gemini-2.5-flash-image",
        "speak": "gemini-2.5-flash-preview-tts",
    }

    def backend(self) -> Backend:
        return PartnerServer(api="gemini")
