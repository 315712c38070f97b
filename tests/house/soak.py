"""Many streamed requests through the house while keys rotate, nodes die and the balancer breaks connections.

python -m tests.house.soak [--requests 10000] [--real 50]

Every answer is compared with what the engine must have said. An answer that is wrong or short without an error, or that
never ends, is a fault; so is an error that nothing here can cause.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from examples.house.asking import policy_text
from examples.house.cluster import Cluster, Engine, haproxy
from examples.house.hostile_balancer import HostileBalancer
from rich.console import Console
from rich.progress import Progress

from ringfence import AsyncAssistant, Retry, RingfenceError, Settings
from ringfence.policy import read_policy
from ringfence.testing import PartnerServer

ECHO = "I was asked: "
MODEL = "scripted"
REAL_MODEL = "smollm2-135m-instruct"
DECLARED = frozenset({"StreamTruncated", "StreamBroken", "ConnectFailed", "NodeUnavailable", "Overloaded", "TimedOut"})
"""What a broken connection or a node that dies may end a request with."""
LOST_S = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Soak:
    """How much, and what is done to it. Every `_every_s` is the mean of random pauses; 0 leaves it out."""

    requests: int = 10_000
    at_once: int = 8
    pace_s: float = 0.0
    """Between one question and the next of the same asker."""
    key_life_s: int = 6
    kill_every_s: float = 40.0
    reset_every_s: float = 5.0
    balancer_every_s: float = 60.0
    seed: int = 8812


@dataclass(slots=True, kw_only=True)
class Tally:
    """What became of the requests, and what was done meanwhile."""

    right: int = 0
    faults: Counter[str] = field(default_factory=Counter[str])
    errors: Counter[str] = field(default_factory=Counter[str])
    said: Counter[str] = field(default_factory=Counter[str])
    """The same errors, in their own words."""
    done: Counter[str] = field(default_factory=Counter[str])
    nodes: Counter[str] = field(default_factory=Counter[str])
    """By the evidence that the answer was attested with: one for each key that a node had."""
    seconds: float = 0.0

    @property
    def holds(self) -> bool:
        """Whether nothing was wrong, cut or lost, and every error was one that was declared."""
        return not self.faults and not self.errors.keys() - DECLARED


async def soak(plan: Soak, cluster: Cluster, on_answer: Callable[[], None] = lambda: None) -> Tally:
    """Asks `plan.requests` questions of `cluster`, which answers with an echo."""
    tally = Tally()
    began = time.monotonic()
    front = cluster.balancer_address if cluster.balancer is not None else None
    directory = front or cluster.directory_address
    nodes = (front,) if front else cluster.node_addresses
    with HostileBalancer(directory=directory, nodes=nodes, record=False) as balancer:
        policy = read_policy(policy_text(model=MODEL, url=balancer.url, trust=cluster.trust))
        retry = Retry(attempts=4, wait_s=0.1)
        async with (
            AsyncAssistant(policy, audit=False, retry=retry) as assistant,
            _disturbed(plan, cluster, balancer, tally),
        ):
            numbers = iter(range(plan.requests))
            await asyncio.gather(*(_asker(assistant, numbers, plan, tally, on_answer) for _ in range(plan.at_once)))
    tally.seconds = time.monotonic() - began
    return tally


async def _asker(
    assistant: AsyncAssistant, numbers: Iterator[int], plan: Soak, tally: Tally, on_answer: Callable[[], None]
) -> None:
    for number in numbers:
        await asyncio.sleep(plan.pace_s)
        question = _question(number, plan.seed)
        try:
            async with asyncio.timeout(LOST_S):
                await _one(assistant, question, tally)
        except TimeoutError:
            tally.faults["lost"] += 1
        except RingfenceError as error:
            tally.errors[type(error).__name__] += 1
            tally.said[str(error)] += 1
        on_answer()


def _question(number: int, seed: int) -> str:
    """Never the same twice, mostly short."""
    chance = random.Random(f"{seed}/{number}")
    words = [f"{chance.randrange(1 << 32):x}" for _ in range(min(400, 1 + int(chance.expovariate(1 / 15))))]
    return f"{number}: {' '.join(words)}"


async def _one(assistant: AsyncAssistant, question: str, tally: Tally) -> None:
    async with assistant.stream(question) as stream:
        text = "".join([piece async for piece in stream.text()])
        response = await stream.response()
    expected = ECHO + question
    tally.nodes[str(response.receipt.attestation_digest)] += 1
    if text == expected == response.text:
        tally.right += 1
    else:
        tally.faults["cut" if expected.startswith(text) else "wrong"] += 1


# ------------------------------------------------------------------ what goes wrong meanwhile
@asynccontextmanager
async def _disturbed(plan: Soak, cluster: Cluster, balancer: HostileBalancer, tally: Tally) -> AsyncGenerator[None]:
    chance = random.Random(plan.seed)

    async def again_and_again(name: str, every_s: float, act: Callable[[], None]) -> None:
        while every_s:
            await asyncio.sleep(every_s * chance.uniform(0.5, 1.5))
            tally.done[name] += 1
            await asyncio.to_thread(act)

    def kill_a_node() -> None:
        node = chance.choice(cluster.nodes)
        node.kill()
        time.sleep(chance.uniform(0.0, 2.0))
        node.start()
        node.wait(60)

    def restart_the_balancer() -> None:
        if cluster.balancer is not None:
            cluster.balancer.kill()
            cluster.balancer.start()
            cluster.balancer.wait(60)

    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(again_and_again("connections reset", plan.reset_every_s, balancer.reset)),
            group.create_task(again_and_again("nodes killed", plan.kill_every_s, kill_a_node)),
            group.create_task(again_and_again("balancer killed", plan.balancer_every_s, restart_the_balancer)),
        ]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()


@contextmanager
def house(key_life_s: int, engine: PartnerServer) -> Generator[Cluster]:
    """Two nodes over `engine` with keys of that life; HAProxy before them where it is installed."""
    with tempfile.TemporaryDirectory(prefix="ringfence-soak-") as folder:
        options = ["--key-life-seconds", str(key_life_s), "--key-grace-seconds", "3", "--no-access-log"]
        scripted = Engine(model=MODEL, url=engine.url)
        with Cluster(Path(folder), engine=scripted, balanced=haproxy() is not None, options=options) as cluster:
            yield cluster


# ------------------------------------------------------------------ the command
async def _real(count: int) -> Counter[str]:
    """The same question `count` times through the house with the embedded model: each answer is the first one's."""
    found = Counter[str]()
    settings = Settings(max_output_tokens=16, temperature=0.0)
    with (
        tempfile.TemporaryDirectory(prefix="ringfence-soak-") as folder,
        Cluster(Path(folder), engine=Engine(model=REAL_MODEL), balanced=False) as cluster,
        HostileBalancer(directory=cluster.directory_address, nodes=cluster.node_addresses, record=False) as balancer,
    ):
        policy = read_policy(policy_text(model=REAL_MODEL, url=balancer.url, trust=cluster.trust))
        async with AsyncAssistant(policy, audit=False) as assistant:
            for _ in range(count):
                async with assistant.stream("Name the capital of France.", settings=settings) as stream:
                    found[(await stream.response()).text] += 1
    return found


def main() -> int:
    """Runs it as the arguments say; 1 if anything was wrong, cut or lost."""
    parser = argparse.ArgumentParser(prog="soak", description=__doc__)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--real", type=int, default=50)
    given = parser.parse_args()
    console = Console(stderr=True)
    plan = Soak(requests=given.requests)
    with (
        PartnerServer("chat", echo=True, keyless=True) as engine,
        house(plan.key_life_s, engine) as cluster,
        Progress(console=console) as progress,
    ):
        task = progress.add_task("soaking", total=plan.requests)
        tally = asyncio.run(soak(plan, cluster, lambda: progress.advance(task)))
    print(f"{plan.requests} requests in {tally.seconds:.0f} s: {tally.right} right, {dict(tally.faults)} faults")
    print(f"errors: {dict(tally.errors)}; meanwhile: {dict(tally.done)}; keys that answered: {len(tally.nodes)}")
    for words, count in tally.said.most_common():
        print(f"{count:6} × {words}")
    if given.real:
        with console.status(f"{given.real} requests of the embedded model"):
            answers = asyncio.run(_real(given.real))
        print(f"embedded model: {answers.total()} answers, {len(answers)} different")
    return 0 if tally.holds else 1


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main())
    sys.exit(130)
