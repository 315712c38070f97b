"""The grant: a single-use permission to send one payload to one recipient (invariant 4). Only the gate makes one."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar, Token
from types import TracebackType
from typing import TYPE_CHECKING

from ringfence.errors import GateError

if TYPE_CHECKING:
    from ringfence.receipt import Attestation
    from ringfence.recipient import Recipient
    from ringfence.request import Request
    from ringfence.response import Adjustment

_MINT = object()
"""Held by `ringfence.privacy.gate`. It stops a mistake, not malice: an installed plugin is trusted code."""

_NOTHING: frozenset[str] = frozenset()

_sending: ContextVar[Grant | None] = ContextVar("ringfence_grant", default=None)


class Grant:
    """Permission to send `request` to `recipient`, once.

    INVARIANT: bytes leave only after `spend` returned, by one network request, before the run has ended; a retry needs
    a new grant. They leave only while `require` raises nothing: it is asked when the grant is spent and, again, at the
    last moment before the network. Where the decision wants an attestation, they leave only after `attest`.
    """

    __slots__ = (
        "_hidden",
        "_must_attest",
        "_request",
        "_requested",
        "_require",
        "_state",
        "adjustments",
        "attestation",
        "connected",
        "recipient",
    )

    def __init__(
        self,
        mint: object,
        request: Request,
        *,
        recipient: Recipient,
        require: Callable[[], None] | None = None,
        hidden: frozenset[str] = _NOTHING,
        must_attest: bool = False,
    ) -> None:
        if mint is not _MINT:
            raise GateError("only the policy gate makes grants", way_out="use the grant that run() was given")
        self._request: Request | None = request
        self._hidden = hidden
        self._state = "live"
        self._requested = False
        self._require = require
        self._must_attest = must_attest
        self.adjustments: tuple[Adjustment, ...] = ()
        """What the recipient said, with its answer, that it did not honour as asked."""
        self.attestation: Attestation | None = None
        """What the provider verified of the machine that it sends to."""
        self.connected = False
        """Whether the provider has reached its backend; until it sets this, the `connect` time limit runs."""
        self.recipient = recipient

    def spend(self, request: Request) -> Sending:
        """Uses the grant up for exactly this request object.

        A provider with a network client makes its one request inside the result, and yields nothing there:
        `with grant.spend(plan.request): response = await client.post(…)`. Others just call it.

        Raises:
            GateError: it was spent or revoked before, it was made for another request, or consent was taken back.
        """
        if self._state != "live":
            raise GateError(f"the grant for recipient '{self.recipient.name}' is {self._state}")
        if request is not self._request:
            raise GateError(f"the grant for recipient '{self.recipient.name}' is for another request")
        self._still()
        self._state = "spent"
        return Sending(self)

    def claim(self, recipient: Recipient) -> None:
        """Lets one network request to `recipient` through; the guarded transport asks before it looks a name up.

        Raises:
            GateError: the grant is not spent yet, is over, is another recipient's, or has let its request through; or
                consent was taken back.
        """
        if self._state != "spent":
            raise GateError(f"the grant for recipient '{self.recipient.name}' is {self._state}, so nothing may be sent")
        if self._must_attest and self.attestation is None:
            raise GateError(
                f"recipient '{self.recipient.name}' has to be attested first, and was not",
                way_out="a provider that calls grant.attest(…) with what it verified, before it sends",
            )
        # A policy that is read again makes recipients that are equal: the same place.
        if recipient is not self.recipient and recipient != self.recipient:
            raise GateError(f"the grant for recipient '{self.recipient.name}' is not for '{recipient.name}'")
        if self._requested:
            raise GateError(
                f"the grant for recipient '{self.recipient.name}' has let its one request through",
                way_out="switch the vendor client's own retries off: the core retries, with a new grant",
            )
        self._still()
        self._requested = True

    def attest(self, attestation: Attestation) -> None:
        """Notes what was verified of the machine that is about to be sent to; it stands in the receipt.

        Raises:
            GateError: the grant is not spent, is over, or its request has left already.
        """
        if self._state != "spent" or self._requested:
            raise GateError(f"the grant for recipient '{self.recipient.name}' takes no attestation now")
        self.attestation = attestation

    def adjust(self, *adjustments: Adjustment) -> None:
        """Adds what the recipient did not honour as asked, which only its answer says; it stands in the response.

        Raises:
            GateError: the grant is not spent, or is over.
        """
        if self._state != "spent":
            raise GateError(f"the grant for recipient '{self.recipient.name}' is {self._state}")
        self.adjustments += adjustments

    def inspect(self, *outgoing: bytes) -> None:
        """Does nothing unless a value that was redacted stands in `outgoing`, what a provider is about to encrypt.

        The transport looks at what leaves; into what was encrypted before it cannot look.

        Raises:
            GateError: it does, or the grant is over.
        """
        if self.over:
            raise GateError(f"the grant for recipient '{self.recipient.name}' is {self._state}")
        if not self._hidden:
            return
        from ringfence.tripwire import trips  # noqa: PLC0415  (few policies redact)

        if trips(self._hidden, *outgoing):
            raise GateError(
                f"recipient '{self.recipient.name}': a redacted value is in the outgoing body",
                way_out="a provider that sends only what is in plan.request",
            )

    def _still(self) -> None:
        """Raises if what the grant was made on holds no more; then nothing was and nothing will be sent on it."""
        if self._require is None:
            return
        try:
            self._require()
        except GateError:
            self._state = "revoked"
            raise

    def revoke(self) -> None:
        """Ends the grant: one that was not spent never will be, and a spent one lets nothing more through."""
        self._state = {"live": "revoked", "spent": "over"}.get(self._state, self._state)
        self._hidden = _NOTHING
        # What was made inside `Sending`, such as a connection that is kept, holds its context and so the grant.
        self._request = self._require = None

    @property
    def request(self) -> Request:
        """The request that it is for.

        Raises:
            GateError: the grant is over.
        """
        if self._request is None:
            raise GateError(f"the grant for recipient '{self.recipient.name}' is {self._state}")
        return self._request

    @property
    def hidden(self) -> frozenset[str]:
        """The values that were redacted in the payload, so that the transport trips over them; gone when it is over."""
        return self._hidden

    @property
    def spent(self) -> bool:
        """Whether anything may have been sent."""
        return self._state in {"spent", "over"}

    @property
    def over(self) -> bool:
        """Whether its run has ended, so that nothing more may leave."""
        return self._state in {"over", "revoked"}

    def __repr__(self) -> str:
        return f"Grant(recipient={self.recipient.name}, ring={self.recipient.ring}, {self._state})"


class Sending:
    """The block in which a provider makes the one request of its grant. The transport finds the grant through it."""

    __slots__ = ("_grant", "_token")

    def __init__(self, grant: Grant) -> None:
        self._grant = grant
        self._token: Token[Grant | None] | None = None

    def __enter__(self) -> Grant:
        self._token = _sending.set(self._grant)
        return self._grant

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._token is not None:
            _sending.reset(self._token)


def sending_grant() -> Grant | None:
    """The grant under which the running code sends, if it stands in a block of `Grant.spend`."""
    return _sending.get()
