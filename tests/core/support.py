"""Policies, providers and small helpers that the tests of the core share."""

from __future__ import annotations

import asyncio
import json
import traceback
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ringfence import AsyncAssistant, Policy, Retry, Timeouts
from ringfence.errors import RingfenceError
from ringfence.grant import Grant
from ringfence.policy import read_policy
from ringfence.provider import Plan, Provider
from ringfence.response import Event, Joined, ProviderEvent, TextDelta
from ringfence.testing import ScriptedProvider

CANARY = "canary-4711-zebra"
"""Content that must show up nowhere but in the answer."""

NO_WAIT = Retry(attempts=3, wait_s=0.0, max_wait_s=5.0)
ONCE = Retry(attempts=1)

_HEAD = """\
version: 1
name: under-test
labels:
  public: {}
  work: {declare: true}
  health: {declare: true}
  unclassified: {}
unknown: unclassified
"""

_ALLOW_ALL = """\
flow:
  - id: any
    allow: {labels: "*", to: [device, house]}
"""


def policy_text(
    recipients: Iterable[str] = ("first",),
    *,
    prefer: Iterable[str] | None = None,
    fallback: Iterable[str] = (),
    on_broken_stream: str = "fail",
    flow: str = _ALLOW_ALL,
    rings: dict[str, str] | None = None,
    head: str = _HEAD,
) -> str:
    """A policy over recipients whose provider has the recipient's own name; all in the house unless `rings` says."""
    names = tuple(recipients)
    backup = tuple(fallback)
    first = tuple(prefer) if prefer is not None else tuple(name for name in names if name not in backup)
    rings = rings or {}
    lines = [f"  {name}: {{ring: {rings.get(name, 'house')}, provider: {name}, model: m}}" for name in names]
    return (
        f"{head}recipients:\n" + "\n".join(lines) + f"\n{flow}"
        "route:\n"
        "  - id: only\n"
        f"    prefer: [{', '.join(first)}]\n"
        f"    fallback: {'[' + ', '.join(backup) + ']' if backup else 'none'}\n"
        f"    on_broken_stream: {on_broken_stream}\n"
    )


def policy(*recipients: str, **how: Any) -> Policy:
    """The policy of `policy_text`."""
    return read_policy(policy_text(recipients or ("first",), **how))


def assistant(
    policy_in_force: Policy,
    audit: Path | bool = False,
    *,
    retry: Retry = NO_WAIT,
    timeouts: Timeouts | None = None,
    **providers: Provider,
) -> AsyncAssistant:
    """An assistant with `providers` by name and quick retries."""
    return AsyncAssistant(policy_in_force, providers=providers, audit=audit, retry=retry, timeouts=timeouts)


def records(folder: Path) -> list[dict[str, Any]]:
    """The receipts in the audit log of `folder`, oldest first."""
    files = [path for path in folder.iterdir() if path.suffix == ".jsonl"]
    return [json.loads(line)["receipt"] for path in files for line in path.read_text().splitlines()]


def recipients_asked(**providers: ScriptedProvider) -> list[str]:
    """The names of the providers that were sent something."""
    return [name for name, provider in providers.items() if provider.requests]


def chain(error: BaseException) -> Iterator[BaseException]:
    """`error` and everything that hangs on it as cause or context."""
    seen: set[int] = set()
    todo: list[BaseException | None] = [error]
    while todo:
        one = todo.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        todo += [one.__cause__, one.__context__]


def shown(error: BaseException) -> str:
    """All that printing, logging or reporting `error` would show of it and of what hangs on it."""
    texts: list[str] = []
    for one in chain(error):
        texts += [str(one), repr(one), repr(one.args)]
        if isinstance(one, RingfenceError):
            texts += [one.message, str(one.way_out), repr(one.receipt)]
    return "\n".join((*texts, "".join(traceback.format_exception(error))))


def as_shown(events: Sequence[Event]) -> str:
    """The text an app shows that follows the joins: a restart drops what came before."""
    text = ""
    for event in events:
        if isinstance(event, Joined) and event.how == "restart":
            text = ""
        if isinstance(event, TextDelta):
            text += event.text
    return text


async def drain(stream: Any) -> tuple[list[Event], RingfenceError | None]:
    """The events of `stream`, and the error that ended it if there was one."""
    events: list[Event] = []
    try:
        async for event in stream:
            events.append(event)  # noqa: PERF401  (what came before an error is kept)
    except RingfenceError as error:
        return events, error
    return events, None


async def until(condition: Callable[[], bool], *, within_s: float = 5.0) -> None:
    """Waits until `condition` holds; the test fails if it never does."""
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110  (what it waits for is told by no event)
            await asyncio.sleep(0.001)


Body = Callable[[Plan[object], Grant], AsyncGenerator[ProviderEvent, None]]


class Acting(ScriptedProvider):
    """A provider whose `run` is the function given, and so may break the interface in any way."""

    def __init__(self, body: Body) -> None:
        super().__init__()
        self._body = body
        self.ended = 0

    async def run(self, plan: Plan[object], grant: Grant) -> AsyncGenerator[ProviderEvent, None]:
        self.requests.append(plan.request)
        self.grants.append(grant)
        body = self._body(plan, grant)
        try:
            async for event in body:
                yield event
        finally:
            self.ended += 1
            await body.aclose()
