"""`consent=` and `network=` on both faces: who is asked, on which thread, and that only a yes is a yes."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from tests.core.support import CANARY, shown

from ringfence import Assistant, AsyncAssistant, ConsentRefused, ConsentRequest, InvalidRequest, Network, Policy
from ringfence.policy import read_policy
from ringfence.testing import ScriptedProvider

ASKING = """\
version: 1
name: asking
recipients:
  out: {ring: partner, provider: out, model: m}
  inside: {ring: house, provider: inside, model: m}
labels:
  public: {}
  unclassified: {}
unknown: unclassified
flow:
  - {id: house-any, allow: {labels: "*", to: [house]}}
  - {id: partner-asked, allow: {labels: "*", to: [partner]}, consent: ask}
route:
  - {id: fallen, when: {task: [rewrite]}, prefer: [out], fallback: [inside]}
  - {id: only, prefer: [out]}
"""


def rules() -> Policy:
    return read_policy(ASKING)


def people(answer: object) -> Any:
    """A plain callback that answers, or raises what it is given."""

    def ask(_: ConsentRequest) -> Any:
        if isinstance(answer, BaseException):
            raise answer
        return answer

    return ask


# ------------------------------------------------------------------ without await
def test_a_callback_of_the_sync_face_may_block_in_a_thread_of_its_own() -> None:
    answered = threading.Event()
    asked: list[ConsentRequest] = []
    threads: list[threading.Thread] = []

    def ask(request: ConsentRequest) -> bool:
        asked.append(request)
        threads.append(threading.current_thread())
        return answered.wait(10)

    out, inside = ScriptedProvider("from outside"), ScriptedProvider("from the house")
    with Assistant(rules(), providers={"out": out, "inside": inside}, audit=False, consent=ask) as it:
        texts: list[str] = []
        waiting = threading.Thread(target=lambda: texts.append(it.respond(CANARY).text))
        waiting.start()
        deadline = time.monotonic() + 5
        while not asked:
            assert time.monotonic() < deadline
            time.sleep(0.001)
        # Nothing has left, and while the person thinks, the assistant serves others.
        assert out.requests == []
        assert it.respond("x", task="rewrite", to="inside").text == "from the house"
        answered.set()
        waiting.join(5)
    assert texts == ["from outside"]
    assert threads[0] not in {waiting, threading.main_thread()}
    assert threads[0].name != "ringfence"
    assert asked[0].preview == CANARY
    assert CANARY not in repr(asked[0])


@pytest.mark.parametrize("answer", [False, None, "yes", 1, ValueError(CANARY)], ids=repr)
def test_whatever_is_no_yes_is_a_no_on_the_sync_face(answer: object) -> None:
    out = ScriptedProvider()
    with Assistant(rules(), providers={"out": out}, audit=False, consent=people(answer)) as it:
        with pytest.raises(ConsentRefused) as caught:
            it.respond("x")
        with it.stream("x") as stream, pytest.raises(ConsentRefused):
            stream.response()
    assert out.requests == []
    assert CANARY not in shown(caught.value)
    assert caught.value.receipt is not None
    assert not caught.value.receipt.consented


def test_a_coroutine_runs_on_the_assistants_loop() -> None:
    names: list[str] = []

    async def ask(_: ConsentRequest) -> bool:
        await asyncio.sleep(0)
        names.append(threading.current_thread().name)
        return True

    with Assistant(rules(), providers={"out": ScriptedProvider("yes")}, audit=False, consent=ask) as it:
        response = it.respond("x")
    assert response.text == "yes"
    assert response.receipt.consented
    assert names == ["ringfence"]


def test_with_nobody_to_ask_the_answer_is_no() -> None:
    out, inside = ScriptedProvider(), ScriptedProvider("from the house")
    with Assistant(rules(), providers={"out": out, "inside": inside}, audit=False) as it:
        with pytest.raises(ConsentRefused, match="nobody to ask") as caught:
            it.respond("x")
        assert it.respond("x", task="rewrite").text == "from the house"
    assert caught.value.way_out == "give the assistant a consent= callback"
    assert out.requests == []


# ------------------------------------------------------------------ with await
async def test_a_plain_callback_does_not_hold_the_loop_up() -> None:
    answered = threading.Event()

    def ask(_: ConsentRequest) -> bool:
        return answered.wait(10)

    async with AsyncAssistant(rules(), providers={"out": ScriptedProvider("yes")}, audit=False, consent=ask) as it:
        asking = asyncio.create_task(it.respond("x"))
        for _ in range(20):
            await asyncio.sleep(0.001)
        assert not asking.done()
        answered.set()
        assert (await asking).text == "yes"


@pytest.mark.parametrize("answer", [False, None, "yes", 1, ValueError(CANARY)], ids=repr)
async def test_whatever_is_no_yes_is_a_no(answer: object) -> None:
    out = ScriptedProvider()
    async with AsyncAssistant(rules(), providers={"out": out}, audit=False, consent=people(answer)) as it:
        with pytest.raises(ConsentRefused) as caught:
            await it.respond("x")
    assert out.requests == []
    assert CANARY not in shown(caught.value)


async def test_the_repair_turns_of_a_request_are_not_asked_about_again() -> None:
    asked: list[str] = []

    async def ask(request: ConsentRequest) -> bool:
        asked.append(request.recipient)
        return True

    out = ScriptedProvider("no", "nor this", "1", "2")
    async with AsyncAssistant(rules(), providers={"out": out}, audit=False, consent=ask) as it:
        assert (await it.respond("x", output=int, repair=2)).output == 1
        assert asked == ["out"]
        await it.respond("x")
    assert asked == ["out", "out"]


async def test_every_turn_of_a_session_is_asked_about() -> None:
    asked: list[str] = []

    async def ask(request: ConsentRequest) -> bool:
        asked.append(request.preview)
        return True

    async with AsyncAssistant(rules(), providers={"out": ScriptedProvider("a")}, audit=False, consent=ask) as it:
        session = it.session()
        await session.respond("x")
        await session.respond("y")
    assert asked == ["x", "x\na\ny"]


# ------------------------------------------------------------------ arguments
@pytest.mark.parametrize("face", [Assistant, AsyncAssistant])
@pytest.mark.parametrize("wrong", [{"consent": True}, {"network": "http://proxy.example:3128"}])
def test_what_is_neither_is_refused(face: Any, wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        face(rules(), audit=False, **wrong)


@pytest.mark.parametrize("face", [Assistant, AsyncAssistant])
async def test_the_network_is_what_clients_are_made_of(face: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from ringfence.routing import providers

    seen: list[Network | None] = []

    class Clients:
        def __init__(self, network: Network | None = None) -> None:
            seen.append(network)

        async def aclose(self) -> None: ...

    monkeypatch.setattr(providers, "Clients", Clients)
    network = Network(proxy="http://proxy.example:3128", ca_file=Path("ca.pem"))
    it = face(rules(), audit=False, network=network)
    assert seen == [network]
    closed = it.close()
    if face is AsyncAssistant:
        await closed
