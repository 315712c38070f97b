"""What every request of one assistant shares."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from ringfence.receipt import Receipt
from ringfence.routing.limits import Retry, Timeouts

if TYPE_CHECKING:
    from ringfence.privacy.consents import ConsentDesk
    from ringfence.privacy.gate import Gate
    from ringfence.routing.providers import Providers


class Audit(Protocol):
    """Where receipts go. Without `wait` both raise `Busy` where they would have to wait, and have done nothing."""

    def open(self, *, wait: bool = True) -> None:
        """Makes sure that a record can be written, or raises `AuditError`."""
        ...

    def append(self, receipt: Receipt, /, *, wait: bool = True) -> None:
        """Writes one record, or raises `AuditError`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """What every request of one assistant shares."""

    gate: Gate
    providers: Providers
    audit: Audit | None
    timeouts: Timeouts
    retry: Retry
    under_way: UnderWay
    consents: ConsentDesk


class UnderWay:
    """How many requests have begun and not ended, so that what they need is closed after the last."""

    def __init__(self) -> None:
        self._count = 0
        self._then: Callable[[], None] | None = None

    def begin(self) -> None:
        """One more."""
        self._count += 1

    def end(self) -> None:
        """One less."""
        self._count -= 1
        self._call_if_idle()

    def when_idle(self, then: Callable[[], None]) -> None:
        """Calls `then` once, as soon as nothing is under way."""
        self._then = then
        self._call_if_idle()

    def _call_if_idle(self) -> None:
        if self._count == 0 and self._then is not None:
            then, self._then = self._then, None
            then()
