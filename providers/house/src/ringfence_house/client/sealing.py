"""The transport that seals: a plain request of the vendor's client goes in, one POST of ciphertext goes out.

INVARIANT: a request is sealed for a `VerifiedNode` only; there is no function here that takes a bare key.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

import httpx2
from typing_extensions import override

from ringfence.errors import (
    AuthenticationFailed,
    ConnectFailed,
    GateError,
    Overloaded,
    ProviderError,
    RequestRejected,
)
from ringfence.grant import Grant, sending_grant
from ringfence.receipt import Attestation
from ringfence_house.client.answer import Answer
from ringfence_house.client.inner import inner_request, tenant_key
from ringfence_house.client.outside import KeyLost, NodeGone, require_sealed
from ringfence_house.client.reaching import why_not_reached
from ringfence_house.errors import NodeUnavailable
from ringfence_house.protocol.chunked import RequestSealer, ResponseOpener
from ringfence_house.protocol.names import LOAD_FIELD, NODE_HEADER, REQUEST_TYPE

if TYPE_CHECKING:
    from ringfence.recipient import Recipient
    from ringfence_house.attestation.node import VerifiedNode
    from ringfence_house.client.nodes import Nodes
    from ringfence_house.protocol.bhttp import ResponseHead

_FULL_S: Final = 1.0
"""How long a machine that said it is full is put aside: in the meantime an answer may have come to its end."""

_LARGE_BYTES: Final = 2**20
"""A request of more than this, some milliseconds of work, is looked through and sealed in a thread."""

_SHOWN: Final = frozenset({b"content-type", b"retry-after"})
"""Fields of an inner answer that the vendor's client gets to see: no other changes how it reads the content."""

_FULL, _STALE, _REPLAYED, _NO_CALLER = 503, 412, 409, 401

_WAIT: Final = "wait, or overflow: in the policy"

_NEVER_CONNECTED = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.ProxyError, httpx2.UnsupportedProtocol)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class _Sealed:
    content: bytes
    opener: ResponseOpener


def _sealed_for(node: VerifiedNode, plaintext: bytes, grant: Grant) -> _Sealed:
    # INVARIANT: no redacted value leaves; the core's transport cannot look into what is sealed here.
    grant.inspect(plaintext)
    sealer = RequestSealer(node.key_config)
    opener = sealer.opener()
    return _Sealed(content=sealer.finish(plaintext), opener=opener)


class Asked(Protocol):
    """What a request needs of the house it goes to."""

    nodes: Nodes
    endpoint: httpx2.URL

    def http(self) -> httpx2.AsyncClient:
        """The guarded client of its recipient."""
        ...


