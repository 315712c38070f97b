"""Server-sent events out of the bytes of a response (the part of the WHATWG format that is used: `data` lines)."""

from __future__ import annotations

_OTHER_FIELDS = (b"event:", b"id:", b"retry:", b":")


class Events:
    """Splits bytes, however they were cut, into the data of events.

    `stray` is what stands outside every event: the API breaks off a stream with a bare JSON document.
    """

    __slots__ = ("_data", "_left", "stray")

    def __init__(self) -> None:
        self._left = b""
        self._data: list[bytes] = []
        self.stray = b""

    def feed(self, data: bytes) -> list[bytes]:
        """The events that are complete with `data`."""
        lines = (self._left + data if self._left else data).split(b"\n")
        self._left = lines.pop()
        found: list[bytes] = []
        pending = self._data
        for line in lines:
            if line[:5] == b"data:":
                pending.append(line[5:])
            elif line in {b"\r", b""}:
                if pending:
                    found.append(pending[0] if len(pending) == 1 else b"\n".join(pending))
                    pending.clear()
            elif not line.startswith(_OTHER_FIELDS):
                self.stray += line + b"\n"
        return found

    def end(self) -> bytes | None:
        """The last event, where the stream ended without the empty line after it."""
        if self._left[:5] == b"data:":
            self._data.append(self._left[5:])
        elif self._left and not self._left.startswith(_OTHER_FIELDS):
            self.stray += self._left
        self._left = b""
        return b"\n".join(self._data) if self._data else None
