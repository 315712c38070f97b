"""Server-sent events: the `data` of each event out of a stream of bytes, however it was cut.

The fields `event`, `id` and `retry` are left out: both APIs say in the data what an event is. The grammar is that of
the HTML standard, section 9.2.6. An event that the stream ends inside is dropped, as the standard says, and so
is one without data.
"""

from __future__ import annotations

from ringfence_openai.faults import Malformed

_MOST_BYTES = 256 * 1024 * 1024
"""Of one event. A picture in an event takes tens of megabytes."""

_BOM = b"\xef\xbb\xbf"


class SseReader:
    """Give it the chunks in order; it gives the data of every event that they complete."""

    __slots__ = ("_began", "_held", "_rest")

    def __init__(self) -> None:
        self._rest = bytearray()
        self._held = False
        """Whether the last byte was a CR, whose LF may be the first of the next chunk."""
        self._began = False

    def feed(self, chunk: bytes) -> list[bytes]:
        """The data of the events that `chunk` completes, in order.

        Raises:
            Malformed: an event is longer than any event is.
        """
        if self._held or b"\r" in chunk:
            chunk = self._with_line_feeds(chunk)
        searched = max(len(self._rest) - 1, 0)
        self._rest += chunk
        end = self._rest.rfind(b"\n\n", searched)
        if end < 0:
            if len(self._rest) > _MOST_BYTES:
                raise Malformed
            return []
        complete = bytes(self._rest[:end])
        del self._rest[: end + 2]
        if not self._began:
            self._began = True
            complete = complete.removeprefix(_BOM)
        return [data for event in complete.split(b"\n\n") if (data := _data(event))]

    def _with_line_feeds(self, chunk: bytes) -> bytes:
        """`chunk` with LF for CRLF and for CR."""
        if not chunk:
            return chunk
        if self._held and chunk.startswith(b"\n"):
            chunk = chunk[1:]
        self._held = chunk.endswith(b"\r")
        return chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def _data(event: bytes) -> bytes:
    if event.startswith(b"data: ") and b"\n" not in event:
        return event[6:]
    lines = (line for line in event.split(b"\n") if line.startswith(b"data:") or line == b"data")
    return b"\n".join(line[5:].removeprefix(b" ") for line in lines)


__all__ = ["SseReader"]
