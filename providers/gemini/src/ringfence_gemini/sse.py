"""Server-sent events out of the bytes of a response (the part of the WHATWG format that is used: `data` lines)."""

from __future__ import annotations

_OTHER_FIELDS = (b"event:", b"id:", b"retry:", b":")
_MAX_STRAY_BYTES = 65_536


class Events:
    """Splits bytes, however they were cut, into the data of events.

    `stray` is what stands outside every event, its first 64 KiB: the API breaks off a stream with a bare JSON document.
    The work is linear in the bytes, however they were cut.
    """

    __slots__ = ("_data", "_left", "stray")

    def __init__(self) -> None:
        self._left = bytearray()
        self._data: list[bytes] = []
        self.stray = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """The events that are complete with `data`."""
        # INVARIANT: `_left` holds no newline and is only appended to, so that no byte is looked at or copied twice.
        lines = data.split(b"\n")
        last = lines.pop()
        if lines and self._left:
            self._left += lines[0]
            lines[0] = bytes(self._left)
            self._left = bytearray()
        self._left += last
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
                self._keep_stray(line + b"\n")
        return found

    def end(self) -> bytes | None:
        """The last event, where the stream ended without the empty line after it."""
        left, self._left = bytes(self._left), bytearray()
        if left[:5] == b"data:":
            self._data.append(left[5:])
        elif left and not left.startswith(_OTHER_FIELDS):
            self._keep_stray(left)
        return b"\n".join(self._data) if self._data else None

    def _keep_stray(self, line: bytes) -> None:
        if (room := _MAX_STRAY_BYTES - len(self.stray)) > 0:
            self.stray += line[:room]
