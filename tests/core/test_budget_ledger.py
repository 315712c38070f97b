"""The ledger of budgets: never overspent, by threads, by processes, by those that are killed."""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import stat
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from ringfence.errors import BudgetSpent, StoreError
from ringfence.policy.document import Budget
from ringfence.provider import ModelCard
from ringfence.request import FilePart, Message, Request, Settings, TextPart
from ringfence.response import Usage
from ringfence.routing.budget import Cost, Reservation, known_tokens, most_usage, period_of, resets_at
from ringfence.routing.ledger import FILE, Ledger

ONE = Cost(usd=0.0, tokens=0)


def budget(**changes: Any) -> Budget:
    given_: dict[str, Any] = {
        "id": "b",
        "of": frozenset({"partner"}),
        "limit": 10,
        "unit": "requests",
        "per": "total",
        **changes,
    }
    return Budget(**given_)


def spent(ledger: Ledger, *budgets: Budget) -> tuple[tuple[float, float], ...]:
    return tuple((state.spent, state.reserved) for state in ledger.states("p", budgets or (budget(),)))


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    made = Ledger(tmp_path / "state")
    yield made
    made.close()


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


# ------------------------------------------------------------------ periods
@pytest.mark.parametrize(
    ("per", "moment", "period", "end"),
    [
        ("hour", "2026-12-31T23:59:59.9", "2026-12-31T23", "2027-01-01T00:00"),
        ("day", "2024-02-28T12:00", "2024-02-28", "2024-02-29T00:00"),
        ("week", "2026-11-22T07:00", "2026-W47", "2026-11-23T00:00"),
        ("week", "2026-11-23T00:00", "2026-W48", "2026-11-30T00:00"),
        ("week", "2027-01-01T10:00", "2026-W53", "2027-01-04T00:00"),
        ("month", "2026-12-31T23:00", "2026-12", "2027-01-01T00:00"),
        ("month", "2024-02-29T23:00", "2024-02", "2024-03-01T00:00"),
        ("year", "2024-02-29T23:00", "2024", "2025-01-01T00:00"),
        ("total", "2024-02-29T23:00", "total", None),
    ],
)
def test_periods_are_those_of_the_calendar_in_utc(per: Any, moment: str, period: str, end: str | None) -> None:
    assert period_of(per, at(moment)) == period
    assert resets_at(per, at(moment)) == (None if end is None else at(end))


@given(now=st.floats(0, 4e9), per=st.sampled_from(["hour", "day", "week", "month", "year"]))
def test_a_period_lasts_until_it_resets_and_no_longer(now: float, per: Any) -> None:
    end = resets_at(per, now)
    assert end is not None
    assert end > now
    assert period_of(per, end - 0.001) == period_of(per, now)
    assert period_of(per, end) != period_of(per, now)


# ------------------------------------------------------------------ the most that a send can cost
_CARD = ModelCard(name="m", context_tokens=8000, max_output_tokens=500, capabilities=frozenset({"text"}))


def _request(*texts: str, **more: Any) -> Request:
    return Request(messages=(Message("user", tuple(TextPart(text) for text in texts)),), **more)


@given(st.lists(st.text(min_size=1), min_size=1, max_size=4))
def test_a_token_is_at_least_one_byte(texts: list[str]) -> None:
    most = most_usage(_request("x", *texts), _CARD).input_tokens
    assert most is not None
    assert most >= sum(len(text.encode("utf-8", "surrogatepass")) for text in texts)


def test_the_most_output_is_what_is_asked_for_else_what_the_model_can() -> None:
    asked = _request("x", settings=Settings(max_output_tokens=20))
    assert most_usage(asked, _CARD).output_tokens == 20
    assert most_usage(asked, _CARD, ignored=True).output_tokens == 500
    assert most_usage(_request("x"), _CARD).output_tokens == 500
    assert most_usage(_request("x"), replace(_CARD, max_output_tokens=None)).output_tokens == 8000
    assert most_usage(_request("x", task="embed"), _CARD).output_tokens == 0


def test_attachments_and_tools_and_schemas_count() -> None:
    plain = most_usage(_request("x"), _CARD).input_tokens or 0
    request = Request(messages=(Message("user", (TextPart("x"), FilePart(b"0" * 1000, media_type="a/b"))),))
    assert (most_usage(request, _CARD).input_tokens or 0) >= plain + 1000 + 65_536


