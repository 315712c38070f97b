"""The sealed endpoint: opens a request, checks it, has it answered, and seals the answer as it comes."""

from __future__ import annotations

import asyncio
import json
import logging
import time

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from ringfence_house.protocol import names
from ringfence_house.protocol.bhttp import BinaryRequest, decode_known_request
from ringfence_house.protocol.faults import ProtocolFault
from ringfence_house_node.server import inner
from ringfence_house_node.server.admission import Full, OverShare
from ringfence_house_node.server.body import Body, BodyRefused, Gone
from ringfence_house_node.server.inner import Caller, Expected, InnerFault
from ringfence_house_node.server.metrics import Outcome
from ringfence_house_node.server.node import Node
from ringfence_house_node.server.opening import Opened, Unopened, open_request
from ringfence_house_node.server.replay import NoRoom
from ringfence_house_node.server.reply import Reply, fields_of, relay
from ringfence_house_node.service import Call

LOG = logging.getLogger("ringfence_house_node")

OUTCOME = "ringfence.outcome"
"""Where the outcome of a request lies in its ASGI scope."""

RETRY_AFTER_S = 1
_LEAST_REFUSAL = 400
_DECODED_HERE_BYTES = 2**20
"""A longer request is decoded in a thread: the loop serves everybody."""


class SealedEndpoint:
    """The ASGI app at `OHTTP_PATH`.

    INVARIANT: until a request has been opened to its authenticated end, its answer is outside of the encryption and
    says nothing of it; from then on every answer is inside.
    """

    def __init__(self, node: Node) -> None:
        self._node = node

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        limits = self._node.limits
        with Body(receive, rooms=self._node.rooms, limits=limits) as body:
            try:
                opened = await self._open(Headers(scope=scope), body)
            except Gone:
                self._node.metrics.ended("gone")
                note_outcome(scope, "gone")
            except (Unopened, BodyRefused) as refused:
                # What came of the body hangs on where it was refused.
                refused.__traceback__ = refused.__context__ = None
                outcome: Outcome = "unopened" if isinstance(refused, Unopened) else "not_taken"
                self._node.metrics.ended(outcome)
                note_outcome(scope, outcome)
                await self._refuse(refused, body, send)
            else:
                exchange = _Exchange(self._node, opened, Reply(send, opened.sealer, sending_s=limits.sending_s))
                try:
                    await exchange.run(body, limits.answer_s)
                finally:
                    note_outcome(scope, exchange.word)

    async def _open(self, headers: Headers, body: Body) -> Opened:
        if self._node.obstacles():
            raise BodyRefused(503, "the node takes no requests now")
        if headers.get("content-type") != names.REQUEST_TYPE:
            raise BodyRefused(415, f"a request is {names.REQUEST_TYPE}")
        try:
            async with asyncio.timeout(self._node.limits.body_s):
                return await open_request(body.pieces(), self._node.ring, hint=headers.get(names.NODE_HEADER))
        except TimeoutError:
            raise BodyRefused(408, "the request did not come in time") from None

    async def _refuse(self, refused: Unopened | BodyRefused, body: Body, send: Send) -> None:
        response = _problem(refused)
        try:
            await body.drop(self._node.limits.body_s)
        except Gone:
            return
        # Whatever still comes is read while the answer goes out; see `Body.drop`.
        rest = asyncio.create_task(body.gone())
        try:
            async with asyncio.timeout(self._node.limits.sending_s):
                await response({"type": "http"}, _nothing, send)
        finally:
            rest.cancel()


