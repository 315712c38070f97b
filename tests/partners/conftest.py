"""One server of both partners for each module, quiet again before each test, and the keys of its recipients."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.partners.support import KEYS

from ringfence.testing import PartnerServer


@pytest.fixture(scope="module")
def running_server() -> Iterator[PartnerServer]:
    with PartnerServer() as server:
        yield server


@pytest.fixture
def server(running_server: PartnerServer, monkeypatch: pytest.MonkeyPatch) -> PartnerServer:
    for name, key in KEYS.items():
        monkeypatch.setenv(name, key)
    running_server.openai.play()
    running_server.gemini.play()
    return running_server
