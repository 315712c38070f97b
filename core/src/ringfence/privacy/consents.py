"""The consents of one assistant: those of a request, of a session, and those that are stored.

A yes is looked for where it may be used, from the narrowest to the widest; only then is a person asked.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack
from copy import copy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal
from weakref import WeakSet

from ringfence.errors import ConsentRefused, StoreError
from ringfence.privacy.consent import ONCE, ConsentCallback, ConsentRequest, host_of, require_yes
from ringfence.privacy.consent_record import (
    ConsentRecord,
    Keeper,
    Wanted,
    identity_of,
    lasts_of,
    tenant_digest,
    usable,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ringfence.policy import Policy
    from ringfence.policy.decision import ConsentRule, Redaction
    from ringfence.privacy.consent_store import ConsentStore
    from ringfence.recipient import Recipient
    from ringfence.request import Request

_log = logging.getLogger("ringfence")


class Held:
    """Yeses that are kept in memory, for one request or one session. Safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._records: dict[str, ConsentRecord] = {}

    @property
    def records(self) -> tuple[ConsentRecord, ...]:
        """Every yes, those that were taken back included."""
        with self._lock:
            return tuple(self._records.values())

    def find(self, wanted: Wanted, *, policy: str, tenant: str | None, rule: ConsentRule) -> ConsentRecord | None:
        """A yes that holds for `wanted`; see `Keeper`."""
        now = time.time()
        fits = (one for one in self.records if usable(one, wanted, policy=policy, tenant=tenant, rule=rule, now=now))
        return next(fits, None)

    def add(self, record: ConsentRecord) -> None:
        """Keeps a yes."""
        with self._lock:
            self._records[record.id] = record

    def holds(self, record: ConsentRecord) -> bool:
        """Whether `record` was not taken back."""
        kept = self._records.get(record.id)
        return kept is not None and kept.revoked_at is None

    def revoke(self, ids: Iterable[str], recipient: str | None, *, everything: bool) -> int:
        """Takes yeses back; how many held until now."""
        chosen = frozenset(ids)
        ended = 0
        with self._lock:
            for one in self._records.values():
                wanted = everything or one.id in chosen or recipient in one.covered
                if wanted and one.revoked_at is None:
                    self._records[one.id] = replace(one, revoked_at=time.time())
                    ended += 1
        return ended


@dataclass(frozen=True, slots=True)
class Consent:
    """A yes that is about to be used, and where it is kept. Only `Consents` makes one."""

    record: ConsentRecord
    keeper: Keeper

    def covers(self, recipient: Recipient, task: str, labels: tuple[str, ...], redact: Mapping[str, Redaction]) -> bool:
        """Whether it was given for this."""
        return self.record.covers(wanted_for(recipient, task, labels, redact))

    def require(self) -> None:
        """Does nothing while the yes holds.

        Raises:
            ConsentRefused: it was taken back or is over, or nobody can tell.
        """
        name = self.record.recipient
        try:
            holds = self.keeper.holds(self.record)
        except StoreError as error:
            # INVARIANT: a yes that cannot be looked up is none.
            raise ConsentRefused(f"consent for recipient '{name}' cannot be looked up: {error.message}") from None
        if not holds:
            raise ConsentRefused(f"consent for recipient '{name}' was taken back or has expired")


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Question:
    """What the gate wants a yes for. `payload` is exactly what would be sent; a yes may hold for all of `covered`."""

    policy: Policy
    recipient: Recipient
    rule: ConsentRule
    payload: Request
    labels: tuple[str, ...]
    redact: Mapping[str, Redaction]
    covered: Sequence[Recipient]

    @property
    def wanted(self) -> Wanted:
        """What a yes must cover."""
        return wanted_for(self.recipient, self.payload.task, self.labels, self.redact)


def wanted_for(recipient: Recipient, task: str, labels: tuple[str, ...], redact: Mapping[str, Redaction]) -> Wanted:
    """What a yes to send these labels to `recipient` must cover."""
    return Wanted(recipient=recipient.name, identity=identity_of(recipient), task=task, labels=labels, redact=redact)


class ConsentDesk:
    """Where the requests of one assistant get their consents, and where they are listed and taken back."""

    def __init__(self, ask: ConsentCallback | None = None, store: ConsentStore | None = None) -> None:
        self.ask = ask
        self.asking = asyncio.Lock()
        """Held while a person is asked for more than one request, so that one answer serves all that wait."""
        self._store = store
        self._lock = threading.Lock()
        self._held: WeakSet[Held] = WeakSet()
        self._whole = self.held()

    @property
    def store(self) -> ConsentStore:
        """The stored consents, opened on first use."""
        if self._store is None:
            from ringfence.privacy.consent_store import ConsentStore  # noqa: PLC0415  (few policies store consents)

            self._store = ConsentStore()
        return self._store

    def held(self) -> Held:
        """A new place for yeses in memory, which `list` and `revoke` know of as long as somebody holds it."""
        held = Held()
        with self._lock:
            self._held.add(held)
        return held

    def request(self, *, tenant: str | None = None, session: Held | None = None) -> Consents:
        """The consents of one request of a user. Without a session, the assistant itself is one."""
        return Consents(self, tenant=tenant_digest(tenant), session=session or self._whole)

    def list(self, *, ended: bool = False) -> tuple[ConsentRecord, ...]:
        """Every yes that holds, in memory and stored, oldest first; with `ended` also those that do not any more.

        Raises:
            StoreError: the store cannot be read.
        """
        now = time.time()
        here = [one for held in self._in_memory() for one in held.records if ended or one.state(now) == "given"]
        return tuple(sorted((*here, *self.store.list(ended=ended)), key=lambda one: one.given_at))

    def revoke(self, *ids: str, recipient: str | None = None, everything: bool = False) -> int:
        """Takes yeses back, in memory and stored; see `ConsentStore.revoke`."""
        here = self._in_memory()
        in_memory = {one.id for held in here for one in held.records}
        ended = sum(held.revoke(ids, recipient, everything=everything) for held in here)
        stored = [one for one in ids if one not in in_memory]
        return ended + self.store.revoke(*stored, recipient=recipient, everything=everything)

    def _in_memory(self) -> tuple[Held, ...]:
        with self._lock:
            return tuple(self._held)

    def close(self) -> None:
        """Gives the store's file back."""
        if self._store is not None:
            self._store.close()


