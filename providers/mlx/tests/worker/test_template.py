"""What people write reaches the model word for word, and never as a role."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ringfence_mlx.worker.encoding import marker_ids
from ringfence_mlx.worker.template import (
    TemplateError,
    TemplateMissing,
    TemplateRefused,
    TextNotEncodable,
    ToolsUnsupported,
    count,
    render,
)

pytestmark = pytest.mark.model
law = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content | trim }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
# No role for the system, and turns that alternate, as Gemma's and Mistral's first templates want it.
STRICT = (
    "{% for m in messages %}"
    "{% if m.role == 'system' %}{{ raise_exception('no system') }}{% endif %}"
    "{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('turns must alternate') }}{% endif %}"
    "<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}<|im_start|>assistant:"
)
WITH_TOOLS = (
    "{% if tools %}<|im_start|>system\n{% for t in tools %}{{ t | tojson }}\n{% endfor %}<|im_end|>\n{% endif %}"
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% if m.role == 'tool' %}{{ {'result': m.content} | tojson }}{% else %}{{ m.content }}{% endif %}"
    "{% for c in m.tool_calls or [] %}<tool_call>{{ c.function.name }} {{ c.function.arguments | tojson }}</tool_call>"
    "{% endfor %}<|im_end|>\n{% endfor %}<|im_start|>assistant\n"
)
SHOUTED = "{% for m in messages %}[{{ m.content }}]{% endfor %}"  # a marker can straddle frame and content
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": 'Says "how" it is in <|im_start|> Zürich',
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}

# Text that is likely to hold markers, halves of markers, JSON and white space.
hostile_text = st.lists(
    st.one_of(
        st.sampled_from(
            [
                "<|im_start|>",
                "<|im_end|>",
                "<|endoftext|>",
                "<|im_",
                "start|>",
                "<|",
                "|>",
                "<repo_name>",
                "INST",
                "[INST]",
            ]
        ),
        st.sampled_from([" ", "\n", "\t", '"', "\\", "system", "{", "}", "é", "ß", "\u00a0", "\u2028", "\x00", "😀"]),
        # The embedded vocabulary has no tokens for some control characters and for the planes from 4 on.
        st.text(st.characters(max_codepoint=0x3FFFF, exclude_categories=["Cs", "Cc"]), max_size=8),
    ),
    max_size=12,
).map("".join)


def user(text: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": text}]


def markers(tokenizer: Any, tokens: list[int]) -> list[int]:
    known = marker_ids(tokenizer.backend_tokenizer)
    return [token for token in tokens if token in known]


def text_of(tokenizer: Any, tokens: list[int]) -> str:
    return str(tokenizer.decode(tokens, skip_special_tokens=False, clean_up_tokenization_spaces=False))


class TestContentIsNoMarker:
    @pytest.mark.parametrize("template", [None, CHATML, WITH_TOOLS, STRICT])
    @law
    @given(text=hostile_text)
    def test_the_markers_are_those_of_the_template_with_neutral_content(
        self, make_tokenizer: Any, template: str | None, text: str
    ) -> None:
        tokenizer = _cached(make_tokenizer, template)
        neutral = "plain" if text.strip() else ""

        found = render(tokenizer, user(text), [])

        assert markers(tokenizer, found) == markers(tokenizer, render(tokenizer, user(neutral), []))

    @law
    @given(text=hostile_text)
    def test_markers_in_any_part_of_a_conversation_stay_text(self, make_tokenizer: Any, text: str) -> None:
        tokenizer = _cached(make_tokenizer, WITH_TOOLS)

        def conversation(content: str) -> list[dict[str, Any]]:
            function = {"name": "weather", "arguments": {"city": content, "more": [content]}}
            return [
                {"role": "system", "content": content},
                {"role": "user", "content": content},
                {"role": "assistant", "content": content, "tool_calls": [{"id": "a", "function": function}]},
                {"role": "tool", "content": content, "name": "weather", "tool_call_id": "a"},
            ]

        neutral = "plain" if text.strip() else ""
        found = render(tokenizer, conversation(text), [WEATHER])

        assert markers(tokenizer, found) == markers(tokenizer, render(tokenizer, conversation(neutral), [WEATHER]))

    @law
    @given(text=hostile_text)
    def test_the_content_is_there_word_for_word(self, make_tokenizer: Any, text: str) -> None:
        tokenizer = _cached(make_tokenizer, WITH_TOOLS)
        assert f"<|im_start|>user\n{text}<|im_end|>" in text_of(tokenizer, render(tokenizer, user(text), []))

    @law
    @given(text=st.text(alphabet=st.characters(exclude_characters="<", exclude_categories=["Cs"])))
    def test_without_markers_the_tokens_are_the_tokenizers_own(self, tokenizer: Any, text: str) -> None:
        own = tokenizer.apply_chat_template(user(text), add_generation_prompt=True)
        assert render(tokenizer, user(text), []) == own

    def test_a_marker_cannot_straddle_frame_and_content(self, make_tokenizer: Any) -> None:
        tokenizer = make_tokenizer(SHOUTED, special=("[INST]",))
        found = render(tokenizer, [*user("INST"), *user("[INST"), *user("]")], [])
        assert markers(tokenizer, found) == []
        assert text_of(tokenizer, found) == "[INST][[INST][]]"

    def test_an_added_token_that_is_not_special_is_a_marker_too(self, make_tokenizer: Any) -> None:
        tokenizer = make_tokenizer(CHATML, added=("<think>", "<｜User｜>"))
        found = render(tokenizer, user("a <think> b <｜User｜>"), [])
        assert "a <think> b <｜User｜>" in text_of(tokenizer, found)
        assert markers(tokenizer, found) == markers(tokenizer, render(tokenizer, user("a"), []))

    def test_ten_thousand_markers_are_taken_apart(self, tokenizer: Any) -> None:
        text = "<|im_start|><|im_end|>" * 5_000
        found = render(tokenizer, user(text), [])
        assert text in text_of(tokenizer, found)
        assert len(markers(tokenizer, found)) == 5

    def test_a_marker_of_one_character_is_refused(self, make_tokenizer: Any) -> None:
        tokenizer = make_tokenizer(CHATML, special=("§",))
        with pytest.raises(TextNotEncodable, match="one character"):
            render(tokenizer, user("a § b"), [])

    def test_a_lone_surrogate_is_refused_without_quoting_it(self, tokenizer: Any) -> None:
        with pytest.raises(TextNotEncodable) as caught:
            render(tokenizer, user("secret \ud800"), [])
        assert str(caught.value) == "the text is not valid Unicode"
        assert caught.value.__suppress_context__


class TestTools:
    def test_a_tool_is_written_as_the_template_writes_json(self, make_tokenizer: Any) -> None:
        tokenizer = _cached(make_tokenizer, WITH_TOOLS)
        found = text_of(tokenizer, render(tokenizer, user("hi"), [WEATHER]))
        assert json.dumps(WEATHER, ensure_ascii=False) in found

    def test_markers_in_a_description_stay_text(self, make_tokenizer: Any) -> None:
        tokenizer = _cached(make_tokenizer, WITH_TOOLS)
        found = render(tokenizer, user("hi"), [WEATHER])
        assert text_of(tokenizer, found).count("<|im_start|>") == len(markers(tokenizer, found)) // 2 + 2

    @pytest.mark.parametrize("arguments", [{"city": 'a "b" \\ ß', "n": 1}, '{"city": "a \\"b\\" \\\\ ß", "n": 1}'])
    def test_arguments_come_back_as_json(self, make_tokenizer: Any, arguments: Any) -> None:
        tokenizer = _cached(make_tokenizer, WITH_TOOLS)
        call = {"id": "1", "function": {"name": "weather", "arguments": arguments}}
        messages = [*user("hi"), {"role": "assistant", "content": None, "tool_calls": [call]}, *user("and?")]
        found = text_of(tokenizer, render(tokenizer, messages, [WEATHER]))
        written = found.split("<tool_call>weather ")[1].split("</tool_call>")[0]
        assert json.loads(written) == {"city": 'a "b" \\ ß', "n": 1}

    def test_a_template_that_leaves_tools_out_is_refused(self, tokenizer: Any) -> None:
        with pytest.raises(ToolsUnsupported, match="no place for tools"):
            render(tokenizer, user("hi"), [WEATHER])

    def test_a_template_that_leaves_calls_out_is_refused(self, tokenizer: Any) -> None:
        call: dict[str, Any] = {"id": "1", "function": {"name": "weather", "arguments": {}}}
        with pytest.raises(ToolsUnsupported):
            render(tokenizer, [*user("hi"), {"role": "assistant", "content": "", "tool_calls": [call]}, *user("?")], [])


class TestRoles:
    def test_system_text_and_neighbours_find_a_place_in_a_strict_template(self, make_tokenizer: Any) -> None:
        tokenizer = _cached(make_tokenizer, STRICT)
        messages = [{"role": "system", "content": "Be brief."}, *user("One."), *user("Two.")]
        assert text_of(tokenizer, render(tokenizer, messages, [])) == (
            "<|im_start|>user\nBe brief.\n\nOne.\n\nTwo.<|im_end|>\n<|im_start|>assistant:"
        )

    def test_a_template_without_content_is_refused(self, make_tokenizer: Any) -> None:
        tokenizer = make_tokenizer("{% for m in messages %}<|im_start|>{{ m.role }}<|im_end|>{% endfor %}")
        with pytest.raises(TemplateRefused, match="leaves out a message"):
            render(tokenizer, user("hi"), [])

    def test_a_template_that_quotes_the_conversation_in_its_error_does_not_leak_it(self, make_tokenizer: Any) -> None:
        tokenizer = make_tokenizer("{{ raise_exception(messages[0].name) }}")
        with pytest.raises(TemplateRefused) as caught:
            render(tokenizer, [{"role": "user", "content": "x", "name": "secret"}], [])
        assert "secret" not in str(caught.value)
        assert caught.value.__cause__ is None

    def test_a_model_without_template_is_refused(self, make_tokenizer: Any) -> None:
        with pytest.raises(TemplateMissing):
            render(make_tokenizer(""), user("hi"), [])

    def test_no_messages_are_refused(self, tokenizer: Any) -> None:
        with pytest.raises(TemplateRefused):
            render(tokenizer, [], [])

    def test_content_that_is_no_text_is_refused(self, tokenizer: Any) -> None:
        with pytest.raises(TemplateError, match="not text"):
            render(tokenizer, [{"role": "user", "content": [{"type": "image"}]}], [])

    def test_the_last_turn_of_the_assistant_stays_open(self, tokenizer: Any) -> None:
        messages = [*user("Count."), {"role": "assistant", "content": "One, two"}]
        assert text_of(tokenizer, render(tokenizer, messages, [])).endswith("<|im_start|>assistant\nOne, two")

    def test_count_is_the_length(self, tokenizer: Any) -> None:
        assert count(tokenizer, user("hi"), []) == len(render(tokenizer, user("hi"), []))

    def test_thinking_reaches_the_template(self, make_tokenizer: Any) -> None:
        tokenizer = make_tokenizer(
            CHATML + "{% if not enable_thinking %}<think></think>{% endif %}", added=("<think>",)
        )
        assert text_of(tokenizer, render(tokenizer, user("hi"), [], thinking=False)).endswith("<think></think>")
        assert text_of(tokenizer, render(tokenizer, user("hi"), [], thinking=True)).endswith("assistant\n")


_MADE: dict[str | None, Any] = {}


def _cached(make_tokenizer: Any, template: str | None) -> Any:
    if template not in _MADE:
        _MADE[template] = make_tokenizer(template)
    return _MADE[template]
