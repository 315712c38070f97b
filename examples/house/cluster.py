"""A house on one machine: two development nodes, the directory that shows them, and a balancer in front.

with Cluster(Path("state"), engine=Engine(model="smollm2-135m-instruct")) as cluster:
    ...  # a recipient with directory: {cluster.url} and trust: {cluster.trust}
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from examples.house.hostile_balancer import EVIDENCE
from examples.house.processes import LOOPBACK, Background, NotReady, fetched, free_port
from examples.house.wire import Address

HAPROXY = "haproxy"
CONFIGURATION = Path(__file__).with_name("haproxy.cfg")
INSTALL = "apt-get install haproxy, or brew install haproxy"
STARTING_S = 300.0
"""At most, for a node to load its model and prove it by one token."""
SHOWN_S = 60.0
"""At most, until the directory shows what is ready."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """What answers behind each node: the model of that name, by MLX, or a server at `url` that speaks OpenAI's API."""

    model: str
    url: str | None = None

    def arguments(self) -> list[str]:
        """As `ringfence-node serve` takes them."""
        at = [] if self.url is None else ["--engine", "openai", "--engine-url", self.url]
        return ["--model", self.model, *at]


class Cluster:
    """Two nodes and their directory; with `balanced`, HAProxy before them. Ended with the block, whatever happens.

    `folder` gets what the development nodes keep, and a log for each process.
    """

    def __init__(
        self,
        folder: Path,
        *,
        engine: Engine,
        balanced: bool = True,
        options: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        on_wait: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.state = folder / "state"
        self.logs = folder / "logs"
        self._environment = dict(environment or {})
        self._on_wait = on_wait
        self._stack = ExitStack()
        self.node_addresses: tuple[Address, ...] = ((LOOPBACK, free_port()), (LOOPBACK, free_port()))
        self._admin_ports = (free_port(), free_port())
        self.directory_address: Address = (LOOPBACK, free_port())
        self.balancer_address: Address = (LOOPBACK, free_port())
        arguments = [*engine.arguments(), *options]
        self.nodes = (self._node(0, arguments), self._node(1, arguments))
        self.directory = self._directory()
        self.balancer = self._balancer() if balanced else None

    @property
    def trust(self) -> Path:
        """What a policy's `trust:` names."""
        return self.state / "trust.json"

    @property
    def url(self) -> str:
        """What a policy's `directory:` names: the balancer."""
        return _url(self.balancer_address)

    def __enter__(self) -> Self:
        self.logs.mkdir(parents=True, exist_ok=True)
        try:
            self._start()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _start(self) -> None:
        # Side by side: whichever comes first makes the development authority and the repository that the other joins.
        for node in self.nodes:
            self._begin(node)
        self._wait(self.nodes[0])
        self._begin(self.directory)
        self._wait(self.nodes[1])
        self._wait(self.directory)
        self._wait_until_shown()
        if self.balancer is not None:
            self._begin(self.balancer)
            self._wait(self.balancer)

    def _begin(self, process: Background) -> None:
        self._stack.callback(process.stop)
        process.start()

    def _wait(self, process: Background) -> None:
        process.wait(STARTING_S, lambda: self._on_wait(process.name))

    def _wait_until_shown(self) -> None:
        """Returns when the directory shows every node."""
        until = time.monotonic() + SHOWN_S
        while self._shown() < len(self.nodes):
            if time.monotonic() > until:
                raise NotReady("the directory does not show every node")
            time.sleep(0.1)

    def _shown(self) -> int:
        document = fetched(f"{_url(self.directory_address)}{EVIDENCE}")
        return 0 if document is None else len(json.loads(document)["nodes"])

    def _node(self, number: int, arguments: Sequence[str]) -> Background:
        port, admin = self.node_addresses[number][1], self._admin_ports[number]
        ports = ["--port", str(port), "--admin-port", str(admin)]
        command = [_script("ringfence-node"), "serve", "--dev", "--state", str(self.state), *ports, *arguments]
        name = f"node-{'ab'[number]}"
        ready = f"http://{LOOPBACK}:{admin}/readyz"
        return Background(name, command, log=self.logs / f"{name}.log", ready_url=ready, environment=self._environment)

    def _directory(self) -> Background:
        port = str(self.directory_address[1])
        nodes = [text for address in self.node_addresses for text in ("--node", _url(address))]
        releases = ["--releases", str(self.state / "releases"), "--every", "1"]
        command = [_script("ringfence-node"), "directory", "--port", port, *releases, *nodes]
        ready = f"{_url(self.directory_address)}{EVIDENCE}"
        return Background(
            "directory", command, log=self.logs / "directory.log", ready_url=ready, environment=self._environment
        )

    def _balancer(self) -> Background:
        node_a, node_b = self.node_addresses
        named = {
            "BALANCER": self.balancer_address,
            "DIRECTORY": self.directory_address,
            "NODE_A": node_a,
            "NODE_B": node_b,
        }
        addresses = {name: f"{host}:{port}" for name, (host, port) in named.items()}
        admins = {f"ADMIN_{letter}": str(port) for letter, port in zip("AB", self._admin_ports, strict=True)}
        return Background(
            "balancer",
            [haproxy() or HAPROXY, "-db", "-f", str(CONFIGURATION)],
            log=self.logs / "balancer.log",
            ready_url=f"{self.url}{EVIDENCE}",
            environment=self._environment | addresses | admins,
        )


def haproxy() -> str | None:
    """Where HAProxy is; Debian has it where only administrators look."""
    return shutil.which(HAPROXY) or shutil.which(HAPROXY, path="/usr/sbin:/usr/local/sbin")


def _script(name: str) -> str:
    return str(Path(sys.executable).with_name(name))


def _url(address: Address) -> str:
    return f"http://{address[0]}:{address[1]}"


__all__ = ["INSTALL", "Cluster", "Engine", "haproxy"]
