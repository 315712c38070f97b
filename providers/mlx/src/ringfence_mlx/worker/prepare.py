"""From a job to an answer that can be put into the batch: rendered, checked against the model, ready to stream."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ringfence_mlx.worker.answer import Answer, TextEvents
from ringfence_mlx.worker.constrain import Constraint, ConstraintError, ConstraintProcessor
from ringfence_mlx.worker.either import SchemaOrCallStream
from ringfence_mlx.worker.job import Job, JobFault, Sampling
from ringfence_mlx.worker.loader import LoadedModel
from ringfence_mlx.worker.prompt import render_prompt
from ringfence_mlx.worker.sampling import check, with_defaults
from ringfence_mlx.worker.text import TextDecoder
from ringfence_mlx.worker.toolcalls import ToolCallStream

DEFAULT_OUTPUT_TOKENS = 512
"""The longest answer when the caller sets no limit and the context leaves room."""


def prepare(job: Job, loaded: LoadedModel) -> Answer:
    """An answer for `job`, with nothing left that could fail inside the batch.

    Raises:
        JobFault: the prompt is empty or too long, a setting does not fit the model, or a template or schema is refused.
    """
    job = replace(job, sampling=with_defaults(job.sampling, loaded.defaults))
    check(job.sampling, loaded.vocabulary)
    if job.tools and not loaded.tokenizer.has_tool_calling:
        raise JobFault("unsupported", "the calls of this model cannot be told from its text", setting="tools")
    prompt = render_prompt(job, loaded.tokenizer)
    return Answer(
        job=job,
        prompt=prompt,
        limit_tokens=output_limit(len(prompt), job.sampling, loaded.context_tokens),
        arrived_s=time.monotonic(),
        decoder=TextDecoder(_decoder(loaded.tokenizer)),
        events=_events(job, loaded.tokenizer, prompt),
        constraint=_constraint(job, loaded.tokenizer),
    )


def _events(job: Job, tokenizer: Any, prompt: Sequence[int]) -> TextEvents:
    if job.schema is not None and job.tools:
        return SchemaOrCallStream(tokenizer, job.tools)
    # What is forced begins at once, also where the template has opened the model's reasoning.
    return ToolCallStream(tokenizer, job.tools, prompt=() if job.forced else prompt, structured=job.schema is not None)


def _constraint(job: Job, tokenizer: Any) -> ConstraintProcessor | None:
    try:
        if job.tools and job.tool_required:
            return Constraint.compile_tools(tokenizer, job.tools).processor()
        if job.tools and job.schema is not None:
            return Constraint.compile_tools(tokenizer, job.tools, schema=job.schema).processor()
        if job.schema is not None:
            return Constraint.compile(tokenizer, job.schema).processor()
    except ConstraintError as error:
        raise JobFault(
            "unsupported", str(error), setting="output" if job.schema is not None else "tool_choice"
        ) from None
    return None


def output_limit(prompt_tokens: int, sampling: Sampling, context_tokens: int) -> int:
    """How many tokens the answer may have: what was asked for, or what fits, up to a default.

    Raises:
        JobFault: prompt and answer do not fit into the context together.
    """
    wanted = sampling.max_output_tokens
    needed = prompt_tokens + (wanted or 1)
    if needed > context_tokens:
        raise JobFault(
            "context_length",
            f"prompt and answer need {needed} tokens; the model has {context_tokens}",
            needed_tokens=needed,
            context_tokens=context_tokens,
        )
    return wanted or min(DEFAULT_OUTPUT_TOKENS, context_tokens - prompt_tokens)


def _decoder(tokenizer: Any) -> Any:
    def decode(tokens: Sequence[int]) -> str:
        return str(tokenizer.decode(list(tokens), skip_special_tokens=False, clean_up_tokenization_spaces=False))

    return decode


__all__ = ["DEFAULT_OUTPUT_TOKENS", "output_limit", "prepare"]
