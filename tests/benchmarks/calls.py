"""What the core adds to a call and to a streamed event, and what the synchronous face adds to that."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, TypeAlias

from tests.benchmarks.clock import Work, differences, median, take_turns
from tests.benchmarks.row import Bar, Row
from tests.benchmarks.scripted import QUESTION, Pair, pair
from tests.benchmarks.setting import Setting

from ringfence import Assistant
from ringfence.testing import ScriptedProvider

EVENTS = 1_000
_Run: TypeAlias = Callable[[int], Coroutine[Any, Any, None]]


def rows(setting: Setting) -> list[Row]:
    """Direct and through the core, in turns, on one event loop."""
    with tempfile.TemporaryDirectory() as folder, asyncio.Runner() as runner:
        stack = AsyncExitStack()
        short, long = runner.run(_enter(stack, Path(folder)))
        try:
            return [*_call_rows(setting, runner, short), *_event_rows(setting, runner, short, long)]
        finally:
            runner.run(stack.aclose())


async def _enter(stack: AsyncExitStack, folder: Path) -> tuple[Pair, Pair]:
    return (
        await stack.enter_async_context(pair(folder / "short")),
        await stack.enter_async_context(pair(folder / "long", chunks=EVENTS + 1)),
    )


def _work(runner: asyncio.Runner, run: _Run, count: int) -> Work:
    return lambda: runner.run(run(count))


def _call_rows(setting: Setting, runner: asyncio.Runner, short: Pair) -> list[Row]:
    count = setting.times(400)
    works = {"direct": _work(runner, short.direct, count), "core": _work(runner, short.responded, count)}
    taken = take_turns(works, rounds=setting.rounds(15))
    added_us = [added * 1e6 for added in differences(taken["core"], taken["direct"], per=count)]
    direct_us = median(taken["direct"]) * 1e6 / count
    return [
        Row(
            group="call",
            what="what the core adds to one call (policy and audit on)",
            value=median(added_us),
            unit="µs",
            lowest=min(added_us),
            bar=Bar(limit=150, text="< 150 µs"),
            note=f"the provider called directly takes {direct_us:.0f} µs",
        )
    ]


def _event_rows(setting: Setting, runner: asyncio.Runner, short: Pair, long: Pair) -> list[Row]:
    count = setting.times(60)
    works = {
        "direct": _work(runner, short.direct_stream, count),
        "core": _work(runner, short.streamed, count),
        "direct long": _work(runner, long.direct_stream, count),
        "core long": _work(runner, long.streamed, count),
    }
    taken = take_turns(works, rounds=setting.rounds(9))
    direct = differences(taken["direct long"], taken["direct"], per=count * EVENTS)
    core = differences(taken["core long"], taken["core"], per=count * EVENTS)
    added_us = [added * 1e6 for added in differences(core, direct, per=1)]
    return [
        Row(
            group="call",
            what="what the core adds to one streamed event",
            value=median(added_us),
            unit="µs",
            lowest=min(added_us),
            bar=Bar(limit=3, text="< 3 µs"),
            note=f"streams of {EVENTS:,} deltas; drawn directly an event takes {median(direct) * 1e6:.2f} µs",
        )
    ]


def sync_rows(setting: Setting) -> list[Row]:
    """`Assistant.respond` against `AsyncAssistant.respond`."""
    count = setting.times(400)
    with tempfile.TemporaryDirectory() as folder, asyncio.Runner() as runner:
        stack = AsyncExitStack()
        short, _ = runner.run(_enter(stack, Path(folder)))
        provider = ScriptedProvider("word ")
        with Assistant(providers={"mlx": provider}, audit=Path(folder) / "sync") as assistant:

            def responded() -> None:
                for _ in range(count):
                    assistant.respond(QUESTION)
                    provider.requests.clear()
                    provider.grants.clear()

            works = {"async": _work(runner, short.responded, count), "sync": responded}
            taken = take_turns(works, rounds=setting.rounds(9))
        runner.run(stack.aclose())
    added_us = [added * 1e6 for added in differences(taken["sync"], taken["async"], per=count)]
    whole_us = median(taken["sync"]) * 1e6 / count
    return [
        Row(
            group="sync",
            what="what Assistant adds to AsyncAssistant, one call",
            value=median(added_us),
            unit="µs",
            lowest=min(added_us),
            note=f"a hop to another thread and back; {whole_us:.0f} µs in all",
        )
    ]
