"""The prompt of a job in tokens; the same for the engine and for one who only counts."""

from __future__ import annotations

from typing import Any

from ringfence_mlx.worker.job import Job, JobFault
from ringfence_mlx.worker.template import TemplateError, TextNotEncodable, ToolsUnsupported, render


def render_prompt(job: Job, tokenizer: Any) -> list[int]:
    """The tokens of the prompt, template included; at least one.

    Raises:
        JobFault: the model's template cannot express the conversation, or a text cannot be encoded.
    """
    try:
        tokens = render(tokenizer, job.messages, job.tools, thinking=False if job.forced else job.thinking)
    except TextNotEncodable as error:
        raise JobFault("rejected", str(error)) from None
    except ToolsUnsupported as error:
        raise JobFault("unsupported", str(error), setting="tools") from None
    except TemplateError as error:
        raise JobFault("unsupported", str(error), setting="messages") from None
    if not tokens:
        raise JobFault("rejected", "the prompt is empty")
    return tokens


__all__ = ["render_prompt"]
