"""A house of two real nodes over one scripted engine, and a balancer before it that may be hostile."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ringfence.testing import PartnerServer

# The examples are no package that is installed; their house is the one that is tested.
sys.path.append(str(Path(__file__).parents[2]))

if TYPE_CHECKING:
    from examples.house.cluster import Cluster
    from examples.house.hostile_balancer import HostileBalancer

MODEL = "scripted"


@pytest.fixture(scope="module")
def engine() -> Iterator[PartnerServer]:
    """The scripted engine: it answers with what it was asked."""
    with PartnerServer("chat", echo=True, keyless=True) as server:
        yield server


@pytest.fixture(scope="module")
def cluster(engine: PartnerServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    from examples.house.cluster import Cluster, Engine

    folder = tmp_path_factory.mktemp("house")
    with Cluster(folder, engine=Engine(model=MODEL, url=engine.url), balanced=False) as running:
        yield running


@pytest.fixture(scope="module")
def balancers(cluster: Cluster) -> Iterator[HostileBalancer]:
    from examples.house.hostile_balancer import HostileBalancer

    with HostileBalancer(directory=cluster.directory_address, nodes=cluster.node_addresses) as balancer:
        yield balancer


@pytest.fixture
def balancer(balancers: HostileBalancer) -> HostileBalancer:
    """Faithful, and nothing recorded."""
    from examples.house.hostile_balancer import FAITHFUL

    balancers.attack = FAITHFUL
    balancers.exchanges.clear()
    return balancers


@pytest.fixture
def policy(balancer: HostileBalancer, cluster: Cluster) -> Callable[..., str]:
    """The policy of an app that asks this house through this balancer."""
    from examples.house.asking import policy_text

    def text(*, min_tier: str = "software-dev", min_nodes: int = 1) -> str:
        return policy_text(model=MODEL, url=balancer.url, trust=cluster.trust, min_tier=min_tier, min_nodes=min_nodes)

    return text
