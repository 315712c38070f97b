"""What happened to one request, gathered on the way, and the receipt made of it."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from ringfence.privacy.material import utf8_bytes
from ringfence.receipt import Attempt, Outcome, Receipt
from ringfence.request import (
    FilePart,
    ImagePart,
    Message,
    ReasoningPart,
    Request,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)

if TYPE_CHECKING:
    from ringfence.errors import RingfenceError
    from ringfence.privacy.gate import Cleared
    from ringfence.response import Finish, Usage
    from ringfence.routing.send import Send


class Record:
    """Times, attempts and sizes of one request. Content-free: it keeps counts, never parts."""

    __slots__ = (
        "_began",
        "_started_at",
        "_worst",
        "attempts",
        "cleared",
        "finish",
        "first_event_s",
        "output_bytes",
        "sends",
        "usage",
    )

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._started_at = time.time()
        self.attempts: list[Attempt] = []
        self.cleared: Cleared | None = None
        self.finish: Finish | None = None
        self.first_event_s: float | None = None
        self.sends: list[Send] = []
        self.output_bytes = 0
        self.usage: Usage | None = None
        self._worst: RingfenceError | None = None

    def event_came(self) -> None:
        """Notes the time of the first event."""
        if self.first_event_s is None:
            self.first_event_s = time.perf_counter() - self._began

    def ended(self, send: Send, attempt: Attempt) -> None:
        """Notes a send that is over."""
        self.sends.append(send)
        self.attempts.append(attempt)

    def put_last(self, send: Send) -> None:
        """Moves a send behind those that were under way beside it: it is the one that answered, or broke off."""
        place = self.sends.index(send)
        self.sends.append(self.sends.pop(place))
        self.attempts.append(self.attempts.pop(place))

    def failed(self, error: RingfenceError, *, sent: bool) -> RingfenceError:
        """Notes a failed attempt; returns the failure that tells the app most.

        That is the one of the last recipient that was really asked, else of the first that could not be.
        """
        if self._worst is None or sent:
            self._worst = error
        return self._worst

    def _telling_send(self) -> Send | None:
        """The send that the receipt tells of: the last that was really sent, else the last that was tried."""
        for send in reversed(self.sends):
            if send.sent:
                return send
        return self.sends[-1] if self.sends else None

    def receipt(self, outcome: Outcome) -> Receipt | None:
        """The receipt, or `None` if nothing was decided: then the caller's arguments were wrong."""
        if self.cleared is None:
            return None
        decision = self.cleared.decision
        send = self._telling_send()
        recipient = send.step.recipient if send is not None else None
        declared = self.cleared.gate.policy.recipients[recipient] if recipient is not None else None
        usage = self.usage
        attested = send.attestation if send is not None else None
        return Receipt(
            id=os.urandom(16).hex(),
            started_at=self._started_at,
            outcome=outcome,
            policy=decision.policy,
            policy_digest=decision.digest,
            task=decision.task,
            labels=decision.labels,
            ring=declared.ring if declared else None,
            recipient=recipient,
            provider=declared.provider if declared else None,
            model=declared.model if declared else None,
            rules=decision.allowing(recipient) if recipient is not None else (),
            route=decision.route,
            attestation_digest=None if attested is None else f"sha256:{attested.digest}",
            attestation=None if attested is None else attested.label,
            redactions=dict(send.redactions) if send is not None else {},
            adjustments=tuple(a.setting for a in send.adjustments) if send is not None else (),
            input_bytes=request_bytes(send.payload) if send is not None and send.sent else 0,
            output_bytes=self.output_bytes,
            input_tokens=usage.input_tokens if usage else None,
            output_tokens=usage.output_tokens if usage else None,
            cost_usd=send.price_usd(usage) if send is not None else None,
            consented=send is not None and send.consented,
            duration_s=time.perf_counter() - self._began,
            first_event_s=self.first_event_s,
            finish_reason=self.finish.reason if self.finish else None,
            attempts=tuple(self.attempts),
            shadow=self.cleared.shadow,
        )


def request_bytes(request: Request) -> int:
    """UTF-8 bytes of all text of the messages and raw bytes of their attachments."""
    return sum(map(message_bytes, request.messages))


def message_bytes(message: Message) -> int:
    """UTF-8 bytes of the text of one message and raw bytes of its attachments."""
    size = 0
    for part in message.parts:
        match part:
            case TextPart(text=text) | ToolResultPart(text=text) | ReasoningPart(text=text):
                size += utf8_bytes(text)
            case ToolCallPart(arguments=arguments):
                size += utf8_bytes(arguments)
            case ImagePart(data=data) | FilePart(data=data):
                size += len(data)
    return size
