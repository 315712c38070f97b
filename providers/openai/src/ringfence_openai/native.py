"""What `plan()` makes and `run()` sends: the route, the body, and how to read the answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from ringfence.recipient import Recipient
from ringfence.request import JsonValue
from ringfence.response import ProviderEvent


class Decoder(Protocol):
    """Reads one streamed answer."""

    finished: bool
    """Whether the answer has come to its end; nothing is fed afterwards."""

    def feed(self, data: bytes) -> Sequence[ProviderEvent]:
        """The events that the data of one server-sent event stands for; none for a kind that is not known.

        Raises:
            Malformed: it is no event of this API.
            Refused: it says that the backend failed.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Upload:
    """A file that goes out beside the fields of a form."""

    field: str
    name: str
    data: bytes
    media_type: str

    def __repr__(self) -> str:
        return f"Upload({self.media_type}, {len(self.data)} bytes)"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Native:
    """One request in the words of the API.

    `content` is `body` as JSON, encoded once; with an `upload` the body goes out as a form instead. `decoder` makes the
    reader of a streamed answer and is `None` where the answer comes as a whole; `whole` reads such an answer, and takes
    its media type too.
    """

    recipient: Recipient
    route: str
    body: Mapping[str, JsonValue]
    content: bytes
    whole: Callable[[bytes, str], Sequence[ProviderEvent]]
    decoder: Callable[[], Decoder] | None = None
    upload: Upload | None = None

    def __repr__(self) -> str:
        return f"Native({self.route}, {len(self.content)} bytes)"


__all__ = ["Decoder", "Native", "Upload"]
