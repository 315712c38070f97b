"""A whole call through the house against the same engine without it, in turns, in one run.

Wall time, since most of a call happens in other processes: medians of ratios. Beside it the CPU of client and nodes,
which a busy machine changes less.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TypeAlias

from examples.house.asking import policy_text
from examples.house.cluster import Cluster, Engine
from examples.house.hostile_balancer import HostileBalancer
from examples.house.processes import LOOPBACK, Background, free_port
from tests.benchmarks.clock import median, ratios
from tests.benchmarks.house_cpu import cpu_rows
from tests.benchmarks.row import Row
from tests.benchmarks.setting import Setting, child
from tests.benchmarks.tokens import Timed

from ringfence import AsyncAssistant, Settings
from ringfence.paths import cache_dir
from ringfence.policy import read_policy
from ringfence.response import TextDelta
from ringfence.testing import PartnerServer
from ringfence.testing.scenes import Scene
from ringfence_mlx.environment import worker_environment
from ringfence_mlx.machine import blas
from ringfence_mlx.models.catalog import EMBEDDED_MODEL
from ringfence_mlx.models.store import ModelStore

_SCENE = Scene(text=tuple(f"word{number} " for number in range(64)))
_HEROES = (
    "a lighthouse keeper", "two sisters who run a bakery", "a dog that guards a bridge", "the last tram of the night",
    "a gardener on the moon", "a violin nobody can tune", "a boy who collects maps", "an honest fox",
)  # fmt: skip
_PLAIN = """\
version: 1
name: plain
recipients:
  engine: {{ring: house, provider: openai, model: "{model}", url: "{url}", capabilities: [text],
           options: {{api: chat}}}}
labels: {{public: {{}}, unclassified: {{}}}}
unknown: unclassified
flow:
  - {{id: any, allow: {{labels: "*", to: [house]}}}}
route:
  - {{id: only, prefer: [engine]}}
"""

Ways: TypeAlias = Mapping[str, AsyncAssistant]


def call_rows(setting: Setting) -> list[Row]:
    """Against the same scripted engine asked directly, by the provider that the node's engine is asked with too."""
    return asyncio.run(_call_rows(setting))


async def _call_rows(setting: Setting) -> list[Row]:
    rounds = setting.rounds(25)
    with _scripted() as (policies, nodes):
        async with _ways(**policies) as ways:
            found = await _compared("house", ways, tokens=64, rounds=rounds)
            found += await cpu_rows(ways, _alone, what="CPU of a call", nodes=nodes, rounds=rounds)
            return found + await cpu_rows(ways, _eight, what="CPU of eight at once", nodes=nodes, rounds=rounds)


async def _alone(assistant: AsyncAssistant, number: int) -> None:
    await _answered(assistant, _prompts(number)[0], 64)


async def _eight(assistant: AsyncAssistant, number: int) -> None:
    await _together(assistant, number, 64)


@contextmanager
def _scripted() -> Generator[tuple[dict[str, str | None], list[int]]]:
    """The policies of two apps: one asks the house, one its engine. With them the process ids of the nodes."""
    with PartnerServer("chat", keyless=True) as engine, tempfile.TemporaryDirectory() as folder:
        engine.play(_SCENE)
        with _house(Path(folder), Engine(model="scripted", url=engine.url)) as (policy, nodes):
            yield {"house": policy, "direct": _PLAIN.format(model="scripted", url=engine.url)}, nodes


def model_rows(setting: Setting) -> list[Row]:
    """Against the same engine in this process's own worker, and against a bare `mlx_lm.server`."""
    return asyncio.run(_model_rows(setting))


async def _model_rows(setting: Setting) -> list[Row]:
    with (
        tempfile.TemporaryDirectory() as folder,
        _bare_server(Path(folder)) as bare,
        _house(Path(folder), Engine(model=EMBEDDED_MODEL)) as (policy, _),
    ):
        async with _ways(house=policy, direct=None, bare=bare) as ways:
            tokens = 8 if setting.quick else 48
            return await _compared("house-model", ways, tokens=tokens, rounds=setting.rounds(4))


@contextmanager
def _house(folder: Path, engine: Engine) -> Generator[tuple[str, list[int]]]:
    """The policy of an app that asks a house of two nodes over `engine`, through a balancer; and their process ids."""
    with (
        Cluster(folder, engine=engine, balanced=False) as cluster,
        HostileBalancer(directory=cluster.directory_address, nodes=cluster.node_addresses, record=False) as balancer,
    ):
        yield policy_text(model=engine.model, url=balancer.url, trust=cluster.trust), [one.pid for one in cluster.nodes]


@contextmanager
def _bare_server(folder: Path) -> Generator[str]:
    """The policy of an app that asks `mlx_lm.server` itself, with the embedded model and the BLAS that a worker has."""
    model, port = ModelStore(cache_dir() / "mlx").resolve(EMBEDDED_MODEL).path, free_port()
    server = Background(
        "mlx_lm.server",
        [sys.executable, "-m", "mlx_lm.server", "--model", str(model), "--port", str(port)],
        log=folder / "mlx_lm.log",
        ready_url=f"http://{LOOPBACK}:{port}/health",
        environment=blas.worker_environment(blas.best_blas(), worker_environment()),
    )
    server.start()
    try:
        server.wait(300)
        yield _PLAIN.format(model=model, url=f"http://{LOOPBACK}:{port}/v1")
    finally:
        server.stop()


