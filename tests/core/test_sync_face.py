"""`Assistant`: the same path without `await`, from any thread, inside a loop, and in a forked child."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
import weakref
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType

import pytest
from tests.core.support import ONCE, Acting, policy, policy_text, records

from ringfence import Assistant
from ringfence.assistant.portal import Draw, Portal
from ringfence.errors import Closed, Denied, Overloaded, RingfenceError
from ringfence.grant import Grant
from ringfence.provider import Plan
from ringfence.response import Finish, ProviderEvent, TextDelta, TextEnd, TextStart
from ringfence.testing import Script, ScriptedProvider, failing, text_events

WITHIN_S = 2.0


def ringfence_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "ringfence"]


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not condition():
        assert time.monotonic() < deadline, "it never came to be"
        time.sleep(0.002)


def in_thread(work: Callable[[], object]) -> object:
    """What `work` returns or raises in another thread; the test fails if it does not end."""
    outcome: list[object] = []

    def run() -> None:
        try:
            outcome.append(work())
        except BaseException as error:  # noqa: BLE001  (handed to the test)
            outcome.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(WITHIN_S)
    assert outcome, "it hangs"
    return outcome[0]


def later(work: Callable[[], None]) -> threading.Timer:
    timer = threading.Timer(0.1, work)
    timer.daemon = True
    timer.start()
    return timer


@pytest.fixture
def provider() -> ScriptedProvider:
    return ScriptedProvider(text_events("Hel", "lo"))


@pytest.fixture
def it(provider: ScriptedProvider) -> Iterator[Assistant]:
    with Assistant(policy("first"), providers={"first": provider}, audit=False) as made:
        yield made


def slow(delay_s: float = 0.05, count: int = 100) -> ScriptedProvider:
    return ScriptedProvider(Script(events=text_events(*["a"] * count), delay_s=delay_s))


# ------------------------------------------------------------------ asking
def test_the_verbs_answer(it: Assistant) -> None:
    assert it.respond("x").text == "Hello"
    assert (it.summarize("x"), it.rewrite("x"), it.proofread("x"), it.reply("x")) == ("Hello",) * 4
    assert it.explain("x").outcome == "allow"
    assert it.session().respond("x").text == "Hello"


def test_a_stream_gives_events_text_and_response(it: Assistant) -> None:
    assert [event.type for event in it.stream("x")] == [event.type for event in text_events("Hel", "lo")]
    assert list(it.stream("x").text()) == ["Hel", "lo"]
    with it.stream("x") as stream:
        assert next(stream).type == "text_start"
        assert stream.response().text == "Hello"


def test_the_first_item_is_with_the_caller_before_more_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """A loop that is busy with the rest would keep the interpreter from the caller for a while."""
    monkeypatch.setattr("ringfence.assistant.portal._FIRST_S", 20.0)
    portal = Portal()
    waiting: list[int] = []

    async def items() -> AsyncGenerator[int, None]:
        yield 1
        waiting.append(draw._pump.items.qsize())  # pyright: ignore[reportPrivateUsage]
        yield 2

    async def close() -> None:
        pass

    try:
        for _ in range(20):
            draw = Draw(portal, items, close)
            assert list(draw) == [1, 2]
    finally:
        portal.stop()
    assert waiting == [0] * 20


def test_a_caller_that_is_slow_with_the_first_item_holds_nothing_up() -> None:
    portal = Portal()
    done: list[bool] = []

    async def items() -> AsyncGenerator[int, None]:
        yield 1
        yield 2

    async def close() -> None:
        done.append(True)

    try:
        draw = Draw(portal, items, close)
        assert next(draw) == 1
        wait_for(lambda: bool(done))
        assert list(draw) == [2]
    finally:
        portal.stop()


def test_an_error_that_was_caught_keeps_nothing_alive() -> None:
    """Memory stays flat without the collector of cycles."""
    portal = Portal()

    async def fails() -> None:
        raise Overloaded("no room")

    gc.collect()
    gc.disable()
    try:
        with pytest.raises(Overloaded) as caught:
            portal.call(fails())
        error = weakref.ref(caught.value)
        del caught
        wait_for(lambda: error() is None)
    finally:
        gc.enable()
        portal.stop()


def test_an_error_reaches_the_caller_as_it_is() -> None:
    error = Overloaded("full")
    with (
        Assistant(
            policy("first"), providers={"first": ScriptedProvider(failing(error))}, audit=False, retry=ONCE
        ) as it,
        pytest.raises(Overloaded) as caught,
    ):
        it.respond("x")
    assert caught.value is error


def test_wrong_arguments_are_refused_and_nothing_is_left_unawaited(it: Assistant, provider: ScriptedProvider) -> None:
    with pytest.raises(RingfenceError):
        it.respond("")
    with pytest.raises(RingfenceError):
        it.stream("")
    gc.collect()
    assert provider.requests == []


def test_denied_sends_nothing(provider: ScriptedProvider) -> None:
    flow = "flow:\n  - id: nothing\n    allow: {labels: [public], to: [house]}\n"
    with Assistant(policy("first", flow=flow), providers={"first": provider}, audit=False) as it:
        with pytest.raises(Denied):
            it.respond("x")
        with pytest.raises(Denied):
            list(it.stream("x"))
    assert provider.opened == 0


# ------------------------------------------------------------------ threads and loops
def test_64_threads_share_one_assistant() -> None:
    async def echoes(plan: Plan[object], grant: Grant) -> AsyncGenerator[ProviderEvent, None]:
        grant.spend(plan.request)
        yield TextStart(0)
        await asyncio.sleep(0.001)
        yield TextDelta(0, plan.request.messages[-1].text)
        yield TextEnd(0)
        yield Finish("stop")

    acting = Acting(echoes)
    with Assistant(policy("first"), providers={"first": acting}, audit=False) as it, ThreadPoolExecutor(64) as pool:
        texts = [f"text {number}" for number in range(320)]

        def whole(text: str) -> str:
            return it.respond(text).text

        def drawn(text: str) -> str:
            return "".join(it.stream(text).text())

        answers = list(pool.map(whole, texts))
        streamed = list(pool.map(drawn, texts))
    assert answers == texts
    assert streamed == texts
    assert acting.opened == 1


async def test_it_works_inside_a_running_loop(it: Assistant) -> None:
    assert it.respond("x").text == "Hello"
    assert "".join(it.stream("x").text()) == "Hello"


def test_two_streams_at_once_are_drawn_in_turn(it: Assistant) -> None:
    one, two = it.stream("x"), it.stream("y")
    pairs = list(zip(one, two, strict=True))
    assert len(pairs) == len(text_events("Hel", "lo"))
    assert one.response().text == two.response().text == "Hello"


def test_a_stream_that_nobody_draws_does_not_hold_up_another(it: Assistant) -> None:
    waiting = it.stream("x")
    next(waiting)
    assert it.respond("y").text == "Hello"
    waiting.close()


def test_turns_of_one_session_from_many_threads_are_all_remembered(it: Assistant) -> None:
    session = it.session()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(session.respond, [f"turn {number}" for number in range(16)]))
    asked = [message.text for message in session.messages if message.role == "user"]
    assert sorted(asked) == sorted(f"turn {number}" for number in range(16))
    assert len(session.messages) == 32


# ------------------------------------------------------------------ closing
def test_no_thread_is_left_after_close(provider: ScriptedProvider) -> None:
    before = ringfence_threads()
    it = Assistant(policy("first"), providers={"first": provider}, audit=False)
    assert ringfence_threads() == before
    it.respond("x")
    assert len(ringfence_threads()) == len(before) + 1
    it.close()
    assert ringfence_threads() == before


def test_close_is_idempotent_and_what_comes_after_is_refused(provider: ScriptedProvider) -> None:
    it = Assistant(policy("first"), providers={"first": provider}, audit=False)
    it.respond("x")
    session, stream = it.session(), it.stream("x")
    it.close()
    it.close()
    refused: list[Callable[[], object]] = [
        lambda: it.respond("x"),
        lambda: it.stream("x"),
        it.session,
        lambda: it.explain("x"),
        it.prewarm,
        lambda: it.embed("x"),
        lambda: session.respond("x"),
        lambda: next(stream),
        stream.response,
    ]
    for work in refused:
        with pytest.raises(Closed):
            work()
    gc.collect()
    assert len(provider.requests) == 1


def test_close_before_first_use_starts_nothing(provider: ScriptedProvider) -> None:
    before = ringfence_threads()
    Assistant(policy("first"), providers={"first": provider}, audit=False).close()
    assert provider.opened == 0
    assert ringfence_threads() == before


def test_a_stream_closed_early_cancels_the_provider(tmp_path: Path) -> None:
    provider = slow()
    with Assistant(policy("first"), providers={"first": provider}, audit=tmp_path) as it:
        stream = it.stream("x")
        next(stream)
        stream.close()
        stream.close()
        assert provider.cancelled == 1
        assert list(stream) == []
        with pytest.raises(Closed):
            stream.response()
    assert [receipt["outcome"] for receipt in records(tmp_path)] == ["cancelled"]


def test_a_stream_dropped_without_close_cancels_the_provider() -> None:
    provider = slow()
    with Assistant(policy("first"), providers={"first": provider}, audit=False) as it:
        next(it.stream("x"))
        gc.collect()
        wait_for(lambda: provider.cancelled == 1)
    assert provider.cancelled == 1


def test_closing_a_stream_from_another_thread_ends_the_loop_over_it() -> None:
    provider = slow()
    with Assistant(policy("first"), providers={"first": provider}, audit=False) as it:
        stream = it.stream("x")
        closer = later(stream.close)
        outcome = in_thread(lambda: list(stream))
        closer.join(WITHIN_S)
        assert not closer.is_alive()
    assert isinstance(outcome, list | Closed)
    assert provider.cancelled == 1


def test_a_stream_cut_by_closing_the_assistant_does_not_pass_for_whole() -> None:
    it = Assistant(policy("first"), providers={"first": slow()}, audit=False)
    stream = it.stream("x")
    next(stream)
    closer = later(it.close)
    outcome = in_thread(lambda: list(stream))
    closer.join(WITHIN_S)
    assert isinstance(outcome, RingfenceError)


def test_a_request_cut_by_closing_the_assistant_ends_with_closed() -> None:
    provider = slow()
    it = Assistant(policy("first"), providers={"first": provider}, audit=False)
    closer = later(it.close)
    outcome = in_thread(lambda: it.respond("x"))
    closer.join(WITHIN_S)
    assert isinstance(outcome, RingfenceError)
    assert provider.cancelled == 1


def test_a_request_cut_by_closing_the_assistant_is_on_record(tmp_path: Path) -> None:
    provider = slow()
    it = Assistant(policy("first"), providers={"first": provider}, audit=tmp_path)
    closer = later(it.close)
    in_thread(lambda: it.respond("x"))
    closer.join(WITHIN_S)
    assert [receipt["outcome"] for receipt in records(tmp_path)] == ["cancelled"]


def test_closing_while_many_threads_ask_lets_every_one_of_them_end() -> None:
    it = Assistant(policy("first"), providers={"first": slow(0.001, 5)}, audit=False)
    strange: list[BaseException] = []

    def ask() -> None:
        while True:
            try:
                it.respond("x")
            except RingfenceError:
                return
            except Exception as error:  # noqa: BLE001  (handed to the test)
                strange.append(error)
                return

    threads = [threading.Thread(target=ask, daemon=True) for _ in range(16)]
    for thread in threads:
        thread.start()
    time.sleep(0.1)
    it.close()
    for thread in threads:
        thread.join(WITHIN_S)
    assert [thread for thread in threads if thread.is_alive()] == []
    assert strange == []


# ------------------------------------------------------------------ interrupted
@pytest.fixture
def interrupt_once() -> Iterator[Callable[[Callable[[], object]], None]]:
    """Interrupts this thread when something has come to be, and never if it does not."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    def watch(condition: Callable[[], object]) -> None:
        while not over.wait(0.002):
            if condition():
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGALRM)
                return

    def once(condition: Callable[[], object]) -> None:
        threads.append(threading.Thread(target=watch, args=(condition,), daemon=True))
        threads[-1].start()

    over, threads = threading.Event(), list[threading.Thread]()
    before = signal.signal(signal.SIGALRM, interrupt)
    yield once
    over.set()
    for thread in threads:
        thread.join()
    signal.signal(signal.SIGALRM, before)


