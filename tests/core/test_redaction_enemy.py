"""What hostile or unlucky content tries on redaction: no content of a part that has to go whole is on the wire."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from tests.core.support import NO_WAIT
from tests.core.test_redaction_end_to_end import Model, agree, last

from ringfence import AsyncAssistant, Policy, tool
from ringfence.assistant.tools import ToolResult
from ringfence.errors import GateError, ProtocolViolated
from ringfence.grant import Grant
from ringfence.policy import read_policy
from ringfence.provider import Embeddings, ModelCard, Plan
from ringfence.recipient import Recipient
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
from ringfence.response import ProviderEvent
from ringfence.testing import call_events

_POLICY = """
version: 1
name: enemy
recipients:
  far:   {ring: partner, provider: far, model: m}
  near:  {ring: device, provider: near, model: m}
labels:
  public: {}
  contact: {detect: [email, phone]}
  named: {detect: [person_name, postal_code]}
  identity: {detect: [us_ssn], declare: true}
  health: {declare: true}
  unclassified: {}
unknown: unclassified
clean: public
tools:
  look_up: {ring: device}
flow:
  - {id: device, allow: {labels: "*", to: [device]}}
  - {id: public, allow: {labels: [public, unclassified], to: [partner]}, consent: ask}
  - {id: rest, allow: {labels: [contact, named, identity, health], to: [partner]}, redact: KIND, consent: ask}
route:
  - {id: only, prefer: [far], fallback: [near]}