class SealingTransport(httpx2.AsyncBaseTransport):
    """Sends each request, sealed, to one node of the house that its grant is for: one POST through the guarded client.

    `began` is told the answer of each grant, so that its end can be waited for. `secret` keys the names of tenants.
    """

    def __init__(
        self,
        house_of: Callable[[Recipient], Awaitable[Asked]],
        *,
        secret: bytes,
        began: Callable[[Grant, Answer], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._house_of = house_of
        self._secret = secret
        self._began = began
        self._clock = clock

    @override
    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Seals and sends; returns the inner answer when its head has been opened.

        Raises:
            GateError: no grant, a request for another place, or a redacted value in it; nothing was sent.
            ProviderError: no node can be asked, or what was asked did not answer.
        """
        grant = sending_grant()
        if grant is None:
            raise GateError("a request into the house without a grant", way_out="with grant.spend(plan.request)")
        await request.aread()
        house = await self._house_of(grant.recipient)
        node = await house.nodes.pick()
        tenant = tenant_key(self._secret, grant.request.tenant)
        plaintext = inner_request(request, node, tenant=tenant, now=self._clock())
        if len(plaintext) > _LARGE_BYTES:
            sealed = await asyncio.to_thread(_sealed_for, node, plaintext, grant)
        else:
            sealed = _sealed_for(node, plaintext, grant)
        # INVARIANT: between here and the POST nothing waits, so nothing goes to a node past its expiry.
        if not house.nodes.holds(node):
            raise NodeUnavailable("the proof of the node expired while the request was sealed", retry_after_s=0.0)
        # INVARIANT: the receipt says for whom it was sealed, before anything leaves.
        grant.attest(attestation_of(node))
        return await self._answered(house, node, grant, sealed)

    async def _answered(self, house: Asked, node: VerifiedNode, grant: Grant, sealed: _Sealed) -> httpx2.Response:
        response: httpx2.Response | None = None
        failure: ProviderError
        try:
            response = await _post(house, node, sealed.content)
            await require_sealed(response)
            answer = Answer(response, sealed.opener)
            head = await answer.head()
            _require_willing(house.nodes, node, head, self._clock())
            _require_known(head, grant.recipient)
        except KeyLost:
            house.nodes.lost_key(node)
            failure = NodeUnavailable("the node has lost its key", retry_after_s=house.nodes.retry_after_s)
        except NodeGone as gone:
            failure = _gone(house.nodes, node, gone.status)
        except httpx2.TransportError as error:
            failure = _lost(house.nodes, node, error)
        except BaseException:
            await _close(response)
            raise
        else:
            self._began(grant, answer)
            fields = [field for field in head.fields if field[0] in _SHOWN]
            return httpx2.Response(head.status, headers=fields, stream=answer)
        # INVARIANT 7: raised outside of the handlers, so that no foreign error is its context.
        await _close(response)
        raise failure


async def _post(house: Asked, node: VerifiedNode, content: bytes) -> httpx2.Response:
    # INVARIANT: nothing of the inner request is outside but its padded length.
    headers = {"content-type": REQUEST_TYPE, NODE_HEADER: node.kid, "accept-encoding": "identity"}
    request = httpx2.Request("POST", house.endpoint, headers=headers, content=content)
    return await house.http().send(request, stream=True)


def _require_willing(nodes: Nodes, node: VerifiedNode, head: ResponseHead, now: float) -> None:
    """Notes how full the node is. `now` is Unix time.

    Raises:
        KeyLost: the node was proved anew since it was verified.
        NodeUnavailable: it is full, and there is another.
        Overloaded: it is full, and there is no other.
        RequestRejected: it had seen the request before, so somebody in between delivered it twice.
    """
    nodes.standing.answered(node)
    share = _share(dict(head.fields).get(LOAD_FIELD.encode("ascii")))
    if share is not None:
        nodes.standing.tell_load(node, share)
    if head.status == _STALE:
        raise KeyLost
    if head.status == _REPLAYED:
        # Never sent again: a first delivery may be computed, and there is somebody who delivers twice.
        raise RequestRejected(
            "the node had seen the request before: it was delivered twice on its way",
            way_out="check what stands between here and the house, a balancer that sends again above all",
        )
    if head.status == _FULL:
        nodes.standing.tell_load(node, 1.0)
        nodes.standing.put_aside(node, _FULL_S)
        if nodes.another(node):
            raise NodeUnavailable("the node is full", retry_after_s=nodes.retry_after_s)
        from ringfence_openai.errors import retry_after_s  # noqa: PLC0415  (the vendor's SDK: it has been loaded by now)

        headers = httpx2.Headers([field for field in head.fields if field[0] in _SHOWN])
        # A node that could not compute for another reason says how full it is, and that is not whole.
        full = share is None or share >= 1
        raise Overloaded(
            "every node of the house is full" if full else "no node of the house can answer for now",
            retry_after_s=retry_after_s(headers, now),
            way_out=_WAIT,
        )


def _require_known(head: ResponseHead, recipient: Recipient) -> None:
    """Does nothing where the node takes the caller.

    Raises:
        AuthenticationFailed: it does not.
    """
    if head.status != _NO_CALLER:
        return
    if recipient.secret is None:
        raise AuthenticationFailed("this house wants a token", way_out="secret: env:NAME beside its directory")
    raise AuthenticationFailed("the house refused the token", way_out="check the token that secret: names")


def _gone(nodes: Nodes, node: VerifiedNode, status: int | None) -> ProviderError:
    nodes.standing.failed(node)
    if nodes.another(node):
        return NodeUnavailable("the node did not answer", retry_after_s=nodes.retry_after_s)
    if status is None:
        return ConnectFailed(
            "the connection was lost before the house answered", phase="before_first_event", way_out=_WAIT
        )
    return Overloaded(f"no node of the house answers for now (HTTP {status})", way_out=_WAIT)


def _lost(nodes: Nodes, node: VerifiedNode, error: httpx2.TransportError) -> ProviderError:
    if not isinstance(error, _NEVER_CONNECTED):
        return _gone(nodes, node, None)
    said, way_out = why_not_reached(error, "directory:")
    return ConnectFailed(said, way_out=way_out)


async def _close(response: httpx2.Response | None) -> None:
    if response is not None:
        await response.aclose()


def _share(given: bytes | None) -> float | None:
    """The share that a load field says; `None` where it says none."""
    try:
        share = float(given) if given is not None else -1.0
    except ValueError:
        return None
    return share if 0.0 <= share <= 1.0 else None


def attestation_of(node: VerifiedNode) -> Attestation:
    """What a receipt says of `node`."""
    return Attestation(
        digest=node.digest,
        tier=node.tier,
        release=node.release.id,
        node=node.kid,
        development=node.tier == "software-dev",
    )


__all__ = ["Asked", "SealingTransport", "attestation_of"]
