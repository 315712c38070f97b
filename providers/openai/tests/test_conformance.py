"""The provider under the public conformance kit, on both APIs."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from ringfence.testing.kit import ProviderConformance
from ringfence.testing.partners import PartnerServer
from ringfence_openai.provider import OpenAIProvider

if TYPE_CHECKING:
    from ringfence.recipient import Recipient
    from ringfence.testing.scenes import Backend, Scene
    from ringfence_openai.options import RecipientOptions

CAPABILITIES = OpenAIProvider.manifest.capabilities


class ByResponses(OpenAIProvider):
    """Uses the Responses API where the recipient's options do not say: the kit's recipients have none."""

    # What the kit weighs is the module of the provider, and not this one.
    __module__ = OpenAIProvider.__module__

    def _read(self, recipient: Recipient) -> RecipientOptions:
        return super()._read(replace(recipient, options={"api": "responses", **recipient.options}))


class Partner(PartnerServer):
    """A fault comes in place of an event; past the last one the answer is complete, and there is none."""

    def play(self, *scenes: Scene) -> None:
        events = self.openai.wire_events
        super().play(
            *(replace(one, fault=None) if one.fault and one.fault_at >= events(one) else one for one in scenes)
        )


class TestChat(ProviderConformance):
    provider = OpenAIProvider
    model = "some-model"
    capabilities: ClassVar[frozenset[str] | None] = CAPABILITIES - {"count_tokens"}

    def backend(self) -> Backend | None:
        return Partner("chat")


class TestResponses(ProviderConformance):
    provider = ByResponses
    model = "some-model"
    capabilities: ClassVar[frozenset[str] | None] = CAPABILITIES

    def backend(self) -> Backend | None:
        return Partner("responses")
