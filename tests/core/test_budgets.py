"""Budgets end to end: every send reserves, a spent one passes its recipient over, and nothing is overspent."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap
import threading
from collections.abc import AsyncGenerator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.core.support import NO_WAIT, drain, policy

from ringfence import AsyncAssistant, Policy
from ringfence.assistant.build import RequestOptions
from ringfence.errors import BudgetSpent, ConnectFailed, GateError, Overloaded, RateLimited
from ringfence.grant import Grant
from ringfence.policy.document import Budget
from ringfence.policy.policy import enforce
from ringfence.privacy.gate import Gate
from ringfence.privacy.labels import Labeller
from ringfence.provider import Plan
from ringfence.recipient import Recipient
from ringfence.request import Message, Request, Settings, TextPart
from ringfence.response import Finish, ProviderEvent, Usage, UsageReport
from ringfence.routing.budget import Cost, Reservation
from ringfence.routing.ledger import FILE, Ledger
from ringfence.testing import Script, ScriptedProvider, call_events, failing, text_events


def rules(*budgets: Budget, **how: Any) -> Policy:
    document = policy("first", "second", fallback=("second",), **how).document
    return enforce(replace(document, budgets=budgets), source="test", name="under-test")


def budget(**changes: Any) -> Budget:
    given: dict[str, Any] = {"id": "b", "of": frozenset({"first"}), "limit": 2, "unit": "requests", "per": "total"}
    return Budget(**{**given, **changes})


class Priced(ScriptedProvider):
    """A cent a token."""

    def price_usd(self, recipient: Recipient, usage: Usage) -> float | None:
        return ((usage.input_tokens or 0) + (usage.output_tokens or 0)) / 100


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "state"
    monkeypatch.setenv("RINGFENCE_STATE_DIR", str(folder))
    return folder


def untouched(path: Path) -> bool:
    return not path.exists()


def damage(state: Path) -> None:
    state.mkdir()
    (state / FILE).write_bytes(b"this is no database" * 100)


def assistant(policy_: Policy, first: Any = None, second: Any = None, **more: Any) -> AsyncAssistant:
    providers = {"first": first or ScriptedProvider("1"), "second": second or ScriptedProvider("2")}
    return AsyncAssistant(policy_, providers=providers, audit=False, retry=NO_WAIT, **more)


def answer(tokens_in: int | None, tokens_out: int | None) -> Script:
    usage = UsageReport(usage=Usage(input_tokens=tokens_in, output_tokens=tokens_out))
    return Script(events=[*text_events("x")[:-2], usage, Finish("stop")])


SHORT: RequestOptions = {"settings": Settings(max_output_tokens=100)}


async def _spent(it: AsyncAssistant) -> list[tuple[float, float]]:
    return [(state.spent, state.reserved) for state in await it.budgets()]


async def test_when_it_is_spent_the_next_recipient_of_the_plan_answers() -> None:
    first = ScriptedProvider("1")
    async with assistant(rules(budget()), first) as it:
        assert [(await it.respond("x")).text for _ in range(4)] == ["1", "1", "2", "2"]
        assert await _spent(it) == [(2, 0)]
    assert len(first.requests) == 2


async def test_when_nothing_is_left_the_app_is_told_which_budget_and_nothing_was_sent() -> None:
    first = ScriptedProvider("1")
    async with assistant(rules(budget(limit=0, per="month", id="monthly")), first) as it:
        with pytest.raises(BudgetSpent) as caught:
            await it.respond("x", to="first")
    error = caught.value
    assert (error.budget, error.limit) == ("monthly", "0 requests per month")
    assert error.resets_at is not None
    assert first.requests == []
    assert error.receipt is not None
    assert [attempt.error for attempt in error.receipt.attempts] == ["BudgetSpent"]


async def test_another_assistant_and_an_edited_policy_go_on_counting() -> None:
    async with assistant(rules(budget())) as it:
        await it.respond("x")
    async with assistant(rules(budget(limit=2, of=frozenset({"house"})))) as it:
        assert await _spent(it) == [(1, 0)]
        await it.respond("x")
        with pytest.raises(BudgetSpent):
            await it.respond("x")


async def test_retries_and_fallbacks_each_reserve() -> None:
    first = ScriptedProvider(failing(Overloaded("full")))
    own, all_ = budget(limit=10), budget(id="all", of=frozenset({"house"}), limit=10)
    async with assistant(rules(own, all_), first) as it:
        assert (await it.respond("x")).text == "2"
        assert await _spent(it) == [(3, 0), (4, 0)]


async def test_each_model_call_of_a_tool_loop_reserves() -> None:
    def weather() -> str:
        return "rain"

    first = ScriptedProvider(call_events("weather"), call_events("weather"), "done")
    async with assistant(rules(budget(limit=2)), first) as it:
        response = await it.respond("x", tools=[weather])
    assert response.text == "2"
    assert [receipt.recipient for receipt in response.earlier_receipts] == ["first", "first"]


async def test_what_is_settled_is_what_the_usage_says() -> None:
    tokens = budget(unit="tokens", limit=10_000)
    usd = budget(id="usd", unit="USD", limit=1_000)
    async with assistant(rules(tokens, usd), Priced(answer(30, 12))) as it:
        await it.respond("x", **SHORT)
        assert await _spent(it) == [(42, 0), (pytest.approx(0.42), 0)]


@pytest.mark.parametrize("script", [answer(None, None), answer(5, None), Script(events=text_events("x")[:3])])
async def test_what_is_not_known_counts_as_what_was_reserved(script: Script) -> None:
    async with assistant(rules(budget(unit="tokens", limit=10_000)), Priced(script)) as it:
        stream = it.stream("x", to="first", settings=Settings(max_output_tokens=100))
        await drain(stream)
        ((spent, reserved),) = await _spent(it)
    assert spent >= 1024 + 64 + 1 + 100
    assert reserved == 0


async def test_a_cancelled_answer_counts_as_what_was_reserved() -> None:
    async with assistant(rules(budget(unit="tokens", limit=10_000)), Priced(Script(delay_s=0.01))) as it:
        stream = it.stream("x", **SHORT)
        async for _ in stream:
            assert (await _spent(it))[0][1] > 1000
            break
        await stream.aclose()
        ((spent, reserved),) = await _spent(it)
    assert spent > 1000
    assert reserved == 0


@pytest.mark.parametrize(
    "error", [RateLimited("slow down"), ConnectFailed("no connection")], ids=lambda e: type(e).__name__
)
async def test_a_recipient_that_refused_at_once_cost_no_tokens(error: Any) -> None:
    async with assistant(rules(budget(unit="tokens", limit=10_000), budget(id="n")), Priced(failing(error))) as it:
        await it.respond("x", **SHORT)
        assert await _spent(it) == [(0, 0), (2, 0)]


async def test_where_nothing_was_sent_nothing_is_counted() -> None:
    class NeverSpends(ScriptedProvider):
        events: tuple[ProviderEvent, ...] = ()

        async def run(self, plan: Plan[object], grant: Grant) -> AsyncGenerator[ProviderEvent, None]:
            for event in self.events:
                yield event
            raise Overloaded("before it spent its grant")

    async with assistant(rules(budget(limit=50)), NeverSpends()) as it:
        await it.respond("x")
        assert await _spent(it) == [(0, 0)]


async def test_a_send_that_may_cost_more_than_is_left_is_refused_before_it_is_made() -> None:
    first = Priced(answer(1, 1))
    async with assistant(rules(budget(unit="tokens", limit=1500)), first) as it:
        assert (await it.respond("x", settings=Settings(max_output_tokens=300))).text == "x"
        assert (await it.respond("x", settings=Settings(max_output_tokens=1000))).text == "2"
        assert (await it.respond("x" * 600, settings=Settings(max_output_tokens=10))).text == "2"
    assert len(first.requests) == 1


async def test_without_a_price_a_budget_of_money_refuses() -> None:
    first = ScriptedProvider("1", cost_usd=None)
    async with assistant(rules(budget(unit="USD", limit=1e6)), first) as it:
        with pytest.raises(GateError, match="the price of this request is not known"):
            await it.respond("x", to="first")
    assert first.requests == []


async def test_all_budgets_over_a_recipient_must_have_room() -> None:
    wide, narrow = budget(id="wide", of=frozenset({"house"}), limit=9), budget(id="narrow", limit=1)
    async with assistant(rules(wide, narrow)) as it:
        assert [(await it.respond("x")).text for _ in range(3)] == ["1", "2", "2"]
        assert await _spent(it) == [(3, 0), (1, 0)]


async def test_a_record_that_cannot_be_used_refuses_the_recipient(state: Path) -> None:
    damage(state)
    first = ScriptedProvider("1")
    async with assistant(rules(budget()), first) as it:
        assert (await it.respond("x")).text == "2"
        with pytest.raises(GateError, match=r"recipient 'first' has a budget: the record of budgets in .* is damaged"):
            await it.respond("x", to="first")
    assert first.requests == []


async def test_the_gate_grants_nothing_that_was_not_reserved() -> None:
    own = rules(budget())
    gate = Gate(own, Labeller(own))
    request = Request(messages=(Message("user", (TextPart("x"),)),))
    prepared = gate.prepare(gate.clear(request), "first")
    with pytest.raises(GateError, match="none was reserved"):
        gate.grant(prepared)
    ledger = Ledger()
    elsewhere = ledger.reserve("p", (), "second", Cost(usd=0, tokens=0))
    with pytest.raises(GateError, match="none was reserved"):
        gate.grant(prepared, None, elsewhere)
    here = ledger.reserve("p", own.document.budgets, "first", Cost(usd=0, tokens=0))
    assert not gate.grant(prepared, None, here).spent
    ledger.close()


async def test_64_requests_at_once_get_exactly_what_there_is() -> None:
    first = ScriptedProvider("1")
    async with assistant(rules(budget(limit=10)), first) as it:
        texts = [response.text for response in await asyncio.gather(*(it.respond("x") for _ in range(64)))]
    assert sorted(texts) == ["1"] * 10 + ["2"] * 54
    assert len(first.requests) == 10


_CHILD = """
    import asyncio
    from tests.core.test_budgets import *

    async def main():
        first = ScriptedProvider("1")
        async with assistant(rules(budget(limit=40)), first) as it:
            await asyncio.gather(*(it.respond("x") for _ in range(64)))
        print(len(first.requests))

    asyncio.run(main())
