"""Requests that were seen before: each is answered once."""

from __future__ import annotations

from collections import deque

MAX_REMEMBERED = 200_000
"""About 40 MB. At the longest window, 240 s, that is more than 800 requests a second."""


class NoRoom(Exception):
    """There is no room to remember one more request."""


class Replays:
    """The `enc` of each request within the window of its date. RAM only.

    INVARIANT: an entry lives until its request is too old to be accepted; when there is no room for one more, nothing
    is forgotten early and the request is not answered. Who may ask at all is checked before, so that only callers can
    use the room up.
    """

    def __init__(self, *, limit: int = MAX_REMEMBERED) -> None:
        self._limit = limit
        self._seen: set[bytes] = set()
        self._ends: deque[tuple[float, bytes]] = deque()

    def __len__(self) -> int:
        return len(self._seen)

    def first(self, enc: bytes, *, now: float, window_s: float) -> bool:
        """Whether `enc` comes for the first time; remembers it for `window_s` from `now`.

        `window_s` is one value for every call, so that entries end in the order in which they came.

        Raises:
            NoRoom: it is new, and cannot be remembered.
        """
        self._forget(now)
        if enc in self._seen:
            return False
        if len(self._seen) >= self._limit:
            raise NoRoom
        self._seen.add(enc)
        self._ends.append((now + window_s, enc))
        return True

    def _forget(self, now: float) -> None:
        while self._ends and self._ends[0][0] < now:
            self._seen.discard(self._ends.popleft()[1])


__all__ = ["MAX_REMEMBERED", "NoRoom", "Replays"]
