"""Counts the tokens of a prompt, or of texts to embed, with the tokenizer alone: no weights are loaded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ringfence_mlx.worker.job import Job, JobFault
from ringfence_mlx.worker.prompt import render_prompt
from ringfence_mlx.worker.vendor import load_tokenizer


class TokenCounter:
    """Counts exactly what the model would read."""

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

    def count_texts(self, texts: Sequence[str]) -> int:
        """Tokens of texts to embed, with those that mark the ends of each."""
        return sum(len(self._tokenizer.encode(text)) for text in texts)


__all__ = ["TokenCounter"]