"""
_PLACEHOLDER = re.compile(r"\[[A-Z0-9-]+-[a-z]{5}\]")
_HEALTH, _IDENTITY = frozenset({"health"}), frozenset({"identity"})


def policy(kind: str = "pseudonym") -> Policy:
    return read_policy(_POLICY.replace("KIND", kind))


def assistant(far: Model, how: Policy | None = None) -> AsyncAssistant:
    providers: dict[str, Any] = {"far": far, "near": Model(last)}
    return AsyncAssistant(how or policy(), providers=providers, audit=False, consent=agree, retry=NO_WAIT)


def wire(far: Model, number: int = -1) -> list[str]:
    """Every content of the parts of a request that went out."""
    return [
        content for message in far.requests[number].messages for part in message.parts for content in _content(part)
    ]


def _content(part: Part) -> tuple[str, ...]:
    match part:
        case TextPart(text=text) | ReasoningPart(text=text) | ToolResultPart(text=text):
            return (text,)
        case ToolCallPart(arguments=arguments):
            return (arguments,)
        case ImagePart(data=data, name=name) | FilePart(data=data, name=name):
            return (data.decode("latin-1"), name or "")


def placeholders(request: Request) -> list[str]:
    return _PLACEHOLDER.findall("".join(part.text for part in request.messages[-1].parts if isinstance(part, TextPart)))


def calls(request: Request) -> list[ProviderEvent]:
    """A model that calls the tool with the first placeholder that it was given."""
    return list(call_events("look_up", who=placeholders(request)[0]))


@tool
def look_up(who: str) -> str:
    """Looks a person up."""
    return f"{who}: CD4 count 200, at Main Street"


@tool(name="look_up")
def labelled(who: str) -> ToolResult:
    """Returns the case file."""
    return ToolResult(f"Adam Smith ({len(who)}): CD4 count 200", labels=_HEALTH)


@pytest.mark.parametrize("function", [look_up, labelled], ids=["told", "labelled"])
@pytest.mark.parametrize("value", ["Adam Smith", "Adam", "A"])
async def test_a_result_that_repeats_a_value_goes_whole_all_the_same(function: Any, value: str) -> None:
    far = Model(calls, lambda _: "done")
    async with assistant(far) as it:
        given = [TextPart(value, labels=_HEALTH), TextPart(" is who? Look it up.")]
        await it.respond(given, tools=[function], approve=lambda _: True, to="far")
    assert len(far.requests) == 2
    assert _PLACEHOLDER.fullmatch(wire(far)[-1])


async def test_a_part_that_repeats_a_value_restored_before_goes_whole_all_the_same() -> None:
    far = Model(lambda request: f"About {placeholders(request)[0]}", last)
    async with assistant(far) as it:
        session = it.session(instructions="")
        await session.respond([TextPart("Project Falcon", labels=_HEALTH), TextPart(" tell me")], to="far")
        await session.respond(
            [TextPart("Project Falcon ships on May 3", labels=_HEALTH), TextPart(" rewrite")], to="far"
        )
    assert not any("ships" in content or "Falcon" in content for content in wire(far))


@pytest.mark.parametrize("value", ["Bob", "Li", "7", "李明"])
@pytest.mark.parametrize("around", ["{}", "x{}x", "9{}9", "{0}{0}"])
async def test_a_short_value_that_was_restored_is_hidden_in_the_next_turn(value: str, around: str) -> None:
    far = Model(lambda request: f"Hello {around.format(placeholders(request)[0])}!", last)
    async with assistant(far) as it:
        session = it.session(instructions="")
        first = await session.respond([TextPart(value, labels=_HEALTH), TextPart(" is who?")], to="far")
        await session.respond("go on", to="far")
    assert first.text == f"Hello {around.format(value)}!"
    answer = next(message.text for message in far.requests[1].messages if message.role == "assistant")
    assert value not in _PLACEHOLDER.sub("", answer)
    assert answer.startswith("Hello ")


async def test_a_short_hit_to_which_letters_were_glued_is_hidden_in_the_next_turn() -> None:
    far = Model(lambda request: f"x{placeholders(request)[0]}x", last)
    async with assistant(far) as it:
        session = it.session(instructions="")
        await session.respond("My name is Bob.", to="far")
        await session.respond("go on", to="far")
    assert not any("Bob" in content for content in wire(far))


@pytest.mark.parametrize("name", ["scan.png", "536-90-4399.png", None])
@pytest.mark.parametrize(
    "part",
    [
        ImagePart(b"PASSPORT"),
        FilePart(b"PASSPORT\xff", media_type="application/pdf"),
        FilePart(b"PASSPORT of Ann", media_type="text/plain"),
    ],
    ids=["image", "binary", "text"],
)
async def test_a_hit_in_the_name_of_an_attachment_says_nothing_about_its_content(
    part: ImagePart | FilePart, name: str | None
) -> None:
    far = Model(lambda _: "ok")
    async with assistant(far) as it:
        given = [TextPart("what is it"), replace(part, name=name, labels=_IDENTITY)]
        await it.respond(given, to="far", instructions="")
    assert wire(far) == ["what is it"]


def _trimmed(session: Any) -> dict[str, Any]:
    data = session.dump()
    return {**data, "messages": data["messages"][1:]}


async def test_an_answer_of_which_nothing_is_known_any_more_goes_whole_though_it_has_a_hit() -> None:
    far = Model(lambda request: "Hello " + " and ".join(placeholders(request)), last)
    async with assistant(far) as it:
        session = it.session(instructions="")
        given = [TextPart("Roberta Smith", labels=_IDENTITY), TextPart(", my SSN is 536-90-4399, greet me")]
        said = await session.respond(given, to="far")
        assert said.text == "Hello Roberta Smith and 536-90-4399"
        again = it.session(load=_trimmed(session), instructions="")
        await again.respond("go on", to="far")
    assert _PLACEHOLDER.fullmatch(wire(far)[0])


async def test_what_is_known_of_an_answer_is_known_in_a_history_that_the_app_keeps() -> None:
    far = Model(lambda request: f"Hello {placeholders(request)[0]}", last)
    async with assistant(far) as it:
        asked = Message("user", (TextPart("Bob", labels=_HEALTH), TextPart(" is who?")))
        said = await it.respond([asked], to="far", instructions="")
        await it.respond([asked, said.message, Message("user", (TextPart("go on"),))], to="far", instructions="")
    assert re.fullmatch(rf"Hello {_PLACEHOLDER.pattern}", wire(far)[2])


class Embedder(Model):
    """Embeds what it is sent, `more` vectors than there are texts."""

    def __init__(self, more: int = 0) -> None:
        super().__init__(last)
        self.more = more

    async def card(self, recipient: Recipient) -> ModelCard:
        card = await super().card(recipient)
        return replace(card, capabilities=card.capabilities | {"embed"})

    async def embed(self, plan: Plan[object], grant: Grant) -> Embeddings:
        grant.spend(plan.request)
        self.requests.append(plan.request)
        return Embeddings(vectors=((1.0,),) * (len(wire(self)) + self.more), dimensions=1, input_tokens=1)


async def test_each_text_to_embed_is_redacted_alone_and_has_its_vector() -> None:
    far = Embedder()
    async with assistant(far, policy("mask")) as it:
        response = await it.embed(["to anna@example.com", "hello world", "call"], to="far")
    assert wire(far) == ["to ****", "hello world", "call"]
    assert len(response.output.vectors) == 3


async def test_a_text_to_embed_of_which_nothing_would_be_left_is_refused() -> None:
    far = Embedder()
    async with assistant(far, policy("remove")) as it:
        with pytest.raises(GateError, match="nothing is left of a text to embed"):
            await it.embed(["anna@example.com", "hello world"], to="far")
    assert far.requests == []


@pytest.mark.parametrize("more", [-1, 1])
async def test_another_number_of_vectors_than_texts_is_no_answer(more: int) -> None:
    async with assistant(Embedder(more)) as it:
        with pytest.raises(ProtocolViolated, match="another number of vectors"):
            await it.embed(["one", "two"], to="far")
