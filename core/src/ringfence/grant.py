"""The grant: a single-use permission to send one payload to one recipient (invariant 4). Only the gate makes one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ringfence.errors import GateError

if TYPE_CHECKING:
    from ringfence.request import Request

_MINT = object()
"""Held by `ringfence.privacy.gate`. It stops a mistake, not malice: an installed plugin is trusted code."""


class Grant:
    """Permission to send `request` to `recipient`, once.

    INVARIANT: bytes leave only after `spend` returned; a retry needs a new grant.
    """

    __slots__ = ("_request", "_state", "connected", "model", "recipient", "ring")

    def __init__(self, mint: object, request: Request, *, recipient: str, ring: str, model: str) -> None:
        if mint is not _MINT:
            raise GateError("only the policy gate makes grants", way_out="use the grant that run() was given")
        self._request = request
        self._state = "live"
        self.connected = False
        """Whether the provider has reached its backend; until it sets this, the `connect` time limit runs."""
        self.recipient = recipient
        self.ring = ring
        self.model = model

    def spend(self, request: Request) -> None:
        """Uses the grant up for exactly this request object.

        Raises:
            GateError: it was spent or revoked before, or it was made for another request.
        """
        if self._state != "live":
            raise GateError(f"the grant for recipient '{self.recipient}' is {self._state}")
        if request is not self._request:
            raise GateError(f"the grant for recipient '{self.recipient}' is for another request")
        self._state = "spent"

    def revoke(self) -> None:
        """Ends a grant that was not spent, such as one whose attempt was cancelled; a spent one stays spent."""
        if self._state == "live":
            self._state = "revoked"

    @property
    def spent(self) -> bool:
        """Whether anything may have been sent."""
        return self._state == "spent"

    def __repr__(self) -> str:
        return f"Grant(recipient={self.recipient}, ring={self.ring}, {self._state})"
