"""The provider under the public conformance kit, on both APIs."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from ringfence.testing.kit import ProviderConformance
from ringfence.testing.partners import PartnerServer
from ringfence_openai.provider import OpenAIProvider

if TYPE_CHECKING:
    from ringfence.recipient import Recipient
    from ringfence.testing.scenes import Backend
    from ringfence_openai.options import RecipientOptions

CAPABILITIES = OpenAIProvider.manifest.capabilities


class ByResponses(OpenAIProvider):
    """Uses the Responses API where the recipient's options do not say."""

    def _read(self, recipient: Recipient) -> RecipientOptions:
        return super()._read(replace(recipient, options={"api": "responses", **recipient.options}))


class TestChat(ProviderConformance):
    provider = OpenAIProvider
    model = "some-model"
    capabilities: ClassVar[frozenset[str] | None] = CAPABILITIES - {"count_tokens"}

    def backend(self) -> Backend | None:
        return PartnerServer("chat")


class TestResponses(ProviderConformance):
    provider = ByResponses
    model = "some-model"
    capabilities: ClassVar[frozenset[str] | None] = CAPABILITIES

    def backend(self) -> Backend | None:
        return PartnerServer("responses")
