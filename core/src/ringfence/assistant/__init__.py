"""The facade: `Assistant` and `AsyncAssistant`, their streams and sessions."""

from ringfence.assistant.asynchronous import AsyncAssistant
from ringfence.assistant.session import AsyncSession
from ringfence.assistant.stream import AsyncStream
from ringfence.assistant.synchronous import Assistant, Session, Stream

__all__ = ["Assistant", "AsyncAssistant", "AsyncSession", "AsyncStream", "Session", "Stream"]
