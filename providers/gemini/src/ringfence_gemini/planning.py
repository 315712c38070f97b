"""From a request to what is sent. Pure: no I/O, no SDK."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from ringfence.errors import InvalidRequest, Unsupported
from ringfence.provider import ModelCard, Plan
from ringfence.request import FilePart, Request, Settings, TextPart
from ringfence.response import Adjustment
from ringfence_gemini.answer import OUTPUT_TOOL
from ringfence_gemini.contents import Contents, encodable, encoded
from ringfence_gemini.generation import Generation, generation_of
from ringfence_gemini.models import Facts, facts_of
from ringfence_gemini.options import merge, model_path
from ringfence_gemini.schemas import for_the_api

if TYPE_CHECKING:
    from ringfence_gemini.sound import SoundFormat

_NEEDS = {"image": "draw", "embed": "embed", "transcribe": "transcribe", "speak": "speak"}


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class NativePlan:
    """One request of the Gemini API: `path` below the version, `body` as the bytes that go out.

    `texts` is how many are embedded; `sound_format` is set where the
    answer is speech.
    """

    kind: Literal["generate", "embed"]
    model: str
    path: str
    body: bytes
    streamed: bool = False
    texts: int = 0
    sound_format: SoundFormat | None = None

    def counting(self) -> tuple[str, bytes]:
        """The path and body that count the tokens of this prompt, instructions and tools included."""
        request = b'{"generateContentRequest":{"model":' + encoded(self.model) + b"," + self.body[1:] + b"}"
        return f"{self.model}:countTokens", request

    def __repr__(self) -> str:
        return f"NativePlan({self.path}, {len(self.body)} bytes)"


def make_plan(request: Request, card: ModelCard, server_tools: frozenset[str] = frozenset()) -> Plan[object]:
    """The plan of `request` for the model of `card`; `server_tools` are those that the policy allows.

    Raises:
        Unsupported: a setting, a part or the task itself is beyond this model.
        InvalidRequest: a provider option is unknown, or a text is no valid Unicode.
    """
    needed = _NEEDS.get(request.task, "text")
    if needed not in card.capabilities:
        raise Unsupported(
            f"the model '{card.name}' has not the capability '{needed}'",
            setting="task",
            way_out="name another model, or give the recipient capabilities: in the policy",
        )
    _only_where_it_counts(request)
    return _embedding(request, card) if request.task == "embed" else _generating(request, card, server_tools)


def _only_where_it_counts(request: Request) -> None:
    """Refuses tools and a schema in tasks whose answer is neither text nor a call; a transcript may have both."""
    if request.task not in _NEEDS or request.task == "transcribe":
        return
    given = {"tools": request.tools, "output": request.output, "tool_choice": request.tool_choice == "required"}
    for setting, value in given.items():
        if value:
            raise Unsupported(
                f"'{setting}' means nothing for the task '{request.task}'", setting=setting, way_out="leave it out"
            )


# ---------------------------------------------------------------- answers


def _generating(request: Request, card: ModelCard, server_tools: frozenset[str]) -> Plan[object]:
    facts = facts_of(card.name)
    contents = Contents(card, signs_calls=facts.signs_calls)
    contents.add(request.messages)
    made = generation_of(request.settings, request.task, card, facts)
    if request.task == "transcribe":
        _transcribing(request, contents, made)
    body: dict[str, Any] = {"contents": contents.turns}
    if contents.system:
        body["systemInstruction"] = {"parts": contents.system}
    _tools(request, card, facts, made, body)
    if made.config:
        body["generationConfig"] = made.config
    if own := request.provider_options.get("gemini"):
        merge(body, own, embedding=False, server_tools=server_tools)
    native = NativePlan(
        kind="generate",
        model=(model := model_path(card.name)),
        path=f"{model}:streamGenerateContent?alt=sse" if request.stream else f"{model}:generateContent",
        body=encoded(body),
        streamed=request.stream,
        sound_format=made.sound_format if request.task == "speak" else None,
    )
    return Plan(request=request, card=card, native=native, adjustments=(*contents.adjustments, *made.adjustments))


def _transcribing(request: Request, contents: Contents, made: Generation) -> None:
    if not any(isinstance(part, FilePart) for message in request.messages for part in message.parts):
        raise Unsupported("there is nothing to transcribe", setting="parts", way_out="attach a FilePart with audio")
    made.adjust("task", "emulated", "a chat model is told to write down what is said")
    spoken = ""
    if (language := request.settings.language) is not None:
        spoken = f" The language spoken is '{language}' (BCP 47)."
        made.adjust("language", "emulated", "the instruction names it")
    contents.system.append({"text": f"Write down word for word what is said in the audio, and nothing else.{spoken}"})


# ---------------------------------------------------------------- tools and structured output


def _tools(request: Request, card: ModelCard, facts: Facts, made: Generation, body: dict[str, Any]) -> None:
    tools = _declared(request, card, made)
    stands_in = request.output is not None and bool(tools) and not facts.output_with_tools
    if request.output is not None:
        _require(card, "output_schema", "output", "answer to a schema")
        schema, left_out = for_the_api(request.output.schema)
        if left_out:
            named = ", ".join(sorted(left_out))
            made.adjust("output", "changed", f"the model is not held to the keywords {named}")
        if not (stands_in and request.tool_choice != "none"):
            made.config |= {"responseMimeType": "application/json", "responseJsonSchema": schema}
        elif request.tool_choice == "required":
            raise Unsupported(
                f"the model '{card.name}' cannot be made to call a tool and have a schema in one request",
                setting="output",
                way_out='tool_choice="auto", or name a newer model',
            )
        else:
            made.adjust(
                "output", "emulated", "this model cannot have tools and a schema, so the answer is one more tool"
            )
            tools.append(_function(OUTPUT_TOOL, "Give the final answer.", schema))
    if not tools:
        return
    body["tools"] = [{"functionDeclarations": tools}]
    mode = _mode(request, stands_in=stands_in)
    if mode != "AUTO":
        body["toolConfig"] = {"functionCallingConfig": {"mode": mode}}


def _mode(request: Request, *, stands_in: bool) -> str:
    if request.tool_choice == "none":
        return "NONE"
    return "ANY" if stands_in or request.tool_choice == "required" else "AUTO"


def _declared(request: Request, card: ModelCard, made: Generation) -> list[dict[str, Any]]:
    if not request.tools:
        return []
    _require(card, "tools", "tools", "call tools")
    declared: list[dict[str, Any]] = []
    dropped: set[str] = set()
    for tool in request.tools:
        if tool.name == OUTPUT_TOOL:
            raise InvalidRequest(f"the name '{OUTPUT_TOOL}' is taken", way_out="give the tool another name")
        schema, left_out = for_the_api(tool.parameters)
        dropped |= left_out
        declared.append(_function(tool.name, tool.description, schema))
    if dropped:
        made.adjust("tools", "changed", f"the model is not held to the keywords {', '.join(sorted(dropped))}")
    return declared


def _function(name: str, description: str, schema: dict[str, Any]) -> dict[str, Any]:
    function: dict[str, Any] = {"name": name, "parametersJsonSchema": schema}
    return {**function, "description": encodable(description)} if description else function


def _require(card: ModelCard, capability: str, setting: str, what: str) -> None:
    if capability not in card.capabilities:
        raise Unsupported(f"the model '{card.name}' cannot {what}", setting=setting, way_out="name another model")


# ---------------------------------------------------------------- embeddings


def _embedding(request: Request, card: ModelCard) -> Plan[object]:
    parts = [part for message in request.messages for part in message.parts]
    if any(not isinstance(part, TextPart) for part in parts):
        raise Unsupported("only texts can be embedded", setting="parts", way_out="give text parts")
    model = model_path(card.name)
    own = request.provider_options.get("gemini", {})
    requests: list[dict[str, Any]] = []
    for part in parts:
        if isinstance(part, TextPart):
            one: dict[str, Any] = {"model": model, "content": {"parts": [{"text": encodable(part.text)}]}}
            merge(one, own, embedding=True)
            requests.append(one)
    native = NativePlan(
        kind="embed",
        model=model,
        path=f"{model}:batchEmbedContents",
        body=encoded({"requests": requests}),
        texts=len(requests),
    )
    adjustments = tuple(
        Adjustment(setting=name, action="ignored", detail="it means nothing for vectors")
        for name in Settings.__slots__
        if getattr(request.settings, name) not in (None, ())
    )
    return Plan(request=request, card=card, native=native, adjustments=adjustments)


__all__ = ["NativePlan", "make_plan"]
