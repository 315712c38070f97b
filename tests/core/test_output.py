"""Structured output: a validated instance, parts of it while it grows, or one typed error without content."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Callable, Iterator
from typing import Any, Literal

import pytest
from pydantic import BaseModel, Field, TypeAdapter
from tests.core.support import CANARY, assistant, policy, shown

from ringfence.errors import InvalidRequest, OutputInvalid, OutputTruncated, RingfenceError, StreamBroken
from ringfence.grant import Grant
from ringfence.provider import ModelCard, Plan
from ringfence.recipient import Recipient
from ringfence.request import ImagePart, JsonValue, TextPart, Tool
from ringfence.response import Finish, ProviderEvent, ToolCallDelta, ToolCallEnd, ToolCallStart
from ringfence.testing import ScriptedProvider, failing, text_events


class Person(BaseModel):
    name: str
    age: int


class Team(BaseModel):
    title: str
    people: list[Person]
    lead: Person | None = None


class Renamed(BaseModel):
    full_name: str = Field(alias="fullName")


ADA = '{"name": "Ada", "age": 36}'
TEAM = json.dumps({"title": "Engines", "people": [{"name": "Ada", "age": 36}, {"name": "Charles", "age": 50}]})
SCHEMA: dict[str, JsonValue] = {
    "type": "object",
    "title": "person",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
}


def letters(text: str) -> tuple[ProviderEvent, ...]:
    return text_events(*text)


# ------------------------------------------------------------------ whole
async def test_a_model_class_gives_an_instance() -> None:
    provider = ScriptedProvider(ADA)
    async with assistant(policy("first"), first=provider) as it:
        response = await it.respond("x", output=Person)
        assert await it.extract("x", Person) == Person(name="Ada", age=36)
    assert response.output == Person(name="Ada", age=36)
    sent = provider.requests[0].output
    assert sent is not None
    assert sent.name == "Person"
    assert sent.schema == Person.model_json_schema()


async def test_a_list_of_models_and_nested_models() -> None:
    async with assistant(policy("first"), first=ScriptedProvider(f"[{ADA}]", TEAM)) as it:
        people = await it.respond("x", output=list[Person])
        team = await it.respond("x", output=Team)
    assert people.output == [Person(name="Ada", age=36)]
    assert [person.name for person in team.output.people] == ["Ada", "Charles"]


async def test_a_schema_gives_plain_values() -> None:
    provider = ScriptedProvider(ADA)
    async with assistant(policy("first"), first=provider) as it:
        response = await it.respond("x", output=SCHEMA)
    assert response.output == {"name": "Ada", "age": 36}
    assert provider.requests[0].output is not None
    assert provider.requests[0].output.name == "person"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no json",
        "[]",
        "{}",
        '{"name": "Ada"}',
        '{"name": "Ada", "age": "old"}',
        ADA + "x",
        ADA[:-1],
        "NaN",
        "[" * 100_000,
        '{"a":' * 100_000,
        "1" * 10_000,
        '"\ud800"',
    ],
    ids=lambda text: text[:12].encode("ascii", "replace").decode() or "empty",
)
@pytest.mark.parametrize("wanted", [Person, SCHEMA], ids=["model", "schema"])
async def test_what_does_not_validate_is_output_invalid_without_content(text: str, wanted: Any) -> None:
    async with assistant(policy("first"), first=ScriptedProvider(text)) as it:
        with pytest.raises(OutputInvalid) as caught:
            await it.respond("x", output=wanted)
    assert caught.value.partial_text == text
    assert caught.value.receipt is not None
    assert caught.value.response is not None


@pytest.mark.parametrize("wanted", [Person, SCHEMA, list[Person]], ids=["model", "schema", "list"])
@pytest.mark.parametrize("text", [CANARY, f'{{"name": 1, "age": "{CANARY}"}}', f'{{"{CANARY}": 1}}'])
async def test_invalid_output_is_in_no_exception(wanted: Any, text: str) -> None:
    async with assistant(policy("first"), first=ScriptedProvider(text)) as it:
        with pytest.raises(OutputInvalid) as caught:
            await it.respond("x", output=wanted)
    assert CANARY not in f"{caught.value}{caught.value!r}{caught.value.args!r}"


async def test_invalid_output_is_not_kept_in_the_chain_of_causes() -> None:
    async with assistant(policy("first"), first=ScriptedProvider(f'{{"name": "{CANARY}"}}')) as it:
        with pytest.raises(OutputInvalid) as caught:
            await it.respond("x", output=Person)
    assert CANARY not in shown(caught.value)


async def test_output_that_was_cut_is_truncated_even_if_it_happens_to_validate() -> None:
    for text in ('{"name": "A', ADA):
        cut = text_events(text, finish=Finish("length"))
        async with assistant(policy("first"), first=ScriptedProvider(cut)) as it:
            with pytest.raises(OutputTruncated) as caught:
                await it.respond("x", output=Person, repair=3)
        assert caught.value.partial_text == text
        assert caught.value.way_out == "a larger max_output_tokens, or bounds such as max_length in the schema"


async def test_a_tool_call_in_place_of_the_output_reaches_the_app() -> None:
    calls = (ToolCallStart(0, "1", "look"), ToolCallDelta(0, "{}"), ToolCallEnd(0), Finish("tool_calls"))
    async with assistant(policy("first"), first=ScriptedProvider(calls)) as it:
        response = await it.respond("x", output=Person, tools=[Tool(name="look")])
    assert [call.name for call in response.tool_calls] == ["look"]


# ------------------------------------------------------------------ wrong wishes
@pytest.mark.parametrize(
    "wanted",
    [
        5,
        "Person",
        Callable[[int], int],
        {"type": "nonsense"},
        {"$ref": "#/missing"},
        {"type": {1, 2}},
        object(),
        Person(name="Ada", age=36),
    ],
    ids=["int", "name", "callable", "bad type", "bad reference", "no json", "object", "instance"],
)
async def test_an_output_that_is_none_is_refused_and_nothing_is_sent(wanted: Any) -> None:
    provider = ScriptedProvider(ADA)
    async with assistant(policy("first"), first=provider) as it:
        with pytest.raises(InvalidRequest) as caught:
            await it.respond("x", output=wanted)
    assert caught.value.way_out
    assert provider.requests == []


@pytest.fixture
def listener() -> Iterator[tuple[int, list[str]]]:
    """A web server on this machine, and the paths it was asked for."""
    seen: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.server_port, seen
    server.shutdown()
    server.server_close()
    thread.join()


async def test_no_network_is_used_for_a_schema_that_refers_to_one(listener: tuple[int, list[str]]) -> None:
    port, seen = listener
    wanted: dict[str, JsonValue] = {"$ref": f"http://127.0.0.1:{port}/schema.json"}
    async with assistant(policy("first"), first=ScriptedProvider(ADA)) as it:
        with pytest.raises(RingfenceError):
            await it.respond("x", output=wanted)
    assert seen == []


# ------------------------------------------------------------------ partials
async def partials_of(it: Any, wanted: Any) -> list[Any]:
    return [one async for one in it.stream("x", output=wanted).partials()]


def _plain(value: object) -> Any:
    return TypeAdapter(object).dump_python(value)


def _not_smaller(earlier: Any, later: Any) -> bool:
    if earlier is None:
        return True
    if isinstance(earlier, str):
        return isinstance(later, str) and later.startswith(earlier)
    if isinstance(earlier, list):
        return len(earlier) <= len(later) and all(map(_not_smaller, earlier, later))  # pyright: ignore[reportUnknownVariableType,reportUnknownArgumentType]
    if isinstance(earlier, dict):
        return all(key in later and _not_smaller(value, later[key]) for key, value in earlier.items())  # pyright: ignore[reportUnknownVariableType]
    return True


@pytest.mark.parametrize(
    ("wanted", "text", "last"),
    [
        (Person, ADA, Person(name="Ada", age=36)),
        (Team, TEAM, Team.model_validate_json(TEAM)),
        (SCHEMA, ADA, json.loads(ADA)),
        (list[Person], f"[{ADA}, {ADA}]", [Person(name="Ada", age=36)] * 2),
    ],
    ids=["model", "nested", "schema", "list"],
)
async def test_partials_only_grow_and_end_with_the_validated_instance(wanted: Any, text: str, last: object) -> None:
    async with assistant(policy("first"), first=ScriptedProvider(letters(text))) as it:
        seen = await partials_of(it, wanted)
    assert len(seen) > 3
    assert seen[-1] == last
    assert type(seen[-1]) is type(last)
    plain = [_plain(one) for one in seen]
    assert all(map(_not_smaller, plain, plain[1:]))


async def test_partials_know_a_field_by_its_alias() -> None:
    events = letters('{"fullName": "Ada Lovelace"}')
    async with assistant(policy("first"), first=ScriptedProvider(events)) as it:
        seen: list[Any] = [one async for one in it.stream("x", output=Renamed).partials()]
    assert "Ada" in [one.full_name for one in seen[:-1]]


async def test_partials_of_a_literal_wait_until_it_is_one() -> None:
    class Mood(BaseModel):
        mood: Literal["good", "bad"]

    async with assistant(policy("first"), first=ScriptedProvider(letters('{"mood": "good"}'))) as it:
        seen: list[Any] = [one async for one in it.stream("x", output=Mood).partials()]
    assert {one.mood for one in seen} <= {None, "good"}
    assert seen[-1] == Mood(mood="good")


async def test_partials_begin_again_after_a_restart() -> None:
    first = ScriptedProvider(failing(StreamBroken("cut"), after=letters('{"name": "Bob", "age": 1')[:-3]))
    rules = policy("first", "second", fallback=["second"], on_broken_stream="restart")
    async with assistant(rules, first=first, second=ScriptedProvider(letters(ADA))) as it:
        seen = [one async for one in it.stream("x", output=Person).partials()]
    assert seen[-1] == Person(name="Ada", age=36)


async def test_partials_of_what_does_not_validate_end_with_an_error() -> None:
    async with assistant(policy("first"), first=ScriptedProvider(letters('{"name": "Ada"}'))) as it:
        with pytest.raises(OutputInvalid):
            _ = [one async for one in it.stream("x", output=Person).partials()]


async def test_partials_without_a_schema_are_refused() -> None:
    provider = ScriptedProvider("x")
    async with assistant(policy("first"), first=provider) as it:
        with pytest.raises(RingfenceError):
            _ = [one async for one in it.stream("x").partials()]
    assert provider.requests == []


# ------------------------------------------------------------------ repair
async def test_a_repair_turn_shows_the_model_its_answer_and_what_was_wrong() -> None:
    provider = ScriptedProvider('{"name": "Ada"}', ADA)
    async with assistant(policy("first"), first=provider) as it:
        response = await it.respond("who?", output=Person, repair=1)
    assert response.output == Person(name="Ada", age=36)
    asked = provider.requests[1].messages
    assert [message.role for message in asked] == ["user", "assistant", "user"]
    assert asked[1].text == '{"name": "Ada"}'
    assert "age" in asked[2].text


async def test_repair_turns_are_as_many_as_asked_for_and_no_more() -> None:
    for repair in (0, 1, 3):
        provider = ScriptedProvider("no json")
        async with assistant(policy("first"), first=provider) as it:
            with pytest.raises(OutputInvalid):
                await it.respond("x", output=Person, repair=repair)
        assert len(provider.requests) == repair + 1


async def test_each_repair_turn_goes_through_the_gate_again() -> None:
    """The answer holds an e-mail address, which the house may not see: the repair turn stays on the device."""
    head = (
        "version: 1\nname: detecting\nunknown: unclassified\nclean: public\n"
        "labels: {public: {}, contact: {detect: [email]}, unclassified: {}}\n"
    )
    flow = (
        'flow:\n  - id: device\n    allow: {labels: "*", to: [device]}\n'
        "  - id: clean\n    allow: {labels: [public], to: [house]}\n"
    )
    house, phone = ScriptedProvider("write to ann.smith@example.com"), ScriptedProvider(ADA)
    rules = policy("house1", "phone", flow=flow, head=head, rings={"phone": "device"})
    async with assistant(rules, house1=house, phone=phone) as it:
        response = await it.respond("Who is she?", output=SCHEMA, repair=1)
    assert (len(house.requests), len(phone.requests)) == (1, 1)
    assert "contact" in response.labels
    assert house.grants[0] is not phone.grants[0]


async def test_a_request_with_an_attachment_can_be_repaired() -> None:
    provider = ScriptedProvider("no json", ADA)
    async with assistant(policy("first"), first=provider) as it:
        found = await it.extract("who?", Person, attachments=[ImagePart(b"\x89PNG")])
    assert found == Person(name="Ada", age=36)
    parts = [part for message in provider.requests[1].messages for part in message.parts]
    assert len([part for part in parts if isinstance(part, ImagePart)]) == 1


async def test_a_repaired_request_keeps_its_labels_and_instructions() -> None:
    provider = ScriptedProvider("no json", ADA)
    async with assistant(policy("first"), first=provider) as it:
        response = await it.respond("x", output=Person, repair=1, labels={"health"}, instructions="short")
    assert "health" in response.labels
    assert [m.text for m in provider.requests[1].messages if m.role == "system"] == ["short"]


# ------------------------------------------------------------------ embed
class Embedding(ScriptedProvider):
    """Gives every text a vector of its own."""

    async def card(self, recipient: Recipient) -> ModelCard:
        return ModelCard(name=recipient.model, context_tokens=100, capabilities=frozenset({"embed"}))

    async def embed(self, plan: Plan[object], grant: Grant) -> Any:
        from ringfence.provider import Embeddings

        grant.spend(plan.request)
        self.requests.append(plan.request)
        texts = [part.text for part in plan.request.messages[0].parts if isinstance(part, TextPart)]
        vectors = tuple((float(len(text)),) for text in texts)
        return Embeddings(vectors=vectors, dimensions=1, input_tokens=len(texts))


async def test_embed_gives_one_vector_a_text_in_order() -> None:
    provider = Embedding()
    async with assistant(policy("first"), first=provider) as it:
        response = await it.embed(["a", "bbb", "cc"])
    assert response.output.vectors == ((1.0,), (3.0,), (2.0,))
    assert response.receipt.task == "embed"
    assert response.usage.input_tokens == 3
    assert [m.role for m in provider.requests[0].messages] == ["user"]


async def test_a_model_that_makes_no_embeddings_says_so() -> None:
    provider = ScriptedProvider("x")
    async with assistant(policy("first"), first=provider) as it:
        with pytest.raises(RingfenceError, match="makes no embeddings"):
            await it.embed("a")
    assert provider.requests == []


@pytest.mark.parametrize("texts", ["", " ", [], ["a", ""], [1], None, 5, [None]], ids=repr)
async def test_texts_that_cannot_be_embedded_are_refused(texts: Any) -> None:
    provider = Embedding()
    async with assistant(policy("first"), first=provider) as it:
        with pytest.raises(InvalidRequest):
            await it.embed(texts)
    assert provider.requests == []
