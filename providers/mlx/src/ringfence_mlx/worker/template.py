"""A conversation as the model's own prompt, in token ids; what people and tools wrote can never act as a role.

The template sees a seal in place of each content: its white space at both ends, and between them a word that nobody can
guess. So the frame it writes cannot depend on the content, and where each content stands in the result is known.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from ringfence_mlx.worker.encoding import Range, TextNotEncodable, encode_sealed
from ringfence_mlx.worker.jsonlike import is_array, is_object

__all__ = [
    "TemplateError",
    "TemplateMissing",
    "TemplateRefused",
    "TextNotEncodable",
    "ToolsUnsupported",
    "count",
    "render",
]

ChatMessage: TypeAlias = Mapping[str, Any]
"""`{"role", "content", "tool_calls"?, "name"?, "tool_call_id"?}`, as chat templates take it; contents are strings."""


class TemplateError(ValueError):
    """The model's chat template cannot express the conversation. Holds nothing of it."""


class TemplateMissing(TemplateError):
    """The model has no chat template: it was not made for conversations."""


class TemplateRefused(TemplateError):
    """The template raised, or left out a message, for this sequence of roles."""


class ToolsUnsupported(TemplateError):
    """The template leaves out tools, tool calls or tool results."""


def render(
    tokenizer: Any, messages: Sequence[ChatMessage], tools: Sequence[Mapping[str, Any]], *, thinking: bool | None = None
) -> list[int]:
    """The token ids of the prompt: the conversation, the tools, and the opening of the assistant's turn.

    A last message of the assistant is left open, for the model to continue. Where the template refuses the roles as
    they are, system text moves to the head of the first user turn, and neighbours of one role become one turn.

    Args:
        tokenizer: `mlx_lm.tokenizer_utils.TokenizerWrapper` around a fast tokenizer.
        messages: at least one.
        tools: `{"type": "function", "function": {"name", "description", "parameters"}}` each.
        thinking: turns the model's reasoning on or off where its template knows how; `None` leaves its default.

    Raises:
        TemplateMissing: the model has no chat template.
        ToolsUnsupported: the template leaves out tools or their results.
        TemplateRefused: it cannot express these roles.
        TextNotEncodable: a content cannot be told from a marker.
    """
    if not tokenizer.has_chat_template:
        raise TemplateMissing("the model has no chat template")
    refusal: TemplateError = TemplateRefused("the model's chat template refuses an empty conversation")
    for conversation in _forms(messages):
        seals = _Seals()
        try:
            frame = _frame(tokenizer, seals, conversation, tools, thinking)
        except TemplateError as error:
            refusal = error
            continue
        text, contents = seals.opened(frame)
        return encode_sealed(tokenizer.backend_tokenizer, text, contents)
    raise refusal from None


def count(tokenizer: Any, messages: Sequence[ChatMessage], tools: Sequence[Mapping[str, Any]]) -> int:
    """The tokens of the prompt that `render` gives. Raises what `render` raises."""
    return len(render(tokenizer, messages, tools))


# ---------------------------------------------------------------- seals


class _Seals:
    """Stands words of our own in for contents, and puts the contents back.

    A seal holds a quotation mark and a letter outside ASCII: how the template wrote those two tells whether it wrote
    the content as JSON, and in which of its forms.
    """

    def __init__(self) -> None:
        self._word = secrets.token_hex(12)
        self._contents: list[str] = []
        self._required: dict[int, type[TemplateError]] = {}
        self._pattern = re.compile(rf'{self._word}(\\*)"(é|\\+u00e9)(\d+){self._word}')

    def seal(self, content: str, *, required: type[TemplateError] | None = None) -> str:
        """What the template sees instead of `content`; `required` is raised if it leaves it out."""
        core = content.strip()
        if not core:
            return content
        number = len(self._contents)
        self._contents.append(core)
        if required is not None:
            self._required[number] = required
        start = content.index(core)
        return f'{content[:start]}{self._word}"é{number}{self._word}{content[start + len(core) :]}'

    def check_all_there(self, frame: str) -> None:
        there = {int(found[3]) for found in self._pattern.finditer(frame)}
        for number, error in self._required.items():
            if number not in there:
                raise error(_LEFT_OUT[error])

    def opened(self, frame: str) -> tuple[str, list[Range]]:
        """`frame` with the contents back in, and where each stands."""
        pieces: list[str] = []
        ranges: list[Range] = []
        read = length = 0
        for found in self._pattern.finditer(frame):
            before = frame[read : found.start()]
            content = _as_written(self._contents[int(found[3])], slashes=len(found[1]), ascii_only=found[2] != "é")
            ranges.append((length + len(before), length + len(before) + len(content)))
            pieces += (before, content)
            length = ranges[-1][1]
            read = found.end()
        return "".join((*pieces, frame[read:])), ranges


_LEFT_OUT: dict[type[TemplateError], str] = {
    TemplateRefused: "the model's chat template leaves out a message",
    ToolsUnsupported: "the model's chat template has no place for tools",
}


def _as_written(content: str, *, slashes: int, ascii_only: bool) -> str:
    """`content` as JSON text where the template wrote it so.

    One level of escapes puts 1 slash before a quotation mark, two put 3.
    """
    for _ in range((slashes + 1).bit_length() - 1):
        content = json.dumps(content, ensure_ascii=ascii_only)[1:-1]
    return content


