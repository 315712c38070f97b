"""Who asks: named callers by the digest of their token, or everybody."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ringfence.errors import InvalidRequest

ANYBODY = ""
"""The name of a caller where no file names any."""

_DIGEST_CHARS = 64
_FORM = "each line is `name sha256-of-the-token`, 64 lower-case hex digits: printf %s TOKEN | sha256sum"


@dataclass(frozen=True, slots=True)
class Callers:
    """Names by the SHA-256 of a token; `None` lets everybody in. Holds no token."""

    by_digest: Mapping[str, str] | None = field(default=None, repr=False)

    def name(self, authorization: str | None) -> str | None:
        """The name of who sends this `authorization` field, `ANYBODY` where nobody is named, `None` for a stranger."""
        if self.by_digest is None:
            return ANYBODY
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            return None
        # Found by the digest of a secret, so how long it takes tells nothing of the secret.
        return self.by_digest.get(hashlib.sha256(token.strip().encode()).hexdigest())


def read_callers(path: Path) -> Callers:
    """The callers of a file; `#` begins a comment.

    Raises:
        InvalidRequest: it cannot be read, or a line is not a name and a digest.
    """
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        raise InvalidRequest(f"cannot read the callers' file '{path}'", way_out=_FORM) from None
    entries = [_entry(number, line) for number, line in enumerate(lines, 1) if line.partition("#")[0].strip()]
    if len(dict(entries)) != len(entries):
        raise InvalidRequest("the callers' file names one digest twice", way_out="give every caller a token of its own")
    return Callers(dict(entries))


def _entry(number: int, line: str) -> tuple[str, str]:
    words = line.partition("#")[0].split()
    # INVARIANT: a line that is wrong is never quoted: somebody may have written the token itself.
    if len(words) != 2 or len(words[1]) != _DIGEST_CHARS or set(words[1]) - set("0123456789abcdef"):  # noqa: PLR2004
        raise InvalidRequest(f"line {number} of the callers' file is not a name and a digest", way_out=_FORM)
    return words[1], words[0]


__all__ = ["ANYBODY", "Callers", "read_callers"]
