"""An end that is past counts by itself, and not only because the vendor's client looks at it too."""

from __future__ import annotations

import pytest
from providers.house.tests.releases.support import DAY, NOW, House

from ringfence_house.releases.vendor import Root, Snapshot, Targets, Timestamp


def test_an_ended_list_is_never_used_whatever_the_vendor_takes_for_the_time(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> bool:
        return False

    for role in (Root, Timestamp, Snapshot, Targets):
        monkeypatch.setattr(role, "is_expired", never)

    assert house.read(NOW + DAY - 60).releases
    assert house.refused(NOW + DAY + 60) == "expired"
