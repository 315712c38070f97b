"""From the body of a call to what the assistant is asked. Every check comes before an engine sees anything."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, TypeVar, cast

import msgspec

from ringfence.assistant.build import RequestOptions
from ringfence.errors import InvalidRequest
from ringfence.request import FilePart, ImagePart, Message, Settings, Tool, ToolChoice
from ringfence_house_node.api.faults import Refused, no_model, not_supported, refused, too_long
from ringfence_house_node.api.messages import messages_of
from ringfence_house_node.api.schemas import Shape, check_schema
from ringfence_house_node.api.shapes import (
    ChatRequest,
    ChosenTool,
    EmbeddingRequest,
    FunctionTool,
    ObjectFormat,
    SchemaFormat,
)
from ringfence_house_node.engine.limits import Limits

_BYTES_PER_TOKEN = 4
"""A token of English is a little longer, one of most other scripts shorter: an estimate for servers without a check."""

_WHERE = re.compile(r"`\$\.([a-z_]+)")
_SETTINGS = frozenset(field.name for field in fields(Settings)) & frozenset(ChatRequest.__struct_fields__)

ShapeT = TypeVar("ShapeT")


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Asked:
    """A chat request that passed every check."""

    messages: tuple[Message, ...]
    options: RequestOptions
    output: Shape | None
    stream: bool
    include_usage: bool


def chat_request(body: bytes, *, model: str, limits: Limits) -> Asked:
    """What `body` asks of the node's `model`.

    Raises:
        Refused: it is no request of this API, or asks for what the engine does not take.
    """
    given = _decoded(body, ChatRequest)
    _check_model(given.model, model)
    _check_harmless(given)
    messages = messages_of(given.messages)
    asked = Asked(
        messages=messages,
        options=_options(given, messages, limits),
        output=_output(given),
        stream=bool(given.stream),
        include_usage=bool(given.stream_options and given.stream_options.include_usage),
    )
    _check_capabilities(asked, limits)
    _check_length(given, limits)
    return asked


def embedding_request(body: bytes, *, model: str) -> tuple[tuple[str, ...], bool]:
    """The texts to embed, and whether their vectors are wanted in base64.

    Raises:
        Refused: it is no request of this API, or a text is empty.
    """
    given = _decoded(body, EmbeddingRequest)
    _check_model(given.model, model)
    texts = (given.input,) if isinstance(given.input, str) else tuple(given.input)
    if not all(text.strip() for text in texts):
        raise refused("a text to embed is empty", "input")
    return texts, given.encoding_format == "base64"


def _decoded(body: bytes, shape: type[ShapeT]) -> ShapeT:
    try:
        return msgspec.json.decode(body, type=shape)
    except msgspec.ValidationError as error:
        # INVARIANT 7: the decoder's words may repeat a name or a value of the caller; only a field of the API is told.
        found = _WHERE.search(str(error))
        known = found is not None and found[1] in cast("Any", shape).__struct_fields__
        param = found[1] if found is not None and known else None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise refused("the body is no JSON that is read here") from None
    raise refused("the body is no request of this API, or has a field that this node does not know", param)


def _check_model(asked: str, model: str) -> None:
    # INVARIANT: no name of a caller reaches an engine, where it might load a path.
    if asked != model:
        raise Refused(no_model())


def _check_harmless(given: ChatRequest) -> None:
    """Fields that are taken only with the values that ask for nothing."""
    if given.logprobs:
        raise not_supported("tells no probabilities", "logprobs")
    if given.store:
        raise not_supported("stores nothing", "store")
    if given.parallel_tool_calls is False and given.tools:
        raise not_supported("may call several tools at once", "parallel_tool_calls")


# ---------------------------------------------------------------- options


def _options(given: ChatRequest, messages: Sequence[Message], limits: Limits) -> RequestOptions:
    options: RequestOptions = {"settings": _settings(given, limits)}
    if not any(message.role == "system" for message in messages):
        # The caller's assistant has said what there is to say; ours adds nothing.
        options["instructions"] = ""
    tools, choice = _tools(given)
    if choice not in limits.choices:
        raise not_supported("cannot be made to call a tool", "tool_choice")
    # A model that is not shown a tool cannot call it, whatever its server makes of `tool_choice`.
    if tools and choice != "none":
        options |= {"tools": tools, "tool_choice": choice}
    return options


def _settings(given: ChatRequest, limits: Limits) -> Settings:
    if given.max_tokens is not None and given.max_completion_tokens is not None:
        raise refused("max_tokens and max_completion_tokens say the same: give one", "max_tokens")
    values: dict[str, Any] = {name: value for name in _SETTINGS if (value := getattr(given, name)) is not None}
    most = given.max_tokens if given.max_completion_tokens is None else given.max_completion_tokens
    if most is not None:
        values["max_output_tokens"] = most
    for name, value in values.items():
        # Not to reason is what a model that cannot does anyway.
        if name not in limits.settings and (name, value) != ("reasoning_effort", "none"):
            raise not_supported(
                "takes no such setting", "max_completion_tokens" if name == "max_output_tokens" else name
            )
    try:
        return Settings(**values)
    except InvalidRequest as error:
        # It names settings and their bounds, and no value.
        raise refused(error.message) from None


def _tools(given: ChatRequest) -> tuple[tuple[Tool, ...], ToolChoice]:
    tools = tuple(map(_tool, given.tools or ()))
    if len({tool.name for tool in tools}) < len(tools):
        raise refused("two tools have the same name", "tools")
    choice = given.tool_choice or "auto"
    if not isinstance(choice, ChosenTool):
        if choice == "required" and not tools:
            raise refused("a call is required, and there is no tool", "tool_choice")
        return tools, choice
    # To call one tool is to have no other, and to call.
    chosen = tuple(tool for tool in tools if tool.name == choice.function.name)
    if not chosen:
        raise refused("the tool that is to be called is not there", "tool_choice")
    return chosen, "required"


def _tool(given: FunctionTool) -> Tool:
    function = given.function
    parameters: dict[str, Any] = {"type": "object", "properties": {}}
    if function.parameters is not None:
        parameters = function.parameters
    check_schema(parameters, "tools")
    return Tool(name=function.name, description=function.description or "", parameters=parameters)


def _output(given: ChatRequest) -> Shape | None:
    match given.response_format:
        case SchemaFormat(json_schema=wanted):
            check_schema(wanted.schema, "response_format")
            return Shape(wanted.schema)
        case ObjectFormat():
            return Shape({"type": "object"})
        case _:
            return None


# ---------------------------------------------------------------- what the engine can do


def _check_capabilities(asked: Asked, limits: Limits) -> None:
    can = limits.capabilities
    if can is None:
        # The worker says what its model can do, when the request is planned.
        return
    parts = [part for message in asked.messages for part in message.parts]
    wanted = (
        ("text", True, "answers no chat", "model"),
        ("image_input", any(isinstance(part, ImagePart) for part in parts), "looks at no pictures", "messages"),
        ("file_input", any(isinstance(part, FilePart) for part in parts), "reads no files", "messages"),
        ("tools", bool(asked.options.get("tools")), "calls no tools", "tools"),
        ("output_schema", asked.output is not None, "keeps to no schema", "response_format"),
    )
    for capability, is_wanted, what, param in wanted:
        if is_wanted and capability not in can:
            raise not_supported(what, param)


def _check_length(given: ChatRequest, limits: Limits) -> None:
    """For engines that have no bound of their own: the prompt, by its bytes, and the longest answer."""
    context_tokens = limits.context_tokens
    if context_tokens is None:
        return
    sizes = (len(msgspec.json.encode(message)) for message in given.messages)
    answer = given.max_completion_tokens or given.max_tokens or 0
    if sum(sizes) // _BYTES_PER_TOKEN + answer > context_tokens:
        raise Refused(too_long(context_tokens))


__all__ = ["Asked", "chat_request", "embedding_request"]