class _Exchange:
    """One request that was opened, and its answer."""

    def __init__(self, node: Node, opened: Opened, reply: Reply) -> None:
        self._node = node
        self._opened = opened
        self._reply = reply
        self._outcome: Outcome = "cut"
        self._refusal = ""

    @property
    def word(self) -> str:
        """How it ended, for the log; of a refusal the code, one of ours, or the status of what the service said."""
        return self._refusal or self._outcome

    async def run(self, body: Body, within_s: float) -> None:
        """Answers, unless the client goes away, the time is over or the node ends first."""
        began = time.monotonic()
        work = asyncio.create_task(self._answer())
        gone = asyncio.create_task(body.gone())
        self._node.running.add(work)
        work.add_done_callback(self._node.running.discard)
        try:
            await asyncio.wait({work, gone}, timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
            left = gone.done() and not work.done()
        finally:
            work.cancel()
            gone.cancel()
            await asyncio.gather(work, gone, return_exceptions=True)
        if left:
            self._outcome = "gone"
        elif work.cancelled() or work.exception() is not None:
            await self._break_off(work)
        self._node.metrics.ended(self._outcome, time.monotonic() - began)

    async def _break_off(self, work: asyncio.Task[None]) -> None:
        """Ends an answer that failed: inside where nothing was sent yet, else by leaving out its end."""
        self._outcome = "cut"
        if not work.cancelled():
            # INVARIANT: the type alone is logged; the words of an exception may hold what was asked.
            LOG.error("a request failed: %s", type(work.exception()).__name__)
        if self._reply.started:
            await self._reply.cut()
        else:
            await self._fault(InnerFault(503, "interrupted", "the request was not answered", retry_after_s=1))

    async def _answer(self) -> None:
        try:
            call, caller = self._checked(await self._decoded())
            self._remember()
            async with self._node.admission.seat(caller.name, turn=caller.turn):
                answer = await self._node.service.respond(call)
                load = self._node.admission.load
                await relay(answer, self._reply, load=load, heartbeat_s=self._node.limits.heartbeat_s)
                self._outcome = "answered"
                self._refusal = f"answered:{answer.status}" if answer.status >= _LEAST_REFUSAL else ""
        except InnerFault as fault:
            self._outcome, self._refusal = "refused", fault.code
            await self._fault(fault)
        except OverShare as over:
            self._outcome = "over_share"
            message = "this caller has its share of requests waiting"
            await self._fault(InnerFault(429, "over_share", message, retry_after_s=over.retry_after_s))
        except Full as full:
            self._outcome = "full"
            await self._fault(InnerFault(503, "full", "the node is full", retry_after_s=full.retry_after_s), load=1.0)

    async def _decoded(self) -> BinaryRequest:
        plain = self._opened.plain
        try:
            if len(plain) > _DECODED_HERE_BYTES:
                request = await asyncio.to_thread(decode_known_request, plain)
            else:
                request = decode_known_request(plain)
        except ProtocolFault:
            raise InnerFault(400, "malformed", "the request is not Binary HTTP as the protocol has it") from None
        plain.clear()
        return request

    def _checked(self, request: BinaryRequest) -> tuple[Call, Caller]:
        """The call, and by whom; each check of house-protocol, in order."""
        node, key = self._node, self._opened.key
        fields = inner.read_fields(request)
        inner.check_date(fields.date, now=node.clock())
        caller = inner.caller_of(fields, node.callers)
        expected = Expected(digest=key.evidence.digest, release=node.release_id, model=node.model)
        inner.check_expectation(fields, expected)
        inner.check_target(request, fields)
        return inner.call_of(request, fields, caller), caller

    def _remember(self) -> None:
        """Lets a request pass once.

        INVARIANT: asked and remembered in one step, so of two that come at once one is refused; and nothing computes
        for a request that is not remembered.
        """
        node = self._node
        try:
            first = node.replays.first(self._opened.enc, now=node.clock(), window_s=inner.REPLAY_WINDOW_S)
        except NoRoom:
            raise Full(node.limits.queue_s) from None
        if not first:
            raise InnerFault(409, "replayed", "the request was seen before")

    async def _fault(self, fault: InnerFault, load: float | None = None) -> None:
        kind = "server_error" if fault.status >= 500 else "invalid_request_error"  # noqa: PLR2004
        error = {"message": str(fault), "type": kind, "param": None, "code": fault.code}
        shown = load if load is not None else self._node.admission.load
        fields = fields_of("application/json", shown, fault.retry_after_s)
        await self._reply.whole(fault.status, fields, json.dumps({"error": error}).encode())


def _problem(refused: Unopened | BodyRefused) -> Response:
    key_problem = isinstance(refused, Unopened) and refused.key_problem
    document = {
        "type": names.KEY_PROBLEM if key_problem else "about:blank",
        "title": str(refused),
        "status": refused.status,
    }
    headers = {"retry-after": str(RETRY_AFTER_S)} if refused.status == 503 else {}  # noqa: PLR2004
    content = json.dumps(document).encode()
    return Response(content, refused.status, headers, media_type="application/problem+json")


def note_outcome(scope: Scope, word: str) -> None:
    """Leaves how a request ended with the request, for the access log. `word` is of a closed set."""
    scope[OUTCOME] = word


async def _nothing() -> dict[str, object]:
    return {"type": "http.disconnect"}


__all__ = ["OUTCOME", "SealedEndpoint"]
