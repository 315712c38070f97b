"""A plain function of the app in a thread of its own, so that it may block."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, cast


async def call(function: Callable[..., Any], *arguments: object, **named: object) -> object:
    """What `function` gives: a coroutine function runs on the loop, any other in a thread.

    The thread is a daemon and belongs to no pool: one that hangs takes no place from others and does not keep the
    process alive. It cannot be cancelled: whoever stops waiting drops what it will return.

    Raises:
        Exception: what the function raised.
    """
    if is_async(function):
        return cast("object", await function(*arguments, **named))
    result = await _in_thread(lambda: function(*arguments, **named))
    return await result if inspect.isawaitable(result) else result


def is_async(function: Callable[..., Any]) -> bool:
    """Whether calling it gives a coroutine."""
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None))  # noqa: B004


class _Ended:
    """How a function ended. Not an exception of a future: a future refuses some, and others would end the loop."""

    __slots__ = ("error", "value")

    def __init__(self) -> None:
        self.value: object = None
        self.error: BaseException | None = None


class Exited(Exception):
    """A function in a thread ended with something that is no `Exception`, such as `SystemExit`."""


async def _in_thread(work: Callable[[], object]) -> object:
    loop = asyncio.get_running_loop()
    future: asyncio.Future[_Ended] = loop.create_future()
    context = contextvars.copy_context()

    def tell(ended: _Ended) -> None:
        if not future.done():
            future.set_result(ended)

    def run() -> None:
        ended = _Ended()
        try:
            ended.value = context.run(work)
        except BaseException as error:  # noqa: BLE001  (raised again where it is awaited)
            ended.error = error
        with suppress(RuntimeError):  # the loop was closed meanwhile, and nobody waits
            loop.call_soon_threadsafe(tell, ended)

    threading.Thread(target=run, name="ringfence-call", daemon=True).start()
    ended = await future
    if isinstance(ended.error, Exception) and not isinstance(ended.error, StopIteration):
        raise ended.error
    if ended.error is not None:
        raise Exited(type(ended.error).__name__)
    return ended.value


__all__ = ["Exited", "call", "is_async"]