def test_a_count_that_the_backend_leaves_out_is_not_known() -> None:
    most = Usage(input_tokens=10, output_tokens=10)
    assert known_tokens(Usage(input_tokens=1, output_tokens=2), most) == 3
    assert known_tokens(Usage(input_tokens=1), most) is None
    assert known_tokens(Usage(output_tokens=1), most) is None
    assert known_tokens(Usage(input_tokens=1), Usage(input_tokens=10, output_tokens=0)) == 1


# ------------------------------------------------------------------ reserving and settling
def test_what_is_settled_takes_the_place_of_what_was_reserved(ledger: Ledger) -> None:
    usd = budget(unit="USD", limit=1.0)
    first = ledger.reserve("p", (usd,), "r", Cost(usd=0.6, tokens=9))
    assert spent(ledger, usd) == ((0.0, 0.6),)
    with pytest.raises(BudgetSpent):
        ledger.reserve("p", (usd,), "r", Cost(usd=0.6, tokens=9))
    ledger.settle(first, Cost(usd=0.1, tokens=9))
    assert spent(ledger, usd) == ((0.1, 0.0),)
    ledger.settle(ledger.reserve("p", (usd,), "r", Cost(usd=0.9, tokens=9)), None)
    assert spent(ledger, usd) == ((0.1, 0.0),)
    ledger.settle(ledger.reserve("p", (usd,), "r", Cost(usd=0.9, tokens=9)), Cost(usd=None, tokens=None))
    assert spent(ledger, usd) == ((1.0, 0.0),)


def test_cents_add_up_exactly(ledger: Ledger) -> None:
    usd = budget(unit="USD", limit=0.3)
    for _ in range(3):
        ledger.settle(ledger.reserve("p", (usd,), "r", Cost(usd=0.1, tokens=0)), Cost(usd=0.1, tokens=0))
    with pytest.raises(BudgetSpent):
        ledger.reserve("p", (usd,), "r", Cost(usd=1e-9, tokens=0))


def test_the_refusal_names_the_budget_its_limit_and_when_it_resets_and_no_amount(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "time", lambda: at("2026-11-22T07:00"))
    month = budget(id="partner-month", limit=1.5, unit="USD", per="month")
    ledger.reserve("p", (month,), "r", Cost(usd=1.25, tokens=1))
    with pytest.raises(BudgetSpent) as caught:
        ledger.reserve("p", (month,), "r", Cost(usd=1.25, tokens=1))
    error = caught.value
    assert (error.budget, error.limit, error.resets_at) == ("partner-month", "1.5 USD per month", at("2026-12-01"))
    assert str(error) == (
        "budget 'partner-month' of 1.5 USD per month has no room for this request"
        " (try: again after 2026-12-01 00:00 UTC)"
    )


def test_all_budgets_over_a_recipient_have_room_or_none_is_touched(ledger: Ledger) -> None:
    wide, narrow = budget(id="wide", limit=100), budget(id="narrow", limit=1)
    ledger.reserve("p", (wide, narrow), "r", ONE)
    with pytest.raises(BudgetSpent, match="narrow"):
        ledger.reserve("p", (wide, narrow), "r", ONE)
    assert spent(ledger, wide, narrow) == ((0, 1), (0, 1))


