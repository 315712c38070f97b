"""A recording answers as the provider did, holds nothing that it may not, and says what it lacks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence import AsyncAssistant
from ringfence.errors import InvalidRequest, RateLimited, StreamBroken, Unavailable
from ringfence.grant import Grant
from ringfence.policy import read_policy
from ringfence.provider import Embeddings, ModelCard, Plan, Provider
from ringfence.recipient import Recipient
from ringfence.request import (
    FilePart,
    ImagePart,
    Message,
    OutputSchema,
    Part,
    ReasoningPart,
    Request,
    Settings,
    TextPart,
    Tool,
    ToolCallPart,
    ToolResultPart,
)
from ringfence.response import (
    Adjustment,
    Finish,
    Media,
    ProviderEvent,
    ReasoningDelta,
    ReasoningEnd,
    ReasoningStart,
    Response,
    TextDelta,
    TextEnd,
    TextStart,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    Usage,
    UsageReport,
)
from ringfence.testing import PartnerServer, Scene, Script, ScriptedProvider, failing, recording, replaying, text_events
from ringfence.testing.replay.event_json import event_from_plain, event_to_plain
from ringfence.testing.replay.fingerprint import differences, fingerprint
from ringfence.testing.replay.scrub import Rule, fitted_events, length_class, placeholder, scrubbed_events
from ringfence_openai.provider import OpenAIProvider

POLICY = read_policy("""\
version: 1
name: replay
labels: {public: {declare: true}, health: {declare: true}, unclassified: {}}
unknown: unclassified
recipients:
  first: {ring: house, provider: scripted, model: m}
flow:
  - {id: any, allow: {labels: "*", to: [house]}}
route:
  - {id: all, prefer: [first]}
