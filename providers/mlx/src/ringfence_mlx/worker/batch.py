"""mlx-lm's `BatchGenerator`, with every step sized by what is measured and the long ones computed in parts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ringfence_mlx.worker.parts import InParts
from ringfence_mlx.worker.prefill import PrefillSizer
from ringfence_mlx.worker.vendor import new_batch_generator


class Batch:
    """Prompts that are read and answers that are written, side by side; at most `size` of them.

    `between` is called after each part of a step that reads, and may end the step by what it raises; then `restart`.
    """

    def __init__(self, model: Any, *, end_tokens: frozenset[int], size: int, between: Callable[[], None]) -> None:
        self._model = InParts(model, between)
        self._stop_tokens = [[token] for token in sorted(end_tokens)]
        self._size = size
        self._sizer = PrefillSizer()
        self._left_tokens = 0
        """How long the longest prompt under way still is."""
        self._generator = self._empty()

    @property
    def step_tokens(self) -> int:
        """The prompt tokens of a step while answers are written, all prompts together."""
        return self._sizer.tokens(writing=True)

    def insert(self, prompt: Sequence[int], *, limit_tokens: int, **one_each: Any) -> int:
        """Takes in what is left to read of a prompt; `one_each` is as for `BatchGenerator.insert`, one of each list."""
        lists = {name: [value] for name, value in one_each.items()}
        (uid,) = self._generator.insert([list(prompt)], max_tokens=[limit_tokens], **lists)
        self._left_tokens = max(self._left_tokens, len(prompt))
        return int(uid)

    def remove(self, uid: int, *, take_cache: bool = False) -> tuple[Any, Any]:
        """Takes a sequence out at whatever stage it is; its cache and the tokens in it, if they are wanted."""
        cache, tokens = self._generator.remove([uid], return_prompt_caches=take_cache).get(uid, (None, None))
        return cache, tokens

    def step(self) -> list[Any]:
        """A piece of every prompt that is read, a token of every answer that is written: mlx-lm's responses."""
        generator = self._generator
        reads, writing = generator._prompt_batch, len(generator._generation_batch)  # noqa: SLF001  (no other way)
        most = self._sizer.sequences(writing=writing > 0)
        sequences = max(1, len(reads), min(most, len(reads) + len(generator._unprocessed_sequences)))  # noqa: SLF001
        step_tokens = self._sizer.step_tokens(sequences, self._left_tokens, writing=writing > 0)
        generator.prefill_batch_size = most
        generator.prefill_step_size = step_tokens
        # The batch being read holds its own copy; without this a change would wait for the next batch.
        reads.prefill_step_size = step_tokens
        with generator.stats() as stats:
            prompts, responses = generator.next()
        self._left_tokens = max((prompt.progress[1] - prompt.progress[0] for prompt in prompts), default=0)
        self._sizer.observe_decode(stats.generation_tokens, stats.decode_time)
        self._sizer.observe_prefill(stats.prompt_tokens, stats.prompt_time)
        return list(responses)

    def forget_speed(self) -> None:
        """Measures anew from the next step on."""
        self._sizer = PrefillSizer()

    def restart(self) -> None:
        """Begins again with nothing in it."""
        self._generator.close()
        self._left_tokens = 0
        self._generator = self._empty()

    def _empty(self) -> Any:
        return new_batch_generator(
            self._model, stop_tokens=self._stop_tokens, completion_batch_size=self._size, prefill_batch_size=1
        )


__all__ = ["Batch"]
