"""One server of the partners for all tests here; each test plays its own scenes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ringfence.testing import PartnerServer


@pytest.fixture(scope="session")
def running_server() -> Iterator[PartnerServer]:
    with PartnerServer() as server:
        yield server


@pytest.fixture
def server(running_server: PartnerServer) -> PartnerServer:
    running_server.openai.play()
    running_server.gemini.play()
    return running_server