""")
SECRET = "canary-4711-zebra"
CALL = ToolCallPart("call_9", "weather", '{"city":"' + SECRET + '"}')
WEATHER = Tool(name="weather", description=SECRET)
ANSWER: tuple[ProviderEvent, ...] = (
    ReasoningStart(0),
    ReasoningDelta(0, f"thinking of {SECRET}"),
    ReasoningEnd(0, SECRET),
    TextStart(1),
    TextDelta(1, f"It is {SECRET}"),
    TextDelta(1, ", surely"),
    TextEnd(1),
    ToolCallStart(2, SECRET, "weather"),
    ToolCallDelta(2, CALL.arguments),
    ToolCallEnd(2),
    ToolCallStart(3, "call_x", SECRET),
    ToolCallEnd(3),
    Media(4, ImagePart(SECRET.encode(), name=SECRET)),
    Media(5, FilePart(SECRET.encode(), media_type="audio/wav")),
    UsageReport(usage=Usage(input_tokens=3, output_tokens=4)),
    Finish("tool_calls", "tool_calls"),
)
PARTS: tuple[Part, ...] = (
    TextPart(SECRET),
    ImagePart(SECRET.encode()),
    FilePart(SECRET.encode(), name=SECRET),
    CALL,
    ToolResultPart("call_9", "weather", SECRET),
    ReasoningPart("scripted", SECRET, state=SECRET),
)


def assistant(provider: Provider) -> AsyncAssistant:
    return AsyncAssistant(policy=POLICY, providers={"scripted": provider})


async def asked(provider: Provider, text: str = "hello", **options: Any) -> str:
    async with assistant(provider) as made:
        response = cast("Response[str]", await made.respond(text, **options))
        return response.text


def text_of(path: Path) -> str:
    return path.read_text()


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text_of(path).splitlines()]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "answers.jsonl"


async def test_what_was_recorded_is_answered_without_the_provider(path: Path) -> None:
    real = ScriptedProvider(text_events("one ", "two"))
    recorder = recording(real, path, allow_labels={"public"})
    assert await asked(recorder, labels={"public"}) == "one two"
    assert await asked(replaying(path), labels={"public"}) == "one two"
    assert len(real.requests) == 1


async def test_the_events_are_the_same_one_by_one(path: Path) -> None:
    recorder = recording(ScriptedProvider(ANSWER), path, allow_labels={"public"})
    drawn: list[list[object]] = []
    for provider in (recorder, replaying):
        made = provider if isinstance(provider, Provider) else provider(path)
        async with assistant(made) as a, a.stream("hello", labels={"public"}, tools=[WEATHER]) as stream:
            drawn.append([event async for event in stream])
    assert drawn[0] == drawn[1]
    assert len(drawn[0]) == len(ANSWER)


async def test_answers_to_the_same_request_come_in_their_order(path: Path) -> None:
    recorder = recording(ScriptedProvider("one", "two"), path, allow_unlabelled=True)
    async with assistant(recorder) as made:
        for _ in range(2):
            await made.respond("hello")
    async with assistant(replaying(path)) as made:
        assert [(await made.respond("hello")).text for _ in range(3)] == ["one", "two", "two"]


@pytest.mark.parametrize("labels", [{"health"}, {"health", "public"}, set[str]()])
async def test_content_under_other_labels_is_not_written(path: Path, labels: set[str]) -> None:
    recorder = recording(ScriptedProvider(ANSWER), path, allow_labels={"public"})
    settings = Settings(stop=(SECRET,), temperature=0.5)
    schema = Tool(name="weather", description=SECRET, parameters={"type": "object", "title": SECRET})
    await asked(recorder, SECRET, labels=labels, settings=settings, tools=[schema], instructions=SECRET)
    assert len(lines(path)) == 2
    assert SECRET not in text_of(path)
    replayed = await asked(
        replaying(path), SECRET, labels=labels, settings=settings, tools=[schema], instructions=SECRET
    )
    assert replayed == placeholder(f"It is {SECRET}, surely")


async def test_unlabelled_parts_are_scrubbed_unless_allowed(path: Path, tmp_path: Path) -> None:
    await asked(recording(ScriptedProvider(SECRET), path), "hello")
    assert SECRET not in text_of(path)
    other = tmp_path / "other.jsonl"
    await asked(recording(ScriptedProvider(SECRET), other, allow_unlabelled=True), "hello")
    assert SECRET in text_of(other)


@given(st.sampled_from(PARTS), st.sampled_from(["user", "assistant", "tool", "system"]))
def test_no_digest_depends_on_scrubbed_content(part: Part, role: Any) -> None:
    """Of two requests that differ in scrubbed content of one length class alone, nothing can be told apart."""
    one, other = (_with_content(part, role, text) for text in (SECRET, SECRET[::-1]))
    assert fingerprint(one, "m", Rule()) == fingerprint(other, "m", Rule())
    kept = Rule(allow_unlabelled=True)
    assert fingerprint(one, "m", kept) != fingerprint(other, "m", kept)


def _with_content(part: Part, role: Any, text: str) -> Request:
    fields = {name: getattr(part, name) for name in type(part).__slots__}
    swapped: Any = {
        name: text if value == SECRET else text.encode() if value == SECRET.encode() else value
        for name, value in fields.items()
    }
    if isinstance(part, ToolCallPart):
        swapped["arguments"] = text
    return Request(
        messages=(Message(role, (type(part)(**swapped),)), Message("user", (TextPart("x"),))),
        tools=(Tool(name="weather", description=text),),
        output=OutputSchema(schema={"title": text}),
        settings=Settings(stop=(text,)),
        provider_options={"scripted": {"x": text}},
    )


async def test_a_conversation_replays_turn_by_turn_although_scrubbed(path: Path) -> None:
    answers = [SECRET, "fine", "bye"]
    async with assistant(recording(ScriptedProvider(*answers), path)) as made:
        session = made.session()
        for turn in ("hello", "how are you", "bye"):
            await session.respond(turn)
    async with assistant(replaying(path)) as made:
        session = made.session()
        said = [(await session.respond(turn)).text for turn in ("hello", "how are you", "bye")]
    assert said == [placeholder(text) for text in answers]


async def test_a_scrubbed_structured_answer_still_fits_its_schema(path: Path) -> None:
    schema: Any = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    said: list[object] = []
    for provider in (recording(ScriptedProvider(json.dumps({"city": SECRET})), path), replaying):
        made: Any = assistant(provider if isinstance(provider, Provider) else provider(path))
        async with made:
            said.append((await made.respond("hello", output=schema)).output)
    assert said == [{"city": SECRET}, {"city": "text"}]


@pytest.mark.parametrize(
    "labelled",
    [
        {"tools": (Tool(name="chart", description="x", labels=frozenset({"health"})),)},
        {
            "tools": [
                Tool(name="a", labels=frozenset({"public"})),
                Tool(name="b", labels=frozenset({"health", "public"})),
            ]
        },
        {"output": OutputSchema(schema={"type": "object"}, labels=frozenset({"health"}))},
    ],
    ids=["a tool", "one of two tools", "a schema"],
)
def test_an_answer_carries_the_labels_of_tools_and_schemas_too(labelled: dict[str, Any]) -> None:
    request = Request(messages=(Message("user", (TextPart("hi", labels=frozenset({"public"})),)),), **labelled)
    assert not Rule(allow_labels=frozenset({"public"})).keeps_all(request)
    assert Rule(allow_labels=frozenset({"public", "health"})).keeps_all(request)


async def test_the_answer_to_a_request_with_a_labelled_tool_is_not_written(path: Path) -> None:
    provider = recording(ScriptedProvider(SECRET), path, allow_labels={"public"})
    await asked(provider, labels={"public"}, tools=[Tool(name="chart", labels=frozenset({"health"}))])
    assert len(lines(path)) == 2
    assert SECRET not in text_of(path)


def test_an_unlabelled_tool_counts_as_an_unlabelled_part() -> None:
    labelled = Message("user", (TextPart("hi", labels=frozenset({"public"})),))
    request = Request(messages=(labelled,), tools=(WEATHER,))
    assert not Rule(allow_labels=frozenset({"public"})).keeps_all(request)
    assert Rule(allow_labels=frozenset({"public"}), allow_unlabelled=True).keeps_all(request)


@pytest.mark.parametrize("word", ["enum", "const", "default"])
async def test_the_texts_of_a_scrubbed_schema_are_not_written_and_still_answered(path: Path, word: str) -> None:
    value = [SECRET] if word == "enum" else SECRET
    schema: Any = {"type": "object", "properties": {SECRET: {"type": "string", word: value}}, "required": [SECRET]}
    said: list[object] = []
    for provider in (recording(ScriptedProvider(json.dumps({SECRET: SECRET})), path), replaying):
        made: Any = assistant(provider if isinstance(provider, Provider) else provider(path))
        async with made:
            said.append((await made.respond("hello", output=schema, labels={"health"})).output)
    assert len(lines(path)) == 2
    assert SECRET not in text_of(path)
    assert said == [{SECRET: SECRET}] * 2


async def test_the_name_of_a_scrubbed_tool_is_not_written_and_still_called(path: Path) -> None:
    called = (ToolCallStart(0, "1", SECRET), ToolCallDelta(0, "{}"), ToolCallEnd(0), Finish("tool_calls", "tool_calls"))
    names: list[str] = []
    for provider in (recording(ScriptedProvider(called), path), replaying):
        made = assistant(provider if isinstance(provider, Provider) else provider(path))
        async with made, made.stream("hello", tools=[Tool(name="other"), Tool(name=SECRET)]) as stream:
            names += [event.name async for event in stream if isinstance(event, ToolCallStart)]
    assert SECRET not in text_of(path)
    assert names == [SECRET, SECRET]


@pytest.mark.parametrize(
    ("changed", "kinds"),
    [
        ({"settings": Settings(temperature=0.1)}, "setting temperature"),
        ({"tools": [WEATHER]}, "tools"),
        ({"task": "rewrite", "instructions": ""}, "task"),
        ({"text": f"quite another text with {SECRET}"}, "message 1"),
        ({"output": {"type": "object"}}, "schema"),
        ({"provider_options": {"scripted": {"x": SECRET}}}, "options"),
    ],
)
async def test_a_request_without_a_recording_is_told_by_kind(path: Path, changed: dict[str, Any], kinds: str) -> None:
    await asked(recording(ScriptedProvider("x"), path, allow_unlabelled=True), "hello", instructions="")
    options = {"text": "hello", "instructions": "", **changed}
    with pytest.raises(Unavailable) as refused:
        await asked(replaying(path), **options)
    assert str(refused.value).startswith(
        "the recording 'answers.jsonl' has no answer to this request; the nearest of 1 differs in: "
    )
    assert refused.value.message.rpartition(": ")[2] == kinds
    assert SECRET not in str(refused.value)


async def test_what_failed_is_not_recorded_and_reaches_the_app(path: Path) -> None:
    broken = failing(RateLimited("later"), after=text_events("x")[:2])
    refused = failing(Unavailable("not today", reason="unreachable", phase="before_first_event"))
    real = ScriptedProvider(broken, refused, "fine")
    async with assistant(recording(real, path, allow_unlabelled=True)) as made:
        with pytest.raises(StreamBroken):
            await made.respond("hello")
        with pytest.raises(Unavailable, match="not today"):
            await made.respond("hello")
        assert (await made.respond("hello")).text == "fine"
    assert len(lines(path)) == 2


async def test_an_answer_that_was_cut_off_is_not_recorded(path: Path) -> None:
    real = ScriptedProvider(Script(events=text_events("a", "b", "c")))
    async with assistant(recording(real, path)) as made, made.stream("hello") as stream:
        await anext(aiter(stream))
    assert len(lines(path)) == 1
    assert real.cancelled == 1


class Embedding(ScriptedProvider):
    """Embeds, counts and adjusts."""

    def plan(self, request: Request, recipient: Recipient, card: ModelCard) -> Plan[object]:
        adjusted = Adjustment(setting="temperature", action="ignored", detail="it has none")
        return Plan(request=request, card=card, native=None, adjustments=(adjusted,))

    async def card(self, recipient: Recipient) -> ModelCard:
        return ModelCard(
            name="m", context_tokens=99, capabilities=frozenset({"text", "embed", "count_tokens"}), languages=("en",)
        )

    async def embed(self, plan: Plan[object], grant: Grant) -> Embeddings:
        grant.spend(plan.request)
        return Embeddings(vectors=((0.6, 0.8),), dimensions=2, input_tokens=1)

    async def count_tokens(self, plan: Plan[object], grant: Grant) -> int:
        grant.spend(plan.request)
        return 17


@pytest.mark.parametrize("allowed", [True, False])
async def test_vectors_are_recorded_or_scrubbed(path: Path, *, allowed: bool) -> None:
    async with assistant(recording(Embedding(), path, allow_unlabelled=allowed)) as made:
        await made.embed(["hello"])
    async with assistant(replaying(path)) as made:
        (vector,) = (await made.embed(["hello"])).output.vectors
    assert (vector == (0.6, 0.8)) is allowed
    assert sum(value * value for value in vector) == pytest.approx(1)


async def test_counts_are_told_from_answers_to_the_same_request(path: Path) -> None:
    async with assistant(recording(Embedding("x"), path)) as made:
        assert await made.count_tokens("hello") == 17
    async with assistant(replaying(path)) as made:
        assert await made.count_tokens("hello") == 17
        with pytest.raises(Unavailable, match="an answer to this request, but no events"):
            await made.respond("hello")


async def test_cards_and_adjustments_are_those_of_the_provider(path: Path) -> None:
    async with assistant(recording(Embedding("x"), path)) as made:
        real = await made.respond("hello")
    provider = replaying(path)
    async with assistant(provider) as made:
        replayed = await made.respond("hello")
    assert replayed.adjustments == real.adjustments != ()
    assert [card.languages for card in await provider.models()] == [("en",)]
    assert provider.manifest.name == "scripted"


async def test_a_model_that_was_not_recorded_is_not_available(path: Path) -> None:
    await asked(recording(ScriptedProvider("x"), path))
    provider = replaying(path)
    other = Recipient(name="r", ring="house", provider="scripted", model="another")
    assert getattr(await provider.availability(other), "reason", None) == "no_model"
    with pytest.raises(Unavailable, match="no answer of model 'another'"):
        await provider.card(other)


def test_an_unknown_version_is_refused(path: Path) -> None:
    recording(ScriptedProvider(), path)
    path.write_text(path.read_text().replace('"ringfence_recording":1', '"ringfence_recording":2'))
    with pytest.raises(InvalidRequest, match="has version 2; this ringfence reads 1"):
        replaying(path)
    with pytest.raises(InvalidRequest, match="has version 2; this ringfence reads 1"):
        recording(ScriptedProvider(), path)


@pytest.mark.parametrize("content", ["", "nothing\n", "[]\n", '{"ringfence_recording":1}\n', '{"a":1}\n'])
def test_what_is_no_recording_is_refused_without_its_content(path: Path, content: str) -> None:
    path.write_text(content + (SECRET if content else ""))
    with pytest.raises(InvalidRequest) as refused:
        replaying(path)
    assert refused.value.__cause__ is None
    assert SECRET not in str(refused.value)


def test_a_missing_file_and_a_missing_folder_are_told(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="cannot be read: no such file"):
        replaying(tmp_path / "none.jsonl")
    with pytest.raises(InvalidRequest, match="cannot be written: no such file"):
        recording(ScriptedProvider(), tmp_path / "none" / "a.jsonl")


def test_a_recording_goes_on_only_under_the_same_labels(path: Path) -> None:
    recording(ScriptedProvider(), path, allow_labels={"public"})
    recording(ScriptedProvider(), path, allow_labels={"public"})
    assert len(lines(path)) == 1
    with pytest.raises(InvalidRequest, match="other labels"):
        recording(ScriptedProvider(), path, allow_labels={"public", "health"})


async def test_a_torn_line_is_cut_off_and_the_rest_kept(path: Path) -> None:
    await asked(recording(ScriptedProvider("one"), path, allow_unlabelled=True), "hello")
    with path.open("a") as file:
        file.write('{"model":"m","torn')
    assert await asked(replaying(path), "hello") == "one"
    await asked(recording(ScriptedProvider("two"), path, allow_unlabelled=True), "other")
    assert len(lines(path)) == 3


def test_the_file_is_its_owners(path: Path) -> None:
    recording(ScriptedProvider(), path)
    assert path.stat().st_mode & 0o777 == 0o600


def test_every_event_comes_back_as_it_was() -> None:
    assert [event_from_plain(json.loads(json.dumps(event_to_plain(event)))) for event in ANSWER] == list(ANSWER)


def test_a_scrubbed_answer_keeps_its_shape_and_no_chunk() -> None:
    request = Request(messages=(Message("user", (TextPart("x"),)),), tools=(WEATHER,))
    scrubbed = scrubbed_events(ANSWER, request)
    assert SECRET not in json.dumps([event_to_plain(event) for event in scrubbed])
    assert [event.type for event in scrubbed if not event.type.endswith("delta")] == [
        event.type for event in ANSWER if not event.type.endswith("delta")
    ]
    assert [event.name for event in scrubbed if isinstance(event, ToolCallStart)] == [
        "scrubbed: tool 1",
        "scrubbed",
    ]
    fitted = [event.name for event in fitted_events(scrubbed, request) if isinstance(event, ToolCallStart)]
    assert fitted == ["weather", "scrubbed"]
    texts = [event for event in scrubbed if isinstance(event, TextDelta)]
    assert [len(event.text) for event in texts] == [length_class(f"It is {SECRET}, surely")]


@given(st.text())
def test_a_placeholder_says_the_length_class_alone(text: str) -> None:
    said = placeholder(text)
    assert set(said) <= {"x"}
    assert placeholder(said) == said
    assert len(text) <= len(said) <= max(1, 2 * len(text))


def test_differences_name_what_either_has_alone() -> None:
    assert differences({"a": "1", "b": "2"}, {"a": "1", "c": "3"}) == ["b", "c"]


async def test_recording_passes_on_what_it_is_asked(path: Path) -> None:
    class Priced(Embedding):
        warmed = 0

        async def prewarm(self, recipient: Recipient) -> None:
            self.warmed += 1

        def price_usd(self, recipient: Recipient, usage: Usage) -> float | None:
            return 0.5

        def utilisation(self, recipient: Recipient) -> float | None:
            return 0.25

        async def models(self) -> Sequence[ModelCard]:
            return []

    real = Priced("x")
    recorder: Any = recording(real, path)
    recipient = POLICY.recipients["first"]
    await recorder.prewarm(recipient)
    assert real.warmed == 1
    assert recorder.price_usd(recipient, Usage()) == 0.5
    assert recorder.utilisation(recipient) == 0.25
    assert await recorder.models() == []
    bare: Any = recording(replaying(path), path)
    assert bare.price_usd(recipient, Usage()) is None
    assert bare.utilisation(recipient) is None
    await bare.prewarm(recipient)


async def test_a_real_provider_over_a_real_socket_is_recorded_without_its_key(
    path: Path, server: PartnerServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REPLAY_KEY", f"sk-{SECRET}")
    policy = read_policy(f"""\
version: 1
name: real
labels: {{public: {{declare: true}}, unclassified: {{}}}}
unknown: unclassified
recipients:
  first: {{ring: house, provider: openai, model: gpt-5-mini, url: {server.url}, secret: "env:REPLAY_KEY"}}
flow:
  - {{id: any, allow: {{labels: "*", to: [house]}}}}
route:
  - {{id: all, prefer: [first]}}
""")
    server.play(Scene(text=("recorded ", "words")))
    said: list[str] = []
    for provider in (recording(OpenAIProvider(), path, allow_labels={"public"}), replaying):
        made = provider if isinstance(provider, Provider) else provider(path)
        app = AsyncAssistant(policy=policy, providers={"openai": made})
        async with app, app.stream("hello", labels={"public"}) as stream:
            said.append("".join([event.text async for event in stream if isinstance(event, TextDelta)]))
    assert said == ["recorded words"] * 2
    assert len(server.seen()) == 1
    assert server.seen()[0].headers["authorization"] == f"Bearer sk-{SECRET}"
    assert SECRET not in text_of(path)