@asynccontextmanager
async def _ways(**policies: str | None) -> AsyncGenerator[Ways]:
    """An assistant for each policy; without one, the built-in policy: the model in a worker of this process."""
    made = {
        name: AsyncAssistant(None if policy is None else read_policy(policy), audit=False)
        for name, policy in policies.items()
    }
    try:
        yield made
    finally:
        for assistant in made.values():
            await assistant.close()


async def _compared(group: str, ways: Ways, *, tokens: int, rounds: int) -> list[Row]:
    """The house against each other way: first word, the rest, and eight at once."""
    alone = await _in_turns(ways, lambda assistant, number: _answered(assistant, _prompts(number)[0], tokens), rounds)
    eight = await _in_turns(ways, lambda assistant, number: _together(assistant, -number, tokens), max(2, rounds // 3))
    found: list[Row] = []
    for other in (name for name in ways if name != "house"):
        named = f"house / {other}"
        found += [
            _row(group, f"time to the first word: {named}", alone["house"], alone[other], _first),
            _row(group, f"time after the first word: {named}", alone["house"], alone[other], _rest),
            _row(group, f"time of eight at once: {named}", eight["house"], eight[other], _whole),
        ]
    return found


async def _answered(assistant: AsyncAssistant, prompt: str, tokens: int) -> Timed:
    """One answer, timed where the app stands. Greedy; no setting that a plain server does not know."""
    settings = Settings(temperature=0, max_output_tokens=tokens)
    began_s = time.perf_counter()
    first_s = 0.0
    async with assistant.stream(prompt, instructions="", settings=settings) as events:
        async for event in events:
            if not first_s and type(event) is TextDelta:
                first_s = time.perf_counter() - began_s
        usage = (await events.response()).usage
    total_s = time.perf_counter() - began_s
    return Timed(
        first_s=first_s, total_s=total_s, tokens=usage.output_tokens or 0, prompt_tokens=usage.input_tokens or 0
    )


def _first(one: Timed) -> float:
    return one.first_s


def _rest(one: Timed) -> float:
    return one.total_s - one.first_s


def _whole(one: Timed) -> float:
    return one.total_s


def _prompts(number: int) -> list[str]:
    """Eight prompts that no other round has: what a server remembers of a prompt is of no use in the next round."""
    return [f"{number:+03}: write a long story about {hero}." for hero in _HEROES]


def _row(
    group: str, what: str, ours: Sequence[Timed], theirs: Sequence[Timed], seconds: Callable[[Timed], float]
) -> Row:
    mine, other = [seconds(one) * 1e3 for one in ours], [seconds(one) * 1e3 for one in theirs]
    tokens = f"{ours[0].tokens} and {theirs[0].tokens} tokens, {len(mine)} rounds"
    note = f"{median(mine):,.1f} against {median(other):,.1f} ms, {tokens}"
    compared = ratios(mine, other)
    return Row(group=group, what=what, value=median(compared), unit="×", lowest=min(compared), note=note)


async def _together(assistant: AsyncAssistant, number: int, tokens: int) -> Timed:
    began_s = time.perf_counter()
    each = await asyncio.gather(*(_answered(assistant, prompt, tokens) for prompt in _prompts(number)))
    total_s = time.perf_counter() - began_s
    return Timed(first_s=0, total_s=total_s, tokens=sum(one.tokens for one in each), prompt_tokens=0)


async def _in_turns(
    ways: Ways, ask: Callable[[AsyncAssistant, int], Awaitable[Timed]], rounds: int
) -> dict[str, list[Timed]]:
    """Each way, round by round; a first round connects and warms up, and does not count."""
    timed: dict[str, list[Timed]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, assistant in ways.items():
            one = await ask(assistant, number)
            if number:
                timed[name].append(one)
    return timed


def memory_rows(setting: Setting) -> list[Row]:
    """A client in a fresh process: what it holds after a few calls, and what more after many."""
    few, many = (20, 100) if setting.quick else (200, 2_000)
    with _scripted() as (policies, _), tempfile.TemporaryDirectory() as folder:
        return [_memory(Path(folder) / f"{name}.yaml", text or "", few, many) for name, text in policies.items()]


def _memory(file: Path, policy: str, few: int, many: int) -> Row:
    file.write_text(policy, encoding="utf-8")
    command = ["-m", "tests.benchmarks.house_memory_child", str(file), str(few), str(many)]
    first, last = (int(held) / 1e6 for held in json.loads(child(command)))
    what = f"a client's memory after {many:,} calls, {file.stem}"
    return Row(group="house-memory", what=what, value=last, unit="MB", note=f"{first:.1f} MB after {few}")
