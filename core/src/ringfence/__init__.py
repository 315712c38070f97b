"""Ringfence: one interface to assistant models on three rings of trust, under a policy that says what may go where.

Names are loaded on first use, so that `import ringfence` costs next to nothing.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ringfence.assistant import Assistant, AsyncAssistant, AsyncSession, AsyncStream, Session, Stream
    from ringfence.errors import Denied, InvalidRequest, OutputError, PolicyError, ProviderError, RingfenceError
    from ringfence.policy import Policy, load_policy
    from ringfence.receipt import Receipt
    from ringfence.request import (
        FilePart,
        ImagePart,
        Message,
        ReasoningPart,
        Request,
        Settings,
        TextPart,
        Tool,
        ToolCallPart,
        ToolResultPart,
    )
    from ringfence.response import Response
    from ringfence.routing.limits import Retry, Timeouts

_HOME = {
    "ringfence.assistant": ("Assistant", "AsyncAssistant", "AsyncSession", "AsyncStream", "Session", "Stream"),
    "ringfence.errors": ("Denied", "InvalidRequest", "OutputError", "PolicyError", "ProviderError", "RingfenceError"),
    "ringfence.policy": ("Policy", "load_policy"),
    "ringfence.receipt": ("Receipt",),
    "ringfence.request": (
        "FilePart", "ImagePart", "Message", "ReasoningPart", "Request", "Settings", "TextPart", "Tool", "ToolCallPart",
        "ToolResultPart",
    ),
    "ringfence.response": ("Response",),
    "ringfence.routing.limits": ("Retry", "Timeouts"),
}  # fmt: skip
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}

__version__ = "0.1.0"

# Silent until the app says otherwise; and content-free at every level.
logging.getLogger("ringfence").addHandler(logging.NullHandler())

__all__ = [
    "Assistant",
    "AsyncAssistant",
    "AsyncSession",
    "AsyncStream",
    "Denied",
    "FilePart",
    "ImagePart",
    "InvalidRequest",
    "Message",
    "OutputError",
    "Policy",
    "PolicyError",
    "ProviderError",
    "ReasoningPart",
    "Receipt",
    "Request",
    "Response",
    "Retry",
    "RingfenceError",
    "Session",
    "Settings",
    "Stream",
    "TextPart",
    "Timeouts",
    "Tool",
    "ToolCallPart",
    "ToolResultPart",
    "__version__",
    "load_policy",
]


def __getattr__(name: str) -> object:
    module = _MODULE_OF.get(name)
    if module is None:
        raise AttributeError(f"module 'ringfence' has no attribute '{name}'")
    from importlib import import_module  # noqa: PLC0415  (the point of this function)

    value: object = getattr(import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