class Consents:
    """What was asked and answered for one request of a user, its retries and its tool calls included."""

    def __init__(self, desk: ConsentDesk, *, tenant: str | None, session: Held) -> None:
        self._desk = desk
        self._mine: Held | None = None
        self._session = session
        self._tenant = tenant
        self._refused: set[str] = set()
        self._asks = True

    def unasked(self) -> Consents:
        """The same answers, with nobody to ask: what a person did not agree to before is refused."""
        twin = copy(self)
        twin._asks = False  # noqa: SLF001  (its own class)
        return twin

    async def obtain(self, question: Question) -> Consent:
        """The yes that `question` needs; asks unless there is one.

        Raises:
            ConsentRefused: a person said no, now or before, or there is nobody to ask.
        """
        name = question.recipient.name
        if self._mine is None:
            self._mine = self._desk.held()
        # INVARIANT: a no holds for the rest of the request, whatever is agreed to before or after it.
        if name in self._refused:
            raise ConsentRefused(f"consent for recipient '{name}' was refused before")
        async with AsyncExitStack() as turn:
            given = await self._find(question)
            if given is None and self._asks and question.rule.lasts != "request" and self._desk.ask is not None:
                await turn.enter_async_context(self._desk.asking)
                given = await self._find(question)
            return given or await self._ask(question)

    async def _find(self, question: Question) -> Consent | None:
        store = (self._desk.store,) if isinstance(question.rule.lasts, int) else ()
        for keeper in (self._mine, self._session, *store):
            if keeper is None:
                continue
            record = await self._find_in(keeper, question)
            if record is not None:
                return Consent(record, keeper)
        return None

    async def _find_in(self, keeper: Keeper, question: Question) -> ConsentRecord | None:
        wanted, rule, policy = question.wanted, question.rule, question.policy.name
        if isinstance(keeper, Held):
            return keeper.find(wanted, policy=policy, tenant=self._tenant, rule=rule)
        try:
            return await asyncio.to_thread(keeper.find, wanted, policy=policy, tenant=self._tenant, rule=rule)
        except StoreError as error:
            # INVARIANT: what cannot be read is no yes; a person is asked anew.
            _log.warning("stored consents are not used: %s", error)
            return None

    async def _ask(self, question: Question) -> Consent:
        recipient = question.recipient
        if self._desk.ask is None or not self._asks:
            raise ConsentRefused(
                f"recipient '{recipient.name}' needs consent, and there is nobody to ask",
                way_out="give the assistant a consent= callback",
            )
        asked = ConsentRequest(
            recipient=recipient.name,
            ring=recipient.ring,
            provider=recipient.provider,
            model=recipient.model,
            host=host_of(recipient),
            task=question.payload.task,
            labels=question.labels,
            per=question.rule.per,
            lasts=question.rule.lasts,
            show=question.rule.show,
            payload=question.payload,
        )
        covered = {one.name: identity_of(one) for one in question.covered if one.name not in self._refused}
        self._refused |= covered.keys()
        answer = await require_yes(self._desk.ask, asked)
        self._refused -= covered.keys()
        return await self._keep(
            self._record(question, covered, lasts="request" if answer is ONCE else question.rule.lasts)
        )

    def _record(
        self, question: Question, covered: Mapping[str, str], *, lasts: Literal["request", "session"] | int
    ) -> ConsentRecord:
        rule, now = replace(question.rule, lasts=lasts), time.time()
        return ConsentRecord(
            recipient=question.recipient.name,
            ring=question.recipient.ring,
            labels=question.labels,
            redact=dict(question.redact),
            task=question.payload.task,
            per=rule.per,
            lasts=lasts_of(rule),
            covered=covered,
            shown=rule.show,
            tenant=self._tenant,
            policy=question.policy.name,
            policy_digest=question.policy.digest,
            given_at=now,
            expires_at=now + rule.lasts if isinstance(rule.lasts, int) else None,
        )

    async def _keep(self, record: ConsentRecord) -> Consent:
        if record.lasts == "stored":
            try:
                await asyncio.to_thread(self._desk.store.add, record)
            except StoreError as error:
                _log.warning("a consent counts for this request only: %s", error)
                record = replace(record, lasts="request", expires_at=None)
            else:
                return Consent(record, self._desk.store)
        keeper = self._mine if record.lasts == "request" and self._mine is not None else self._session
        keeper.add(record)
        return Consent(record, keeper)


__all__ = ["Consent", "ConsentDesk", "Consents", "Held", "Question", "wanted_for"]
