"""Calls in, answers out: what a node does with an inner request that was opened."""

from __future__ import annotations

import secrets
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass

from ringfence import AsyncAssistant
from ringfence.assistant.build import RequestOptions
from ringfence.assistant.stream import AsyncStream
from ringfence.errors import RingfenceError
from ringfence_house.protocol.names import CHAT_PATH, EMBEDDINGS_PATH
from ringfence_house_node.api.chat_answer import HEAD_AFTER_S, ChatAnswer
from ringfence_house_node.api.chat_request import Asked, chat_request, embedding_request
from ringfence_house_node.api.drawing import Drawing
from ringfence_house_node.api.embedding_answer import embedding_answer
from ringfence_house_node.api.faults import Fault, Refused, fault_of, no_model, not_supported
from ringfence_house_node.engine.limits import Limits
from ringfence_house_node.service import Answer, Call

JSON, EVENTS = "application/json", "text/event-stream"


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """The API of one `model` that `assistant` reaches.

    `alive` is called when the engine shows a sign of life, `failed` with what it fails with. `of_a_server`: it is a
    server, and not a worker of ours.
    """

    assistant: AsyncAssistant
    model: str
    limits: Limits
    of_a_server: bool
    alive: Callable[[], None]
    failed: Callable[[RingfenceError], None]

    async def respond(self, call: Call) -> Answer:
        """The answer; what is wrong with the call is one too."""
        try:
            match call.path:
                case path if path == CHAT_PATH:
                    return await self._chat(call)
                case path if path == EMBEDDINGS_PATH:
                    return await self._embeddings(call)
                case _:
                    return error_answer(no_model())
        except Refused as refused:
            return error_answer(refused.fault)
        except RingfenceError as error:
            return error_answer(fault_of(error, of_a_server=self.of_a_server))

    async def _chat(self, call: Call) -> Answer:
        asked = chat_request(call.body, model=self.model, limits=self.limits)
        drawing = Drawing(self._asking(asked, call.tenant), self.alive, self.failed)
        answer = ChatAnswer(self.model)
        try:
            came = await drawing.some(HEAD_AFTER_S if asked.stream else None)
            if not asked.stream:
                return _whole(answer.whole(await drawing.rest(came)))
        except BaseException:
            await drawing.aclose()
            raise
        body = answer.stream(drawing, came, include_usage=asked.include_usage, of_a_server=self.of_a_server)
        # Begun, so that closing it ends the work also where nobody has drawn anything from it.
        await anext(body)
        return Answer(status=200, media_type=EVENTS, body=body, stream=True)

    def _asking(self, asked: Asked, tenant: str | None) -> AsyncStream[None]:
        # The engine always streams: hanging up is the one way to stop every server.
        return self.assistant.stream_turn(asked.messages, asked.output, self._own(asked.options, tenant))

    async def _embeddings(self, call: Call) -> Answer:
        if self.limits.capabilities is not None and "embed" not in self.limits.capabilities:
            raise not_supported("makes no embeddings", "model")
        texts, packed = embedding_request(call.body, model=self.model)
        try:
            response = await self.assistant.embed(texts, **self._own({}, call.tenant))
        except RingfenceError as error:
            self.failed(error)
            raise
        self.alive()
        return _whole(embedding_answer(self.model, response.output, packed=packed))

    def _own(self, options: RequestOptions, tenant: str | None) -> RequestOptions:
        """`options`, within the caller's own caches."""
        found: RequestOptions = {**options}
        if tenant is not None:
            found["tenant"] = tenant
        if self.limits.salts:
            # INVARIANT: work is reused within a tenant only; without one, nothing is reused.
            salt = secrets.token_hex(16) if tenant is None else tenant
            found["provider_options"] = {"openai": {"extra_body": {"cache_salt": salt}}}
        return found


def error_answer(fault: Fault) -> Answer:
    """The answer of an error."""
    return Answer(status=fault.status, media_type=JSON, body=_once(fault.body()), retry_after_s=fault.retry_after_s)


def _whole(body: bytes) -> Answer:
    return Answer(status=200, media_type=JSON, body=_once(body))


async def _once(body: bytes) -> AsyncGenerator[bytes, None]:
    yield body


__all__ = ["Api", "error_answer"]
