"""Whoever is asked sees every text that would be sent, and that there is something where no text can be shown."""

from __future__ import annotations

from typing import Any

import pytest

from ringfence import AsyncAssistant
from ringfence.policy import read_policy
from ringfence.privacy.consent import ConsentRequest
from ringfence.request import (
    FilePart,
    ImagePart,
    Message,
    OutputSchema,
    ReasoningPart,
    Request,
    Settings,
    TextPart,
    Tool,
    ToolCallPart,
    ToolResultPart,
)
from ringfence.testing import ScriptedProvider

SECRET = "canary-4711-zebra"
ASKING = read_policy("""\
version: 1
name: asking
labels: {public: {declare: true}, unclassified: {}}
unknown: unclassified
facts: {user.age_band: {type: enum, values: [adult]}}
recipients: {out: {ring: partner, provider: scripted, model: m}}
flow: [{id: any, allow: {labels: "*", to: [partner]}, consent: ask}]
route: [{id: all, prefer: [out]}]
""")


def _preview(*parts: Any, **fields: Any) -> str:
    asked = ConsentRequest(
        recipient="out",
        ring="partner",
        provider="scripted",
        model="m",
        host=None,
        task="open_question",
        labels=("public",),
        per="request",
        show=("preview",),
        payload=Request(messages=(Message("user", (TextPart("one"), *parts)),), **fields),
    )
    return asked.preview


@pytest.mark.parametrize(
    ("parts", "fields"),
    [
        ([ToolCallPart("1", "look_up", SECRET)], {}),
        ([ToolResultPart("1", "look_up", SECRET)], {}),
        ([ReasoningPart("scripted", SECRET)], {}),
        ([FilePart(SECRET.encode(), media_type="text/plain")], {}),
        ([ImagePart(b"x", name=SECRET)], {}),
        ([], {"settings": Settings(stop=(SECRET,))}),
        ([], {"provider_options": {"scripted": {"metadata": {"note": [SECRET]}}}}),
        ([], {"provider_options": {"scripted": {SECRET: 1}}}),
        ([], {"tools": (Tool(name="look_up", description=SECRET),)}),
        ([], {"tools": (Tool(name="look_up", parameters={"enum": [SECRET]}),)}),
        ([], {"output": OutputSchema(schema={"const": SECRET})}),
        ([], {"output": OutputSchema(schema={}, name=SECRET)}),
    ],
)
def test_the_preview_shows_every_text(parts: list[Any], fields: dict[str, Any]) -> None:
    assert SECRET in _preview(*parts, **fields)


@pytest.mark.parametrize(
    ("parts", "fields", "line"),
    [
        ([ImagePart(b"12345")], {}, "ImagePart(image/png, 5 bytes, labels=[])"),
        ([FilePart(b"\0abc")], {}, "FilePart(application/octet-stream, 4 bytes, labels=[])"),
        ([ReasoningPart("scripted", state="secret")], {}, "opaque reasoning of scripted, 6 characters"),
        ([], {"provider_options": {"scripted": {"x": b"1"}}}, "options for scripted, which are not JSON"),
        ([], {"tools": (Tool(name="t", parameters={"x": b"1"}),)}, "the parameters of tool t, which are not JSON"),
        ([], {"output": OutputSchema(schema={"x": b"1"})}, "an output schema, which is not JSON"),
    ],
)
def test_the_preview_has_a_line_for_what_no_text_shows(parts: list[Any], fields: dict[str, Any], line: str) -> None:
    assert line in _preview(*parts, **fields).splitlines()


async def test_a_person_who_is_asked_sees_the_options_and_stop_sequences_that_are_sent() -> None:
    seen: list[str] = []

    def ask(asked: ConsentRequest) -> bool:
        seen.append(asked.preview)
        return True

    out = ScriptedProvider("fine")
    async with AsyncAssistant(ASKING, providers={"scripted": out}, audit=False, consent=ask) as it:
        await it.respond("one", settings=Settings(stop=("END",)), provider_options={"scripted": {"note": SECRET}})
    assert out.requests[0].provider_options == {"scripted": {"note": SECRET}}
    assert seen == ['one\nEND\n{"scripted": {"note": "canary-4711-zebra"}}']


def _changed_in_place(asked: ConsentRequest) -> bool:
    payload: Any = asked.payload
    payload.provider_options["scripted"]["metadata"]["x"] = SECRET
    payload.provider_options["other"] = {"x": SECRET}
    payload.settings.logit_bias[7] = 99.0
    payload.facts["user.name"] = SECRET
    payload.tools[0].parameters["title"] = SECRET
    payload.output.schema["title"] = SECRET
    return True


async def test_a_callback_that_changes_what_it_is_shown_changes_nothing_of_what_is_sent() -> None:
    out = ScriptedProvider("{}")
    async with AsyncAssistant(ASKING, providers={"scripted": out}, audit=False, consent=_changed_in_place) as it:
        await it.respond(
            "one",
            settings=Settings(logit_bias={1: 1.0}),
            provider_options={"scripted": {"metadata": {"x": "a"}}},
            facts={"user.age_band": "adult"},
            tools=[Tool(name="t", parameters={"type": "object"})],
            output={"type": "object"},
        )
    (sent,) = out.requests
    assert sent.provider_options == {"scripted": {"metadata": {"x": "a"}}}
    assert sent.settings.logit_bias == {1: 1.0}
    assert sent.facts == {"user.age_band": "adult"}
    assert sent.tools[0].parameters == {"type": "object"}
    assert sent.output is not None
    assert sent.output.schema == {"type": "object"}


def test_what_is_shown_is_equal_to_what_is_sent() -> None:
    text = Message("user", (TextPart("one"),))
    request = Request(messages=(text,), tools=(Tool(name="t"),), provider_options={"scripted": {"x": [1]}})
    shown = ConsentRequest(
        recipient="out",
        ring="partner",
        provider="scripted",
        model="m",
        host=None,
        task="open_question",
        labels=(),
        per="request",
        show=(),
        payload=request,
    ).payload
    assert shown == request
    assert shown.messages[0] is text


def test_an_app_that_changes_its_own_settings_and_facts_changes_no_request() -> None:
    biases, facts = {1: 1.0}, {"user.age_band": "adult"}
    settings = Settings(logit_bias=biases)
    request = Request(messages=(Message("user", (TextPart("one"),)),), facts=facts, settings=settings)
    biases[1] = 50.0
    facts["user.age_band"] = "child"
    assert (settings.logit_bias, request.facts) == ({1: 1.0}, {"user.age_band": "adult"})
