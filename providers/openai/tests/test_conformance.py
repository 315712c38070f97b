"""The provider under the public conformance kit, on both APIs."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ringfence.testing.kit import ProviderConformance
from ringfence.testing.partners import PartnerServer
from ringfence_openai.provider import OpenAIProvider

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ringfence.request import JsonValue
    from ringfence.testing.scenes import Backend

CAPABILITIES = OpenAIProvider.manifest.capabilities


class TestChat(ProviderConformance):
    provider = OpenAIProvider
    model = "some-model"
    capabilities: ClassVar[frozenset[str] | None] = CAPABILITIES - {"count_tokens"}

    def backend(self) -> Backend | None:
        return PartnerServer("chat")


class TestResponses(ProviderConformance):
    provider = OpenAIProvider
    model = "some-model"
    recipient_options: ClassVar[Mapping[str, JsonValue]] = {"api": "responses"}
    capabilities: ClassVar[frozenset[str] | None] = CAPABILITIES

    def backend(self) -> Backend | None:
        return PartnerServer("responses")
