"""mlx-lm alone, in a process of its own: the same folder, prompt and settings, asked over a pipe.

Every line on stdin is one question, a JSON object; every line on stdout its answer. The first argument is the folder of
the model; the first line that is printed says that it is loaded.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import json
import sys
import time
from typing import Any, cast

from mlx_lm import batch_generate, stream_generate
from mlx_lm.sample_utils import make_sampler
from mlx_lm.utils import load


def main(folder: str) -> None:
    """Answers until stdin ends."""
    model, tokenizer = cast("tuple[Any, Any]", load(folder)[:2])
    _say({"ready": True})
    for line in sys.stdin:
        asked = json.loads(line)
        prompts = [_tokens(tokenizer, text) for text in asked["texts"]]
        if asked["op"] == "stream":
            _say(_streamed(model, tokenizer, prompts[0], asked["tokens"]))
        else:
            _say(_batched(model, tokenizer, prompts, asked["tokens"]))


def _tokens(tokenizer: Any, text: str) -> list[int]:
    messages = [{"role": "user", "content": text}]
    return list(tokenizer.apply_chat_template(messages, add_generation_prompt=True))


def _streamed(model: Any, tokenizer: Any, prompt: list[int], tokens: int) -> dict[str, Any]:
    began_s = time.perf_counter()
    first_s = last_s = 0.0
    text, count = "", 0
    for response in stream_generate(model, tokenizer, prompt, max_tokens=tokens, sampler=make_sampler(temp=0.0)):
        last_s = time.perf_counter() - began_s
        first_s = first_s or last_s
        text += response.text
        count = response.generation_tokens
    return {"first_s": first_s, "total_s": last_s, "tokens": count, "prompt_tokens": len(prompt), "text": text}


def _batched(model: Any, tokenizer: Any, prompts: list[list[int]], tokens: int) -> dict[str, Any]:
    began_s = time.perf_counter()
    answer = batch_generate(model, tokenizer, prompts, max_tokens=tokens, sampler=make_sampler(temp=0.0))
    total_s = time.perf_counter() - began_s
    return {"total_s": total_s, "tokens": answer.stats.generation_tokens, "prompt_tokens": sum(map(len, prompts))}


def _say(answer: dict[str, Any]) -> None:
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
