"""Text, reasoning and tool calls come apart as events, whatever the pieces the text arrives in; nothing gets lost."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.model
law = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def tool(name: str, **properties: Any) -> dict[str, Any]:
    parameters = {"type": "object", "properties": properties}
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


TOOLS = [tool("get", city={"type": "string"}, days={"type": "integer"}), tool("stop")]
GET = ("get", {"city": 'Bern, "x"', "days": 2})
XML = """<tool_call>
<function=get>
<parameter=city>
Bern, "x"
</parameter>
<parameter=days>
2
</parameter>
</function>
</tool_call>"""
FORMATS: dict[str, tuple[str, str, list[tuple[str, dict[str, Any]]]]] = {
    "one call": (
        "json_tools",
        '<tool_call>\n{"name": "get", "arguments": {"city": "Bern, \\"x\\"", "days": 2}}\n</tool_call>',
        [GET],
    ),
    "arguments as text": ("json_tools", '<tool_call>{"name": "stop", "arguments": "{}"}</tool_call>', [("stop", {})]),
    "no arguments": ("json_tools", '<tool_call>{"name": "stop"}</tool_call>', [("stop", {})]),
    "two calls": (
        "json_tools",
        '<tool_call>{"name":"stop","arguments":{}}</tool_call>\n<tool_call>{"name":"stop","arguments":{}}</tool_call>\n',
        [("stop", {}), ("stop", {})],
    ),
    "no end marker": ("json_tools", '<tool_call>{"name":"stop","arguments":{}}', [("stop", {})]),
    "mistral, a list": (
        "mistral",
        '[TOOL_CALLS] [{"name":"get","arguments":{"city":"Bern, \\"x\\"","days":2}},{"name":"stop","arguments":{}}]',
        [GET, ("stop", {})],
    ),
    "mistral, headers": ("mistral", "[TOOL_CALLS]stop[ARGS]{}", [("stop", {})]),
    "pythonic": (
        "pythonic",
        "<|tool_call_start|>[get(city='Bern, \"x\"', days=2), stop()]<|tool_call_end|>",
        [GET, ("stop", {})],
    ),
    "xml": ("qwen3_coder", XML, [GET]),
}
MALFORMED = {
    "not JSON": '<tool_call>{"name": get}</tool_call>',
    "a tool nobody offered": '<tool_call>{"name":"rm","arguments":{}}</tool_call>',
    "arguments that are no object": '<tool_call>{"name":"stop","arguments":[1]}</tool_call>',
    "not a number": '<tool_call>{"name":"stop","arguments":{"x":NaN}}</tool_call>',
    "no name": '<tool_call>{"arguments":{}}</tool_call>',
    "not an object": "<tool_call>[5]</tool_call>",
    "nothing": "<tool_call></tool_call>",
    "half a marker": "a <tool",
    "an end without a beginning": "a </tool_call> b",
    "very deep": "<tool_call>" + "[" * 100_000 + "</tool_call>",
}


def run(
    tokenizer: Any, pieces: list[str], *, reason: str = "stop", prompt: tuple[int, ...] = ()
) -> list[dict[str, Any]]:
    from ringfence_mlx.worker.toolcalls import ToolCallStream

    stream = ToolCallStream(tokenizer, TOOLS, prompt=prompt)
    return [event for piece in pieces for event in stream.feed(piece)] + stream.finish(reason)


def joined(events: list[dict[str, Any]], kind: str = "text") -> str:
    return "".join(event["text"] for event in events if event["type"] == f"{kind}_delta")


def calls(events: list[dict[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
    names = [event["name"] for event in events if event["type"] == "tool_call_start"]
    arguments = [event["arguments"] for event in events if event["type"] == "tool_call_delta"]
    return [(name, json.loads(text)) for name, text in zip(names, arguments, strict=True)]


def pieces_of(text: str, cuts: list[int]) -> list[str]:
    places = sorted({cut % (len(text) + 1) for cut in cuts} | {0, len(text)})
    return [text[start:end] for start, end in itertools.pairwise(places)]


class TestCalls:
    @pytest.mark.parametrize("name", FORMATS)
    @pytest.mark.parametrize("step", [1, 5, 10_000])
    def test_a_call_in_the_models_format_is_found(self, make_tokenizer: Any, name: str, step: int) -> None:
        parser, text, expected = FORMATS[name]
        pieces = [text[start : start + step] for start in range(0, len(text), step)]
        events = run(make_tokenizer(tools=parser), pieces)
        assert calls(events) == expected
        assert joined(events) == ""

    @pytest.mark.parametrize("name", MALFORMED)
    def test_what_is_no_call_is_the_text_that_was_written(self, make_tokenizer: Any, name: str) -> None:
        events = run(make_tokenizer(tools="json_tools"), [MALFORMED[name]])
        assert joined(events) == MALFORMED[name]
        assert calls(events) == []

    def test_a_call_that_the_length_limit_cut_off_is_text(self, make_tokenizer: Any) -> None:
        text = '<tool_call>{"name":"stop","arguments":{}}'
        events = run(make_tokenizer(tools="json_tools"), [text], reason="length")
        assert joined(events) == text

    @pytest.mark.parametrize("arguments", ['{ "days" :2e0,"city": "B\\u0065rn" }', '{"days": 1, "days": 2}', "{}"])
    def test_arguments_are_the_text_that_the_model_wrote(self, make_tokenizer: Any, arguments: str) -> None:
        bodies = (
            f'{{"arguments": {{}}, "name": "get", "arguments" : {arguments} }}',
            f'{{"name": "get", "arguments": {json.dumps(arguments)}}}',
        )
        for body in bodies:
            events = run(make_tokenizer(tools="json_tools"), [f"<tool_call>{body}</tool_call>"])
            assert [event["arguments"] for event in events if event["type"] == "tool_call_delta"] == [arguments]

    def test_every_call_has_an_id_that_strict_templates_take(self, make_tokenizer: Any) -> None:
        events = run(make_tokenizer(tools="json_tools"), [FORMATS["two calls"][1]])
        identities = [event["id"] for event in events if event["type"] == "tool_call_start"]
        assert len(set(identities)) == 2
        assert all(len(identity) == 9 and identity.isalnum() for identity in identities)

    def test_text_before_and_after_is_apart(self, make_tokenizer: Any) -> None:
        events = run(make_tokenizer(tools="json_tools"), [f"Let me see.{FORMATS['one call'][1]}\nDone."])
        assert [(event["type"], event["index"]) for event in events] == [
            ("text_start", 0),
            ("text_delta", 0),
            ("text_end", 0),
            ("tool_call_start", 1),
            ("tool_call_delta", 1),
            ("tool_call_end", 1),
            ("text_start", 2),
            ("text_delta", 2),
            ("text_end", 2),
        ]
        assert joined(events) == "Let me see.Done."


class TestReasoning:
    def test_reasoning_is_apart_from_text(self, make_tokenizer: Any) -> None:
        tokenizer = make_tokenizer(added=("<think>", "</think>"))
        events = run(tokenizer, list("<think>\nhm</think>\n\nYes"))
        assert joined(events, "reasoning") == "\nhm"
        assert joined(events) == "Yes"

    def test_white_space_before_it_is_no_part_of_it(self, make_tokenizer: Any) -> None:
        tokenizer = make_tokenizer(added=("<think>", "</think>"))
        events = run(tokenizer, ["\n<think>hm</think>Yes"])
        assert [event["text"] for event in events if "text" in event] == ["hm", "Yes"]

    def test_the_prompt_can_have_opened_it(self, make_tokenizer: Any) -> None:
        tokenizer = make_tokenizer(added=("<think>", "</think>"))
        events = run(tokenizer, ["hm</think>Yes"], prompt=(1, *tokenizer.think_start_tokens))
        assert joined(events, "reasoning") == "hm"
        assert joined(events) == "Yes"


class TestText:
    def test_text_comes_at_once(self, make_tokenizer: Any) -> None:
        from ringfence_mlx.worker.toolcalls import ToolCallStream

        stream = ToolCallStream(make_tokenizer(tools="json_tools"), TOOLS)
        assert joined(stream.feed("Hello <b> you")) == "Hello <b> you"
        assert stream.feed(" <tool_") == [{"type": "text_delta", "index": 0, "text": " "}]
        assert joined(stream.feed("x")) == "<tool_x"

    def test_an_answer_of_white_space_is_kept(self, make_tokenizer: Any) -> None:
        assert joined(run(make_tokenizer(tools="json_tools"), ["\n", " "])) == "\n "

    def test_a_structured_answer_is_all_text(self, make_tokenizer: Any) -> None:
        from ringfence_mlx.worker.toolcalls import ToolCallStream

        tokenizer = make_tokenizer(tools="json_tools", added=("<think>", "</think>"))
        stream = ToolCallStream(tokenizer, TOOLS, prompt=tokenizer.think_start_tokens, structured=True)
        text = '{"a": "<think> </think> <tool_call>{}</tool_call>"}'
        assert joined([*stream.feed(text), *stream.finish("stop")]) == text

    @pytest.mark.parametrize("text", ['{"a": "<tool_call>{}</tool_call>"}', "<tool_", "", "[1]"])
    def test_beside_tools_a_structured_answer_is_all_text(self, make_tokenizer: Any, text: str) -> None:
        from ringfence_mlx.worker.either import SchemaOrCallStream

        stream = SchemaOrCallStream(make_tokenizer(tools="json_tools"), TOOLS)
        events = [event for character in text for event in stream.feed(character)]
        assert joined([*events, *stream.finish("stop")]) == text

    def test_no_text_is_no_event(self, make_tokenizer: Any) -> None:
        assert run(make_tokenizer(tools="json_tools"), []) == []

    @law
    @given(
        words=st.lists(
            st.sampled_from(["<tool_call>", "</tool_call>", "<tool", "_call>", '{"name":"stop"}', "x", " ", "\n", "é<"])
        ),
        cuts=st.lists(st.integers(0, 200)),
    )
    def test_pieces_do_not_matter_and_only_space_between_parts_gets_lost(
        self, cached_json_tokenizer: Any, words: list[str], cuts: list[int]
    ) -> None:
        text = "".join(words)
        whole = run(cached_json_tokenizer, [text] if text else [])
        found = run(cached_json_tokenizer, pieces_of(text, cuts))

        assert joined(found) == joined(whole)
        assert calls(found) == calls(whole)
        assert _grammar_holds(found)
        if not calls(found):
            assert joined(found) == text


@pytest.fixture(scope="module")
def cached_json_tokenizer(make_tokenizer: Any) -> Any:
    return make_tokenizer(tools="json_tools")


def _grammar_holds(events: list[dict[str, Any]]) -> bool:
    """Parts start, grow and end in order of index, one at a time."""
    index, is_open = -1, False
    for event in events:
        step = event["type"].rpartition("_")[2]
        if step == "start":
            if is_open or event["index"] != index + 1:
                return False
            index, is_open = index + 1, True
        elif not is_open or event["index"] != index:
            return False
        is_open = is_open and step != "end"
    return not is_open
