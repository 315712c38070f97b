"""A whole call and a streamed chunk through a partner, against the vendor's own SDK, on the same loopback server."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from tests.benchmarks.clock import Work, differences, median, ratios, take_turns
from tests.benchmarks.partner_wire import CHUNKS, PartnerWire
from tests.benchmarks.row import Bar, Row
from tests.benchmarks.setting import Setting

from ringfence import AsyncAssistant, ConsentRequest
from ringfence.policy import read_policy
from ringfence.response import TextDelta

MODEL = "gpt-5.2"
KEY = "sk-benchmark"
KEY_NAME = "RINGFENCE_BENCHMARK_KEY"
QUESTION = "Explain in two sentences how a request finds the model that answers it."
AT_ONCE = (50, 200)
_Do: TypeAlias = Callable[[], Awaitable[None]]

_POLICY = """
version: 1
name: benchmark
recipients:
  responses: {{ring: partner, provider: openai, model: {model}, url: "{url}/v1", secret: "env:{key}",
              options: {{api: responses}}}}
  chat:      {{ring: partner, provider: openai, model: {model}, url: "{url}/v1", secret: "env:{key}",
              options: {{api: chat}}}}
  gemini:    {{ring: partner, provider: gemini, model: {model}, url: "{url}", secret: "env:{key}"}}
labels:
  public: {{}}
  unclassified: {{}}
unknown: unclassified
flow:
  - id: partner-public
    allow: {{labels: [public], to: [partner]}}
    consent: ask
route:
  - id: all
    prefer: [responses, chat, gemini]
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ways:
    """One request, whole and streamed, by the vendor's SDK and through Ringfence."""

    sdk: _Do
    sdk_stream: _Do
    ours: _Do
    ours_stream: _Do


def rows(setting: Setting) -> list[Row]:
    """Each vendor's API in turn: a call, a chunk, and many requests at once."""
    with tempfile.TemporaryDirectory() as folder, PartnerWire() as wire, asyncio.Runner() as runner:
        stack = AsyncExitStack()
        every = runner.run(_enter(stack, wire.url, Path(folder)))
        try:
            return [row for name, ways in every.items() for row in _rows(setting, runner, name, ways)]
        finally:
            runner.run(stack.aclose())


async def _yes(_asked: ConsentRequest) -> bool:
    return True


async def _enter(stack: AsyncExitStack, url: str, folder: Path) -> dict[str, Ways]:
    os.environ[KEY_NAME] = KEY
    policy = read_policy(_POLICY.format(url=url, model=MODEL, key=KEY_NAME))
    assistant = await stack.enter_async_context(AsyncAssistant(policy, consent=_yes, audit=folder / "audit"))
    return {
        "OpenAI Responses": _ways(assistant, "responses", await _responses(stack, url)),
        "OpenAI Chat Completions": _ways(assistant, "chat", await _chat(stack, url)),
        "Gemini": _ways(assistant, "gemini", _gemini(url)),
    }


def _ways(assistant: AsyncAssistant, recipient: str, sdk: tuple[_Do, _Do]) -> Ways:
    async def call() -> None:
        await assistant.respond(QUESTION, labels={"public"}, to=recipient)

    async def stream() -> None:
        async with assistant.stream(QUESTION, labels={"public"}, to=recipient) as events:
            "".join([event.text async for event in events if type(event) is TextDelta])

    return Ways(sdk=sdk[0], sdk_stream=sdk[1], ours=call, ours_stream=stream)


async def _responses(stack: AsyncExitStack, url: str) -> tuple[_Do, _Do]:
    import openai

    client = await stack.enter_async_context(openai.AsyncOpenAI(api_key=KEY, base_url=f"{url}/v1"))

    async def call() -> None:
        response = await client.responses.create(model=MODEL, input=QUESTION)
        assert response.output_text

    async def stream() -> None:
        events = await client.responses.create(model=MODEL, input=QUESTION, stream=True)
        "".join([event.delta async for event in events if event.type == "response.output_text.delta"])

    return call, stream


