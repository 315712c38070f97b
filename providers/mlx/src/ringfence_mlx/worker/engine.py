"""The engine: one batch of answers on mlx-lm's `BatchGenerator`, fed from a queue. Owned by one thread.

MLX binds its streams to the thread that made them, so load, step and free happen on the same one. Nothing a request
holds may raise inside a step, for that would end the whole batch: everything is checked before it goes in.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any

import mlx.core as mx

from ringfence_mlx.worker.answer import Answer
from ringfence_mlx.worker.batch import Batch
from ringfence_mlx.worker.cache import PrefixCache
from ringfence_mlx.worker.guard import Guarded
from ringfence_mlx.worker.job import Job, JobFault
from ringfence_mlx.worker.loader import LoadedModel
from ringfence_mlx.worker.places import describe
from ringfence_mlx.worker.prepare import prepare
from ringfence_mlx.worker.prompt import render_prompt
from ringfence_mlx.worker.sampling import Processor, make_processors, make_sampler

_FAIR_WAIT_S = 10.0
"""After this long at the head of the queue a job of another adapter stops the current one from taking more."""

_MOST_FAILURES = 3
"""Steps in a row that may raise before the process gives up and lets the supervisor start a new one."""

_MOST_WAITING = 1024
"""Requests in the queue; what is beyond it is refused, for it would wait longer than anyone does."""

_WARM_TOKENS = 16
_COLD_LIMIT_S = 1.0
"""A machine on which even the first few tokens take longer is measured well enough by them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What the app allows. Bytes; `kv_bytes_per_token` is the model's, for keys and values of all layers."""

    kv_bytes: int
    prefix_cache_bytes: int
    kv_bytes_per_token: int
    batch: int = 16


class _Abandoned(Exception):
    """Nobody wants what the step was reading."""