"""


def test_several_processes_of_64_requests_at_once_get_exactly_what_there_is() -> None:
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", textwrap.dedent(_CHILD)]
    children = [subprocess.Popen(command, stdout=subprocess.PIPE, cwd=root, text=True) for _ in range(3)]
    sent = [int(child.communicate(timeout=120)[0]) for child in children]
    assert sum(sent) == 40
    with closing(Ledger()) as ledger:
        (state,) = ledger.states("under-test", (budget(limit=40),))
    assert (state.spent, state.reserved) == (40, 0)


async def test_one_who_is_cancelled_while_waiting_for_the_record_leaves_no_reservation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with assistant(rules(budget(limit=5))) as it:
        await it.respond("x")
        other = Ledger()
        begun, go_on, reserved = asyncio.Event(), asyncio.Event(), threading.Event()
        reserve = Ledger.reserve

        def reserving(*given: Any, **how: Any) -> Reservation:
            made = reserve(*given, **how)
            reserved.set()
            return made

        monkeypatch.setattr(Ledger, "reserve", reserving)
        loop = asyncio.get_running_loop()

        def hold(_: Any) -> None:
            loop.call_soon_threadsafe(begun.set)
            asyncio.run_coroutine_threadsafe(go_on.wait(), loop).result(30)

        holding = asyncio.create_task(asyncio.to_thread(other.file.write, hold))
        await begun.wait()
        asked = asyncio.create_task(it.respond("x"))
        await asyncio.sleep(0.05)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        go_on.set()
        await holding
        assert await asyncio.to_thread(reserved.wait, 30)
        async with asyncio.timeout(30):
            while await _spent(it) != [(1, 0)]:  # noqa: ASYNC110  (no event tells)
                await asyncio.sleep(0.01)
        other.close()


async def test_a_policy_without_budgets_touches_no_file(state: Path) -> None:
    async with assistant(rules()) as it:
        await it.respond("x")
        assert await it.budgets() == ()
    assert untouched(state)
