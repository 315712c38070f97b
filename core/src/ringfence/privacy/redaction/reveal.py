"""A request in which the vault's own placeholders are the values again, before it is redacted for another recipient."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from ringfence.privacy.material import file_text, material_of
from ringfence.privacy.redaction.restoring import Restorer
from ringfence.privacy.redaction.rewriting import is_json
from ringfence.privacy.redaction.vault import Vault
from ringfence.request import FilePart, Message, Part, ReasoningPart, Request, TextPart, ToolCallPart, ToolResultPart

if TYPE_CHECKING:
    from ringfence.privacy.redaction.memory import Memory


class Reveal:
    """Restores what carries none but `labels`: those that were decided on, so that nothing is new to the decision.

    With `memory` it restores, too, what earlier requests of a conversation left in the messages that they made.
    """

    def __init__(self, vault: Vault, labels: frozenset[str] | None, memory: Memory | None = None) -> None:
        self._vault = vault
        self._labels = labels
        self._memory = memory

    @cached_property
    def _plain(self) -> Restorer:
        return Restorer(self._vault, labels=self._labels)

    @cached_property
    def _json(self) -> Restorer:
        return Restorer(self._vault, in_json=True, labels=self._labels)

    def request(self, request: Request) -> Request:
        """`request` itself where nothing is to be restored; so with its messages."""
        messages = tuple(map(self.message, request.messages))
        same = all(now is before for now, before in zip(messages, request.messages, strict=True))
        return request if same else replace(request, messages=messages)

    def message(self, message: Message) -> Message:
        """The same, one message."""
        message = self._of_earlier(message)
        parts = tuple(map(self._part, message.parts))
        same = all(now is before for now, before in zip(parts, message.parts, strict=True))
        return message if same else Message(message.role, parts)

    def _of_earlier(self, message: Message) -> Message:
        issued = () if self._memory is None else self._memory.of(message).restored
        texts = (text for part in message.parts for text in material_of(part).texts)
        if not issued or not any(issued[0].tag in text for text in texts):
            return message
        return Reveal(Vault.of(issued), self._labels).message(message)

    def _part(self, part: Part) -> Part:
        match part:
            case TextPart(text=text) | ReasoningPart(text=text):
                return replace(part, text=self._plain.whole(text)) if self._holds(text) else part
            case ToolCallPart(arguments=text):
                return replace(part, arguments=self.arguments(text)) if self._holds(text) else part
            case ToolResultPart(text=text):
                return replace(part, text=self.read(text)) if self._holds(text) else part
            case FilePart():
                written = file_text(part)
                if written is None or not self._holds(written):
                    return part
                return replace(part, data=self.read(written).encode())
            case _:
                return part

    def arguments(self, text: str) -> str:
        """The arguments of a call, restored."""
        return self._json.whole(text)

    def read(self, text: str) -> str:
        """A text that may be JSON, restored."""
        return (self._json if is_json(text) else self._plain).whole(text)

    def _holds(self, text: str) -> bool:
        return any(True for _ in self._vault.places(text))


__all__ = ["Reveal"]