# ---------------------------------------------------------------- frame


def _frame(
    tokenizer: Any,
    seals: _Seals,
    messages: Sequence[ChatMessage],
    tools: Sequence[Mapping[str, Any]],
    thinking: bool | None,  # noqa: FBT001 - three values, and private
) -> str:
    sealed = [_sealed_message(seals, message) for message in messages]
    goes_on = _is_open(messages[-1])
    settings: dict[str, Any] = {"add_generation_prompt": not goes_on}
    if goes_on:
        settings["continue_final_message"] = True
    if tools:
        settings["tools"] = [_sealed_tool(seals, tool) for tool in tools]
    if thinking is not None:
        settings["enable_thinking"] = thinking
    try:
        frame = tokenizer.apply_chat_template(sealed, tokenize=False, **settings)
    except Exception:  # noqa: BLE001 - the template is the model maker's code, and its message may quote the conversation
        raise TemplateRefused("the model's chat template refuses this sequence of roles") from None
    if not isinstance(frame, str):
        raise TemplateRefused("the model's chat template gives no text")
    seals.check_all_there(frame)
    return frame


def _is_open(message: ChatMessage) -> bool:
    return message["role"] == "assistant" and bool(message.get("content")) and not message.get("tool_calls")


def _sealed_message(seals: _Seals, message: ChatMessage) -> dict[str, Any]:
    is_about_tools = message["role"] == "tool"
    content = message.get("content")
    if not isinstance(content, str | None):
        raise TemplateRefused("a message's content is not text")
    sealed = dict(message)
    sealed["content"] = seals.seal(content or "", required=ToolsUnsupported if is_about_tools else TemplateRefused)
    for field in ("name", "reasoning_content"):
        if message.get(field):
            sealed[field] = seals.seal(message[field])
    if calls := message.get("tool_calls"):
        sealed["tool_calls"] = [_sealed_call(seals, call) for call in calls]
    return sealed


def _sealed_call(seals: _Seals, call: Mapping[str, Any]) -> dict[str, Any]:
    function = call["function"]
    name = seals.seal(function["name"], required=ToolsUnsupported)
    arguments = _sealed_values(seals.seal, _parsed(function["arguments"]))
    return {**call, "type": "function", "function": {**function, "name": name, "arguments": arguments}}


def _parsed(arguments: object) -> object:
    """Templates write arguments as JSON, or value by value: they take the object, not its text."""
    if not isinstance(arguments, str):
        return arguments
    try:
        return json.loads(arguments)
    except ValueError:
        return arguments


def _sealed_tool(seals: _Seals, tool: Mapping[str, Any]) -> dict[str, Any]:
    function = tool["function"]
    rest = {key: _sealed_values(_unless_plain(seals), value) for key, value in function.items() if key != "name"}
    name = seals.seal(function["name"], required=ToolsUnsupported)
    return {**tool, "function": {"name": name, **rest}}


# Templates compare words such as "string" or "object"; a word like that holds no marker.
_PLAIN = re.compile(r"[A-Za-z0-9_.-]*")


def _unless_plain(seals: _Seals) -> Callable[[str], str]:
    return lambda text: text if _PLAIN.fullmatch(text) else seals.seal(text)


def _sealed_values(seal: Callable[[str], str], value: Any) -> Any:
    if isinstance(value, str):
        return seal(value)
    if is_object(value):
        return {_sealed_key(seal, key): _sealed_values(seal, item) for key, item in value.items()}
    if is_array(value):
        return [_sealed_values(seal, item) for item in value]
    return value


def _sealed_key(seal: Callable[[str], str], key: str) -> str:
    return key if _PLAIN.fullmatch(key) else seal(key)


# ---------------------------------------------------------------- roles


def _forms(messages: Sequence[ChatMessage]) -> Iterator[Sequence[ChatMessage]]:
    """The conversation as it is; then, if it differs, in the form that the strictest templates take."""
    if not messages:
        return
    yield messages
    strict = _neighbours_joined(_system_in_user(messages))
    if strict != list(messages):
        yield strict


def _system_in_user(messages: Sequence[ChatMessage]) -> list[ChatMessage]:
    system = [message["content"] for message in messages if message["role"] == "system" and message.get("content")]
    rest = [message for message in messages if message["role"] != "system"]
    if not system:
        return rest
    first = next((place for place, message in enumerate(rest) if message["role"] == "user"), None)
    if first is None:
        return [{"role": "user", "content": "\n\n".join(system)}, *rest]
    joined = {**rest[first], "content": "\n\n".join((*system, rest[first].get("content") or ""))}
    return [*rest[:first], joined, *rest[first + 1 :]]


def _neighbours_joined(messages: Sequence[ChatMessage]) -> list[ChatMessage]:
    joined: list[ChatMessage] = []
    for message in messages:
        if joined and _can_join(joined[-1], message):
            both = (joined[-1].get("content") or "", message.get("content") or "")
            joined[-1] = {**joined[-1], "content": "\n\n".join(text for text in both if text)}
        else:
            joined.append(message)
    return joined


def _can_join(one: ChatMessage, other: ChatMessage) -> bool:
    is_plain = not one.get("tool_calls") and not other.get("tool_calls")
    return is_plain and one["role"] == other["role"] and one["role"] in ("user", "assistant")
