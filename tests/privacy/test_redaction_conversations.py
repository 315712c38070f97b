"""Conversations of several turns, drawn: nothing redacted goes out, the user sees what was said, nobody else anything.

Detectors by kind of redaction by turns, streamed at any split, as text, as structured output or through a tool.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.support import NO_WAIT, drain, shown
from tests.core.test_redaction_end_to_end import Calls
from tests.invariants.support import detectors, law, run
from tests.invariants.test_invariant_5_redaction import listening
from tests.privacy.test_redaction_laws import Pattern

from ringfence import AsyncAssistant, ConsentRequest
from ringfence.errors import GateError, RingfenceError
from ringfence.grant import Grant
from ringfence.policy import read_policy
from ringfence.privacy.material import request_texts, unescaped_forms
from ringfence.provider import Plan
from ringfence.request import Request, ToolCallPart, ToolResultPart
from ringfence.response import Finish, ProviderEvent, TextDelta, ToolCallDelta, ToolCallEnd, ToolCallStart
from ringfence.testing import ScriptedProvider, text_events
from ringfence.tripwire import trips

_POLICY = """
version: 1
name: talks
recipients:
  far:  {ring: partner, provider: far, model: m}
  near: {ring: device, provider: near, model: m}
labels:
  public: {}
  contact: {detect: [mail]}
  names: {detect: [name]}
  numbers: {detect: [number]}
  unclassified: {}
unknown: unclassified
clean: public
tools:
  invite: {ring: device}
  search: {ring: partner}
flow:
  - {id: device, allow: {labels: "*", to: [device]}}
  - {id: public, allow: {labels: [public], to: [partner]}, consent: ask}
  - {id: contact, allow: {labels: [contact], to: [partner]}, redact: %s, consent: ask}
  - {id: names, allow: {labels: [names], to: [partner]}, redact: %s, consent: ask}
  - {id: rest, allow: {labels: [numbers, unclassified], to: [partner]}, redact: %s, consent: ask}
