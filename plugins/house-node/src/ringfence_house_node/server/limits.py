"""How much one node takes on, and for how long."""

from __future__ import annotations

from dataclasses import dataclass

from ringfence_house.protocol import names


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The operator's numbers. `_s` are seconds.

    `concurrency` requests run at once and `queue` more wait, each for at most `queue_s`; one caller holds at most
    `share` of the queue. A request's body must be here within `body_s`, its answer out within `answer_s`, and each
    piece of it taken by the other side within `sending_s`. Bodies of up to `short_body_bytes` hold `short_bodies_bytes`
    together, longer ones `long_bodies_bytes`, and of those `long_bodies_coming` may be on their way at once: few
    enough that they cannot take all of the room for those that have arrived.
    """

    concurrency: int = 8
    queue: int = 64
    queue_s: float = 20.0
    share: float = 0.5
    body_s: float = 30.0
    body_bytes: int = names.MAX_REQUEST_BYTES
    short_body_bytes: int = 2**20
    short_bodies_bytes: int = 2 * names.MAX_REQUEST_BYTES
    long_bodies_bytes: int = 4 * names.MAX_REQUEST_BYTES
    long_bodies_coming: int = 3
    answer_s: float = 900.0
    sending_s: float = 60.0
    heartbeat_s: float = 5.0
    key_life_s: int = names.KEY_LIFE_S
    key_grace_s: int = names.KEY_GRACE_S
    drain_s: float = 30.0


__all__ = ["Limits"]
