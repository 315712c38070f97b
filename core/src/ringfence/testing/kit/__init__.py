"""The conformance kit: what every provider and every detector must pass, those that ship among them. Needs pytest.

from ringfence.testing.kit import DetectorConformance, ProviderConformance

class TestConformance(ProviderConformance):
    provider = MyProvider
    model = "my-model"

class TestMembership(DetectorConformance):
    detector = DETECTOR
    kind = "membership"
"""

from ringfence.testing.kit.conformance import ProviderConformance, rules
from ringfence.testing.kit.detector import DetectorConformance
from ringfence.testing.kit.wire import Reply, WireBackend

__all__ = ["DetectorConformance", "ProviderConformance", "Reply", "WireBackend", "rules"]
