"""The shapes of the Chat Completions API that are read; what is not named here is skipped by the decoder.

The source is the SDK's own types (openai/types/chat). `reasoning_content` and `reasoning` are what compatible servers
add (vLLM, DeepSeek, OpenRouter, Ollama); OpenAI itself shows no reasoning here.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct


class ErrorBody(Struct):
    """Why something failed, in the backend's words; the message is not read."""

    code: str | int | None = None
    type: str | None = None


class PromptDetails(Struct):
    """Among the tokens of the prompt."""

    cached_tokens: int | None = None


class CompletionDetails(Struct):
    """Among the tokens of the answer."""

    reasoning_tokens: int | None = None


class UsageBody(Struct):
    """Tokens."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: PromptDetails | None = None
    completion_tokens_details: CompletionDetails | None = None


class Function(Struct):
    """What is called, or more of it."""

    name: str | None = None
    arguments: str | None = None


class ToolCall(Struct):
    """A call, or more of it; `index` says of which, in a stream."""

    id: str | None = None
    index: int | None = None
    function: Function | None = None


class Delta(Struct):
    """A message, or more of it."""

    content: str | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[ToolCall] | None = None


class StreamChoice(Struct):
    """More of one answer."""

    delta: Delta | None = None
    finish_reason: str | None = None
    index: int = 0


class Chunk(Struct):
    """One event of a stream."""

    choices: list[StreamChoice] | None = None
    usage: UsageBody | None = None
    error: ErrorBody | str | None = None


class WholeChoice(Struct):
    """One answer."""

    message: Delta
    finish_reason: str | None = None
    index: int = 0


class Whole(Struct):
    """An answer as it comes without a stream."""

    choices: list[WholeChoice]
    usage: UsageBody | None = None


decode_chunk = msgspec.json.Decoder(Chunk).decode
decode_whole = msgspec.json.Decoder(Whole).decode
