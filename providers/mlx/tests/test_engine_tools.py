"""Tool calls from the request to the response and back: a real model with a template that knows tools."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import pytest_asyncio

from ringfence import AsyncAssistant
from ringfence.request import Message, OutputSchema, TextPart, Tool, ToolResultPart
from ringfence.response import ToolCallDelta, ToolCallEnd, ToolCallStart
from ringfence_mlx.models.catalog import EMBEDDED_MODEL
from ringfence_mlx.models.store import ModelStore

Kit: TypeAlias = Any
"""`conftest.Kit`, which no test module can import."""

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.model]

# The form of Hermes and Qwen, in short.
TEMPLATE = """{%- if tools %}<|im_start|>system
Call one of these tools:
{% for tool in tools %}{{ tool | tojson }}
{% endfor %}Write <tool_call>{"name": NAME, "arguments": ARGUMENTS}</tool_call>.<|im_end|>
{% endif %}{% for message in messages %}{% if message.role == "tool" %}<|im_start|>user
<tool_response>
{{ message.content }}
</tool_response><|im_end|>
{% else %}<|im_start|>{{ message.role }}
{{ message.content }}{% for tool_call in message.tool_calls or [] %}{% set tool_call = tool_call.function %}<tool_call>
{"name": "{{ tool_call.name }}", "arguments": {{ tool_call.arguments | tojson }}}
</tool_call>{% endfor %}<|im_end|>
{% endif %}{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""
WEATHER = Tool(
    name="weather",
    description="The weather of a city.",
    parameters={
        "type": "object",
        "properties": {"city": {"enum": ["Bern", "Paris"]}, "days": {"type": "integer", "minimum": 1, "maximum": 9}},
        "required": ["city", "days"],
    },
)
POLICY = """
version: 1
name: tools
recipients:
  mlx: {{ring: device, provider: mlx, model: {model}}}
labels:
  unclassified: {{}}
unknown: unclassified
flow:
  - id: everything
    allow: {{labels: "*", to: [device]}}
route:
  - id: always
    prefer: [mlx]
"""
QUESTION = "What will the weather be in Bern for 2 days?"
CITY: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"enum": ["Bern", "Paris"]}},
    "required": ["city"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def tool_model(mlx_cache_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder that is the embedded model, but for its template."""
    source = ModelStore(mlx_cache_dir).resolve(EMBEDDED_MODEL).path
    folder = tmp_path_factory.mktemp("models") / "tools"
    folder.mkdir()
    for file in source.iterdir():
        if file.name not in ("tokenizer_config.json", "ringfence-model.json"):
            (folder / file.name).symlink_to(file)
    settings = json.loads((source / "tokenizer_config.json").read_text(encoding="utf-8"))
    (folder / "tokenizer_config.json").write_text(json.dumps(settings | {"chat_template": TEMPLATE}), encoding="utf-8")
    return str(folder)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def assistant(tool_model: str) -> AsyncIterator[AsyncAssistant]:
    policy = Path(tool_model).with_name("policy.yaml")
    policy.write_text(POLICY.format(model=json.dumps(tool_model)), encoding="utf-8")
    async with AsyncAssistant(policy, audit=False) as assistant:
        yield assistant


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def tool_kit(kit: Kit, tool_model: str) -> AsyncIterator[Kit]:
    """The provider of the module, asked for the model with tools; that is unloaded at the end."""
    yield type(kit)(provider=kit.provider, card=await kit.provider.card(kit.on_device(tool_model)))
    await kit.fleet.drop(tool_model)


async def test_the_card_says_that_it_can(tool_kit: Kit) -> None:
    assert {"tools", "output_schema"} <= tool_kit.card.capabilities


async def test_a_required_call_comes_as_events(tool_kit: Kit) -> None:
    answer = await tool_kit.answer(QUESTION, tools=(WEATHER,), tool_choice="required", max_output_tokens=60)
    start, delta, end = answer.events[:3]
    assert isinstance(start, ToolCallStart)
    assert isinstance(delta, ToolCallDelta)
    assert isinstance(end, ToolCallEnd)
    assert start.name == "weather"
    assert set(json.loads(delta.arguments)) == {"city", "days"}
    assert answer.finish.reason == "tool_calls"


async def test_the_model_calls_reads_the_result_and_answers(assistant: AsyncAssistant) -> None:
    asked = Message("user", (TextPart(QUESTION),))
    first = await assistant.respond([asked], tools=[WEATHER], tool_choice="required")
    assert first.finish_reason == "tool_calls"
    (call,) = first.tool_calls
    assert json.loads(call.arguments)["city"] in ("Bern", "Paris")
    result = Message("tool", (ToolResultPart(call.id, call.name, "Sunny, 31 degrees"),))
    second = await assistant.respond([asked, first.message, result], tools=[WEATHER], output=CITY)
    if second.tool_calls:
        assert second.finish_reason == "tool_calls"
    else:
        assert isinstance(second.output, dict)
        assert set(second.output) == {"city"}
    # The prompt of the second turn holds the call and its result.
    assert (second.usage.input_tokens or 0) > (first.usage.input_tokens or 0)


async def test_a_schema_and_tools_leave_a_call_or_an_answer(tool_kit: Kit) -> None:
    for seed in (1, 2):
        answer = await tool_kit.answer(
            QUESTION,
            tools=(WEATHER,),
            output=OutputSchema(schema=CITY),
            max_output_tokens=60,
            temperature=1.5,
            seed=seed,
        )
        if answer.finish.reason == "tool_calls":
            assert isinstance(answer.events[0], ToolCallStart)
        else:
            assert set(json.loads(answer.text)) == {"city"}
