"""Consent: what a person is asked before something is sent. No answer and a failing callback both mean no."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING, Final, TypeAlias

from ringfence import threads
from ringfence.errors import ConsentRefused, describe
from ringfence.privacy.material import output_material, request_texts, settings_material, tool_material
from ringfence.request import FilePart, ImagePart, ReasoningPart

if TYPE_CHECKING:
    from ringfence.recipient import Recipient, Ring
    from ringfence.request import Request


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class ConsentRequest:
    """What a person is asked: may this go there? `payload` is exactly what would be sent; it holds content.

    The payload is a copy as far as it can be changed in place: whoever asks changes nothing of what is sent.
    `show` is what the policy wants the person to see. `host` is `None` for the vendor's own address. `lasts` says how
    long a yes counts: for this `request`, this `session`, or that many seconds, in which nobody is asked again.
    """

    recipient: str
    ring: Ring
    provider: str
    model: str
    host: str | None
    task: str
    labels: tuple[str, ...]
    per: str
    lasts: str | int = "request"
    show: tuple[str, ...]
    payload: Request

    def __post_init__(self) -> None:
        # INVARIANT: what is sent is what was labelled and decided, whatever a callback does to what it was shown.
        object.__setattr__(self, "payload", _apart(self.payload))

    @property
    def preview(self) -> str:
        """Every text that would be sent, then a line for each thing that no text shows; one after the other.

        Texts are those of the messages, tools, output schema, stop sequences and provider options. Attachments and
        opaque states of reasoning have a line with their size.
        """
        return "\n".join((*request_texts(self.payload), *_opaque(self.payload)))

    def __repr__(self) -> str:
        return f"ConsentRequest({self.recipient}, labels={list(self.labels)})"


class Once(Enum):
    """The yes of somebody who does not want to be taken at their word for longer than this request."""

    ONCE = "once"


ONCE: Final = Once.ONCE

Answer: TypeAlias = bool | Once
ConsentCallback: TypeAlias = Callable[[ConsentRequest], Answer | Awaitable[Answer]]
"""Asks a person. `True` is a yes for as long as the policy says, `ONCE` one for this request; all else is a no. A plain
function is called in a thread, so it may wait for a key press."""


def _apart(request: Request) -> Request:
    """The same request, which shares no mapping with `request`; itself where it holds none."""
    settings, output = request.settings, request.output
    if not (request.provider_options or request.facts or request.tools or output or settings.logit_bias):
        return request
    # Each of these copies its own mappings when it is made.
    return replace(
        request,
        settings=replace(settings),
        tools=tuple(replace(tool) for tool in request.tools),
        output=None if output is None else replace(output),
    )


def _opaque(request: Request) -> Iterator[str]:
    """A line for each thing of `request` that is sent and of which no text, or not all of it, can be shown."""
    for message in request.messages:
        for part in message.parts:
            if isinstance(part, ImagePart | FilePart):
                yield repr(part)
            elif isinstance(part, ReasoningPart) and part.state is not None:
                yield f"opaque reasoning of {part.provider}, {len(part.state)} characters"
    for tool in request.tools:
        if not tool_material(tool).complete:
            yield f"the parameters of tool {tool.name}, which are not JSON"
    if request.output is not None and not output_material(request.output).complete:
        yield "an output schema, which is not JSON"
    if not settings_material(request).complete:
        yield f"options for {', '.join(request.provider_options)}, which are not JSON"


def host_of(recipient: Recipient) -> str | None:
    """The host of the recipient's own `url`, if it has one."""
    from urllib.parse import urlsplit  # noqa: PLC0415  (only a question needs it)

    return urlsplit(recipient.url).hostname if recipient.url is not None else None


async def require_yes(ask: ConsentCallback, asked: ConsentRequest) -> Answer:
    """Asks a person, and returns their yes.

    Raises:
        ConsentRefused: they do not, or asking failed.
    """
    failure: str | None = None
    answer: object = None
    try:
        answer = await threads.call(ask, asked)
    except Exception as error:  # noqa: BLE001  (an app's callback may raise anything, and its message may hold content)
        failure = describe(error)
    if failure is not None:
        raise ConsentRefused(f"asking for consent for recipient '{asked.recipient}' failed: {failure}")
    if answer is ONCE:
        return ONCE
    if answer is True:
        return True
    told = "" if answer in (False, None) else f": the callback returned {type(answer).__name__}, and only True is a yes"
    raise ConsentRefused(f"consent for recipient '{asked.recipient}' was refused{told}")
