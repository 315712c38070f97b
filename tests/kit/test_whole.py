"""The kit passes a provider that is correct: with every capability, and with text alone."""

from __future__ import annotations

from tests.kit.broken.partner import reply
from tests.kit.broken.whole import Whole

from ringfence.testing.kit import ProviderConformance, WireBackend
from ringfence.testing.scenes import Backend


class TestWhole(ProviderConformance):
    provider = Whole
    model = "whole-1"
    finish_reasons = frozenset({"stop", "length", "content_filter", "refusal", "error", "other"})

    def backend(self) -> Backend:
        return WireBackend(reply)


class TestTextAlone(TestWhole):
    capabilities = frozenset({"text"})
