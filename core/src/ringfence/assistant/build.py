"""An app's arguments to a `Request`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias, TypedDict

from ringfence.assistant.tasks import INSTRUCTIONS
from ringfence.errors import InvalidRequest
from ringfence.request import (
    NO_LABELS,
    FilePart,
    ImagePart,
    JsonValue,
    Message,
    Part,
    ReasoningPart,
    Request,
    Settings,
    TextPart,
    Tool,
    ToolCallPart,
    ToolChoice,
    ToolResultPart,
    label_set,
)

if TYPE_CHECKING:
    from ringfence.request import OutputSchema

Input: TypeAlias = str | Part | Sequence[Part] | Sequence[Message]
"""What an app may pass: a text, parts of one user message, or whole messages."""

_PARTS = (TextPart, ImagePart, FilePart, ToolCallPart, ToolResultPart, ReasoningPart)


class RequestOptions(TypedDict, total=False):
    """What every verb takes beside its input.

    `labels` are declared for every part of the input. `instructions` is the system text; left out, the task's own is
    sent, and `""` sends none. `to` names recipients and only filters what the policy allows. `facts` are the app's.
    """

    task: str
    labels: Iterable[str]
    instructions: str
    settings: Settings
    tools: Sequence[Tool]
    tool_choice: ToolChoice
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
) -> Request:
    """One request out of `given`, the turns before it and their labels.

    Raises:
        InvalidRequest: something is empty, ill-typed, or an option nobody knows.
    """
    if unknown := sorted(set(options) - RequestOptions.__optional_keys__):
        raise InvalidRequest(
            f"unknown option '{unknown[0]}'", way_out=", ".join(sorted(RequestOptions.__optional_keys__))
        )
    task = options.get("task", "open_question")
    if not task:
        raise InvalidRequest("task must be the name of a task", way_out='task="open_question"')
    labels = label_set(options.get("labels", NO_LABELS))
    turns = _messages(given, labels, tuple(options.get("attachments", ())))
    instructions = options.get("instructions", INSTRUCTIONS.get(task, ""))
    system = () if not instructions or any(m.role == "system" for m in (*earlier, *turns)) else (_system(instructions),)
    to = options.get("to")
    return Request(
        messages=(*system, *earlier, *turns),
        task=task,
        labels=high_water,
        settings=options.get("settings", _DEFAULT_SETTINGS),
        tools=tuple(options.get("tools", ())),
        tool_choice=options.get("tool_choice", "auto"),
        output=output,
        facts=dict(options.get("facts", {})),
        to=None if to is None else frozenset((to,) if isinstance(to, str) else to),
        tenant=options.get("tenant", tenant),
        provider_options=options.get("provider_options", {}),
    )


_DEFAULT_SETTINGS = Settings()


def _system(text: str) -> Message:
    return Message("system", (TextPart(text),))


def _messages(given: Input, labels: frozenset[str], attachments: tuple[Part, ...]) -> tuple[Message, ...]:
    if isinstance(given, str):
        if not given.strip() and not attachments:
            raise InvalidRequest("the request is empty", way_out="give some text, an image or a file")
        parts: tuple[Part, ...] = (TextPart(given, labels=labels),) if given.strip() else ()
        return (Message("user", (*parts, *_labelled(attachments, labels))),)
    items = (given,) if isinstance(given, _PARTS) else tuple(given)
    messages = tuple(item for item in items if isinstance(item, Message))
    parts = tuple(item for item in items if isinstance(item, _PARTS))
    if len(messages) == len(items):
        if attachments:
            raise InvalidRequest("attachments go with a text, not with messages", way_out="put them into a message")
        return tuple(Message(message.role, _labelled(message.parts, labels)) for message in messages)
    if len(parts) == len(items):
        return (Message("user", _labelled((*parts, *attachments), labels)),)
    raise InvalidRequest("the input must be a text, parts, or messages, not a mixture of them or something else")


def _labelled(parts: Iterable[Part], labels: frozenset[str]) -> tuple[Part, ...]:
    from dataclasses import replace  # noqa: PLC0415  (used only when labels are declared for parts)

    return tuple(replace(part, labels=part.labels | labels) if labels else part for part in parts)
