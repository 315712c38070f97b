"""From a request to a job for the engine. Pure: no I/O, no MLX, no model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, assert_never

from ringfence.errors import InvalidRequest, Unsupported
from ringfence.provider import ModelCard, Plan
from ringfence.request import (
    FilePart,
    ImagePart,
    Message,
    Part,
    ReasoningPart,
    Request,
    TextPart,
    Tool,
    ToolCallPart,
    ToolResultPart,
)
from ringfence.response import Adjustment
from ringfence_mlx import settings

_OTHER_TASKS = {"image": "draw images", "transcribe": "transcribe", "speak": "speak"}
_TEXT_TYPES = ("text/", "application/json")
_OWN_OPTIONS = ("adapter",)
_ADAPTERS_WAY_OUT = "list its folder in the option adapters of mlx"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class NativePlan:
    """A request as the worker takes it: `job` for a text answer, `texts` for embeddings."""

    model: str
    kind: Literal["generate", "embed"]
    job: Mapping[str, Any]
    texts: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"NativePlan({self.model}, {self.kind})"


def make_plan(request: Request, card: ModelCard, adapters: Mapping[str, str]) -> Plan[object]:
    """The plan of `request` for the model of `card`; `adapters` maps names to folders; a task's is used unasked.

    Raises:
        Unsupported: a setting, a part or the task itself is beyond this model.
        InvalidRequest: an option of ours is unknown, an adapter is none of `adapters`, or a text is no valid Unicode.
    """
    if (other := _OTHER_TASKS.get(request.task)) is not None:
        raise Unsupported(f"the model '{card.name}' cannot {other}", setting="task", way_out="use another recipient")
    if request.task == "embed":
        return _embed_plan(request, card, adapters)
    _require(card, "text", "task", "answer in text")
    adjustments = settings.media_adjustments(request.settings)
    job: dict[str, Any] = {
        "messages": [_message(message, adjustments) for message in request.messages],
        "sampling": settings.sampling(request.settings),
        "stop": list(request.settings.stop),
        "adapter": _adapter(request, adapters),
        "tenant": request.tenant,
        **_tools(request, card),
        **_output(request, card),
        **settings.reasoning(request, card, adjustments),
    }
    native = NativePlan(model=card.name, kind="generate", job=job)
    return Plan(request=request, card=card, native=native, adjustments=tuple(adjustments))


def _require(card: ModelCard, capability: str, setting: str, what: str) -> None:
    if capability not in card.capabilities:
        raise Unsupported(f"the model '{card.name}' cannot {what}", setting=setting, way_out="name another model")


# ---------------------------------------------------------------- messages


def _message(message: Message, adjustments: list[Adjustment]) -> dict[str, Any]:
    texts: list[str] = []
    calls: list[dict[str, Any]] = []
    template: dict[str, Any] = {"role": message.role}
    for part in message.parts:
        match part:
            case ToolCallPart():
                calls.append(_call(part))
            case ToolResultPart():
                template |= {"tool_call_id": part.call_id, "name": part.name}
                texts.append(f"error: {part.text}" if part.is_error else part.text)
            case TextPart() | ImagePart() | FilePart() | ReasoningPart():
                texts.append(_text(part, adjustments))
            case _:
                assert_never(part)
    template["content"] = _encodable("".join(texts))
    if calls:
        template["tool_calls"] = calls
    return template


def _text(part: Part, adjustments: list[Adjustment]) -> str:
    match part:
        case TextPart():
            return part.text
        case FilePart():
            adjustments.append(
                Adjustment(setting="file", action="emulated", detail="the file's text stands in the prompt")
            )
            return _file_text(part)
        case ReasoningPart():
            adjustments.append(
                Adjustment(
                    setting="reasoning", action="ignored", detail="earlier reasoning is not shown to the model again"
                )
            )
            return ""
        case _:
            raise Unsupported("MLX text models take no images", setting="image", way_out="use another recipient")


def _file_text(part: FilePart) -> str:
    """A text file as text, named; anything else is refused."""
    if not part.media_type.startswith(_TEXT_TYPES):
        raise Unsupported(
            f"the model takes no files of type {part.media_type}", setting="file", way_out="give the text of the file"
        )
    try:
        text = part.data.decode("utf-8")
    except UnicodeDecodeError:
        raise Unsupported("the file is not UTF-8 text", setting="file", way_out="convert it to UTF-8") from None
    return f"\n[{part.name or 'file'}]\n{text}\n"


def _call(part: ToolCallPart) -> dict[str, Any]:
    return {
        "id": part.id,
        "type": "function",
        "function": {"name": part.name, "arguments": _encodable(part.arguments)},
    }


def _encodable(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidRequest(
            "a text holds half of a surrogate pair", way_out="decode it with errors='replace'"
        ) from None
    return text


# ---------------------------------------------------------------- tools, schema, options


def _tools(request: Request, card: ModelCard) -> dict[str, Any]:
    if not request.tools:
        return {}
    _require(card, "tools", "tools", "call tools")
    # A model that is not shown a tool cannot call it.
    if request.tool_choice == "none":
        return {}
    return {"tools": [_tool(tool) for tool in request.tools], "tool_required": request.tool_choice == "required"}


def _tool(tool: Tool) -> dict[str, Any]:
    function = {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
    return {"type": "function", "function": function}


def _output(request: Request, card: ModelCard) -> dict[str, Any]:
    if request.output is None:
        return {}
    _require(card, "output_schema", "output", "answer to a schema")
    return {"schema": request.output.schema}


def _adapter(request: Request, adapters: Mapping[str, str]) -> str | None:
    own = request.provider_options.get("mlx", {})
    if unknown := [name for name in own if name not in _OWN_OPTIONS]:
        raise InvalidRequest(
            f"unknown provider option '{unknown[0]}' of mlx", way_out=f"options of mlx: {', '.join(_OWN_OPTIONS)}"
        )
    adapter = own.get("adapter", request.task if request.task in adapters else None)
    if adapter is None:
        return None
    if not isinstance(adapter, str):
        raise InvalidRequest("the provider option adapter of mlx is a name", way_out=_ADAPTERS_WAY_OUT)
    if adapter in adapters:
        return adapters[adapter]
    # A request may come from another person than the app's: it opens no folder that the app has not named.
    if adapter not in adapters.values():
        raise InvalidRequest(
            "the provider option adapter of mlx names no adapter of the app", way_out=_ADAPTERS_WAY_OUT
        )
    return adapter


# ---------------------------------------------------------------- embeddings


def _embed_plan(request: Request, card: ModelCard, adapters: Mapping[str, str]) -> Plan[object]:
    _require(card, "embed", "task", "embed")
    _refuse_with_embedding(request, adapters)
    texts = _embed_texts(request.messages)
    native = NativePlan(model=card.name, kind="embed", job={}, texts=texts)
    adjustments = tuple(settings.embedding_adjustments(request.settings))
    return Plan(request=request, card=card, native=native, adjustments=adjustments)


def _refuse_with_embedding(request: Request, adapters: Mapping[str, str]) -> None:
    """Refuses what would shape an answer: there is none."""
    asked = {"tools": request.tools, "output": request.output, "adapter": _adapter(request, adapters)}
    setting = next((name for name, value in asked.items() if value), None)
    if setting is not None:
        raise Unsupported(f"an embedding takes no {setting}", setting=setting, way_out="leave it out")


def _embed_texts(messages: Sequence[Message]) -> tuple[str, ...]:
    parts = [part for message in messages for part in message.parts]
    if any(not isinstance(part, TextPart) for part in parts):
        raise Unsupported("only texts can be embedded", setting="parts", way_out="give text parts")
    return tuple(_encodable(part.text) for part in parts if isinstance(part, TextPart))


__all__ = ["NativePlan", "make_plan"]
