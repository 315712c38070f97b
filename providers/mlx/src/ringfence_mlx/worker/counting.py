"""Counts the tokens of a prompt with the tokenizer alone: no weights are loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ringfence_mlx.worker.job import Job, JobFault
from ringfence_mlx.worker.prompt import render_prompt
from ringfence_mlx.worker.vendor import load_tokenizer


class TokenCounter:
    """Counts exactly what the engine would prefill."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer

    @classmethod
    def load(cls, folder: Path) -> TokenCounter:
        """Loads the tokenizer of `folder`.

        Raises:
            JobFault: it cannot be loaded.
        """
        try:
            return cls(load_tokenizer(folder))
        except (FileNotFoundError, ValueError, KeyError, TypeError, OSError) as error:
            raise JobFault("no_model", f"the tokenizer cannot be loaded ({type(error).__name__})") from None

    def count(self, job: Job) -> int:
        """Tokens of the prompt, template included."""
        return len(render_prompt(job, self._tokenizer))


__all__ = ["TokenCounter"]