def test_a_new_period_begins_at_zero_and_what_comes_late_is_of_the_old_one(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    daily = budget(per="day", limit=1)
    monkeypatch.setattr(time, "time", lambda: at("2026-11-22T23:59"))
    late = ledger.reserve("p", (daily,), "r", ONE)
    monkeypatch.setattr(time, "time", lambda: at("2026-11-23T00:01"))
    ledger.settle(late, ONE)
    assert spent(ledger, daily) == ((0, 0),)
    ledger.reserve("p", (daily,), "r", ONE)
    monkeypatch.setattr(time, "time", lambda: at("2026-11-22T23:59"))
    assert spent(ledger, daily) == ((1, 0),)


def test_policies_of_another_name_have_budgets_of_their_own_and_an_edited_one_keeps_what_it_spent(
    ledger: Ledger,
) -> None:
    ledger.reserve("p", (budget(limit=1),), "r", ONE)
    ledger.reserve("q", (budget(limit=1),), "r", ONE)
    with pytest.raises(BudgetSpent):
        ledger.reserve("p", (budget(limit=1, of=frozenset({"house"})),), "r", ONE)
    ledger.reserve("p", (budget(limit=2),), "r", ONE)


def test_an_amount_beyond_every_number_is_refused_and_one_that_was_spent_ends_the_budget(ledger: Ledger) -> None:
    tokens = budget(unit="tokens", limit=1000)
    with pytest.raises(BudgetSpent):
        ledger.reserve("p", (tokens,), "r", Cost(usd=None, tokens=10**30))
    one = ledger.reserve("p", (tokens,), "r", Cost(usd=None, tokens=10))
    ledger.settle(one, Cost(usd=None, tokens=10**30))
    for _ in range(2):
        with pytest.raises(BudgetSpent):
            ledger.reserve("p", (tokens,), "r", Cost(usd=None, tokens=1))


class Interleaved(RuleBasedStateMachine):
    """Any order of reserving, settling and giving back over two budgets, against sums."""

    @initialize(limits=st.tuples(st.integers(0, 60), st.integers(0, 60)))
    def begin(self, limits: tuple[int, int]) -> None:
        import tempfile

        self.folder = tempfile.TemporaryDirectory()
        self.ledger = Ledger(Path(self.folder.name))
        self.budgets = tuple(budget(id=str(n), unit="tokens", limit=limit) for n, limit in enumerate(limits))
        self.open: list[Reservation] = []
        self.spent = [0, 0]
        self.reserved = [0, 0]

    @rule(amount=st.integers(0, 40), of=st.sampled_from([(0,), (1,), (0, 1)]))
    def reserve(self, amount: int, of: tuple[int, ...]) -> None:
        fits = all(self.spent[n] + self.reserved[n] + amount <= self.budgets[n].limit for n in of)
        chosen = tuple(self.budgets[n] for n in of)
        try:
            self.open.append(self.ledger.reserve("p", chosen, "r", Cost(usd=None, tokens=amount)))
        except BudgetSpent:
            assert not fits
            return
        assert fits
        for n in of:
            self.reserved[n] += amount

    @rule(place=st.integers(0, 100), share=st.one_of(st.none(), st.floats(0, 1), st.just("unknown")))
    def settle(self, place: int, share: Any) -> None:
        if not self.open:
            return
        one = self.open.pop(place % len(self.open))
        amount = one.charges[0].amount
        took = 0 if share is None else amount if share == "unknown" else int(amount * share)
        cost = None if share is None else Cost(usd=None, tokens=None if share == "unknown" else took)
        self.ledger.settle(one, cost)
        for charge in one.charges:
            self.reserved[int(charge.budget)] -= amount
            self.spent[int(charge.budget)] += took

    @invariant()
    def never_overspent(self) -> None:
        if not hasattr(self, "ledger"):
            return
        states = self.ledger.states("p", self.budgets)
        assert [(state.spent, state.reserved) for state in states] == list(zip(self.spent, self.reserved, strict=True))
        assert all(state.spent + state.reserved <= max(state.limit, 0) for state in states)

    def teardown(self) -> None:
        if hasattr(self, "ledger"):
            self.ledger.close()
            self.folder.cleanup()


TestInterleaved = Interleaved.TestCase
TestInterleaved.settings = settings(max_examples=20, stateful_step_count=20, deadline=None)


# ------------------------------------------------------------------ at once
def _reserve_until_spent(folder: Path, workers: int, counted: Any, own: Budget) -> None:
    ledger = Ledger(folder)

    def work() -> None:
        while True:
            try:
                one = ledger.reserve("p", (own,), "r", ONE)
            except BudgetSpent:
                return
            with counted.get_lock():
                counted.value += 1
            ledger.settle(one, ONE)

    threads = [threading.Thread(target=work) for _ in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ledger.close()


def test_64_threads_in_4_processes_get_exactly_what_there_is(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    counted = context.Value("i", 0)
    own = budget(limit=150)
    arguments = (tmp_path, 16, counted, own)
    processes = [context.Process(target=_reserve_until_spent, args=arguments) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
        assert process.exitcode == 0
    assert counted.value == 150
    ledger = Ledger(tmp_path)
    assert spent(ledger, own) == ((150, 0),)
    ledger.close()


def _in_a_child(work: Callable[[], None]) -> int:
    """How a forked child ends that does `work`."""
    child = os.fork()
    if child == 0:
        work()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_what_a_killed_process_reserved_stays_counted(ledger: Ledger) -> None:
    def die() -> None:
        ledger.reserve("p", (budget(limit=2),), "r", ONE)
        os.kill(os.getpid(), signal.SIGKILL)

    assert _in_a_child(die) == -signal.SIGKILL
    assert spent(ledger) == ((0, 1),)
    ledger.reserve("p", (budget(limit=2),), "r", ONE)
    with pytest.raises(BudgetSpent):
        ledger.reserve("p", (budget(limit=2),), "r", ONE)


def test_a_process_killed_in_the_middle_of_a_reservation_leaves_none_of_it(ledger: Ledger) -> None:
    ledger.reserve("p", (budget(),), "r", ONE)

    def die() -> None:
        def half(into: Any) -> None:
            into.execute("UPDATE budgets SET reserved = 1000")
            os.kill(os.getpid(), signal.SIGKILL)

        ledger.file.write(half)

    assert _in_a_child(die) == -signal.SIGKILL
    assert spent(ledger) == ((0, 1),)
    ledger.reserve("p", (budget(),), "r", ONE)


def test_a_writer_who_holds_on_is_waited_for_and_not_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine, other = Ledger(tmp_path), Ledger(tmp_path)
    mine.reserve("p", (budget(),), "r", ONE)
    holding, over = threading.Event(), threading.Event()

    def hold(_: Any) -> None:
        holding.set()
        over.wait(30)

    holder = threading.Thread(target=lambda: other.file.write(hold))
    holder.start()
    assert holding.wait(30)
    monkeypatch.setattr(mine.file, "_wait_s", 0.05)
    with pytest.raises(StoreError, match="was busy for more than"):
        mine.reserve("p", (budget(),), "r", ONE)
    assert spent(mine) == ((0, 1),)
    monkeypatch.setattr(mine.file, "_wait_s", 30)
    waiting = threading.Thread(target=lambda: mine.reserve("p", (budget(),), "r", ONE))
    waiting.start()
    time.sleep(0.02)
    over.set()
    holder.join()
    waiting.join()
    assert spent(mine) == ((0, 2),)
    mine.close()
    other.close()


def test_on_a_full_disk_nothing_is_reserved_and_what_was_stays(ledger: Ledger, tmp_path: Path) -> None:
    ledger.reserve("p", (budget(limit=100_000),), "r", ONE)
    ledger.close()

    def fill() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))
        mine, count = Ledger(tmp_path / "state"), 1
        try:
            while count < 100:
                mine.reserve("p", (budget(limit=100_000),), "r", ONE)
                count += 1
        except StoreError as error:
            held = spent(mine, budget(limit=100_000)) == ((0, count),)
            os._exit(0 if held and count > 1 and "no room" in str(error) else 1)
        os._exit(2)

    assert _in_a_child(fill) == 0
    ((_, reserved),) = spent(ledger, budget(limit=100_000))
    ledger.reserve("p", (budget(limit=100_000),), "r", ONE)
    assert spent(ledger, budget(limit=100_000)) == ((0, reserved + 1),)


# ------------------------------------------------------------------ the file
def test_only_its_owner_can_read_it(ledger: Ledger, tmp_path: Path) -> None:
    ledger.reserve("p", (budget(),), "r", ONE)
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700
    files = list((tmp_path / "state").iterdir())
    assert {path.name for path in files} == {FILE, f"{FILE}-wal", f"{FILE}-shm"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}


def test_looking_makes_no_file(ledger: Ledger, tmp_path: Path) -> None:
    assert spent(ledger) == ((0, 0),)
    assert not (tmp_path / "state").exists()


def test_a_damaged_file_gives_no_room(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"this is no database" * 100)
    ledger = Ledger(tmp_path)
    with pytest.raises(StoreError, match=r"record of budgets in .* is damaged"):
        ledger.reserve("p", (budget(),), "r", ONE)
