"""What an answer is before anything of it is opened. Anybody in between can write it, so it is a hint and no more."""

from __future__ import annotations

import asyncio
import json
from typing import Final, cast

import httpx2

from ringfence.errors import ProviderError, RequestRejected
from ringfence_house.errors import HouseProtocolError
from ringfence_house.protocol.names import KEY_PROBLEM, RESPONSE_TYPE

_MAX_PROBLEM_BYTES: Final = 4096
_PROBLEM_S: Final = 5.0

_OK: Final = 200
_KEY_STATUS: Final = frozenset({400, 404})
_GONE: Final = frozenset({502, 503, 504})
_REFUSALS: Final = range(400, 500)


class KeyLost(Exception):
    """It says that the request was sealed for a key that is not there."""


class NodeGone(Exception):
    """It says that there is nobody to answer now. `status` is HTTP's; `None` where the connection was lost."""

    def __init__(self, status: int | None = None) -> None:
        super().__init__()
        self.status = status


async def require_sealed(response: httpx2.Response) -> None:
    """Does nothing for what may be a sealed answer.

    Raises:
        KeyLost: as it says.
        NodeGone: as it says.
        ProviderError: it is anything else. Its body is never shown.
    """
    status = response.status_code
    if status == _OK and media_type(response) == RESPONSE_TYPE:
        return
    if status in _GONE:
        raise NodeGone(status)
    if status in _KEY_STATUS and await _is_key_problem(response):
        raise KeyLost
    raise _refusal(status)


def _refusal(status: int) -> ProviderError:
    if status in _REFUSALS:
        return RequestRejected(
            f"what stands before the house refused the request (HTTP {status})",
            way_out="check directory: of the recipient, and the balancer there",
        )
    return HouseProtocolError(
        f"what answered in place of the house does not speak its protocol (HTTP {status})",
        way_out="check directory: of the recipient; nothing of the answer was used",
    )


async def _is_key_problem(response: httpx2.Response) -> bool:
    """Whether the body is a problem document (RFC 9457) of the one type that counts."""
    data = bytearray()
    try:
        async with asyncio.timeout(_PROBLEM_S):
            async for piece in response.aiter_raw():
                data += piece
                if len(data) > _MAX_PROBLEM_BYTES:
                    return False
        said: object = json.loads(data)
    except (TimeoutError, httpx2.TransportError, ValueError, RecursionError):
        return False
    return isinstance(said, dict) and cast("dict[str, object]", said).get("type") == KEY_PROBLEM


def media_type(response: httpx2.Response) -> str:
    """The media type, without parameters and in lower case."""
    header: str = response.headers.get("content-type", "")
    return header.partition(";")[0].strip().lower()


__all__ = ["KeyLost", "NodeGone", "require_sealed"]
