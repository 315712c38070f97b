"""The conformance kit: what every provider must pass, the four that ship among them. Needs pytest.

from ringfence.testing.kit import ProviderConformance

class TestConformance(ProviderConformance):
    provider = MyProvider
    model = "my-model"
"""

from ringfence.testing.kit.conformance import ProviderConformance, rules
from ringfence.testing.kit.wire import Reply, WireBackend

__all__ = ["ProviderConformance", "Reply", "WireBackend", "rules"]
