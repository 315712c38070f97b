"""What is known of the messages that answers and tools made: what their author never saw, and what was restored."""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ringfence.request import NO_LABELS, Message

if TYPE_CHECKING:
    from ringfence.privacy.redaction.vault import Issued


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """Whoever wrote a message never saw anything of the labels `unseen`; of theirs it holds `restored` at most.

    Where something was not restored, as in a call of a tool that may not see it, it holds the placeholder.
    """

    unseen: frozenset[str] = NO_LABELS
    restored: tuple[Issued, ...] = ()


NOTHING = Known()


class Memory:
    """Remembers by message, weakly: a copy of one, such as a session that is loaded, is not known any more.

    INVARIANT: a message of which nothing is known is redacted in full, so that to forget never widens.
    """

    def __init__(self) -> None:
        self._known: dict[int, tuple[weakref.ref[Message], Known]] = {}

    def keep(self, message: Message, known: Known) -> None:
        """Notes what is known of `message`, as long as it lives."""
        key, messages = id(message), self._known

        def forget(reference: weakref.ref[Message]) -> None:
            held = messages.get(key)
            if held is not None and held[0] is reference:
                messages.pop(key, None)

        messages[key] = (weakref.ref(message, forget), known)

    def of(self, message: Message) -> Known:
        """What is known of `message`."""
        held = self._known.get(id(message))
        return held[1] if held is not None and held[0]() is message else NOTHING


__all__ = ["NOTHING", "Known", "Memory"]