def test_an_interrupt_in_the_caller_cancels_the_request(
    tmp_path: Path, interrupt_once: Callable[[Callable[[], object]], None]
) -> None:
    provider = slow()
    with Assistant(policy("first"), providers={"first": provider}, audit=tmp_path) as it:
        interrupt_once(lambda: provider.requests)
        with pytest.raises(KeyboardInterrupt):
            it.respond("x")
        wait_for(lambda: provider.cancelled == 1 and bool(records(tmp_path)))
    assert [receipt["outcome"] for receipt in records(tmp_path)] == ["cancelled"]


def test_an_interrupt_while_a_stream_is_drawn_cancels_it_on_the_way_out(
    interrupt_once: Callable[[Callable[[], object]], None],
) -> None:
    provider = slow()
    with Assistant(policy("first"), providers={"first": provider}, audit=False) as it:
        interrupt_once(lambda: provider.requests)
        with pytest.raises(KeyboardInterrupt), it.stream("x") as stream:
            list(stream)
        assert provider.cancelled == 1
        assert it.explain("x").outcome == "allow"


# ------------------------------------------------------------------ fork
def child(work: Callable[[], None], *, within_s: float = 5.0) -> tuple[int, str]:
    """Runs `work` in a forked child; its exit status (−14 if it hung) and what it raised."""
    read, write = os.pipe()
    process = os.fork()
    if process == 0:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, within_s)
        status = 0
        try:
            work()
        except BaseException as error:  # noqa: BLE001  (told to the parent)
            status = 1
            os.write(write, f"{type(error).__name__}: {error}".encode())
        os._exit(status)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        told = pipe.read().decode()
    _, waited = os.waitpid(process, 0)
    return os.waitstatus_to_exitcode(waited), told


