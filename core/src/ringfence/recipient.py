"""A recipient: one named place that bytes can go, as the operator's policy declares it."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from ringfence.checks import json_copy
from ringfence.errors import Unavailable
from ringfence.request import JsonValue

Ring: TypeAlias = Literal["device", "house", "partner"]
Capacity: TypeAlias = Literal["owned", "rented"]
RINGS: tuple[Ring, ...] = ("device", "house", "partner")
"""From the inside out."""

IDENTITY = (
    *("ring", "provider", "model", "url", "region", "retention", "capacity", "directory", "trust_digest", "min_tier"),
    "options",
)
"""What makes a recipient the place that it is: another of these, and bytes go somewhere else, or are kept otherwise."""

_MAX_SECRET_BYTES = 16_384


@dataclass(frozen=True, slots=True)
class Secret:
    """Where a credential is: `env:NAME` or `file:PATH`. It holds none; `read` fetches it when something is sent."""

    source: str

    @property
    def way_out(self) -> str:
        """What a person does to provide it."""
        kind, _, name = self.source.partition(":")
        return f"export {name}=…" if kind == "env" else f"write the key into the file that '{self.source}' names"

    def present(self) -> bool:
        """Whether there is something to read; the value is not kept."""
        try:
            return bool(self.read())
        except Unavailable:
            return False

    def read(self) -> str:
        """The credential, without the white space around it. Read anew each time, so that a rotated key is seen.

        Raises:
            Unavailable: it is not there, is empty, or cannot be a credential; nothing of its value is in the error.
        """
        kind, _, name = self.source.partition(":")
        try:
            value = os.environ.get(name, "") if kind == "env" else _file_text(Path(name))
        except (OSError, ValueError):
            value = ""
        value = value.strip()
        if not value or not value.isascii() or not value.isprintable():
            what = "is not set" if not value else "holds something that cannot be a key"
            raise Unavailable(f"the secret '{self.source}' {what}", reason="not_configured", way_out=self.way_out)
        return value

    def __repr__(self) -> str:
        return f"Secret({self.source})"


def _file_text(path: Path) -> str:
    # A pipe or a device in its place would be waited for.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError
        data = file.read(_MAX_SECRET_BYTES + 1)
    if len(data) > _MAX_SECRET_BYTES:
        raise ValueError
    return data.decode("utf-8")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipient:
    """One named place that bytes can go. The ring is the operator's to say, never a plugin's.

    `url` is the base URL of its API, `None` for the vendor's own. `region` and `retention` are facts that the operator
    vouches for. `capabilities` says what the model there can do, where the provider cannot know; `None` leaves it to
    the provider. `capacity` is whether its machines are one's own or rented. `directory` is the base URL at which a
    house says what its nodes are, `trust` the file of its first TUF root, whose SHA-256 is `trust_digest`, and
    `min_tier` the least endorsement that a node must show (`None`: the provider's default). `options` are the
    provider's own and were not checked by the policy.
    """

    name: str
    ring: Ring
    provider: str
    model: str
    url: str | None = None
    secret: Secret | None = None
    region: str | None = None
    retention: str | None = None
    capabilities: frozenset[str] | None = None
    capacity: Capacity = "owned"
    directory: str | None = None
    trust: str | None = None
    trust_digest: str | None = None
    min_tier: str | None = None
    options: Mapping[str, JsonValue] = field(default_factory=dict[str, JsonValue], hash=False)

    def __post_init__(self) -> None:
        if self.options:
            object.__setattr__(self, "options", json_copy(self.options))

    @property
    def development(self) -> bool:
        """Whether a development authority may vouch for its machines, which proves nothing of them."""
        return self.min_tier == "software-dev"

    def credential(self, usual: str | None) -> Secret | None:
        """Where its key is: as the policy says, else `usual`, the vendor's variable.

        INVARIANT: a recipient with a `url` of its own never gets the vendor's key unless the policy names it.
        """
        if self.secret is not None or usual is None or self.url is not None:
            return self.secret
        return Secret(usual)
