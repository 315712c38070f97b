"""Answers that are drawn: parts in chunks, with words that stand for what the model saw."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Literal

from hypothesis import strategies as st
from tests.invariants.support import ANNA

from ringfence import Policy
from ringfence.assistant.build import RequestOptions
from ringfence.grant import Grant
from ringfence.policy import read_policy
from ringfence.provider import Plan
from ringfence.request import Request, Tool
from ringfence.response import (
    Finish,
    ProviderEvent,
    ReasoningDelta,
    ReasoningEnd,
    ReasoningStart,
    TextDelta,
    TextEnd,
    TextStart,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    Usage,
    UsageReport,
)
from ringfence.testing import ScriptedProvider

SEEN = "§"
"""In an answer: the last word of the request, as the model saw it."""

_POLICY = """\
version: 1
name: answers
recipients:
  far:   {ring: partner, provider: far, model: m}
  other: {ring: partner, provider: other, model: m}
labels: {public: {}, contact: {detect: [mail]}, unclassified: {}}
unknown: unclassified
clean: public
tools: {look: {ring: device}}
flow:
  - {id: here, allow: {labels: [public, contact], to: [device]}}
  - {id: public, allow: {labels: [public], to: [partner]}, consent: ask}
  - {id: contact, allow: {labels: [contact], to: [partner]}, REDACT consent: ask}
route: [{id: only, prefer: [far], fallback: [other], on_broken_stream: BROKEN}]
"""

Broken = Literal["fail", "restart", "continue"]


def policy(*, redact: bool | str = True, broken: Broken = "fail", **recipients: str) -> Policy:
    """Two partners, of which the second is a fallback; an address goes out as a placeholder, or as `redact` says.

    `recipients` are other declarations of them.
    """
    text = _POLICY
    for name, declared in recipients.items():
        text = re.sub(rf"^  {name}: .*$", f"  {name}: {declared}", text, flags=re.MULTILINE)
    how = f"redact: {'pseudonym' if redact is True else redact}," if redact else ""
    return read_policy(text.replace("REDACT", how).replace("BROKEN", broken))


QUESTION = f"Who is {ANNA}"
LOOK = Tool(name="look", parameters={"type": "object", "properties": {"who": {"type": "string"}}})


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One part of an answer, cut into pieces of `size` characters."""

    kind: Literal["text", "reasoning", "call"]
    text: str
    size: int
    state: str | None = None

    def events(self, index: int, seen: str) -> list[ProviderEvent]:
        """The part as a model yields it that saw `seen`."""
        said = json.dumps({"who": self.text.replace(SEEN, seen)}) if self.kind == "call" else self.text
        said = said.replace(SEEN, seen)
        pieces = [said[start : start + self.size] for start in range(0, len(said), self.size)]
        match self.kind:
            case "text":
                return [TextStart(index), *(TextDelta(index, piece) for piece in pieces), TextEnd(index)]
            case "reasoning":
                grown = (ReasoningDelta(index, piece) for piece in pieces)
                return [ReasoningStart(index), *grown, ReasoningEnd(index, self.state)]
            case "call":
                grown_too = (ToolCallDelta(index, piece) for piece in pieces)
                return [ToolCallStart(index, f"call-{index}", "look"), *grown_too, ToolCallEnd(index)]


def events_of(parts: Sequence[Part], seen: str) -> list[ProviderEvent]:
    """The whole answer."""
    grown = [event for index, part in enumerate(parts) for event in part.events(index, seen)]
    calls = any(part.kind == "call" for part in parts)
    usage = UsageReport(usage=Usage(input_tokens=3, output_tokens=len(grown)))
    return [*grown, usage, Finish("tool_calls" if calls else "stop", "raw")]


texts = st.lists(st.sampled_from((SEEN, "a", "é", '"', "\\", "[", "]", "[MAIL-1-", " ", "😀")), max_size=9).map("".join)
parts = st.builds(
    Part,
    kind=st.sampled_from(("text", "text", "reasoning", "call")),
    text=texts,
    size=st.integers(1, 7),
    state=st.sampled_from((None, "opaque")),
)
answers = st.lists(parts, min_size=1, max_size=4)


class Model(ScriptedProvider):
    """Answers with `parts`; stops short, or raises `error`, in place of the event `stop_at`."""

    def __init__(self, *parts: Part, stop_at: int | None = None, error: BaseException | None = None) -> None:
        super().__init__()
        self._parts, self._stop_at, self._error = parts, stop_at, error
        self.yielded = 0
        self.ended = 0

    async def run(self, plan: Plan[object], grant: Grant) -> AsyncGenerator[ProviderEvent, None]:
        grant.spend(plan.request)
        self.requests.append(plan.request)
        self.grants.append(grant)
        events = events_of(self._parts, seen_in(plan.request))
        try:
            # A placeholder may be shorter than its value; what is to break still breaks before its end.
            for event in events if self._stop_at is None else events[: min(self._stop_at, len(events) - 1)]:
                self.yielded += 1
                yield event
            if self._error is not None:
                raise self._error
        finally:
            self.ended += 1


def seen_in(request: Request) -> str:
    """What the model saw in place of the address."""
    user = next(message for message in request.messages if message.role == "user")
    return user.text.split()[-1]


def restored(parts_: Sequence[Part]) -> str:
    """The text of the answer as the user sees it."""
    return "".join(part.text.replace(SEEN, ANNA) for part in parts_ if part.kind == "text")


ASKED: RequestOptions = {"instructions": "", "tools": [LOOK]}
"""How the question is asked."""
