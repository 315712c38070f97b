"""What every provider must hold, and echo holds it too."""

from ringfence_echo.provider import EchoProvider

from ringfence.testing.kit import ProviderConformance


class TestConformance(ProviderConformance):
    provider = EchoProvider
    model = "echo-1"
