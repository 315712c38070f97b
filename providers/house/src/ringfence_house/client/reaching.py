"""Why a house was not reached, and what a person can do about it: in words of ours, nothing of an answer in them."""

from __future__ import annotations

import shlex
from typing import Final

from ringfence.transport.faults import why_not_connected

_NOT_FOUND, _NOT_READY = 404, 503
_REDIRECTS: Final = range(300, 400)

TELL_OPERATOR: Final = "tell the operator of the house"
VERIFY: Final = "ringfence house evidence verify URL --trust FILE"
"""Where it is not known of which house: URL and FILE are `directory:` and `trust:` of the policy."""


def verify_command(directory: str, trust: str, min_tier: str) -> str:
    """The command that lists every check of the nodes of one house, as it is typed into a shell."""
    words = ["ringfence", "house", "evidence", "verify", directory, "--trust", trust]
    return shlex.join([*words, *(["--min-tier", min_tier] if min_tier == "software-dev" else [])])


def why_not_given(status: int, place: str) -> tuple[str, str]:
    """What the directory says with an HTTP status that is no success, and the way out.

    `place` is where the person wrote its address, with a colon: `directory:`, or `the URL:` of a command.
    """
    if status == _NOT_READY:
        said = "the house has no node that is ready yet, or it is draining (HTTP 503)"
        return said, "try again in a moment; the node says when it is served"
    if status == _NOT_FOUND:
        return "a file that every house has is not at that address (HTTP 404)", f"check {place} its path"
    if status in _REDIRECTS:
        return f"the directory of the house answered HTTP {status}, a redirect", f"check {place} give the final address"
    return f"the directory of the house answered HTTP {status}", f"check {place} what answers there"


def why_not_reached(error: BaseException, place: str) -> tuple[str, str]:
    """Why there was no connection to the house, or none that lasted, and the way out; `place` as above."""
    said, way_out = why_not_connected(error)
    if "certificate" in said:
        way_out = "Network(ca_file=…), or --ca-file, with the authority of the house"
    elif "TLS" in said:
        way_out = f"check {place} https or http, and the port"
    return f"the house cannot be reached{said}", way_out.replace(
        "url: of the recipient", f"{place} scheme, host and port"
    )


__all__ = ["TELL_OPERATOR", "VERIFY", "verify_command", "why_not_given", "why_not_reached"]
