"""Approving what is installed: what a new lock says of each plugin."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from ringfence.lock.document import Approved
from ringfence.lock.fingerprint import fingerprint

if TYPE_CHECKING:
    from ringfence.lock.plugins import Plugin
    from ringfence.recipient import Ring


def approve(
    plugin: Plugin,
    *,
    hosts_of: Callable[[str], tuple[str, ...] | None],
    rings: Mapping[str, Ring],
    earlier: Approved | None = None,
) -> Approved:
    """`plugin` as it is now. The ring of a provider is the one in `rings`, else the one approved earlier, else usual.

    The usual one is `device` for a provider whose manifest names no host, since there it has no network client, and
    `partner` for any other; `hosts_of` is `None` where there is no telling.

    Raises:
        PluginBroken: a file of it cannot be read.
    """
    kept: Mapping[str, Ring] = {} if earlier is None else earlier.providers
    usual: dict[str, Ring] = {name: "device" if hosts_of(name) == () else "partner" for name in plugin.providers}
    return Approved(
        distribution=plugin.name,
        version=plugin.distribution.version,
        sha256=fingerprint(plugin.distribution),
        providers={name: rings.get(name) or kept.get(name) or usual[name] for name in plugin.providers},
        detectors=plugin.detectors,
    )
