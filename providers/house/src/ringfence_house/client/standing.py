"""What was learned of nodes by asking them: how full they are, which did not answer, which lost their key."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ringfence_house.attestation.node import VerifiedNode

_FRESH_S: Final = 10.0
"""How long a load figure tells something. Then it is not known, so that a house that was full is asked again."""

_LEAST_WEIGHT: Final = 0.02
"""Of a node that says it is full, where there is no other: it may be wrong by now."""

_LOST_KEY_S: Final = 60.0
"""How long a key that its node does not know is put aside, should the directory list it again."""


_FAILED_S: Final = 5.0
_MOST_FAILED_S: Final = 60.0
"""How long a machine that did not answer is put aside: twice as long each time in a row, up to a minute."""

_MOST_DOUBLINGS: Final = 4


@dataclass(frozen=True, slots=True)
class _Load:
    share: float
    at_s: float


class Standing:
    """How the nodes of one recipient stand, on the clock `monotonic_s`. A machine is known by its serial number."""

    def __init__(self, monotonic_s: Callable[[], float]) -> None:
        self._monotonic_s = monotonic_s
        self._loads: dict[str, _Load] = {}
        self._aside: dict[str, float] = {}
        """By serial number or kid, until when it is asked only if there is no other."""
        self._lost: set[str] = set()
        self._failures: dict[str, int] = {}
        """By serial number, how often in a row it did not answer."""

    def tell_load(self, node: VerifiedNode, share: float) -> None:
        """Notes how full a machine said it is, inside of the encryption."""
        self._loads[node.serial] = _Load(share, self._monotonic_s())

    def failed(self, node: VerifiedNode) -> None:
        """Notes that a machine did not answer: it is put aside, the longer the more often it did not."""
        failures = self._failures.get(node.serial, 0)
        self._failures[node.serial] = failures + 1
        self.put_aside(node, min(_MOST_FAILED_S, _FAILED_S * 2 ** min(failures, _MOST_DOUBLINGS)))

    def answered(self, node: VerifiedNode) -> None:
        """Notes that something authentic came from a machine."""
        self._failures.pop(node.serial, None)

    def put_aside(self, node: VerifiedNode, for_s: float) -> None:
        """Notes that a machine is asked again only after a while, if there is another."""
        self._aside[node.serial] = self._monotonic_s() + for_s

    def lose_key(self, node: VerifiedNode) -> None:
        """Notes that a node does not know its key any more: it is not asked until the directory lists it anew."""
        self._lost.add(node.kid)
        self._aside[node.kid] = self._monotonic_s() + _LOST_KEY_S

    def renew(self, nodes: Collection[VerifiedNode]) -> None:
        """Takes what the directory lists now, and forgets everything else."""
        self._lost.clear()
        known = {name for node in nodes for name in (node.serial, node.kid)}
        self._loads = {name: load for name, load in self._loads.items() if name in known}
        self._failures = {name: count for name, count in self._failures.items() if name in known}
        self._aside = {name: until_s for name, until_s in self._aside.items() if name in known}

    def with_keys(self, nodes: Sequence[VerifiedNode]) -> list[VerifiedNode]:
        """Those that did not lose their key."""
        return [node for node in nodes if node.kid not in self._lost]

    def at_hand(self, nodes: Sequence[VerifiedNode]) -> list[VerifiedNode]:
        """Those that nothing speaks against."""
        now_s = self._monotonic_s()
        if not self._aside:
            return self.with_keys(nodes)
        return [
            node
            for node in self.with_keys(nodes)
            if all(self._aside.get(name, now_s) <= now_s for name in (node.serial, node.kid))
        ]

    def draw(self, nodes: Sequence[VerifiedNode]) -> VerifiedNode:
        """One of `nodes` at random, the less busy the more likely; one that nothing speaks against, if there is any."""
        choice = self.at_hand(nodes) or nodes
        weights = [max(_LEAST_WEIGHT, 1.0 - (self._load(node) or 0.0)) for node in choice]
        return random.choices(choice, weights)[0]  # noqa: S311  (it spreads load, and keeps no secret)

    def utilisation(self, nodes: Sequence[VerifiedNode]) -> float | None:
        """The share of the capacity of `nodes` in use, as their machines said lately; `None` if none did.

        A machine that said nothing counts as idle, so that one full machine of many is not a full house.
        """
        shares = {node.serial: load for node in nodes if (load := self._load(node)) is not None}
        return sum(shares.values()) / len({node.serial for node in nodes}) if shares else None

    def _load(self, node: VerifiedNode) -> float | None:
        load = self._loads.get(node.serial)
        return load.share if load is not None and self._monotonic_s() - load.at_s < _FRESH_S else None


__all__ = ["Standing"]
