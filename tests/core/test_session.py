"""A session: its turns, its labels that never fall, and what can be kept of it."""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import AsyncGenerator, Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.support import Acting, assistant, drain, policy, until

from ringfence import AsyncSession
from ringfence.errors import InvalidRequest, ProviderError, RequestRejected, RingfenceError, StreamBroken
from ringfence.grant import Grant
from ringfence.provider import Plan
from ringfence.request import (
    FilePart,
    ImagePart,
    Message,
    Part,
    ReasoningPart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from ringfence.response import Finish, ProviderEvent, TextDelta, TextEnd, TextStart
from ringfence.testing import Script, ScriptedProvider, failing, text_events

NAMES = ("public", "work", "health", "unclassified")


def fresh(provider: ScriptedProvider | None = None, **options: Any) -> AsyncSession:
    """A session of an assistant that needs no closing: its provider holds nothing."""
    return assistant(policy("first"), first=provider or ScriptedProvider("yes")).session(**options)


# ------------------------------------------------------------------ turns
async def test_a_session_sends_the_earlier_turns_in_order() -> None:
    provider = ScriptedProvider("one", "two", "three")
    session = fresh(provider)
    for text in ("a", "b", "c"):
        await session.respond(text)
    assert [m.text for m in provider.requests[-1].messages] == ["a", "one", "b", "two", "c"]
    assert [m.role for m in session.messages] == ["user", "assistant"] * 3
    assert session.messages[-1].text == "three"


async def test_instructions_stand_once_and_first() -> None:
    provider = ScriptedProvider("one", "two")
    session = fresh(provider, instructions="be brief")
    await session.respond("a")
    await session.respond("b")
    assert [(m.role, m.text) for m in provider.requests[-1].messages] == [
        ("system", "be brief"),
        ("user", "a"),
        ("assistant", "one"),
        ("user", "b"),
    ]


async def test_instructions_of_a_later_turn_are_honoured_or_refused_but_not_dropped() -> None:
    provider = ScriptedProvider("one", "two")
    session = fresh(provider, instructions="be brief")
    await session.respond("a")
    try:
        await session.respond("b", instructions="answer in French")
    except InvalidRequest:
        return
    assert "answer in French" in [m.text for m in provider.requests[-1].messages]


async def test_instructions_beside_a_system_message_are_honoured_or_refused_but_not_dropped() -> None:
    provider = ScriptedProvider("one")
    turns = (Message("system", (TextPart("be brief"),)), Message("user", (TextPart("a"),)))
    async with assistant(policy("first"), first=provider) as it:
        try:
            await it.respond(turns, instructions="answer in French")
        except InvalidRequest:
            return
    assert "answer in French" in [m.text for m in provider.requests[-1].messages]


@pytest.mark.parametrize("verb", ["respond", "stream"])
async def test_a_turn_that_fails_leaves_no_trace(verb: str) -> None:
    session = fresh(ScriptedProvider("one", failing(RequestRejected("no")), "three"))
    await session.respond("a")
    before = session.messages
    asked = (
        session.respond("b", labels={"health"})
        if verb == "respond"
        else session.stream("b", labels={"health"}).response()
    )
    with pytest.raises(RequestRejected):
        await asked
    assert session.messages is before
    assert session.labels == {"unclassified"}
    assert (await session.respond("c")).text == "three"
    assert [m.text for m in session.messages] == ["a", "one", "c", "three"]


async def test_a_turn_that_breaks_off_leaves_no_trace() -> None:
    session = fresh(ScriptedProvider(failing(StreamBroken("cut"), after=text_events("half")[:2])))
    with pytest.raises(StreamBroken):
        await session.respond("a", labels={"health"})
    assert (session.messages, session.labels) == ((), frozenset())


async def test_a_turn_that_is_cancelled_or_closed_leaves_no_trace() -> None:
    provider = ScriptedProvider(Script(delay_s=5))
    session = fresh(provider)
    task = asyncio.create_task(session.respond("a", labels={"health"}))
    await until(lambda: bool(provider.requests))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    session_2 = fresh(ScriptedProvider(text_events("a", "b")))
    async with session_2.stream("a", labels={"health"}) as stream:
        await anext(stream)
    for one in (session, session_2):
        assert (one.messages, one.labels) == ((), frozenset())


async def test_a_turn_whose_output_is_invalid_leaves_no_trace() -> None:
    session = fresh(ScriptedProvider("no json"))
    with pytest.raises(RingfenceError):
        await session.respond("a", output={"type": "object"})
    assert session.messages == ()


async def test_a_streamed_turn_counts_once_it_was_drawn_to_its_end() -> None:
    session = fresh(ScriptedProvider("one"))
    stream = session.stream("a")
    assert not session.messages
    await drain(stream)
    await stream.response()
    assert [m.text for m in session.messages] == ["a", "one"]


async def test_turns_at_once_wait_for_one_another() -> None:
    running: list[int] = []

    async def body(plan: Plan[object], grant: Grant) -> AsyncGenerator[ProviderEvent, None]:
        grant.spend(plan.request)
        running.append(1)
        assert len(running) == 1
        yield TextStart(0)
        await asyncio.sleep(0.002)
        yield TextDelta(0, "to " + plan.request.messages[-1].text)
        yield TextEnd(0)
        running.pop()
        yield Finish("stop")

    session = fresh(Acting(body))
    await asyncio.gather(*(session.respond(f"{number}") for number in range(20)))
    texts = [m.text for m in session.messages]
    assert len(texts) == 40
    assert all(answer == f"to {asked}" for asked, answer in zip(texts[::2], texts[1::2], strict=True))


async def test_two_streams_of_one_session_never_lose_a_turn_silently() -> None:
    session = fresh(ScriptedProvider("one", "two"))
    first, second = session.stream("a"), session.stream("b")
    await first.response()
    with pytest.raises(InvalidRequest, match="another turn"):
        await second.response()
    assert [m.text for m in session.messages] == ["a", "one"]


async def test_each_session_is_a_tenant_of_its_own() -> None:
    provider = ScriptedProvider("x")
    async with assistant(policy("first"), first=provider) as it:
        await it.session().respond("a")
        await it.session().respond("a")
        await it.session(tenant="mine").respond("a")
        await it.respond("a")
    tenants = [request.tenant for request in provider.requests]
    assert len(set(tenants)) == 4
    assert tenants[2:] == ["mine", None]


# ------------------------------------------------------------------ labels
@given(turns=st.lists(st.tuples(st.sets(st.sampled_from(NAMES)), st.booleans()), min_size=1, max_size=5))
def test_the_high_water_mark_never_falls(turns: list[tuple[set[str], bool]]) -> None:
    script = [Script(events=()) if fails else Script() for _, fails in turns]
    provider = ScriptedProvider(*script)
    session = fresh(provider)

    async def talk() -> None:
        taken: set[str] = set()
        for labels, fails in turns:
            before = session.labels
            try:
                response = await session.respond("x", labels=labels)
            except ProviderError:
                assert fails
                assert session.labels == before
                continue
            assert before <= session.labels
            assert before | labels <= response.labels
            taken |= labels or {"unclassified"}
            assert taken <= session.labels
            assert provider.requests[-1].labels >= before

    asyncio.run(talk())


async def test_a_label_of_an_earlier_turn_keeps_a_later_one_where_it_may_be() -> None:
    flow = (
        'flow:\n  - id: device\n    allow: {labels: "*", to: [device]}\n'
        "  - id: house-rest\n    allow: {labels: [public, work], to: [house]}\n"
    )
    phone, house = ScriptedProvider("phone"), ScriptedProvider("house")
    rules = policy("house1", "phone", flow=flow, rings={"phone": "device"})
    async with assistant(rules, house1=house, phone=phone) as it:
        session = it.session()
        answers = [
            (await session.respond("a", labels={"work"})).text,
            (await session.respond("b", labels={"health"})).text,
            (await session.respond("c", labels={"work"})).text,
        ]
        assert answers == ["house", "phone", "phone"]
        later = it.session(load=session.dump())
        assert (await later.respond("d", labels={"public"})).text == "phone"
    assert len(house.requests) == 1


# ------------------------------------------------------------------ dump and load
EVERY_PART: tuple[Part, ...] = (
    TextPart("text \u2028 \ud800", labels=frozenset({"work"})),
    ImagePart(bytes(range(256)), media_type="image/jpeg", name="picture.jpg"),
    FilePart(b"\x00\xff", media_type="application/pdf", labels=frozenset({"health"})),
    ToolCallPart("id-1", "look", '{"a": 1}'),
    ToolResultPart("id-1", "look", "found", is_error=True, labels=frozenset({"public"})),
    ReasoningPart("first", "thought", state="opaque"),
)


def with_every_part() -> dict[str, Any]:
    session = fresh()
    session._messages = (Message("user", EVERY_PART), Message("assistant", EVERY_PART))  # pyright: ignore[reportPrivateUsage]
    session._labels = frozenset({"work"})  # pyright: ignore[reportPrivateUsage]
    return session.dump()


async def test_a_dump_survives_json_for_every_kind_of_part() -> None:
    dump = json.loads(json.dumps(with_every_part()))
    session = fresh(load=dump)
    assert session.messages == (Message("user", EVERY_PART), Message("assistant", EVERY_PART))
    assert session.dump()["messages"] == dump["messages"]
    assert session.labels == {"work", "health", "public"}


async def test_a_dump_of_real_turns_goes_on_where_it_stopped() -> None:
    provider = ScriptedProvider("one", "two")
    session = fresh(provider)
    given: list[Part] = [TextPart("a"), ImagePart(b"\x89PNG")]
    await session.respond(given, labels={"work"})
    later = fresh(provider, load=json.loads(json.dumps(session.dump())))
    await later.respond("b")
    assert provider.requests[-1].messages[:2] == session.messages


async def test_without_provider_state_no_reasoning_is_kept() -> None:
    session = fresh(load=with_every_part())
    dump = session.dump(provider_state=False)
    assert "opaque" not in json.dumps(dump)
    assert "thought" not in json.dumps(dump)
    assert "opaque" in json.dumps(session.dump())
    assert [len(turn["parts"]) for turn in dump["messages"]] == [5, 5]


@given(
    before=st.sets(st.sampled_from(NAMES)), dumped=st.sets(st.sampled_from(NAMES)), part=st.sets(st.sampled_from(NAMES))
)
def test_loading_never_lowers_the_high_water_mark(before: set[str], dumped: set[str], part: set[str]) -> None:
    session = fresh()
    session._labels = frozenset(before)  # pyright: ignore[reportPrivateUsage]
    turn = {"role": "user", "parts": [{"type": "text", "text": "a", "labels": sorted(part)}]}
    session.load({**fresh().dump(), "labels": sorted(dumped), "messages": [turn]})
    assert session.labels == before | dumped | part


def _changed(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    dump = copy.deepcopy(with_every_part())
    change(dump)
    return dump


def _part(index: int, **fields: Any) -> Callable[[dict[str, Any]], object]:
    return lambda dump: dump["messages"][0]["parts"][index].update(fields)


MALFORMED: dict[str, Callable[[], Any]] = {
    "None": lambda: None,
    "a string": lambda: "dump",
    "a list": lambda: [1],
    "empty": dict,
    "another version": lambda: _changed(lambda d: d.update(version=2)),
    "version as text": lambda: _changed(lambda d: d.update(version="1")),
    "no labels": lambda: _changed(lambda d: d.pop("labels")),
    "labels None": lambda: _changed(lambda d: d.update(labels=None)),
    "labels one string": lambda: _changed(lambda d: d.update(labels="work")),
    "labels numbers": lambda: _changed(lambda d: d.update(labels=[1, 2])),
    "labels empty name": lambda: _changed(lambda d: d.update(labels=[""])),
    "labels lists": lambda: _changed(lambda d: d.update(labels=[["work"]])),
    "messages None": lambda: _changed(lambda d: d.update(messages=None)),
    "messages a mapping": lambda: _changed(lambda d: d.update(messages={"a": 1})),
    "messages a string": lambda: _changed(lambda d: d.update(messages="hello")),
    "role": lambda: _changed(lambda d: d["messages"][0].update(role="robot")),
    "parts None": lambda: _changed(lambda d: d["messages"][0].update(parts=None)),
    "parts strings": lambda: _changed(lambda d: d["messages"][0].update(parts=["hello"])),
    "unknown type": lambda: _changed(_part(0, type="video")),
    "unknown field": lambda: _changed(_part(0, size=3)),
    "text a number": lambda: _changed(_part(0, text=3)),
    "part labels one string": lambda: _changed(_part(0, labels="work")),
    "bad base64": lambda: _changed(_part(1, data="!!!")),
    "data a number": lambda: _changed(_part(1, data=7)),
    "media type a number": lambda: _changed(_part(1, media_type=7)),
    "tool id a number": lambda: _changed(_part(3, id=7)),
    "tool arguments a mapping": lambda: _changed(_part(3, arguments={"a": 1})),
    "tool result a number": lambda: _changed(_part(4, text=7)),
    "reasoning provider a list": lambda: _changed(_part(5, provider=["first"])),
    "reasoning state a number": lambda: _changed(_part(5, state=7)),
    "the last message only": lambda: _changed(lambda d: d["messages"].append({"role": "user"})),
}


@pytest.mark.parametrize("make", MALFORMED.values(), ids=MALFORMED.keys())
async def test_a_malformed_dump_is_refused_and_leaves_the_session_as_it_was(make: Callable[[], Any]) -> None:
    session = fresh(load=with_every_part())
    messages, labels = session.messages, session.labels
    with pytest.raises(InvalidRequest):
        session.load(make())
    assert (session.messages, session.labels) == (messages, labels)


async def test_what_a_malformed_dump_holds_is_not_in_the_error() -> None:
    with pytest.raises(InvalidRequest) as caught:
        fresh(load={"version": 1, "labels": [], "messages": [{"role": "user", "parts": [{"type": "secret"}]}]})
    assert "secret" not in f"{caught.value}{caught.value!r}"
