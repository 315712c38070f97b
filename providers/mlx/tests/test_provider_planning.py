"""A plan honours every setting, reports it, or refuses it; and it touches nothing."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, cast

import pytest

from ringfence.errors import InvalidRequest, Unsupported
from ringfence.provider import Capability, ModelCard, Plan
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
from ringfence_mlx.planning import NativePlan, make_plan
from ringfence_mlx.worker.job import Job, Sampling

TOOL = Tool(name="weather", parameters={"type": "object", "properties": {"city": {"type": "string"}}})
EVERY_SETTING = Settings(
    max_output_tokens=5,
    temperature=0.5,
    top_p=0.9,
    top_k=40,
    min_p=0.1,
    repetition_penalty=1.1,
    presence_penalty=0.5,
    frequency_penalty=0.25,
    seed=3,
    stop=("END",),
    logit_bias={7: 1.5},
    reasoning_effort="none",
)
MEDIA = {"image_size": "64x64", "image_count": 2, "language": "de", "voice": "anna", "audio_format": "wav"}
FIELDS = [field.name for field in fields(Settings)]
GIVEN: dict[str, Any] = {
    **{name: getattr(EVERY_SETTING, name) for name in FIELDS},
    **MEDIA,
    "reasoning_effort": "high",
}
"""A value for every setting, none of them a default."""


def card(*capabilities: Capability) -> ModelCard:
    return ModelCard(name="m", context_tokens=100, capabilities=frozenset(capabilities or {"text"}))


def plan(
    *parts: Part, on: ModelCard | None = None, adapters: dict[str, str] | None = None, **more: Any
) -> Plan[object]:
    request = Request(messages=(Message("user", parts or (TextPart("hello"),)),), **more)
    return make_plan(request, on or card(), adapters or {})


def job(of: Plan[object]) -> dict[str, Any]:
    return dict(cast("NativePlan", of.native).job)


def test_every_setting_reaches_the_engine() -> None:
    made = plan(settings=EVERY_SETTING)
    read = Job.from_frame(1, job(made))
    assert made.adjustments == ()
    assert read.stop == ("END",)
    for field in fields(Sampling):
        assert getattr(read.sampling, field.name) == getattr(EVERY_SETTING, field.name), field.name


@pytest.mark.parametrize("name", FIELDS)
def test_no_setting_of_an_answer_is_dropped(name: str) -> None:
    made = plan(settings=Settings(**{name: GIVEN[name]}))
    sent = {**job(made)["sampling"], "stop": job(made)["stop"]}
    assert bool(sent.get(name)) != ([(one.setting, one.action) for one in made.adjustments] == [(name, "ignored")])


@pytest.mark.parametrize("name", FIELDS)
def test_no_setting_of_an_embedding_is_dropped(name: str) -> None:
    made = plan(on=card("embed"), task="embed", settings=Settings(**{name: GIVEN[name]}))
    assert [(one.setting, one.action) for one in made.adjustments] == [(name, "ignored")]


def test_an_embedding_reports_all_its_settings() -> None:
    made = plan(on=card("embed"), task="embed", settings=Settings(**GIVEN))
    assert [one.setting for one in made.adjustments] == FIELDS


@pytest.mark.parametrize("settings", [Settings(), Settings(logit_bias={}), Settings(reasoning_effort="none")])
def test_an_embedding_reports_nothing_that_changes_nothing(settings: Settings) -> None:
    assert plan(on=card("embed"), task="embed", settings=settings).adjustments == ()


@pytest.mark.parametrize(
    ("more", "setting"),
    [
        ({"tools": (TOOL,)}, "tools"),
        ({"output": OutputSchema(schema={"type": "object"})}, "output"),
        ({"provider_options": {"mlx": {"adapter": "mine"}}}, "adapter"),
    ],
)
def test_what_shapes_an_answer_is_refused_with_an_embedding(more: dict[str, Any], setting: str) -> None:
    with pytest.raises(Unsupported) as caught:
        plan(on=card("embed"), task="embed", adapters={"mine": "/a"}, **more)
    assert caught.value.setting == setting


def test_an_unknown_option_is_refused_with_an_embedding() -> None:
    with pytest.raises(InvalidRequest, match="unknown provider option"):
        plan(on=card("embed"), task="embed", provider_options={"mlx": {"adaptor": "mine"}})


def test_a_conversation_keeps_roles_calls_and_results() -> None:
    request = Request(
        messages=(
            Message("system", (TextPart("be brief"),)),
            Message("user", (TextPart("how is "), TextPart("Oslo?"))),
            Message("assistant", (ToolCallPart("1", "weather", '{"city": "Oslo"}'),)),
            Message("tool", (ToolResultPart("1", "weather", "no such city", is_error=True),)),
        ),
        tools=(TOOL,),
    )
    messages = job(make_plan(request, card("text", "tools"), {}))["messages"]
    assert [message["role"] for message in messages] == ["system", "user", "assistant", "tool"]
    assert messages[1]["content"] == "how is Oslo?"
    assert messages[2]["tool_calls"][0]["function"] == {"name": "weather", "arguments": '{"city": "Oslo"}'}
    assert (messages[3]["tool_call_id"], messages[3]["content"]) == ("1", "error: no such city")


@pytest.mark.parametrize(
    ("parts", "more", "setting"),
    [
        ((ImagePart(b"x"),), {}, "image"),
        ((FilePart(b"%PDF", media_type="application/pdf"),), {}, "file"),
        ((FilePart(b"\xff\xfe", media_type="text/plain"),), {}, "file"),
        ((), {"tools": (TOOL,)}, "tools"),
        ((), {"tools": (TOOL,), "tool_choice": "none"}, "tools"),
        ((), {"output": OutputSchema(schema={"type": "object"})}, "output"),
        ((), {"task": "image"}, "task"),
        ((), {"task": "transcribe"}, "task"),
        ((), {"task": "speak"}, "task"),
        ((), {"task": "embed"}, "task"),
    ],
)
def test_what_the_model_cannot_do_is_refused(parts: tuple[Part, ...], more: dict[str, Any], setting: str) -> None:
    with pytest.raises(Unsupported) as caught:
        plan(*parts, **more)
    assert caught.value.setting == setting


def test_a_model_that_only_embeds_does_not_answer() -> None:
    with pytest.raises(Unsupported):
        plan(on=card("embed"))


def test_tools_that_may_not_be_called_are_left_out() -> None:
    assert "tools" not in job(plan(on=card("text", "tools"), tools=(TOOL,), tool_choice="none"))


def test_a_required_call_is_asked_for() -> None:
    assert job(plan(on=card("text", "tools"), tools=(TOOL,), tool_choice="required"))["tool_required"] is True


def test_a_text_file_stands_in_the_prompt_and_is_reported() -> None:
    made = plan(FilePart(b'{"a": 1}', media_type="application/json", name="a.json"))
    assert job(made)["messages"][0]["content"] == '\n[a.json]\n{"a": 1}\n'
    assert [(one.setting, one.action) for one in made.adjustments] == [("file", "emulated")]


def test_reasoning_of_earlier_turns_is_dropped_and_reported() -> None:
    made = plan(ReasoningPart("openai", "secret thoughts", state="opaque"), TextPart("go on"))
    assert "secret" not in str(job(made))
    assert "opaque" not in str(job(made))
    assert [one.setting for one in made.adjustments] == ["reasoning"]


@pytest.mark.parametrize(
    ("capabilities", "effort", "thinking", "adjusted"),
    [
        (("text",), None, None, False),
        (("text",), "none", None, False),
        (("text",), "high", None, True),
        (("text", "reasoning"), None, None, False),
        (("text", "reasoning"), "none", False, False),
        (("text", "reasoning"), "low", True, True),
    ],
)
def test_reasoning_effort_is_honoured_or_reported(
    capabilities: tuple[Capability, ...], effort: Any, thinking: bool | None, adjusted: bool
) -> None:
    made = plan(on=card(*capabilities), settings=Settings(reasoning_effort=effort))
    assert job(made).get("thinking") is thinking
    assert bool(made.adjustments) == adjusted


@pytest.mark.parametrize(
    "forced",
    [{"output": OutputSchema(schema={"type": "object"})}, {"tools": (TOOL,), "tool_choice": "required"}],
    ids=["schema", "tool"],
)
def test_reasoning_before_a_forced_form_is_reported_as_left_out(forced: dict[str, Any]) -> None:
    model = card("text", "reasoning", "output_schema", "tools")
    made = plan(on=model, settings=Settings(reasoning_effort="high"), **forced)
    assert [(one.setting, one.action) for one in made.adjustments] == [("reasoning_effort", "ignored")]


def test_an_adapter_goes_with_its_task() -> None:
    adapters = {"rewrite": "/adapters/rewrite"}
    assert job(plan(task="rewrite", adapters=adapters))["adapter"] == "/adapters/rewrite"
    assert job(plan(adapters=adapters))["adapter"] is None


@pytest.mark.parametrize(("asked", "folder"), [("mine", "/a"), ("/a", "/a"), (None, None)])
def test_an_adapter_of_the_app_can_be_asked_for(asked: str | None, folder: str | None) -> None:
    made = plan(provider_options={"mlx": {"adapter": asked}}, adapters={"mine": "/a", "text": "/b"})
    assert job(made)["adapter"] == folder


@pytest.mark.parametrize("asked", ["/b", "a", "./a", "/a/", "/a/../b", "/proc/self/fd/0", ""])
def test_a_folder_that_the_app_did_not_name_is_refused(asked: str) -> None:
    with pytest.raises(InvalidRequest, match="adapter of mlx names no adapter of the app") as caught:
        plan(provider_options={"mlx": {"adapter": asked}}, adapters={"mine": "/a"})
    assert "option adapters of mlx" in (caught.value.way_out or "")


def test_options_of_other_providers_are_not_ours() -> None:
    assert job(plan(provider_options={"openai": {"store": False}}))["adapter"] is None


@pytest.mark.parametrize("options", [{"adaptor": "/a"}, {"adapter": 3}])
def test_an_unknown_or_ill_typed_option_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest, match="mlx"):
        plan(provider_options={"mlx": options})


def test_texts_to_embed_are_taken_in_order() -> None:
    made = plan(TextPart("b"), TextPart("a"), on=card("embed"), task="embed")
    assert cast("NativePlan", made.native).texts == ("b", "a")


def test_half_a_surrogate_pair_is_refused_without_showing_the_text() -> None:
    with pytest.raises(InvalidRequest) as caught:
        plan(TextPart("private \ud800"))
    assert "private" not in f"{caught.value!r}{caught.value.__cause__!r}"


def test_a_plan_shows_nothing_of_the_request() -> None:
    made = plan(TextPart("private"))
    assert "private" not in f"{made!r} {made.native!r}"
