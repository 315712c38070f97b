"""Readiness, by a probe that does as the test says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
import pytest_asyncio

from ringfence.errors import (
    AuthenticationFailed,
    BackendDied,
    ConnectFailed,
    Overloaded,
    RequestRejected,
    RingfenceError,
    StreamBroken,
    TimedOut,
    Unavailable,
)
from ringfence_house_node.engine.backoff import pause_s
from ringfence_house_node.engine.cause import cause_of
from ringfence_house_node.engine.watch import Watch


@dataclass(kw_only=True)
class Probe:
    """`error` is what the next probes end with; one that `hangs` ends with nothing."""

    error: RingfenceError | None = None
    hangs: bool = False
    count: int = 0
    released: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self) -> None:
        self.count += 1
        if self.hangs:
            await self.released.wait()
        if self.error is not None:
            raise self.error


MakeWatch = Callable[..., Watch]


@pytest_asyncio.fixture
async def make_watch() -> AsyncIterator[MakeWatch]:
    made: list[Watch] = []

    def make(probe: Probe, **fields: Any) -> Watch:
        given: dict[str, Any] = {"start_timeout_s": 30.0, "probe_every_s": 60.0, "probe_timeout_s": 30.0, **fields}
        made.append(Watch(probe, **given))
        return made[-1]

    yield make
    for watch in made:
        await watch.close()


async def test_it_is_ready_after_a_token_and_not_before(make_watch: MakeWatch, until: Any) -> None:
    probe = Probe(hangs=True)
    watch = make_watch(probe)
    starting = asyncio.create_task(watch.start())
    await until(lambda: probe.count == 1)
    assert str(watch.readiness) == "starting"
    probe.released.set()
    await starting
    assert str(watch.readiness) == "ready"


@pytest.mark.parametrize("error", [BackendDied("x"), ConnectFailed("x", phase="connect")])
async def test_what_says_that_the_engine_is_gone_counts_at_once(
    make_watch: MakeWatch, until: Any, error: RingfenceError
) -> None:
    probe = Probe()
    watch = make_watch(probe)
    await watch.start()
    watch.failed(error)
    assert str(watch.readiness) == "starting"
    await until(lambda: str(watch.readiness) == "ready")
    assert probe.count == 2


@pytest.mark.parametrize(
    "error", [StreamBroken("x"), ConnectFailed("x", phase="before_first_event"), Unavailable("x", reason="no_model")]
)
async def test_a_doubt_brings_the_next_token_forward_and_changes_nothing_by_itself(
    make_watch: MakeWatch, until: Any, error: RingfenceError
) -> None:
    """An engine that drops the connection of one caller answers the others."""
    probe = Probe()
    watch = make_watch(probe)
    await watch.start()
    watch.failed(error)
    assert str(watch.readiness) == "ready"
    await until(lambda: probe.count == 2)
    assert str(watch.readiness) == "ready"


async def test_a_request_that_was_refused_says_nothing_of_the_engine(make_watch: MakeWatch) -> None:
    probe = Probe()
    watch = make_watch(probe)
    await watch.start()
    watch.failed(RequestRejected("x"))
    await asyncio.sleep(0.05)
    assert (str(watch.readiness), probe.count) == ("ready", 1)


async def test_while_answers_come_no_token_is_asked_for(
    make_watch: MakeWatch, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SimpleNamespace(monotonic=lambda: 5.0)
    monkeypatch.setattr("ringfence_house_node.engine.watch.time", clock)
    probe = Probe()
    watch = make_watch(probe, probe_every_s=0.02)
    await watch.start()
    watch.alive()
    await asyncio.sleep(0.1)
    assert probe.count == 1
    clock.monotonic = lambda: 6.0
    await until(lambda: probe.count > 1)
    assert str(watch.readiness) == "ready"


async def test_one_that_starts_its_engine_itself_is_unready_while_that_takes(make_watch: MakeWatch, until: Any) -> None:
    probe = Probe()
    watch = make_watch(probe, starts=True, probe_every_s=0.05)
    await watch.start()
    probe.hangs = True
    await until(lambda: str(watch.readiness) == "starting")
    probe.released.set()
    await until(lambda: str(watch.readiness) == "ready")


async def test_one_that_keeps_failing_has_failed_and_comes_back(make_watch: MakeWatch, until: Any) -> None:
    probe = Probe(error=BackendDied("x"))
    watch = make_watch(probe, starts=True)
    await watch.start()
    await until(lambda: str(watch.readiness) == "failed")
    probe.error = None
    await until(lambda: str(watch.readiness) == "ready")


async def test_a_cause_is_said_once_when_it_changes_and_that_it_is_over(
    make_watch: MakeWatch, until: Any, said: list[str]
) -> None:
    probe = Probe(error=ConnectFailed("no connection"))
    watch = make_watch(probe)
    starting = asyncio.create_task(watch.start())
    await until(lambda: probe.count > 2)
    assert [line.partition(" (")[0] for line in said] == [
        "the engine is not ready: nothing listens at the engine's url"
    ]
    assert watch.cause is not None
    assert watch.cause.word == "nothing_listens"
    probe.error = AuthenticationFailed("x")
    await until(lambda: len(said) > 1)
    assert "it wants a key" in said[1]
    assert "--engine-key" in said[1]
    probe.error = None
    await until(lambda: len(said) > 2)
    await starting
    assert said[2:] == ["the engine answers"]


async def test_an_engine_that_dies_later_is_said_anew(make_watch: MakeWatch, until: Any, said: list[str]) -> None:
    watch = make_watch(Probe())
    await watch.start()
    assert said == []
    for _ in range(2):
        watch.failed(BackendDied("the process died"))
        await until(lambda: str(watch.readiness) == "ready")
    assert said == ["the engine is not ready: the process died", "the engine answers"] * 2


@pytest.mark.parametrize(
    ("error", "ours", "word", "says", "way_out"),
    [
        (Unavailable("no such model", reason="no_model", way_out="pull it"), True, "no_model", "no such", "pull it"),
        (Unavailable("x", reason="no_model", way_out="url:"), False, "no_model", "knows no such", "--served-model"),
        (ConnectFailed("x"), False, "nothing_listens", "nothing listens at the engine's url", "--engine-url"),
        (ConnectFailed("x", phase="before_first_event"), False, "connection_lost", "x", ""),
        (AuthenticationFailed("x", way_out="secret:"), False, "key_refused", "wants a key", "--engine-key env:NAME"),
        (TimedOut("x", limit="connect", phase="connect"), False, "silent", "no token in time", ""),
        (Overloaded("the recipient is failing"), False, "failing", "the engine is failing", ""),
        (RequestRejected("the recipient refused", way_out="url:"), False, "refused", "the engine refused", ""),
    ],
)
def test_every_cause_has_a_word_and_a_way_out_for_this_operator(
    error: RingfenceError, *, ours: bool, word: str, says: str, way_out: str
) -> None:
    cause = cause_of(error, ours=ours)
    assert cause.word == word
    assert says in cause.says
    assert way_out in (cause.way_out or "")
    assert "url:" not in str(cause)


def test_the_pause_grows_and_is_bounded() -> None:
    assert [pause_s(deaths) for deaths in (0, 1, 2, 3, 4, 100)] == [0, 0, 1, 2, 4, 60]
