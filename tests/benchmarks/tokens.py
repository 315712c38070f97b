"""Tokens a second through Ringfence, against mlx-lm's own generators on the same prompt, in the same environment."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

from tests.benchmarks.clock import median, ratios
from tests.benchmarks.peer import MlxLm
from tests.benchmarks.row import Bar, Row
from tests.benchmarks.setting import Setting

from ringfence import AsyncAssistant, Settings
from ringfence.response import TextDelta
from ringfence_mlx.machine import blas

_BAR = Bar(limit=0.97, text="≥ 0.97 ×", at_least=True)
_PROMPT = "Write a long story about a lighthouse keeper who finds a letter in a bottle."
_PROMPTS = [f"Write a long story about {whom}." for whom in (
    "a lighthouse keeper", "two sisters who run a bakery", "a dog that guards a bridge", "the last tram of the night",
    "a gardener on the moon", "a violin nobody can tune", "a boy who collects maps", "an honest fox",
)]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Timed:
    """One answer or one batch of them. Seconds from the question on."""

    first_s: float
    total_s: float
    tokens: int
    prompt_tokens: int
    text: str = ""

    @property
    def decode(self) -> float:
        """Tokens a second after the first token."""
        return (self.tokens - 1) / (self.total_s - self.first_s)

    @property
    def whole(self) -> float:
        """Tokens a second, the prompt's time included."""
        return self.tokens / self.total_s


_Round: TypeAlias = Callable[[], Awaitable[tuple[Timed, Timed]]]


def _settings(tokens: int) -> Settings:
    """Greedy, and without the penalty that the model's makers recommend: mlx-lm's generator applies none."""
    return Settings(temperature=0, repetition_penalty=1, max_output_tokens=tokens)


def rows(setting: Setting) -> list[Row]:
    """One answer at a time, in turns."""
    tokens = 8 if setting.quick else 64
    return asyncio.run(_alone(setting.rounds(4), tokens))


def batch_rows(setting: Setting) -> list[Row]:
    """Eight at once, in turns."""
    tokens = 4 if setting.quick else 32
    return asyncio.run(_together(setting.rounds(5), tokens))


async def _alone(rounds: int, tokens: int) -> list[Row]:
    with MlxLm() as peer:
        async with AsyncAssistant(audit=False) as assistant:

            async def one() -> tuple[Timed, Timed]:
                ours = await answered(assistant, _PROMPT, tokens)
                theirs = Timed(**await asyncio.to_thread(peer.ask, "stream", [_PROMPT], tokens=tokens))
                return ours, theirs

            ours, theirs = await _rounds(one, rounds)
    note = f"{ours[0].prompt_tokens} in, {ours[0].tokens} out, greedy, {rounds} rounds in turns; {_same(ours, theirs)}"
    found: list[Row] = []
    for what, mine, other in (
        ("after the first token", [one.decode for one in ours], [one.decode for one in theirs]),
        ("whole answer", [one.whole for one in ours], [one.whole for one in theirs]),
    ):
        speeds = f"{median(mine):.1f} against {median(other):.1f} tokens/s ({blas.best_blas().name}); {note}"
        found.append(_row("tokens", f"tokens/s, {what} / mlx-lm's stream_generate", ratios(mine, other), speeds))
    return found


async def _together(rounds: int, tokens: int) -> list[Row]:
    with MlxLm() as peer:
        async with AsyncAssistant(audit=False) as assistant:

            async def one() -> tuple[Timed, Timed]:
                began_s = time.perf_counter()
                each = await asyncio.gather(*(answered(assistant, prompt, tokens) for prompt in _PROMPTS))
                total_s = time.perf_counter() - began_s
                ours = Timed(first_s=0, total_s=total_s, tokens=sum(a.tokens for a in each), prompt_tokens=0)
                theirs = await asyncio.to_thread(peer.ask, "batch", _PROMPTS, tokens=tokens)
                return ours, Timed(first_s=0, **theirs)

            ours, theirs = await _rounds(one, rounds)
    mine, other = [one.whole for one in ours], [one.whole for one in theirs]
    note = (
        f"{median(mine):.1f} against {median(other):.1f} tokens/s in all, prompts included; "
        f"{ours[0].tokens} and {theirs[0].tokens} tokens, {rounds} rounds in turns"
    )
    return [_row("batch", "tokens/s, eight at once / mlx-lm's batch_generate", ratios(mine, other), note)]


async def _rounds(one: _Round, rounds: int) -> tuple[list[Timed], list[Timed]]:
    """The rounds after a first one, which loads and warms up."""
    pairs = [await one() for _ in range(rounds + 1)][1:]
    return [ours for ours, _ in pairs], [theirs for _, theirs in pairs]


async def answered(assistant: AsyncAssistant, prompt: str, tokens: int) -> Timed:
    """One answer, timed where the app stands: through the core, the pipe and the worker."""
    began_s = time.perf_counter()
    first_s = 0.0
    async with assistant.stream(prompt, instructions="", settings=_settings(tokens)) as events:
        async for event in events:
            if not first_s and type(event) is TextDelta:
                first_s = time.perf_counter() - began_s
        answer = await events.response()
    usage = answer.usage
    return Timed(
        first_s=first_s,
        total_s=time.perf_counter() - began_s,
        tokens=usage.output_tokens or 0,
        prompt_tokens=usage.input_tokens or 0,
        text=answer.text,
    )


def _same(ours: list[Timed], theirs: list[Timed]) -> str:
    if (ours[0].prompt_tokens, ours[0].tokens) != (theirs[0].prompt_tokens, theirs[0].tokens):
        return f"mlx-lm: {theirs[0].prompt_tokens} in, {theirs[0].tokens} out"
    return "the same text" if ours[0].text.strip() == theirs[0].text.strip() else "another text"


def _row(group: str, what: str, compared: list[float], note: str) -> Row:
    return Row(group=group, what=what, value=median(compared), unit="×", lowest=min(compared), bar=_BAR, note=note)
