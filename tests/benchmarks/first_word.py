"""Seconds to the first word, as a person waits them: cold and warm, with a fast BLAS and without, and in a session."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Generator
from contextlib import contextmanager
from unittest.mock import patch

from tests.benchmarks.clock import median, ratios
from tests.benchmarks.row import Row
from tests.benchmarks.setting import Setting, input_text

from ringfence import AsyncAssistant, AsyncStream, Settings
from ringfence.request import Message, TextPart
from ringfence.response import TextDelta
from ringfence_mlx.machine import blas
from ringfence_mlx.machine.blas import Blas

TASKS = {
    "messages.txt": "notification_summary",
    "email.txt": "email_reply",
    "article.txt": "article_summary",
    "chinese.txt": "rewrite",
}
SLOW_INPUT = "messages.txt"
"""The one input that is also asked with the reference BLAS, which takes many times as long."""

_SECOND = "How many terraces are there?"
_SHORT = Settings(temperature=0, max_output_tokens=6)


def rows(setting: Setting) -> list[Row]:
    """Every input in turn."""
    return asyncio.run(_rows(setting))


def session_rows(setting: Setting) -> list[Row]:
    """A second question about a text: a session keeps the prefix; the same messages outside of it are computed anew."""
    return asyncio.run(_session_rows(setting.rounds(3)))


async def _rows(setting: Setting) -> list[Row]:
    fast = blas.best_blas().name
    found: list[Row] = []
    for name in (SLOW_INPUT,) if setting.quick else TASKS:
        found += await _cold_and_warm(name, fast, rounds=setting.rounds(3))
    if fast not in ("reference", "metal"):
        with _reference_blas():
            found += await _cold_and_warm(SLOW_INPUT, "reference", rounds=1)
    return found


async def _cold_and_warm(name: str, blas_name: str, *, rounds: int) -> list[Row]:
    async with AsyncAssistant(audit=False) as assistant:
        cold_s, tokens = await _first_word(assistant, name)
        warm_s = [(await _first_word(assistant, name))[0] for _ in range(rounds)]
    cold_note = "the worker starts, the model is loaded"
    return [
        Row(
            group="first-word",
            what=f"first word, {name}, {state}, {blas_name}",
            value=value,
            unit="s",
            note=f"{tokens} tokens in; {note}",
        )
        for state, value, note in (
            ("cold", cold_s, cold_note),
            ("warm", median(warm_s), f"the model is loaded, nothing is reused; {rounds} rounds"),
        )
    ]


async def _first_word(assistant: AsyncAssistant, name: str) -> tuple[float, int]:
    return await _until_word(assistant.stream(input_text(name), task=TASKS[name], settings=_SHORT))


async def _until_word(stream: AsyncStream[None]) -> tuple[float, int]:
    """Seconds from now to the first text that is no space, and the tokens of the prompt. Draws the whole answer."""
    began_s = time.perf_counter()
    first_s: float | None = None
    async with stream:
        async for event in stream:
            if first_s is None and type(event) is TextDelta and event.text.strip():
                first_s = time.perf_counter() - began_s
        answer = await stream.response()
    whole_s = time.perf_counter() - began_s
    return (whole_s if first_s is None else first_s), answer.usage.input_tokens or 0


@contextmanager
def _reference_blas() -> Generator[None]:
    """Workers that start in here compute with the BLAS that MLX itself brings."""
    with patch.object(blas, "best_blas", return_value=Blas(name="reference")):
        yield


async def _session_rows(rounds: int) -> list[Row]:
    async with AsyncAssistant(audit=False) as assistant:
        await assistant.respond("Hello.", settings=_SHORT)
        turns = [await _second_turn(assistant) for _ in range(rounds)]
    kept_s, again_s = [kept for kept, _, _ in turns], [again for _, again, _ in turns]
    note = f"{median(kept_s):.2f} s against {median(again_s):.2f} s; {turns[0][2]} tokens in, {rounds} rounds"
    return [
        Row(
            group="session",
            what="first word of a second turn: in a session / the same messages anew",
            value=median(ratios(kept_s, again_s)),
            unit="×",
            lowest=min(ratios(kept_s, again_s)),
            note=note,
        )
    ]


async def _second_turn(assistant: AsyncAssistant) -> tuple[float, float, int]:
    """Seconds in the session, seconds without one, and the tokens of the prompt."""
    session = assistant.session(settings=_SHORT)
    await session.respond(input_text("article.txt"))
    earlier = session.messages
    kept_s, tokens = await _until_word(session.stream(_SECOND))
    whole = (*earlier, Message("user", (TextPart(_SECOND),)))
    again_s, _ = await _until_word(assistant.stream(whole, settings=_SHORT))
    return kept_s, again_s, tokens