def test_a_forked_child_answers_with_its_own_and_the_parent_is_unaffected(tmp_path: Path) -> None:
    provider = ScriptedProvider("Hello")
    with Assistant(policy("first"), providers={"first": provider}, audit=tmp_path) as it:
        it.respond("before")

        def work() -> None:
            assert it.respond("in the child").text == "Hello"
            assert "".join(it.stream("in the child").text()) == "Hello"
            it.close()

        assert child(work) == (0, "")
        assert it.respond("after").text == "Hello"
        assert len(provider.requests) == 2
    assert len(records(tmp_path)) == 4


def test_a_child_that_only_closes_neither_hangs_nor_touches_the_parent() -> None:
    with Assistant(policy("first"), providers={"first": ScriptedProvider("Hello")}, audit=False) as it:
        it.respond("before")
        assert child(it.close) == (0, "")
        assert it.respond("after").text == "Hello"


def test_what_a_plugin_of_the_parent_holds_is_not_finalized_in_a_child(tmp_path: Path) -> None:
    seen = tmp_path / "finalized"

    class Held(ScriptedProvider):
        def __del__(self) -> None:
            if os.getpid() != parent:
                seen.write_text("the child ended what is the parent's")

    parent = os.getpid()
    with Assistant(policy("first"), audit=False) as it:
        live = it._live  # pyright: ignore[reportPrivateUsage]
        assert live is not None
        # As an installed plugin is held: by the assistant alone.
        live.assistant._providers._open["first"] = Held("Hello")  # pyright: ignore[reportPrivateUsage]
        del live
        it.respond("before")

        def work() -> None:
            it.close()
            gc.collect()

        assert child(work) == (0, "")
    assert not seen.exists()