async def _chat(stack: AsyncExitStack, url: str) -> tuple[_Do, _Do]:
    import openai

    client = await stack.enter_async_context(openai.AsyncOpenAI(api_key=KEY, base_url=f"{url}/v1"))

    async def call() -> None:
        response = await client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": QUESTION}])
        assert response.choices[0].message.content

    async def stream() -> None:
        events = await client.chat.completions.create(
            model=MODEL,
            messages=[{"role": "user", "content": QUESTION}],
            stream=True,
            stream_options={"include_usage": True},
        )
        "".join([event.choices[0].delta.content or "" async for event in events if event.choices])

    return call, stream


def _gemini(url: str) -> tuple[_Do, _Do]:
    from google import genai
    from google.genai import types

    # The SDK's annotations name types of packages that are not installed.
    client: Any = genai.Client(api_key=KEY, vertexai=False, http_options=types.HttpOptions(base_url=url))

    async def call() -> None:
        response = await client.aio.models.generate_content(model=MODEL, contents=QUESTION)
        assert response.text

    async def stream() -> None:
        events = await client.aio.models.generate_content_stream(model=MODEL, contents=QUESTION)
        "".join([event.text or "" async for event in events])

    return call, stream


def _rows(setting: Setting, runner: asyncio.Runner, name: str, ways: Ways) -> list[Row]:
    count, streams = setting.times(100), setting.times(10)
    works: dict[str, Work] = {
        "sdk": lambda: runner.run(_in_turn(ways.sdk, count)),
        "ours": lambda: runner.run(_in_turn(ways.ours, count)),
        "sdk stream": lambda: runner.run(_in_turn(ways.sdk_stream, streams)),
        "ours stream": lambda: runner.run(_in_turn(ways.ours_stream, streams)),
    }
    taken = take_turns(works, rounds=setting.rounds(7))
    call = ratios(taken["ours"], taken["sdk"])
    chunk_us = {
        who: [
            more * 1e6
            for more in differences(
                [taken_s / streams for taken_s in taken[f"{who} stream"]],
                [taken_s / count for taken_s in taken[who]],
                per=CHUNKS,
            )
        ]
        for who in ("sdk", "ours")
    }
    chunk = ratios(chunk_us["ours"], chunk_us["sdk"])
    return [
        Row(
            group="partners",
            what=f"{name}: a whole call, against the vendor's SDK",
            value=median(call),
            unit="×",
            lowest=min(call),
            bar=Bar(limit=1.0, text="≤ 1.0 × (goal 0.6)"),
            note=f"{_us(taken['ours'], count)} against {_us(taken['sdk'], count)} µs; policy, consent and audit on",
        ),
        Row(
            group="partners",
            what=f"{name}: a streamed chunk, against the vendor's SDK",
            value=median(chunk),
            unit="×",
            lowest=min(chunk),
            bar=Bar(limit=0.3, text="≤ 0.3 × (goal 0.15)"),
            note=f"{median(chunk_us['ours']):.0f} against {median(chunk_us['sdk']):.0f} µs, streams of {CHUNKS} chunks",
        ),
        *(_at_once(setting, runner, name, ways, number) for number in AT_ONCE),
    ]


def _at_once(setting: Setting, runner: asyncio.Runner, name: str, ways: Ways, number: int) -> Row:
    async def together(do: _Do) -> None:
        await asyncio.gather(*(do() for _ in range(number)))

    works: dict[str, Work] = {
        "sdk": lambda: runner.run(together(ways.sdk)),
        "ours": lambda: runner.run(together(ways.ours)),
    }
    taken = take_turns(works, rounds=setting.rounds(7))
    faster = ratios(taken["sdk"], taken["ours"])
    return Row(
        group="partners",
        what=f"{name}: requests a second with {number} in flight, against the vendor's SDK",
        value=median(faster),
        unit="×",
        bar=Bar(limit=1.0, text="≥ 1.0 × (goal 2)", at_least=True),
        note="by CPU time of the client",
    )


async def _in_turn(do: _Do, count: int) -> None:
    for _ in range(count):
        await do()


def _us(taken_s: list[float], count: int) -> str:
    return f"{median(taken_s) * 1e6 / count:,.0f}"