class Engine:
    """Answers jobs. `emit` takes the frames of one step; `pulse` is called at every sign of life.

    `cancelled` tells, in the middle of a step, whose cancelling has come since it began.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        limits: Limits,
        *,
        emit: Callable[[Iterable[dict[str, Any]]], None],
        pulse: Callable[[], None] = lambda: None,
        cancelled: Callable[[], Collection[int]] = tuple,
    ) -> None:
        self._loaded = loaded
        self._limits = limits
        self._emit = emit
        self._pulse = pulse
        self._cancelled = cancelled
        self._waiting: deque[Answer] = deque()
        self._running: dict[int, Answer] = {}
        self._adapters: Any = None
        self._adapter: str | None = None
        self._prefixes = PrefixCache(limits.prefix_cache_bytes)
        self._failures = 0
        self._batch = Batch(loaded.model, end_tokens=loaded.end_tokens, size=limits.batch, between=self._between_parts)

    @property
    def busy(self) -> bool:
        """Whether a step would do something."""
        return bool(self._waiting or self._running)

    @property
    def facts(self) -> dict[str, int]:
        """Counts for `stats`: what runs, what waits, and the bytes held."""
        return {
            "running": len(self._running),
            "waiting": len(self._waiting),
            "prefix_cache_bytes": self._prefixes.nbytes,
            "active_bytes": int(mx.get_active_memory()),
            "prefill_step_tokens": self._batch.step_tokens,
        }

    def warm_up(self) -> None:
        """Real tokens through the whole path, and the first measurement of the prefill speed.

        Raises:
            JobFault: the model cannot make a token.
        """
        began = time.monotonic()
        try:
            self._probe()
            if time.monotonic() - began < _COLD_LIMIT_S:
                # The first run paid for what is set up on first use: its times would make the first prompt slow.
                self._batch.forget_speed()
                self._probe()
        except Exception as error:  # noqa: BLE001  (a model may fail in any way; the app needs a typed answer)
            raise JobFault("no_model", f"the model cannot make a token ({describe(error)})") from None
        mx.clear_cache()

    def _probe(self) -> None:
        self._batch.insert([index % self._loaded.vocabulary for index in range(1, _WARM_TOKENS + 2)], limit_tokens=2)
        while not any(response.finish_reason for response in self._batch.step()):
            self._pulse()

    def submit(self, job: Job) -> None:
        """Takes a job into the queue; one that cannot be done gets its fault at once."""
        try:
            if len(self._waiting) >= _MOST_WAITING:
                raise JobFault("overloaded", f"{_MOST_WAITING} requests wait already")
            answer = prepare(job, self._loaded)
            needed = answer.total_tokens * self._limits.kv_bytes_per_token
            if needed > self._limits.kv_bytes:
                raise JobFault("no_memory", f"the request needs {needed} bytes; {self._limits.kv_bytes} are allowed")
        except JobFault as fault:
            self._emit([{"id": job.id, **fault.frame()}])
            return
        self._waiting.append(answer)

    def count(self, job: Job) -> int:
        """The tokens of the prompt of `job`, template included."""
        return len(render_prompt(job, self._loaded.tokenizer))

    def cancel(self, number: int) -> None:
        """Forgets a job at whatever stage it is, and frees its cache. Unknown numbers are done already."""
        self._waiting = deque(answer for answer in self._waiting if answer.job.id != number)
        for uid, answer in list(self._running.items()):
            if answer.job.id == number:
                self._batch.remove(uid)
                self._forget(uid)

    def step(self) -> None:
        """One step of the batch: takes in what fits, prefills a piece, decodes a token each, sends what came of it."""
        self._pulse()
        self._admit()
        try:
            responses = self._batch.step()
        except _Abandoned:
            self._start_afresh()
            return
        except Exception as error:  # noqa: BLE001  (whatever it is, every caller in the batch must learn of it)
            self._fail_batch(describe(error))
            return
        self._failures = 0
        frames: list[dict[str, Any]] = []
        over: list[tuple[Answer, Any]] = []
        for response in responses:
            if (answer := self._running.get(response.uid)) is not None:
                made, ended = _advance(answer, response)
                frames += made
                over += [(answer, response)] if ended else []
        if frames:
            self._emit(frames)
        # After the callers have their ends: to keep a prefix waits for the step that has begun meanwhile.
        for answer, response in over:
            self._take_out(answer, response)

    def _between_parts(self) -> None:
        """In the middle of a long step: a sign of life, and the end of what nobody wants."""
        self._pulse()
        cancelled = self._cancelled()
        if self._running and all(answer.job.id in cancelled for answer in self._running.values()):
            raise _Abandoned

    def _admit(self) -> None:
        """Moves jobs of one adapter from the queue into the batch, oldest first, as far as count and memory reach."""
        if not self._waiting:
            return
        if not self._running:
            if not self._use_adapter(self._waiting[0].job.adapter):
                return
        elif self._overdue(self._waiting[0]):
            return
        for answer in [waiting for waiting in self._waiting if waiting.job.adapter == self._adapter]:
            if len(self._running) >= self._limits.batch or not self._fits(answer):
                return
            self._waiting.remove(answer)
            self._insert(answer)

    def _overdue(self, answer: Answer) -> bool:
        return answer.job.adapter != self._adapter and time.monotonic() - answer.arrived_s > _FAIR_WAIT_S

    def _fits(self, answer: Answer) -> bool:
        """A batch is a rectangle: every sequence is padded to the longest."""
        longest = max([answer.total_tokens, *(running.total_tokens for running in self._running.values())])
        bytes_needed = longest * (len(self._running) + 1) * self._limits.kv_bytes_per_token
        return not self._running or bytes_needed <= self._limits.kv_bytes

    def _use_adapter(self, adapter: str | None) -> bool:
        """Puts `adapter` in force; where that fails, those who wait for it are told."""
        if adapter == self._adapter:
            return True
        from ringfence_mlx.worker.adapters import AdapterError, AdapterSwitch  # noqa: PLC0415  (only where one is used)

        self._adapters = self._adapters or AdapterSwitch(self._loaded.model)
        try:
            self._adapters.use(adapter)
        except AdapterError as error:
            refused = [answer for answer in self._waiting if answer.job.adapter == adapter]
            self._waiting = deque(answer for answer in self._waiting if answer.job.adapter != adapter)
            fault = JobFault("unsupported", str(error), setting="adapter").frame()
            self._emit([{"id": answer.job.id, **fault} for answer in refused])
            return False
        self._adapter = adapter
        return True

    def _insert(self, answer: Answer) -> None:
        job, prompt = answer.job, list(answer.prompt)
        prefix = self._prefixes.find(job.adapter, job.tenant, prompt)
        answer.cached_tokens = prefix.tokens
        answer.guards = [Guarded(processor) for processor in make_processors(job.sampling)]
        processors: list[Processor] = [*answer.guards]
        if answer.constraint is not None:
            processors.append(answer.constraint)  # last: what came after it could allow a token again
        answer.uid = self._batch.insert(
            prompt[prefix.tokens :],
            limit_tokens=answer.limit_tokens,
            caches=prefix.cache,
            all_tokens=prompt[: prefix.tokens],
            samplers=make_sampler(job.sampling, self._loaded.vocabulary),
            logits_processors=processors,
        )
        self._running[answer.uid] = answer

    def _take_out(self, answer: Answer, response: Any) -> None:
        """Takes a finished sequence out of the batch, and its cache into the tenant's."""
        job = answer.job
        cache, tokens = response.prompt_cache, response.all_tokens
        if response.finish_reason is None:
            cache, tokens = self._batch.remove(answer.uid, take_cache=job.tenant is not None)
        if cache is not None and tokens is not None:
            self._prefixes.keep(job.adapter, job.tenant, tokens, cache)
        self._forget(answer.uid)

    def _forget(self, uid: int) -> None:
        self._running.pop(uid, None)
        if not self._running:
            mx.clear_cache()  # hand the freed buffers back to the system, not only to MLX's own pool

    def _fail_batch(self, reason: str) -> None:
        """Tells every caller of a batch that broke, and begins with an empty one."""
        self._failures += 1
        fault = JobFault("engine", f"the engine failed ({reason})").frame()
        self._emit([{"id": answer.job.id, **fault} for answer in self._running.values()])
        self._prefixes.clear()
        if self._failures >= _MOST_FAILURES:
            raise SystemExit(1)
        self._start_afresh()

    def _start_afresh(self) -> None:
        """An empty batch; what ran is forgotten."""
        self._running.clear()
        self._batch.restart()
        mx.clear_cache()


def _advance(answer: Answer, response: Any) -> tuple[list[dict[str, Any]], bool]:
    """The frames that the next token makes, and whether they are the last."""
    frames: list[dict[str, Any]] = []
    stopped = False
    if response.finish_reason != "stop":
        frames, stopped = answer.push(int(response.token))
    if (failure := answer.failure) is not None:
        return [*frames, {"id": answer.job.id, **JobFault("engine", f"the answer failed: {failure}").frame()}], True
    if stopped:
        return frames + answer.finish("stop", "stop_sequence"), True
    if answer.constraint is not None and answer.constraint.finished:
        return frames + answer.finish("stop", "schema_complete"), True
    if response.finish_reason is not None:
        return frames + answer.finish(response.finish_reason, response.finish_reason), True
    return frames, False


__all__ = ["Engine", "Limits"]
