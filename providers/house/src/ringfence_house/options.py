"""What the policy says of a recipient in the house beside its address, read once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ringfence.recipient import Recipient
from ringfence_house.attestation.node import Tier
from ringfence_house.protocol.names import MAX_NODES

DEFAULT_TIER: Final[Tier] = "apple-mda"
"""What a node has to show where the policy asks for nothing less."""

_TIERS: Final[tuple[Tier, ...]] = ("software-dev", "apple-mda")
"""Those that a policy may ask for: the format has one more, which nothing here can verify."""

_KNOWN = ("min_nodes", "extended_sampling")


class OptionFault(Exception):
    """The recipient cannot be used as the policy declares it. `detail` and `way_out` hold names of options only."""

    def __init__(self, detail: str, way_out: str) -> None:
        super().__init__(detail)
        self.detail = detail
        self.way_out = way_out


@dataclass(frozen=True, slots=True, kw_only=True)
class HouseOptions:
    """What holds for one recipient.

    `directory` is the base URL without a slash at its end, `trust` the file of the first root, `trust_digest` its
    SHA-256 in lower-case hex when the policy was read. With fewer than `min_nodes` verified machines nothing is sent.
    `extended_sampling`: whether the engine takes `top_k`, `min_p` and `repetition_penalty`, as the shipped one does.
    """

    directory: str
    trust: str
    trust_digest: str | None
    min_tier: Tier
    min_nodes: int
    extended_sampling: bool


def read_options(recipient: Recipient) -> HouseOptions:
    """The options of `recipient`.

    Raises:
        OptionFault: something is missing, unknown or ill-typed.
    """
    for name in recipient.options:
        if name not in _KNOWN:
            raise OptionFault(f"unknown option '{name}' of house", f"options of house: {', '.join(_KNOWN)}")
    if recipient.url is not None:
        raise OptionFault(f"recipient '{recipient.name}' has a url, and a house has none", "directory: in its place")
    if recipient.directory is None:
        raise OptionFault(f"recipient '{recipient.name}' has no directory", "directory: https://…, beside its trust:")
    if recipient.trust is None:
        raise OptionFault(
            f"recipient '{recipient.name}' has no file of trust, and none is ever fetched",
            "trust: house.trust.json, the file that the operator of the house gave you",
        )
    return HouseOptions(
        directory=recipient.directory.rstrip("/"),
        trust=recipient.trust,
        trust_digest=None if recipient.trust_digest is None else recipient.trust_digest.removeprefix("sha256:"),
        min_tier=_tier(recipient.min_tier),
        min_nodes=_min_nodes(recipient.options.get("min_nodes", 1)),
        extended_sampling=_switch(recipient.options.get("extended_sampling", True)),
    )


def _tier(given: str | None) -> Tier:
    if given is None:
        return DEFAULT_TIER
    for tier in _TIERS:
        if tier == given:
            return tier
    raise OptionFault("min_tier of a house is none that there is", f"min_tier: one of {', '.join(_TIERS)}")


def _min_nodes(given: object) -> int:
    if isinstance(given, bool) or not isinstance(given, int | float) or given != int(given):
        raise OptionFault("the option 'min_nodes' of house is a whole number", "min_nodes: 2")
    if not 1 <= given <= MAX_NODES:
        raise OptionFault(f"the option 'min_nodes' of house is from 1 to {MAX_NODES}", "min_nodes: 2")
    return int(given)


def _switch(given: object) -> bool:
    if not isinstance(given, bool):
        raise OptionFault("the option 'extended_sampling' of house is true or false", "extended_sampling: false")
    return given


__all__ = ["DEFAULT_TIER", "HouseOptions", "OptionFault", "read_options"]
