"""A streamed answer in the app's hands."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Generic, Self, TypeVar, cast

from ringfence.errors import Closed, RingfenceError
from ringfence.response import Event, Joined, Response, TextDelta

if TYPE_CHECKING:
    from ringfence.assistant.output import Output
    from ringfence.routing.execute import Execution

OutputT = TypeVar("OutputT")


class AsyncStream(Generic[OutputT]):
    """The events of one answer, once, in order; then `response()`. Closing it early cancels the work.

    Use it as a context manager, or iterate it to its end. `text()` and `partials()` are other views of the same events;
    take one of the three.
    """

    def __init__(
        self,
        execution: Execution,
        output: Output[OutputT] | None,
        on_response: Callable[[Response[OutputT]], None] | None = None,
    ) -> None:
        self._execution = execution
        self._events: AsyncGenerator[Event, None] = execution.events()
        self._output = output
        self._on_response = on_response
        self._response: Response[OutputT] | None = None
        self._failure: RingfenceError | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        try:
            return await self._events.__anext__()
        except StopAsyncIteration:
            self._finish()
            raise
        except RingfenceError as error:
            self._failure = error
            raise

    def _finish(self) -> None:
        """Validates the output and keeps the response."""
        answered = self._execution.response
        if answered is None or self._response is not None:
            return
        try:
            value = self._output.validate(answered) if self._output is not None else answered.output
        except RingfenceError as error:
            error.receipt = answered.receipt
            self._failure = error
            raise
        self._response = cast("Response[OutputT]", replace(answered, output=value))
        if self._on_response is not None:
            self._on_response(self._response)

    async def response(self) -> Response[OutputT]:
        """The whole answer; draws what is left of the events first.

        Raises:
            RingfenceError: whatever ended the stream; `Closed` if the app closed it.
        """
        async for _ in self:
            pass
        if self._response is not None:
            return self._response
        if self._failure is not None:
            raise self._failure
        raise Closed("the stream was closed before its end", way_out="draw it to its end")

    async def text(self) -> AsyncIterator[str]:
        """The text as it comes. Ends at a join by restart, since the text so far is void: use the events to go on.

        Raises:
            RingfenceError: whatever ended the stream.
        """
        async for event in self:
            if type(event) is TextDelta:
                yield event.text

    async def partials(self) -> AsyncIterator[object]:
        """The structured output as it grows: instances with every field optional, then the validated one.

        Raises:
            OutputError: the whole does not validate, or was cut.
        """
        if self._output is None:
            raise Closed("this stream has no output schema", way_out="stream(…, output=YourModel)")
        text, last = "", None
        async for event in self:
            if isinstance(event, Joined) and event.how == "restart":
                text = ""
            if type(event) is TextDelta:
                text += event.text
                value = self._output.partial(text)
                if value is not None and value != last:
                    last = value
                    yield value
        if self._response is not None:
            yield self._response.output

    async def aclose(self) -> None:
        """Cancels what still runs, here and at the backend. Idempotent."""
        await self._events.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
