"""An app's arguments to a `Request`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias, TypedDict, cast

from ringfence.assistant.tools import AnyTool, Approve, ToolLimits, as_tool, definitions
from ringfence.checks import is_collection_of, is_mapping, require
from ringfence.errors import InvalidRequest
from ringfence.instructions import INSTRUCTIONS
from ringfence.request import (
    NO_LABELS,
    PARTS,
    FilePart,
    ImagePart,
    JsonValue,
    Message,
    Part,
    Request,
    Settings,
    TextPart,
    Tool,
    ToolChoice,
    label_set,
)

if TYPE_CHECKING:
    from ringfence.request import OutputSchema

Input: TypeAlias = str | Part | Sequence[Part] | Sequence[Message]
"""What an app may pass: a text, parts of one user message, or whole messages."""


class RequestOptions(TypedDict, total=False):
    """What every verb takes beside its input.

    `labels` are declared for every part of the input. `instructions` is the system text; left out, the task's own is
    sent, and `""` sends none. `to` names recipients and only filters what the policy allows. `facts` are the app's.

    `tools` are functions that the model may call, or definitions whose calls the app answers itself. `approve` is asked
    before every call of a function; `tool_limits` says how far the model may go.
    """

    task: str
    labels: Iterable[str]
    instructions: str
    settings: Settings
    tools: Sequence[AnyTool]
    tool_choice: ToolChoice
    approve: Approve
    tool_limits: ToolLimits
    attachments: Sequence[ImagePart | FilePart]
    facts: Mapping[str, str | int | float | bool]
    to: str | Iterable[str]
    tenant: str
    provider_options: Mapping[str, Mapping[str, JsonValue]]


def build_request(
    given: Input,
    options: RequestOptions,
    *,
    output: OutputSchema | None = None,
    earlier: tuple[Message, ...] = (),
    high_water: frozenset[str] = frozenset(),
    tenant: str | None = None,
    stream: bool = True,
) -> Request:
    """One request out of `given`, the turns before it and their labels. `stream` is whether its events are drawn.

    Raises:
        InvalidRequest: something is empty, ill-typed, or an option nobody knows.
    """
    turns = input_messages(given, options)
    task = options.get("task", "open_question")
    system = _system(options, task, (*earlier, *turns))
    to = options.get("to")
    declared = label_set(options.get("labels", NO_LABELS))
    tools = definitions(options["tools"]) if "tools" in options else ()
    return Request(
        messages=(*system, *earlier, *turns),
        task=task,
        labels=high_water,
        settings=options.get("settings", _DEFAULT_SETTINGS),
        tools=_also_labelled(tools, declared) if tools and declared else tools,
        tool_choice=options.get("tool_choice", "auto"),
        output=replace(output, labels=output.labels | declared) if output is not None and declared else output,
        facts=dict(options.get("facts", {})),
        to=None if to is None else frozenset((to,) if isinstance(to, str) else to),
        tenant=options.get("tenant", tenant),
        provider_options=options.get("provider_options", {}),
        stream=stream,
    )


def _also_labelled(tools: tuple[Tool, ...], labels: frozenset[str]) -> tuple[Tool, ...]:
    """What is declared for the input is declared for the tools that are given with it."""
    return tuple(replace(tool, labels=tool.labels | labels) for tool in tools)


_DEFAULT_SETTINGS = Settings()


def _system(options: RequestOptions, task: str, turns: tuple[Message, ...]) -> tuple[Message, ...]:
    own = any(message.role == "system" for message in turns)
    if own and "instructions" in options:
        raise InvalidRequest(
            "the input has a system message, and instructions= is another", way_out="give one of the two"
        )
    text = options.get("instructions", "" if own else INSTRUCTIONS.get(task, ""))
    # What is declared for the input is declared for what is said about it; undeclared, it is the policy's `unknown`.
    return (Message("system", (TextPart(text, labels=label_set(options.get("labels", NO_LABELS))),)),) if text else ()


def with_tools_made(options: RequestOptions) -> RequestOptions:
    """`options` in which every function among the tools is a `FunctionTool`, so that it is made into one only once.

    Raises:
        InvalidRequest: an option of a wrong type, or a function that cannot be a tool.
    """
    check_options(options)
    return {**options, "tools": tuple(map(as_tool, options.get("tools", ())))}


def _is_facts(value: object) -> bool:
    return is_mapping(value, of=(str, int, float))


def _are_tools(value: object) -> bool:
    return is_collection_of(value, object) and all(isinstance(one, Tool) or callable(one) for one in value)


def _is_names(value: object) -> bool:
    return isinstance(value, str) or is_collection_of(value, str)


_CHECKS: dict[str, tuple[Callable[[object], bool], str]] = {
    "task": (lambda value: isinstance(value, str) and bool(value), 'task="open_question"'),
    "labels": (lambda _: True, 'labels={"contact"}'),  # label_set says what is wrong
    "instructions": (lambda value: isinstance(value, str), 'instructions="Answer in one sentence."'),
    "settings": (lambda value: isinstance(value, Settings), "settings=Settings(temperature=0.2)"),
    "tools": (_are_tools, "tools=[a_function]"),
    "tool_choice": (lambda value: value in ("auto", "none", "required"), 'tool_choice="auto", "none" or "required"'),
    "approve": (callable, "approve=callback"),
    "tool_limits": (lambda value: isinstance(value, ToolLimits), "tool_limits=ToolLimits(rounds=4)"),
    "attachments": (
        lambda value: is_collection_of(value, (ImagePart, FilePart)),
        "attachments=[FilePart(path.read_bytes())]",
    ),
    "facts": (_is_facts, 'facts={"user.age_band": "adult"}'),
    "to": (_is_names, 'to="mlx" or to=["mlx"]'),
    "tenant": (lambda value: isinstance(value, str) and bool(value), 'tenant="customer-7"'),
    "provider_options": (lambda value: is_mapping(value, of=Mapping), 'provider_options={"mlx": {…}}'),
}


def check_options(options: Mapping[str, object]) -> None:
    """Checks names and types.

    Raises:
        InvalidRequest: an option that nobody knows, or one of a wrong type.
    """
    for name, value in options.items():
        if name not in _CHECKS:
            raise InvalidRequest(f"unknown option '{name}'", way_out=_instead_of(name))
        holds, example = _CHECKS[name]
        require(holds(value), f"option '{name}' cannot be a {type(value).__name__} like this one", example)


def _instead_of(name: str) -> str:
    setting = {"max_tokens": "max_output_tokens", "max_completion_tokens": "max_output_tokens"}.get(name, name)
    if setting in Settings.__slots__:
        return f"settings=Settings({setting}=…)"
    return f"one of {', '.join(_CHECKS)}"


_INPUT = '"a text", [TextPart(…), FilePart(…)] or [Message("user", [TextPart(…)])]'


def input_messages(given: Input, options: RequestOptions) -> tuple[Message, ...]:
    """The turns that `given` is, with the labels and attachments of `options`.

    Raises:
        InvalidRequest: it is empty, or no input.
    """
    check_options(options)
    labels = label_set(options.get("labels", NO_LABELS))
    attachments = tuple(options.get("attachments", ()))
    if isinstance(given, str):
        if not given.strip() and not attachments:
            raise InvalidRequest("the request is empty", way_out="give some text, an image or a file")
        parts: tuple[Part, ...] = (TextPart(given, labels=labels),) if given.strip() else ()
        return (Message("user", (*parts, *_labelled(attachments, labels))),)
    items: object = (given,) if isinstance(given, PARTS) else given
    if is_collection_of(items, Message) and bool(items):
        require(not attachments, "attachments go with a text or parts, not with messages", "put them into a message")
        return tuple(_with_labels(message, labels) for message in items)
    if not is_collection_of(items, PARTS) or not items:
        raise InvalidRequest("the input must be a text, parts, or messages", way_out=_INPUT)
    return (Message("user", _labelled((*items, *attachments), labels)),)


def without_input_options(options: RequestOptions) -> RequestOptions:
    """What is left to say once the turns are built: their attachments are in them."""
    left = {key: value for key, value in options.items() if key != "attachments"}
    return cast("RequestOptions", left)


def _with_labels(message: Message, labels: frozenset[str]) -> Message:
    # The same object where nothing is added: what is known of an answer is known of that object alone.
    if all(labels <= part.labels for part in message.parts):
        return message
    return Message(message.role, _labelled(message.parts, labels))


def _labelled(parts: Iterable[Part], labels: frozenset[str]) -> tuple[Part, ...]:
    if not labels:
        return tuple(parts)
    return tuple(replace(part, labels=part.labels | labels) for part in parts)
