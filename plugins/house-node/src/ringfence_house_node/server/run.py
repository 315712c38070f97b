"""The life of a node: starts, says that it is ready, serves, drains, ends."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from ringfence_house_node.server.app import admin_app, public_app
from ringfence_house_node.server.node import Node
from ringfence_house_node.server.serving import Bound, Server, Signals, first_of, leave_no_core

LOG = logging.getLogger("ringfence_house_node")

_LOOK_EVERY_S = 0.05


async def run_node(
    node: Node,
    *,
    public: Bound,
    admin: Bound,
    on_ready: Callable[[], None],
    releases: Path | None = None,
    meanwhile: Sequence[Callable[[], Coroutine[object, object, None]]] = (),
) -> int:
    """Serves until a signal, drains, and returns the exit code: 0 after SIGTERM, 130 after Ctrl-C, 1 after a failure.

    Args:
        node: What is served.
        public: Where clients reach it.
        admin: Where its operator does.
        on_ready: Called once, when requests are taken for the first time.
        releases: A release repository to serve as well, in development.
        meanwhile: What runs beside it until the end.
    """
    leave_no_core()
    asyncio.get_running_loop().set_exception_handler(_only_the_type)
    signals = Signals()
    async with signals():
        await asyncio.to_thread(node.ring.rotate)
        servers = [Server(admin_app(node), admin), Server(public_app(node, releases=releases), public)]
        side = [asyncio.create_task(work()) for work in (node.ring.keep, _starting(node, on_ready), *meanwhile)]
        for task in side:
            task.add_done_callback(lambda task: _end_if_failed(task, signals))
        try:
            await first_of(signals.asked, *(server.task for server in servers))
            await _drained(node, signals)
        finally:
            await _end(node, servers, side)
    return signals.exit_code


def _end_if_failed(task: asyncio.Task[None], signals: Signals) -> None:
    """A node without one of its parts ends: whoever supervises it starts it anew."""
    if not task.cancelled() and (error := task.exception()) is not None:
        LOG.error("the node ends: %s", type(error).__name__)
        signals.fail()


def _only_the_type(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    # INVARIANT: the words of an exception that nobody took may hold what was asked; they are not logged.
    LOG.error("the event loop reports: %s", type(context.get("exception")).__name__)


def _starting(node: Node, on_ready: Callable[[], None]) -> Callable[[], Coroutine[object, object, None]]:
    async def start() -> None:
        await node.service.start()
        if node.obstacles():
            LOG.warning("takes no requests yet: %s", ", ".join(node.obstacles()))
        while node.obstacles():  # noqa: ASYNC110  (a service has a state, not an event)
            await asyncio.sleep(_LOOK_EVERY_S)
        on_ready()

    return start


async def _drained(node: Node, signals: Signals) -> None:
    count = len(node.running)
    what = (
        f"finishing {count} request{'s' if count != 1 else ''}, at most {node.limits.drain_s:g} s"
        if count
        else "ending"
    )
    LOG.info("%s; Ctrl-C again ends at once", what)
    drain = asyncio.create_task(node.drain())
    await first_of(drain, signals.again)
    node.cut()
    await drain


async def _end(node: Node, servers: Sequence[Server], side: Sequence[asyncio.Task[None]]) -> None:
    for task in side:
        task.cancel()
    ending: list[Awaitable[object]] = [server.close() for server in reversed(servers)]
    await asyncio.gather(*ending, *side, return_exceptions=True)
    with suppress(Exception):
        await node.service.close()


__all__ = ["run_node"]
