"""Ringfence: one interface to assistant models on three rings of trust, under a policy that says what may go where.

Names are loaded on first use, so that `import ringfence` costs next to nothing.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ringfence.assistant import Assistant, AsyncAssistant, AsyncSession, AsyncStream, Session, Stream
    from ringfence.assistant.tools import FunctionTool, ToolError, ToolLimits, ToolResult, tool
    from ringfence.errors import (
        BudgetSpent,
        ConsentRefused,
        Denied,
        InvalidRequest,
        OutputError,
        PolicyError,
        ProviderError,
        RingfenceError,
        StoreError,
        ToolLimitReached,
    )
    from ringfence.policy import Policy, load_policy
    from ringfence.privacy.consent import ONCE, ConsentRequest
    from ringfence.privacy.consent_record import ConsentRecord
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
    from ringfence.routing.budget import BudgetState
    from ringfence.routing.limits import Retry, Timeouts
    from ringfence.transport import Network

_HOME = {
    "ringfence.assistant": ("Assistant", "AsyncAssistant", "AsyncSession", "AsyncStream", "Session", "Stream"),
    "ringfence.assistant.tools": ("FunctionTool", "ToolError", "ToolLimits", "ToolResult", "tool"),
    "ringfence.errors": (
        "BudgetSpent", "ConsentRefused", "Denied", "InvalidRequest", "OutputError", "PolicyError", "ProviderError",
        "RingfenceError", "StoreError", "ToolLimitReached",
    ),
    "ringfence.policy": ("Policy", "load_policy"),
    "ringfence.privacy.consent": ("ONCE", "ConsentRequest"),
    "ringfence.privacy.consent_record": ("ConsentRecord",),
    "ringfence.receipt": ("Receipt",),
    "ringfence.request": (
        "FilePart", "ImagePart", "Message", "ReasoningPart", "Request", "Settings", "TextPart", "Tool", "ToolCallPart",
        "ToolResultPart",
    ),
    "ringfence.response": ("Response",),
    "ringfence.routing.budget": ("BudgetState",),
    "ringfence.routing.limits": ("Retry", "Timeouts"),
    "ringfence.transport": ("Network",),
}  # fmt: skip
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}

__version__ = "0.1.0"

# Silent until the app says otherwise; and content-free at every level.
logging.getLogger("ringfence").addHandler(logging.NullHandler())

__all__ = [
    "ONCE",
    "Assistant",
    "AsyncAssistant",
    "AsyncSession",
    "AsyncStream",
    "BudgetSpent",
    "BudgetState",
    "ConsentRecord",
    "ConsentRefused",
    "ConsentRequest",
    "Denied",
    "FilePart",
    "FunctionTool",
    "ImagePart",
    "InvalidRequest",
    "Message",
    "Network",
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
    "StoreError",
    "Stream",
    "TextPart",
    "Timeouts",
    "Tool",
    "ToolCallPart",
    "ToolError",
    "ToolLimitReached",
    "ToolLimits",
    "ToolResult",
    "ToolResultPart",
    "__version__",
    "load_policy",
    "tool",
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
