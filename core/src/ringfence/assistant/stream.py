"""A streamed answer in the app's hands."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Generic, Protocol, Self, TypeVar, cast

from ringfence.errors import Closed, InvalidRequest, RingfenceError, StreamBroken
from ringfence.response import Event, Joined, Response, TextDelta, TurnStarted

if TYPE_CHECKING:
    from ringfence.assistant.output import Output
    from ringfence.receipt import Receipt

OutputT = TypeVar("OutputT")
T = TypeVar("T")

_PARTIAL_STEP = 256
"""A partial object is made when the text has grown by this part of its length, so that all of them cost little."""


class Answering(Protocol):
    """A request on its way: one `Execution`, or the loop of several that tools make."""

    @property
    def response(self) -> Response[object] | None:
        """The answer, once the events have ended."""
        ...

    @property
    def receipt(self) -> Receipt | None:
        """The receipt, once the request has ended, however it did."""
        ...

    def events(self) -> AsyncGenerator[Event, None]:
        """Runs it. Closing it cancels the work."""
        ...


class AsyncStream(Generic[OutputT]):
    """The events of one answer, once, in order; then `response()`. Closing it early cancels the work.

    Use it as a context manager, or iterate it to its end. `text()` and `partials()` are other views of the same events;
    take one of the three.
    """

    def __init__(
        self,
        execution: Answering,
        output: Output[OutputT] | None,
        on_response: Callable[[Response[OutputT]], None] | None = None,
    ) -> None:
        self._execution = execution
        self._events: AsyncGenerator[Event, None] = execution.events()
        self._output = output
        self._on_response = on_response
        self._response: Response[OutputT] | None = None
        self._failure: RingfenceError | None = None
        self._drawing: asyncio.Task[object] | None = None
        self._closing: asyncio.Event | None = None

    def __aiter__(self) -> Self:
        return self

    def __anext__(self) -> Awaitable[Event]:
        return self._draw(self._events.__anext__())

    async def _draw(self, work: Awaitable[T]) -> T:
        """What `work` draws of the events.

        Raises:
            StopAsyncIteration: they have ended.
        """
        task = self._drawing = asyncio.current_task()
        try:
            return await work
        except StopAsyncIteration:
            pass
        except RingfenceError as error:
            self._failure = error
            raise
        except asyncio.CancelledError:
            # Closed from another task: this one was only woken, and its loop over the stream ends.
            if self._closing is None or task is None or task.uncancel():
                raise
            raise StopAsyncIteration from None
        finally:
            self._drawing = None
            if self._closing is not None:
                self._closing.set()
        self._finish()
        raise StopAsyncIteration

    async def _rest(self) -> None:
        """Draws what is left as one piece of work: drawn one by one, each event costs a coroutine more."""
        async for _ in self._events:
            pass
        self._finish()

    def _finish(self) -> None:
        """Validates the output and keeps the response."""
        answered = self._execution.response
        if answered is None or self._response is not None:
            return
        try:
            value = self._value(answered)
        except RingfenceError as error:
            error.receipt = answered.receipt
            self._failure = error
            raise
        # A copy costs as much as ten events, and without a schema there is nothing to put into it.
        whole = answered if self._output is None else replace(answered, output=value)
        self._response = cast("Response[OutputT]", whole)
        if self._on_response is not None:
            self._on_response(self._response)

    def _value(self, answered: Response[object]) -> object:
        if self._output is None:
            return answered.output
        # A model that leaves its calls to the app has not given its output yet.
        return None if answered.tool_calls else self._output.validate(answered)

    async def response(self) -> Response[OutputT]:
        """The whole answer; draws what is left of the events first.

        Raises:
            RingfenceError: whatever ended the stream; `Closed` if the app closed it.
        """
        with suppress(StopAsyncIteration):
            await self._draw(self._rest())
        if self._response is not None:
            return self._response
        if self._failure is not None:
            raise self._failure
        raise Closed("the stream was closed before its end", way_out="draw it to its end")

    @property
    def receipt(self) -> Receipt | None:
        """The receipt, once the stream has ended, was closed or failed; `None` before."""
        return self._execution.receipt

    async def text(self) -> AsyncIterator[str]:
        """The text as it comes; with tools, also what the model says before it calls them.

        Raises:
            StreamBroken: the answer begins again elsewhere, so what came is void; `response()` gives the whole one.
            RingfenceError: whatever ended the stream.
        """
        came = ""
        async for event in self:
            if type(event) is TextDelta:
                came += event.text
                yield event.text
            elif isinstance(event, TurnStarted):
                came = ""
            elif isinstance(event, Joined) and event.how == "restart":
                broken = StreamBroken(
                    "the stream broke, and the answer begins again", way_out="draw events, or response()"
                )
                broken.partial_text = came
                raise broken

    async def partials(self) -> AsyncIterator[object]:
        """The structured output as it grows: instances with every field optional, then the validated one.

        The longer the text, the more of it must have come between two of them.

        Raises:
            OutputError: the whole does not validate, or was cut.
        """
        if self._output is None:
            raise InvalidRequest("this stream has no output schema", way_out="stream(…, output=YourModel)")
        text, last, shown = "", None, 0
        async for event in self:
            if isinstance(event, TurnStarted) or (isinstance(event, Joined) and event.how == "restart"):
                text, shown = "", 0
            if type(event) is TextDelta:
                text += event.text
                if len(text) - shown <= shown // _PARTIAL_STEP:
                    continue
                shown = len(text)
                value = self._output.partial(text)
                if value is not None and value != last:
                    last = value
                    yield value
        if self._response is not None:
            yield self._response.output

    async def aclose(self) -> None:
        """Cancels what still runs, here and at the backend; also while another task draws. Idempotent."""
        if self._drawing is not None and self._drawing is not asyncio.current_task():
            if self._closing is None:
                self._closing = asyncio.Event()
                self._drawing.cancel()
            await self._closing.wait()
        await self._events.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
