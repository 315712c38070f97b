"""The tool loop over the wire of both partners: results in the vendor's shape, reasoning replayed to its maker only."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.core.support import drain
from tests.partners.support import APIS, DEVICE, ONCE, Api, Person, assistant, at, backend, body, partner, policy_text

from ringfence import tool
from ringfence.request import ReasoningPart, ToolCallPart
from ringfence.response import Event, Response, ToolFinished, TurnStarted
from ringfence.testing import PartnerServer, Scene, Script, ScriptedProvider
from ringfence.testing.partners import wire_events
from ringfence.testing.scripted import text_events

CALLS = (ToolCallPart("call_ulm", "weather", '{"city":"Ulm"}'), ToolCallPart("call_bonn", "weather", '{"city":"Bonn"}'))
SCHEMA = {
    "type": "object",
    "properties": {"warmest": {"type": "string"}},
    "required": ["warmest"],
    "additionalProperties": False,
}


@tool
def weather(city: str) -> str:
    """The weather in a city."""
    return f"{city}: {len(city) * 5} degrees"


async def ask(asked: Any, text: str, *, streamed: bool, **options: Any) -> tuple[Response[Any], list[Event]]:
    """`asked` is an assistant or a session."""
    options = {"labels": ["public"], **options}
    if not streamed:
        return await asked.respond(text, **options), []
    stream = asked.stream(text, **options)
    events, error = await drain(stream)
    if error is not None:
        raise error
    return await stream.response(), events


def calls_and_results(api: Api, sent: Any) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
    """The calls and the results in a request, in order: (id, name, arguments) and (id, text)."""
    if api == "responses":
        items = sent["input"]
        calls = [
            (i["call_id"], i["name"], json.loads(i["arguments"])) for i in items if i.get("type") == "function_call"
        ]
        return calls, [(i["call_id"], i["output"]) for i in items if i.get("type") == "function_call_output"]
    if api == "chat":
        turns = sent["messages"]
        made = [call for turn in turns for call in turn.get("tool_calls", [])]
        calls = [(c["id"], c["function"]["name"], json.loads(c["function"]["arguments"])) for c in made]
        return calls, [(turn["tool_call_id"], turn["content"]) for turn in turns if turn["role"] == "tool"]
    parts = [part for turn in sent["contents"] for part in turn["parts"]]
    asked = [part["functionCall"] for part in parts if "functionCall" in part]
    given = [part["functionResponse"] for part in parts if "functionResponse" in part]
    return (
        [(one["id"], one["name"], one["args"]) for one in asked],
        [(one["id"], one["response"]["output"]) for one in given],
    )


ULM, BONN = ("call_ulm", "weather", {"city": "Ulm"}), ("call_bonn", "weather", {"city": "Bonn"})
RESULTS = [("call_ulm", "Ulm: 15 degrees"), ("call_bonn", "Bonn: 20 degrees")]


@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize("api", APIS)
async def test_parallel_calls_go_out_and_their_results_come_back(
    server: PartnerServer, api: Api, streamed: bool
) -> None:
    double = backend(api, server)
    double.play(Scene(text=("Let me look.",), tool_calls=CALLS), Scene(text=("Bonn", " is warmer.")))
    person = Person()
    async with assistant(policy_text({"first": at(api, server)}), audit=False, person=person) as asked:
        response, events = await ask(asked, "Where is it warmer?", streamed=streamed, tools=[weather])
    assert response.text == "Bonn is warmer."
    assert response.messages[0].text == "Let me look."
    assert len(response.receipts) == 2
    assert person.asked == ["first"]
    first, second = double.seen()
    assert calls_and_results(api, body(first)) == ([], [])
    assert calls_and_results(api, body(second)) == ([ULM, BONN], RESULTS)
    if streamed:
        assert [event.call_id for event in events if isinstance(event, ToolFinished)] == ["call_ulm", "call_bonn"]
        assert [event.number for event in events if isinstance(event, TurnStarted)] == [2]
    if api == "gemini":
        # The API wants the results of one turn together, right after the calls.
        assert [turn["role"] for turn in body(second)["contents"]] == ["user", "model", "user"]
    if api == "chat":
        assert [turn["role"] for turn in body(second)["messages"]] == ["user", "assistant", "tool", "tool"]


@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize("api", ["responses", "gemini"])
async def test_reasoning_goes_back_to_its_maker_exactly(server: PartnerServer, api: Api, streamed: bool) -> None:
    double = backend(api, server)
    double.play(
        Scene(text=(), reasoning=("I should", " look."), tool_calls=CALLS),
        Scene(reasoning=("So",), text=("Bonn", " it is.")),
        Scene(text=("Bye.",)),
    )
    async with assistant(policy_text({"first": at(api, server)}), audit=False) as asked:
        session = asked.session(labels=["public"])
        response, _ = await ask(session, "Where is it warmer?", streamed=streamed, tools=[weather])
        await ask(session, "Bye", streamed=streamed)
    kept = [part for message in response.messages for part in message.parts if isinstance(part, ReasoningPart)]
    assert kept
    second, third = (body(seen) for seen in double.seen()[1:])
    if api == "responses":
        first_item = json.loads(kept[0].state or "")
        assert first_item["encrypted_content"].startswith("gAAAAAB")
        for sent in (second, third):
            places = [item.get("type") or item["role"] for item in sent["input"]]
            assert places[1:4] == ["reasoning", "function_call", "function_call"]
            assert sent["input"][1] == first_item
        assert [item for item in third["input"] if item.get("type") == "reasoning"] == [
            json.loads(part.state or "") for part in kept
        ]
    else:
        states = [json.loads(part.state) for part in kept if part.state]
        signature = next(state["with"]["thoughtSignature"] for state in states if state.get("next") == "functionCall")
        for sent in (second, third):
            model = sent["contents"][1]
            called = [part for part in model["parts"] if "functionCall" in part]
            assert called[0]["thoughtSignature"] == signature
            assert "thoughtSignature" not in called[1]
        last = third["contents"][-2]
        assert last["role"] == "model"
        assert sum("thoughtSignature" in part for part in last["parts"]) == 1


@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize(("api", "other"), [("responses", "gemini"), ("gemini", "responses"), ("gemini", "chat")])
async def test_a_session_that_falls_back_takes_no_reasoning_along(
    server: PartnerServer, api: Api, other: Api, streamed: bool
) -> None:
    """The second model call goes to the other vendor: it gets the calls and their results, and no opaque state."""
    double, second = backend(api, server), backend(other, server)
    double.play(Scene(text=(), reasoning=("I should look.",), tool_calls=CALLS), Scene(error="authentication"))
    second.play(Scene(text=("Bonn.",)), Scene(text=("Bye.",)))
    policy = policy_text({"first": at(api, server), "second": at(other, server)}, fallback=["second"])
    person = Person()
    async with assistant(policy, audit=False, retry=ONCE, person=person) as asked:
        session = asked.session(labels=["public"])
        response, _ = await ask(session, "Where is it warmer?", streamed=streamed, tools=[weather])
    assert response.text == "Bonn."
    assert "reasoning" in {adjustment.setting for adjustment in response.adjustments}
    assert person.asked == ["first", "second"]
    (seen,) = second.seen()
    assert calls_and_results(other, body(seen)) == ([ULM, BONN], RESULTS)
    sent = seen.body.decode()
    assert "gAAAAAB" not in sent
    assert "I should look." not in sent
    state = next(part.state for part in response.messages[0].parts if isinstance(part, ReasoningPart) and part.state)
    assert state not in sent
    if other == "gemini":
        signatures = [p.get("thoughtSignature") for t in body(seen)["contents"] for p in t["parts"]]
        assert {one for one in signatures if one} == {"skip_thought_signature_validator"}
    else:
        assert "ignature" not in sent
        assert '"type":"reasoning"' not in sent


async def test_reasoning_of_one_company_does_not_go_to_another_behind_the_same_provider(
    server: PartnerServer,
) -> None:
    """`openai` serves OpenAI and every compatible server; what one of them encrypted means nothing elsewhere."""
    with PartnerServer() as elsewhere:
        server.openai.play(
            Scene(text=(), reasoning=("I should look.",), tool_calls=CALLS), Scene(error="authentication")
        )
        elsewhere.openai.play(Scene(text=("Bonn.",)))
        policy = policy_text(
            {"first": at("responses", server), "second": partner("responses", elsewhere.openai.url)},
            fallback=["second"],
        )
        async with assistant(policy, audit=False, retry=ONCE) as asked:
            response = await asked.respond("Where is it warmer?", labels=["public"], tools=[weather])
        assert response.receipt.recipient == "second"
        (seen,) = elsewhere.openai.seen()
    assert calls_and_results("responses", body(seen)) == ([ULM, BONN], RESULTS)
    assert b"gAAAAAB" not in seen.body


@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize("api", APIS)
async def test_structured_output_together_with_tools(server: PartnerServer, api: Api, streamed: bool) -> None:
    double = backend(api, server)
    double.play(Scene(text=(), tool_calls=CALLS), Scene(text=('{"warm', 'est": "Bonn"}')))
    async with assistant(policy_text({"first": at(api, server)}), audit=False) as asked:
        response, _ = await ask(asked, "Where is it warmer?", streamed=streamed, tools=[weather], output=SCHEMA)
    assert response.output == {"warmest": "Bonn"}
    for seen in double.seen():
        assert b'"warmest"' in seen.body
        assert b'"weather"' in seen.body
    assert calls_and_results(api, body(double.seen()[1])) == ([ULM, BONN], RESULTS)


@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize("api", APIS)
async def test_a_session_of_three_turns_sends_all_of_it(server: PartnerServer, api: Api, streamed: bool) -> None:
    double = backend(api, server)
    double.play(Scene(text=("One.",)), Scene(text=("Two.",)), Scene(text=("Three.",)))
    person = Person()
    async with assistant(policy_text({"first": at(api, server)}), audit=False, person=person) as asked:
        session = asked.session(labels=["public"], instructions="Be brief.")
        answers = [(await ask(session, text, streamed=streamed))[0].text for text in ("First?", "Second?", "Third?")]
    assert answers == ["One.", "Two.", "Three."]
    assert person.asked == ["first"] * 3
    sent = body(double.seen()[2])
    if api == "gemini":
        assert sent["systemInstruction"]["parts"] == [{"text": "Be brief."}]
        turns = [(turn["role"], turn["parts"][0]["text"]) for turn in sent["contents"]]
    else:
        turns = [(turn["role"], turn["content"]) for turn in sent["messages" if api == "chat" else "input"]]
        assert turns.pop(0) == ("system", "Be brief.")
    model = "model" if api == "gemini" else "assistant"
    assert turns == [
        ("user", "First?"),
        (model, "One."),
        ("user", "Second?"),
        (model, "Two."),
        ("user", "Third?"),
    ]


@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize("api", APIS)
async def test_a_conversation_moves_to_the_device_and_back(server: PartnerServer, api: Api, streamed: bool) -> None:
    """What one recipient said is an earlier turn for the other; the state of the first goes back to the first."""
    double = backend(api, server)
    double.play(Scene(reasoning=("Hm.",), text=("From afar.",)), Scene(text=("Again from afar.",)))
    device = ScriptedProvider(Script(events=text_events("From", " here.")))
    policy = policy_text({"first": at(api, server), "local": DEVICE}, prefer=["first", "local"])
    async with assistant(policy, audit=False, device=device) as asked:
        session = asked.session(labels=["public"])
        await ask(session, "One?", streamed=streamed, to="first")
        await ask(session, "Two?", streamed=streamed, to="local")
        await ask(session, "Three?", streamed=streamed, to="first")
    (local,) = device.requests
    assert not any(isinstance(part, ReasoningPart) for message in local.messages for part in message.parts)
    sent = double.seen()[1].body.decode()
    assert sent.index("From afar.") < sent.index("From here.") < sent.index("Three?")
    if api == "responses":
        assert "gAAAAAB" in sent
    if api == "gemini":
        assert "thoughtSignature" in sent


@pytest.mark.parametrize("api", APIS)
async def test_arguments_that_break_off_are_never_run(server: PartnerServer, api: Api) -> None:
    """A fault inside the calls: the function is not called with half of what the model meant."""
    called: list[str] = []

    @tool(name="weather")
    def noted(city: str) -> str:
        """The weather in a city."""
        called.append(city)
        return "fine"

    double = backend(api, server)
    scene = Scene(text=("Let me look.",), tool_calls=CALLS)
    async with assistant(policy_text({"first": at(api, server)}), audit=False, retry=ONCE) as asked:
        for index in range(wire_events(scene, api)):
            broken = Scene(text=scene.text, tool_calls=CALLS, fault="end", fault_at=index)
            double.play(broken, Scene(text=("Done.",)))
            _, error = await drain(asked.stream("Where?", labels=["public"], tools=[noted]))
            assert error is not None, index
    assert called == []
