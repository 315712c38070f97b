"""The requests that are understood, as types: what is not named here is refused.

The source is the SDK's own types (openai/types/chat/completion_create_params.py, embedding_create_params.py). A field
that is named and not used is harmless: its type, or `chat_request.harmless`, lets only the values through that ask for
nothing.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from msgspec import Meta, Struct

_Name: TypeAlias = Annotated[str, Meta(min_length=1, max_length=128)]
_Word: TypeAlias = Annotated[str, Meta(max_length=1024)]


class _Shape(Struct, forbid_unknown_fields=True, kw_only=True):
    """What has no other fields than these."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"


# ---------------------------------------------------------------- messages


class TextContent(_Shape, tag_field="type", tag="text"):
    """Text."""

    text: str


class ImageUrl(_Shape):
    """A picture as a data URL."""

    url: str
    detail: Literal["auto", "low", "high", "original"] | None = None


class ImageContent(_Shape, tag_field="type", tag="image_url"):
    """A picture."""

    image_url: ImageUrl


class FileData(_Shape):
    """A file as a data URL."""

    file_data: str
    filename: Annotated[str, Meta(max_length=256)] | None = None


class FileContent(_Shape, tag_field="type", tag="file"):
    """A file."""

    file: FileData


class RefusalContent(_Shape, tag_field="type", tag="refusal"):
    """What the model said when it refused."""

    refusal: str


_MOST_PIECES = Meta(max_length=1024)
Piece: TypeAlias = TextContent | ImageContent | FileContent | RefusalContent
Texts: TypeAlias = str | Annotated[list[TextContent], _MOST_PIECES]


class SystemMessage(_Shape, tag_field="role", tag="system"):
    """Instructions."""

    content: Texts


class DeveloperMessage(_Shape, tag_field="role", tag="developer"):
    """Instructions, by their newer name."""

    content: Texts


class UserMessage(_Shape, tag_field="role", tag="user"):
    """What the user says and shows."""

    content: str | Annotated[list[Piece], _MOST_PIECES]


class CalledFunction(_Shape):
    """A call: `arguments` is JSON text."""

    name: _Name
    arguments: str


class ToolCall(_Shape):
    """A call that the model has made."""

    id: _Name
    function: CalledFunction
    type: Literal["function"]


class AssistantMessage(_Shape, tag_field="role", tag="assistant"):
    """What the model has said, and called."""

    content: str | Annotated[list[TextContent | RefusalContent], _MOST_PIECES] | None = None
    refusal: str | None = None
    tool_calls: Annotated[list[ToolCall], Meta(max_length=256)] | None = None


class ToolMessage(_Shape, tag_field="role", tag="tool"):
    """What a tool has answered."""

    tool_call_id: _Name
    content: Texts


AnyMessage: TypeAlias = SystemMessage | DeveloperMessage | UserMessage | AssistantMessage | ToolMessage

# ---------------------------------------------------------------- tools and formats


class FunctionDefinition(_Shape):
    """What can be called. `strict` asks for what is done anyway."""

    name: _Name
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class FunctionTool(_Shape):
    """A tool; those that run at a server are none."""

    function: FunctionDefinition
    type: Literal["function"]


class ChosenFunction(_Shape):
    """The name of the one function that is to be called."""

    name: _Name


class ChosenTool(_Shape):
    """The one tool that is to be called."""

    function: ChosenFunction
    type: Literal["function"]


class JsonSchema(_Shape):
    """The shape of an answer."""

    name: _Name
    schema: dict[str, Any]
    description: str | None = None
    strict: bool | None = None


class SchemaFormat(_Shape, tag_field="type", tag="json_schema"):
    """An answer of one shape."""

    json_schema: JsonSchema


class ObjectFormat(_Shape, tag_field="type", tag="json_object"):
    """An answer that is some JSON object."""


class TextFormat(_Shape, tag_field="type", tag="text"):
    """Any answer."""


class StreamOptions(_Shape):
    """`include_usage` asks for the tokens at the end; `include_obfuscation` for padding, which the protocol brings."""

    include_usage: bool | None = None
    include_obfuscation: bool | None = None


# ---------------------------------------------------------------- requests


class ChatRequest(_Shape):
    """The body of `POST /v1/chat/completions`."""

    model: str
    messages: Annotated[list[AnyMessage], Meta(min_length=1, max_length=4096)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    seed: int | None = None
    stop: Annotated[str, Meta(max_length=256)] | list[Annotated[str, Meta(max_length=256)]] | None = None
    logit_bias: Annotated[dict[int, float], Meta(max_length=1024)] | None = None
    reasoning_effort: Literal["none", "low", "medium", "high"] | None = None
    tools: Annotated[list[FunctionTool], Meta(max_length=256)] | None = None
    tool_choice: Literal["auto", "none", "required"] | ChosenTool | None = None
    response_format: SchemaFormat | ObjectFormat | TextFormat | None = None
    # Harmless, all of them: see `harmless`.
    n: Literal[1] | None = None
    logprobs: bool | None = None
    store: bool | None = None
    parallel_tool_calls: bool | None = None
    modalities: list[Literal["text"]] | None = None
    service_tier: Literal["auto", "default"] | None = None
    user: _Word | None = None
    safety_identifier: _Word | None = None
    prompt_cache_key: _Word | None = None


class EmbeddingRequest(_Shape):
    """The body of `POST /v1/embeddings`."""

    model: str
    input: str | Annotated[list[str], Meta(min_length=1, max_length=2048)]
    encoding_format: Literal["float", "base64"] | None = None
    user: _Word | None = None


__all__ = [
    "AnyMessage",
    "AssistantMessage",
    "ChatRequest",
    "ChosenTool",
    "DeveloperMessage",
    "EmbeddingRequest",
    "FileContent",
    "FunctionTool",
    "ImageContent",
    "ObjectFormat",
    "Piece",
    "RefusalContent",
    "SchemaFormat",
    "SystemMessage",
    "TextContent",
    "Texts",
    "ToolCall",
    "ToolMessage",
    "UserMessage",
]