route: [{id: only, prefer: [far], fallback: [near], on_broken_stream: fail}]
"""
_BY_LABEL = (["anna@example.org", "berta@example.net"], ["Zoë Ng", "王伟", "O'Neil"], ["1234 5678", "+49 170 1234567"])
VALUES = [value for values in _BY_LABEL for value in values]
_VALUE = re.compile("|".join(map(re.escape, VALUES)))
_PLACEHOLDER = re.compile(r"\[[A-Z0-9-]+-[1-9][0-9]*-([bcdfghjkmnpqrstvwxz]{5})\]")
_DETECTORS: dict[str, Any] = {
    kind: Pattern("|".join(map(re.escape, values)))
    for kind, values in zip(("mail", "name", "number"), _BY_LABEL, strict=True)
}
_BETWEEN = " | "

fillers = st.sampled_from(
    ["and", "[", "[MAIL-1-", "[MAIL-1-aaaaa]", "{}", '"', "\\", "\\n", "%41", "&amp;", "****", "é", "😀", "a\nb", "- x"]
)
pieces = st.sampled_from(VALUES) | fillers | st.builds("{} {}".format, st.sampled_from(VALUES), fillers)
kinds = st.tuples(*(st.sampled_from(["pseudonym", "pseudonym", "mask", "remove"]) for _ in range(3)))


@dataclass(frozen=True)
class Turn:
    """What is asked, in pieces; how it is answered: which of the pieces are said, in which way, in how long deltas."""

    asked: list[str]
    said: list[int]
    how: str
    split: int
    tool: str = "invite"
    to: str = "far"


turns = st.builds(
    Turn,
    asked=st.lists(pieces, min_size=1, max_size=5),
    said=st.lists(st.integers(0, 4), min_size=1, max_size=4),
    how=st.sampled_from(["text", "text", "json", "json in json", "tool", "raises"]),
    split=st.integers(1, 9),
    tool=st.sampled_from(["invite", "search", "undeclared"]),
    to=st.sampled_from(["far", "far", "far", "near"]),
)


def said_by(turn: Turn, saw: list[str]) -> str:
    """What the model says, of the pieces as it saw them."""
    words = [saw[number % len(saw)] for number in turn.said]
    match turn.how:
        case "json":
            return json.dumps({"said": words}, ensure_ascii=turn.split % 2 == 0)
        case "json in json":
            return json.dumps({"said": [json.dumps(words, ensure_ascii=False)]}, ensure_ascii=False)
        case "tool":
            return json.dumps({"who": _BETWEEN.join(words)}, ensure_ascii=turn.split % 2 == 0)
        case _:
            return _BETWEEN.join(words)


class Talker(ScriptedProvider):
    """Says what the turn says it does."""

    def __init__(self) -> None:
        super().__init__()
        self.turn: Turn | None = None

    async def run(self, plan: Plan[object], grant: Grant) -> AsyncGenerator[ProviderEvent, None]:
        grant.spend(plan.request)
        self.requests.append(plan.request)
        turn = self.turn
        assert turn is not None
        asked = [message for message in plan.request.messages if message.role == "user"][-1].text
        calls = turn.how == "tool" and plan.request.messages[-1].role == "user"
        said = said_by(turn if calls or turn.how != "tool" else replace(turn, how="text"), asked.split(_BETWEEN))
        deltas = [said[at : at + turn.split] for at in range(0, len(said), turn.split)]
        if calls:
            yield ToolCallStart(0, "c", turn.tool)
            for delta in deltas:
                yield ToolCallDelta(0, delta)
            yield ToolCallEnd(0)
            yield Finish("tool_calls")
            return
        for event in text_events(*deltas):
            yield event
            if turn.how == "raises" and isinstance(event, TextDelta):
                raise ValueError(f"about {asked}")


@dataclass
class World:
    """One conversation: who got what, and what the user saw."""

    kinds: tuple[str, ...]
    far: Talker = field(default_factory=Talker)
    near: Talker = field(default_factory=Talker)
    told: list[str] = field(default_factory=list[str])
    calls: Calls = field(default_factory=lambda: Calls("got it", *VALUES))
    asked: list[list[str]] = field(default_factory=list[list[str]])

    def comes_back(self, text: str) -> str:
        """What the user sees of a text that a recipient was sent redacted."""
        kind = {value: kind for kind, values in zip(self.kinds, _BY_LABEL, strict=True) for value in values}
        return _VALUE.sub(
            lambda found: {"pseudonym": found[0], "mask": "****", "remove": ""}[kind[found[0]]],
            text,
        )

    async def talk(self, plan: list[Turn]) -> None:
        def person(question: ConsentRequest) -> bool:
            self.told += [question.preview, repr(question)]
            return True

        providers: dict[str, Any] = {"far": self.far, "near": self.near}
        rules = read_policy(_POLICY % self.kinds)
        async with AsyncAssistant(rules, providers=providers, audit=False, consent=person, retry=NO_WAIT) as it:
            session = it.session(instructions="")
            for turn in plan:
                self.far.turn = self.near.turn = turn
                before = len(self.far.requests)
                error = await self._turn(session, turn)
                self.told += [repr(it), repr(session)]
                if error is not None:
                    self.told.append(shown(error))
                elif turn.how != "raises":
                    self.asked.append(turn.asked)
                if len(self.far.requests) > before and error is None:
                    self.check_placeholders(self.far.requests[-1])

    async def _turn(self, session: Any, turn: Turn) -> RingfenceError | None:
        options: dict[str, Any] = {"to": turn.to}
        if turn.how.startswith("json"):
            options["output"] = {"type": "object", "properties": {"said": {"type": "array"}}}
        if turn.how == "tool":
            options |= {"tools": self.calls.tools(), "approve": self.calls.approve}
        stream = session.stream(_BETWEEN.join(turn.asked), **options)
        events, error = await drain(stream)
        self.told += [repr(stream), repr(stream.receipt)]
        if error is not None:
            return error
        response = await stream.response()
        self.told += [repr(response), json.dumps(response.receipt.as_dict())]
        self.check_answer(turn, response, events)
        return None

    # ------------------------------------------------------------------ what has to hold
    def check_answer(self, turn: Turn, response: Any, events: list[Any]) -> None:
        saw = turn.asked if turn.to == "near" else [self.comes_back(piece) for piece in turn.asked]
        expected = said_by(replace(turn, how="text") if turn.how == "tool" else turn, saw)
        if turn.how == "json in json":
            # What could become structure stays a placeholder there.
            return
        if turn.how == "json":
            assert response.output == json.loads(expected)
            return
        assert response.text == expected
        assert "".join(event.text for event in events if isinstance(event, TextDelta)) == expected

    def check_placeholders(self, request: Request) -> None:
        """One vault, and one placeholder for one value throughout."""
        texts = [form for text in request_texts(request) for form in unescaped_forms(text)[0]]
        assert len({tag for text in texts for tag in _PLACEHOLDER.findall(text)} - {"aaaaa"}) <= 1
        stands: dict[str, str] = {}
        sent = [message.text.split(_BETWEEN) for message in request.messages if message.role == "user"]
        for asked, saw in zip(self.asked, sent, strict=False):
            if len(asked) != len(saw):
                continue
            for piece, placeholder in zip(asked, saw, strict=True):
                if piece in VALUES and _PLACEHOLDER.fullmatch(placeholder):
                    assert stands.setdefault(piece, placeholder) == placeholder
        assert len(set(stands.values())) == len(stands)


def _wire(request: Request) -> Iterator[bytes]:
    for text in request_texts(request):
        yield text.encode()
    for message in request.messages:
        for part in message.parts:
            if isinstance(part, ToolCallPart | ToolResultPart):
                yield repr(part).encode()


@pytest.fixture(autouse=True)
def surroundings() -> Iterator[None]:
    with detectors(**_DETECTORS):
        yield


@law(40)
@given(kinds=kinds, plan=st.lists(turns, min_size=1, max_size=3))
def test_a_conversation_tells_a_partner_nothing_and_the_user_everything(kinds: Any, plan: list[Turn]) -> None:
    world = World(kinds)
    with listening() as told:
        run(world.talk(plan))
    for request in world.far.requests:
        for sent in _wire(request):
            assert not trips(VALUES, sent)
            assert not _VALUE.search(sent.decode())
    for line in (*world.told, *told.lines):
        assert not _VALUE.search(line)


@pytest.mark.parametrize(
    ("kinds", "asked"),
    [(("pseudonym", "remove", "mask"), "Zoë Ng"), (("pseudonym", "mask", "mask"), "Zoë Ng, 1234 5678")],
    ids=["removed", "masked"],
)
def test_a_turn_of_which_nothing_is_left_is_not_answered_as_the_turn_before_it(kinds: Any, asked: str) -> None:
    """What the model would see is the conversation without the question, so it would answer an old one."""
    world = World(kinds)

    async def talk() -> None:
        providers: dict[str, Any] = {"far": world.far, "near": world.near}
        rules = read_policy(_POLICY % world.kinds)
        async with AsyncAssistant(rules, providers=providers, audit=False, consent=lambda _: True) as it:
            session = it.session(instructions="")
            world.far.turn = world.near.turn = Turn(["anna@example.org"], [0], "text", 1)
            await session.respond("to anna@example.org", to="far")
            with pytest.raises(GateError, match="nothing is left to answer"):
                await session.respond(asked.replace(",", ""), to="far")
            assert (await session.respond(asked, to="near")).text == asked
            await session.respond("And who is anna@example.org?", to="far")

    run(talk())
    assert len(world.far.requests) == 2