@pytest.mark.parametrize("what", ["session", "stream", "drawn stream", "close of a drawn stream"])
def test_what_the_parent_began_is_refused_in_a_child_and_never_hangs(what: str) -> None:
    hanging = Script(events=text_events("a", "b"), delay_s=0.5)
    provider = ScriptedProvider("Hello", "Hello", hanging, "Hello")
    with Assistant(policy("first"), providers={"first": provider}, audit=False) as it:
        it.respond("before")
        session, fresh, drawn = it.session(), it.stream("x"), it.stream("x")
        next(drawn)
        list(drawn)
        waiting = it.stream("x")
        next(waiting)

        def work() -> None:
            match what:
                case "session":
                    session.respond("x")
                case "stream":
                    next(fresh)
                case "drawn stream":
                    drawn.response()
                case _:
                    waiting.close()

        status, told = child(work, within_s=1.0)
        assert status in (0, 1), "the child hangs"
        assert told == "" or told.startswith(("Closed", "InvalidRequest"))
        assert it.respond("after").text == "Hello"


# ------------------------------------------------------------------ warnings
def test_no_warning_at_exit_of_a_program_that_closes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text(policy_text())
    program = f"""
        from ringfence import Assistant
        from ringfence.testing import ScriptedProvider
        it = Assistant({str(file)!r}, providers={{"first": ScriptedProvider("Hello")}}, audit=False)
        print(it.respond("x").text)
        stream = it.stream("x")
        next(stream)
        """
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    # On a busy machine asyncio's debug mode says which step was slow.
    said = [line for line in done.stderr.splitlines() if not line.startswith("Executing <")]
    assert (done.returncode, done.stdout, said) == (0, "Hello\n", [])
