"""An answer of the double before it is written: a body, or wire events, and what stands in for a broken one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ringfence.testing.scenes import Scene

JSON = "application/json"
EVENT_STREAM = "text/event-stream; charset=utf-8"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """`events` are sent one by one in a chunked body; `None` stands for `body`, sent whole.

    `malformed` and `failure` take the place of an event where the scene says so; `failure` ends the answer. For a whole
    one it is `failed`: a status and a body. `headers` come after those that every answer of the vendor has.
    """

    status: int = 200
    media_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    body: bytes = b""
    events: tuple[bytes, ...] | None = None
    malformed: bytes = b""
    failure: bytes = b""
    failed: tuple[int, bytes] = (500, b"")
    scene: Scene | None = None
    """Gives the delays and the fault; `None` for what is answered without one."""
