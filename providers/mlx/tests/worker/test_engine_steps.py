"""What a step of the engine computes: whose prompts together, and for how long nobody's."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import pytest

from ringfence_mlx.worker.engine import Engine, Limits
from ringfence_mlx.worker.job import Job, Sampling
from ringfence_mlx.worker.loader import LoadedModel

pytest.importorskip("mlx.core")
pytestmark = pytest.mark.model


class Recorded:
    """A model, and the shape of every input it was given: (sequences, tokens)."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self.shapes: list[tuple[int, ...]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def __call__(self, tokens: Any, cache: Any) -> Any:
        self.shapes.append(tuple(tokens.shape))
        return self._model(tokens, cache=cache)


@dataclass
class Bench:
    """An engine on a small model, what it was asked to compute, and what it sent."""

    engine: Engine
    model: Recorded
    frames: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    kept_bytes: list[int] = field(default_factory=list[int])
    """What the prefixes held, each time that something was sent."""
    cancelled: set[int] = field(default_factory=set[int])
    beats: int = 0

    def ask(self, number: int, text: str = "Tell a story.", **fields: Any) -> None:
        sampling = Sampling(temperature=0, max_output_tokens=4, logit_bias={2: -100})  # which ends the answer
        self.engine.submit(Job(id=number, messages=[{"role": "user", "content": text}], sampling=sampling, **fields))

    def finish(self) -> list[int]:
        while self.engine.busy:
            self.engine.step()
        return sorted(frame["id"] for frame in self.frames if frame["ev"] == "done")


@pytest.fixture
def bench(tiny_model: Any, tokenizer: Any) -> Bench:
    model = Recorded(tiny_model)
    loaded = LoadedModel(
        model=model, tokenizer=tokenizer, vocabulary=49_152, context_tokens=8192, end_tokens=frozenset({2}), defaults={}
    )
    limits = Limits(kv_bytes=2**28, prefix_cache_bytes=2**24, kv_bytes_per_token=2**10)

    def emit(frames: Iterable[dict[str, Any]]) -> None:
        made.frames += frames
        made.kept_bytes.append(engine.facts["prefix_cache_bytes"])

    def pulse() -> None:
        made.beats += 1

    made: Bench
    engine = Engine(loaded, limits, emit=emit, pulse=pulse, cancelled=lambda: made.cancelled)
    made = Bench(engine, model)
    engine.warm_up()
    model.shapes.clear()
    return made


def test_prompts_begun_together_are_read_and_answered_together(bench: Bench) -> None:
    for number in range(8):
        bench.ask(number)
    assert bench.finish() == list(range(8))
    assert {sequences for sequences, _ in bench.model.shapes} == {8}


def test_a_step_that_reads_for_nobody_is_left_in_the_middle(bench: Bench) -> None:
    bench.ask(1, "word " * 3000)
    bench.cancelled.add(1)
    bench.engine.step()
    assert not bench.engine.busy
    assert len(bench.model.shapes) == 1
    bench.ask(2)
    assert bench.finish() == [2]


def test_a_step_that_reads_for_another_too_goes_on(bench: Bench) -> None:
    bench.ask(1, "word " * 300)
    bench.ask(2, "word " * 300)
    bench.cancelled.add(1)
    bench.engine.step()
    bench.engine.cancel(1)
    assert bench.finish() == [2]


def test_a_step_that_reads_shows_a_sign_of_life_after_each_of_its_parts(bench: Bench) -> None:
    bench.ask(1, "word " * 300)
    bench.beats = 0
    bench.engine.step()
    assert bench.beats == 1 + 2, "one at its beginning, one for each of two layers"


def test_the_end_of_an_answer_is_sent_before_its_prefix_is_kept(bench: Bench) -> None:
    bench.ask(1, tenant="a")
    assert bench.finish() == [1]
    assert bench.kept_bytes[-1] == 0
    assert bench.engine.facts["prefix_cache_bytes"] > 0
