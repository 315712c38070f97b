"""The provider under the public conformance kit, against a whole house on loopback."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, cast

from ringfence.testing.kit import ProviderConformance
from ringfence.testing.partners import PartnerServer
from ringfence_house.provider import HouseProvider
from ringfence_house.testing import HouseServer

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from ringfence.request import JsonValue
    from ringfence.testing.scenes import Backend


class TestHouse(ProviderConformance):
    provider = HouseProvider
    model = "some-model"
    # The double of the engine is as strict as OpenAI's own API, which knows no more.
    recipient_options: ClassVar[Mapping[str, JsonValue]] = {"extended_sampling": False}

    def backend(self) -> Backend | None:
        return HouseServer(PartnerServer("chat"), machines=1)

    def recipient_fields(self, backend: Backend | None) -> Mapping[str, Any]:
        return cast("HouseServer", backend).recipient_fields()
