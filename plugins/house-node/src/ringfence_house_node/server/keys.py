"""The node's HPKE keys: in RAM only, each with its evidence, followed by a new one at half of its life."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

from ringfence_house.attestation.claims import ReleaseClaim
from ringfence_house.attestation.evidence import Evidence
from ringfence_house.protocol import hpke, names
from ringfence_house.protocol.hpke import PrivateKey
from ringfence_house.protocol.keyconfig import KeyConfig, make_key_config
from ringfence_house_node.attestors import Attestor

LOG = logging.getLogger("ringfence_house_node")

_KEY_IDS = 256
_RETRY_SHARE = 20
"""A rotation that failed is tried again after this fraction of a key's life; at once where no key is offered."""
_LOOK_EVERY_S = 5.0
"""A clock that was set, or a machine that slept, is noticed within this."""


@dataclass(frozen=True, slots=True)
class Moment:
    """A point in time on two clocks: Unix time, which may be set, and one that only goes on."""

    unix_s: float
    monotonic_s: float

    def later(self, by_s: float) -> Moment:
        """The moment so much later."""
        return Moment(self.unix_s + by_s, self.monotonic_s + by_s)

    def reached(self, now: Moment) -> bool:
        """Whether either clock says that it has come.

        INVARIANT: a clock that is set back lengthens nothing, and neither does a machine that sleeps.
        """
        return now.unix_s >= self.unix_s or now.monotonic_s >= self.monotonic_s


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class NodeKey:
    """A key, and what the node says of itself with it. Offered until `ends`, accepted until `accepted_until`."""

    private: PrivateKey
    config: KeyConfig
    evidence: Evidence
    begins: Moment
    ends: Moment
    accepted_until: Moment

    def __repr__(self) -> str:
        return f"NodeKey({self.config.kid[:8]}…)"


class KeyRing:
    """The keys that are alive now.

    INVARIANT: no private key is written anywhere or outlives the process; lowering a machine's protection needs a
    restart, and a restart is the end of every key that its evidence spoke of.
    """

    def __init__(
        self,
        attestor: Attestor,
        release: ReleaseClaim,
        *,
        life_s: int,
        grace_s: int,
        clock: Callable[[], float] = time.time,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._attestor = attestor
        self._release = release
        self._life_s = life_s
        self._grace_s = grace_s
        self._clock = clock
        self._monotonic_s = monotonic_s
        self._boot = secrets.token_urlsafe(16)
        # Begun at random, so that a request for another node's key is seldom for a key id of this one.
        self._next_id = secrets.randbelow(_KEY_IDS)
        self._keys: list[NodeKey] = []
        self.rotations = 0

    @property
    def alive(self) -> tuple[NodeKey, ...]:
        """The keys that requests may be sealed for, the newest last."""
        now = self._now()
        return tuple(key for key in self._keys if not key.accepted_until.reached(now))

    @property
    def current(self) -> NodeKey | None:
        """The key that is offered; `None` where its evidence has ended and no new one could be issued."""
        newest = self._keys[-1] if self._keys else None
        return newest if newest is not None and not newest.ends.reached(self._now()) else None

    def of_kid(self, kid: str) -> NodeKey | None:
        """The key alive of this `kid`."""
        return next((key for key in self.alive if key.config.kid == kid), None)

    def of_id(self, key_id: int) -> NodeKey | None:
        """The key alive of this key id."""
        return next((key for key in self.alive if key.config.key_id == key_id), None)

    def rotate(self) -> NodeKey:
        """Offers a new key from now on, and forgets those that are accepted no more."""
        private = hpke.generate()
        config = make_key_config(self._next_id, private.public)
        now = self._now()
        key = NodeKey(
            private=private,
            config=config,
            evidence=self.evidence_of(config, now=now.unix_s),
            begins=now,
            ends=now.later(self._life_s),
            accepted_until=now.later(self._life_s + self._grace_s),
        )
        self._next_id = (self._next_id + 1) % _KEY_IDS
        self._keys = [*self.alive, key]
        self.rotations += 1
        return key

    def evidence_of(self, config: KeyConfig, *, now: float, nonce: str | None = None) -> Evidence:
        """Evidence issued now for a key of this ring, with `nonce` where one is asked for."""
        return self._attestor.issue(
            key_config=config, release=self._release, boot=self._boot, now=now, life_s=self._life_s, nonce=nonce
        )

    async def keep(self) -> None:
        """Rotates for ever. A rotation that fails is tried again; meanwhile the last key lives to its own end."""
        look_every_s, rest_s = min(_LOOK_EVERY_S, self._life_s / _RETRY_SHARE), self._life_s / _RETRY_SHARE
        rested_at = 0.0
        while True:
            if self._due() and (self.current is None or self._monotonic_s() >= rested_at):
                try:
                    await asyncio.to_thread(self.rotate)
                except Exception as error:  # noqa: BLE001  (whatever it was: a node without new evidence fails closed by itself)
                    LOG.error("no new key could be attested: %s", type(error).__name__)  # noqa: TRY400  (a traceback may quote)
                    rested_at = self._monotonic_s() + rest_s
            await asyncio.sleep(look_every_s)

    def _due(self) -> bool:
        """Whether half of the newest key's life is over, or its evidence is from a time that is still to come."""
        if not self._keys:
            return True
        begins, now = self._keys[-1].begins, self._now()
        return begins.later(self._life_s / 2).reached(now) or now.unix_s < begins.unix_s - names.CLOCK_SKEW_S

    def _now(self) -> Moment:
        return Moment(self._clock(), self._monotonic_s())


__all__ = ["KeyRing", "Moment", "NodeKey"]
