"""The law of what goes whole: however a conversation goes on, nothing of it is sent. Here that is all that is Greek."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.privacy.test_redaction_laws import DETECTORS, VALUES

from ringfence.errors import GateError
from ringfence.policy import Policy, read_policy
from ringfence.privacy.gate import Cleared, Gate
from ringfence.privacy.labels import Labeller
from ringfence.privacy.redaction.restoring import Restorer
from ringfence.privacy.redaction.vault import Vault
from ringfence.request import (
    FilePart,
    ImagePart,
    Message,
    Part,
    ReasoningPart,
    Request,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)

_POLICY = """
version: 1
name: whole
recipients:
  near: {ring: device, provider: near, model: m}
  far: {ring: partner, provider: far, model: m}
labels:
  public: {}
  contact: {detect: [email, long]}
  names: {detect: [word, long, edge]}
  health: {detect: [edge], declare: true}
  unclassified: {}
unknown: unclassified
clean: public
tools: {look: {ring: device}}
flow:
  - {id: any, allow: {labels: "*", to: [device]}}
  - {id: clean, allow: {labels: [public, unclassified], to: [partner]}, consent: ask}
  - {id: rest, allow: {labels: [contact, names, health], to: [partner]}, redact: pseudonym, consent: ask}
route: [{id: only, prefer: [far]}]
"""
_GREEK = re.compile("[\u0370-\u03ff]")

greek = st.text("ΔΩΨ", min_size=1, max_size=8)
values = st.sampled_from(VALUES)


@pytest.fixture(scope="module")
def policy() -> Policy:
    return read_policy(_POLICY)


def _text(said: str) -> Part:
    return TextPart(said, labels=frozenset({"health"}))


def _attachment(said: str, name: str | None, kind: int) -> Part:
    labels = frozenset({"contact"})
    if kind == 0:
        return ImagePart(said.encode(), name=name, labels=labels)
    if kind == 1:
        return FilePart(said.encode(), media_type="text/plain", name=name, labels=labels)
    return FilePart(b"\xff" + said.encode(), media_type="application/pdf", name=name, labels=labels)


whole = st.one_of(
    greek.map(_text),
    st.builds("{0} {1} {0}".format, greek, values).map(_text),
    st.builds(_attachment, greek, st.none() | values, st.integers(0, 2)),
)
open_part = st.one_of(values, st.sampled_from(["and ", "x", "12", " Q1 "])).map(TextPart)


def contents(request: Request) -> Iterator[str]:
    for message in request.messages:
        for part in message.parts:
            match part:
                case TextPart(text=text) | ReasoningPart(text=text) | ToolResultPart(text=text):
                    yield text
                case ToolCallPart(arguments=arguments):
                    yield json.dumps(json.loads(arguments), ensure_ascii=False)
                case ImagePart(data=data, name=name) | FilePart(data=data, name=name):
                    yield data.decode(errors="replace") + (name or "")


class Conversation:
    """Turns with a partner that writes placeholders as it likes, and with a tool of the device that tells more."""

    def __init__(self, policy: Policy, data: st.DataObject) -> None:
        self.gate = Gate(policy, Labeller(policy, DETECTORS))
        self.data = data
        self.history: list[Message] = []
        self.sent: list[Request] = []

    def turn(self) -> None:
        draw, vault = self.data.draw, Vault()
        self.history = self.history[draw(st.integers(0, len(self.history))) :]
        given = draw(st.lists(whole | open_part, max_size=3))
        self.history.append(Message("user", (*given, TextPart("Go on."))))
        for _ in range(draw(st.integers(1, 2))):
            self._round(vault)

    def _round(self, vault: Vault) -> None:
        cleared = self.gate.clear(Request(messages=tuple(self.history)))
        self.sent.append(self.gate.prepare(cleared, "far", vault).request)
        self._answer(cleared, vault)

    def _answer(self, cleared: Cleared, vault: Vault) -> None:
        draw, gate, facts = self.data.draw, self.gate, cleared.facts
        labels, unseen = facts.labels, frozenset(dict(cleared.decision.plan[0].redact))
        word = st.sampled_from([*vault.values(), "x", " ", " Q7 ", "9"])
        said = "".join(draw(st.lists(word, min_size=1, max_size=4)))
        call = ToolCallPart("c", "look", json.dumps({"who": said}), labels=labels)
        call = gate.tool_call(call, facts, vault, unseen)
        answer = Message("assistant", (TextPart(Restorer(vault).whole(said), labels=labels), call))
        who = json.loads(call.arguments)["who"]
        # What it was told of the Greeks it knows more of; of all else it says nothing Greek.
        result = f"{who} " + ("is ΨΨΩΩ" if _GREEK.search(who) else "is here")
        if draw(st.booleans()):
            result = json.dumps([result])
        told = Message("tool", (ToolResultPart("c", "look", result, labels=labels),))
        if draw(st.booleans()):
            gate.remember(answer, unseen, vault)
            gate.remember(told, unseen - gate.labels_told(call, vault), vault)
        self.history += [answer, told]


@given(data=st.data())
def test_nothing_of_what_has_to_go_whole_is_ever_sent(policy: Policy, data: st.DataObject) -> None:
    conversation = Conversation(policy, data)
    with suppress(GateError):
        for _ in range(data.draw(st.integers(1, 3))):
            conversation.turn()
    for request in conversation.sent:
        assert not any(_GREEK.search(content) for content in contents(request))


def test_a_conversation_of_such_turns_is_not_refused(policy: Policy) -> None:
    """So that the law above says something."""
    gate = Gate(policy, Labeller(policy, DETECTORS))
    message = Message("user", (_text("ΔΩ"), _attachment("Δ", "anna@mail.io", 1), TextPart("Go on.")))
    request = gate.prepare(gate.clear(Request(messages=(message,))), "far", Vault()).request
    first, second = contents(request)
    assert re.fullmatch(r"\[HEALTH-1-[a-z]{5}\]", first)
    assert second == "Go on."
