"""The errors of the house ring, beside those of the provider interface.

    ProviderError
    ├── AttestationFailed        no node proved what it is; nothing of the request was sent (of the core)
    ├── HouseProtocolError       what answered does not speak the protocol; nothing of it is shown
    ├── ConnectFailed
    │   ├── NodeUnavailable      this node did not answer, and another one may: the core tries again, with a new grant
    │   └── HouseUnreachable     nobody answers there, as a look has just found out; an Overloaded too
    └── StreamBroken
        └── StreamTruncated      the answer ended before its authenticated end, or was altered

What stands outside of the encryption is a hint that anybody in between can give: it becomes one of these and no more.
"""

from __future__ import annotations

from typing import Final

from ringfence.errors import Closed, ConnectFailed, Overloaded, ProviderError, StreamBroken

ASK_AGAIN: Final = "ask again; on_broken_stream: restart in the policy"
"""The way out of an answer that broke."""


class HouseProtocolError(ProviderError):
    """What answered does not speak the protocol of the house, so it is no verified node. Nothing of it is shown."""


class NodeUnavailable(ConnectFailed):
    """One verified node did not answer, is full, or lost its key; another one is asked at once, where there is one."""

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message, phase="before_first_event")
        self.retry_after_s = retry_after_s


class HouseUnreachable(ConnectFailed, Overloaded):
    """Nobody in the house answers, as a look at it has just found out. `retry_after_s` is when the next one may.

    It makes way as a house does that is full: where there is overflow, that is asked at once, and where there is none
    the house is asked again.
    """


class StreamTruncated(StreamBroken):
    """The answer did not come to its authenticated end: it was cut or altered on its way, or its node died."""

    def __init__(self, message: str) -> None:
        super().__init__(message, way_out=ASK_AGAIN)


def closed_error() -> Closed:
    """The provider is closed, or was never opened."""
    return Closed("the provider house is closed", way_out="open it, or a new assistant")


__all__ = [
    "ASK_AGAIN",
    "HouseProtocolError",
    "HouseUnreachable",
    "NodeUnavailable",
    "StreamTruncated",
    "closed_error",
]
