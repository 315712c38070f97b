"""A conversation: its turns, and the high-water mark of its labels, which never falls."""

from __future__ import annotations

import asyncio
import base64
import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, Unpack, cast, overload

from ringfence.assistant.build import Input, RequestOptions, input_messages, without_input_options
from ringfence.assistant.output import Output
from ringfence.checks import is_mapping, require
from ringfence.errors import InvalidRequest
from ringfence.request import (
    FilePart,
    ImagePart,
    JsonValue,
    Message,
    Part,
    ReasoningPart,
    Role,
    TextPart,
    ToolCallPart,
    ToolResultPart,
    label_set,
)

if TYPE_CHECKING:
    from ringfence.assistant.asynchronous import AsyncAssistant
    from ringfence.assistant.stream import AsyncStream
    from ringfence.response import Response

OutputT = TypeVar("OutputT")

_VERSION = 1


class AsyncSession:
    """Turns with one assistant. A turn that fails or is cancelled leaves no trace: ask again.

    One turn at a time; a second one waits. A provider may reuse its work on the earlier turns, only for this session.
    """

    def __init__(self, assistant: AsyncAssistant, options: RequestOptions) -> None:
        self._assistant = assistant
        self._options: RequestOptions = {"tenant": f"session:{secrets.token_hex(16)}", **options}
        # The name that this session made up for itself is nobody's: a stored consent holds for whoever was named.
        self._tenant = options.get("tenant")
        self._held = assistant.hold_consents()
        self._messages: tuple[Message, ...] = ()
        self._labels: frozenset[str] = frozenset()
        self._turn = asyncio.Lock()

    @property
    def messages(self) -> tuple[Message, ...]:
        """The turns so far."""
        return self._messages

    @property
    def labels(self) -> frozenset[str]:
        """The high-water mark: every label that any turn carried."""
        return self._labels

    @overload
    async def respond(
        self, given: Input, *, output: None = None, **options: Unpack[RequestOptions]
    ) -> Response[None]: ...
    @overload
    async def respond(
        self, given: Input, *, output: type[OutputT], **options: Unpack[RequestOptions]
    ) -> Response[OutputT]: ...
    @overload
    async def respond(
        self, given: Input, *, output: Mapping[str, JsonValue], **options: Unpack[RequestOptions]
    ) -> Response[JsonValue]: ...
    async def respond(
        self,
        given: Input,
        *,
        output: type[Any] | Mapping[str, JsonValue] | None = None,
        **options: Unpack[RequestOptions],
    ) -> Response[Any]:
        """The answer to the next turn. Raises what `AsyncAssistant.respond` raises."""
        async with self._turn, self._next(given, output, options, stream=False) as stream:
            return await stream.response()

    def stream(
        self,
        given: Input,
        *,
        output: type[Any] | Mapping[str, JsonValue] | None = None,
        **options: Unpack[RequestOptions],
    ) -> AsyncStream[Any]:
        """The answer to the next turn as events. The turn counts once the stream was drawn to its end."""
        return self._next(given, output, options, stream=True)

    def _next(
        self, given: Input, output: type[Any] | Mapping[str, JsonValue] | None, options: RequestOptions, *, stream: bool
    ) -> AsyncStream[Any]:
        merged = cast("RequestOptions", {**self._options, **options})
        earlier = self._messages
        turns = input_messages(given, merged)
        wanted = None if output is None else Output(output)

        def remember(response: Response[Any]) -> None:
            if self._messages is not earlier:
                raise InvalidRequest("another turn was taken meanwhile", way_out="take one turn of a session at a time")
            self._messages = (*earlier, *turns, *response.messages)
            self._labels |= response.labels

        return self._assistant.stream_turn(
            turns,
            wanted,
            without_input_options(merged),
            earlier=earlier,
            high_water=self._labels,
            on_response=remember,
            consents=self._assistant.consents_for(options.get("tenant", self._tenant), self._held),
            stream=stream,
        )

    # ------------------------------------------------------------------ keeping it
    def dump(self, *, provider_state: bool = True) -> dict[str, Any]:
        """The turns and labels as JSON-ready data, for the app to keep; it holds content.

        `provider_state=False` leaves out reasoning, which is opaque and of use only to the provider that made it.
        """
        kept = [
            {
                "role": message.role,
                "parts": [
                    _dump_part(part) for part in message.parts if provider_state or not isinstance(part, ReasoningPart)
                ],
            }
            for message in self._messages
        ]
        instructions = self._options.get("instructions")
        return {"version": _VERSION, "instructions": instructions, "labels": sorted(self._labels), "messages": kept}

    def load(self, data: Mapping[str, Any]) -> None:
        """Takes the turns of a dump in place of the present ones, and its instructions where this session has none.

        INVARIANT: the high-water mark never falls: it becomes the union of this session's, the dump's and every part's.

        Raises:
            InvalidRequest: it is no dump of a session, or one of another version; the session stays as it was.
        """
        given: object = data
        require(is_mapping(given), "this is not the dump of a session", "pass what session.dump() gave")
        if data.get("version", _VERSION) != _VERSION:
            raise InvalidRequest("this session was dumped by another version", way_out="start a new session")
        try:
            messages = tuple(
                Message(cast("Role", turn["role"]), tuple(_load_part(part) for part in turn["parts"]))
                for turn in data["messages"]
            )
            labels = label_set(data["labels"])
            instructions: object = data["instructions"]
            require(instructions is None or isinstance(instructions, str), "instructions are a text", "see dump()")
        except (KeyError, TypeError, ValueError, AttributeError, InvalidRequest):
            raise InvalidRequest("this is not the dump of a session", way_out="pass what session.dump() gave") from None
        carried = (part.labels for message in messages for part in message.parts)
        self._messages = messages
        self._labels = self._labels.union(labels, *carried)
        if isinstance(instructions, str) and "instructions" not in self._options:
            self._options["instructions"] = instructions

    def __repr__(self) -> str:
        return f"AsyncSession({len(self._messages)} messages, labels={sorted(self._labels)})"


_KINDS: dict[str, type[Part]] = {
    "text": TextPart,
    "image": ImagePart,
    "file": FilePart,
    "tool_call": ToolCallPart,
    "tool_result": ToolResultPart,
    "reasoning": ReasoningPart,
}
_NAMES = {kind: name for name, kind in _KINDS.items()}


def _dump_part(part: Part) -> dict[str, Any]:
    fields: dict[str, Any] = {"type": _NAMES[type(part)]}
    for name in type(part).__slots__:
        value = getattr(part, name)
        if isinstance(value, bytes):
            value = base64.b64encode(value).decode()
        fields[name] = sorted(value) if name == "labels" else value
    return fields


def _load_part(fields: Mapping[str, Any]) -> Part:
    values = dict(fields)
    kind = _KINDS[values.pop("type")]
    if kind in (ImagePart, FilePart):
        values["data"] = base64.b64decode(values["data"], validate=True)
    return kind(**values)
