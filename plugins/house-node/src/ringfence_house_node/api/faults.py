"""What a caller is told when there is no answer: the status, and the error in the shape of the OpenAI API.

The codes are those that `ringfence_openai.errors` reads back. INVARIANT 7: a message holds nothing of what was asked or
answered; it is a sentence of ours, with at most the name of a field of the API.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from ringfence.errors import (
    ContextLengthExceeded,
    InvalidRequest,
    Overloaded,
    ProviderError,
    RateLimited,
    RequestRejected,
    RingfenceError,
    Unsupported,
)

BAD_REQUEST, NOT_FOUND, FAILED, BUSY = 400, 404, 500, 503
_WAIT_S = 1.0
"""After which a caller may ask a node again that failed or is full."""

_FIELDS = {
    "output": "response_format",
    "image": "messages",
    "file": "messages",
    "max_output_tokens": "max_completion_tokens",
    "task": "model",
}
"""The API's names for what the SDK calls otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One error of the API. `param` is the field it is about."""

    status: int
    code: str
    message: str
    param: str | None = None
    retry_after_s: float | None = None

    def body(self) -> bytes:
        """The error as an answer of its own, and as an event of a stream."""
        kind = "invalid_request_error" if self.status < FAILED else "server_error"
        error = {"message": self.message, "type": kind, "param": self.param, "code": self.code}
        return msgspec.json.encode({"error": error})


class Refused(Exception):
    """The request is refused before an engine sees anything of it."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.code)
        self.fault = fault


def refused(message: str, param: str | None = None, *, code: str = "invalid_request") -> Refused:
    """A request that is no request of this API, or asks for what this node does not do."""
    return Refused(Fault(status=BAD_REQUEST, code=code, message=message, param=param))


def not_supported(what: str, param: str) -> Refused:
    """A request that asks for what the engine cannot do."""
    return refused(f"the model of this node {what}", param, code="unsupported_parameter")


def too_long(context_tokens: int) -> Fault:
    """A request beyond the model's context."""
    message = f"the request and its answer are longer than the {context_tokens} tokens of the model"
    return Fault(status=BAD_REQUEST, code="context_length_exceeded", message=message)


def no_model() -> Fault:
    """A request for another model than the node's."""
    return Fault(
        status=NOT_FOUND, code="model_not_found", message="this node has another model or address", param="model"
    )


def not_ready() -> Fault:
    """A request that came while there is nothing to answer it."""
    return Fault(status=BUSY, code="server_error", message="the model of this node is not ready", retry_after_s=_WAIT_S)


def fault_of(error: RingfenceError, *, of_a_server: bool) -> Fault:  # noqa: PLR0911  (one fault a case)
    """What a caller is told of an error below. `of_a_server`: the engine is a server, and not a worker of ours."""
    match error:
        case ContextLengthExceeded():
            return too_long(error.context_tokens)
        case Unsupported():
            return not_supported("cannot do what was asked", _FIELDS.get(error.setting, error.setting)).fault
        case InvalidRequest():
            return refused("the request does not fit together").fault
        case RequestRejected():
            return refused("the model of this node refuses the request").fault
        case RateLimited() | Overloaded():
            message = "the model of this node is full or failing for now"
            wait_s = _WAIT_S if error.retry_after_s is None else error.retry_after_s
            return Fault(status=BUSY, code="server_is_overloaded", message=message, retry_after_s=wait_s)
        case ProviderError() if of_a_server and getattr(error, "reason", "") == "no_model":
            # mlx_lm.server answers 404 to whatever its template refuses.
            return refused("the model of this node refuses the request").fault
        case ProviderError():
            message = "the model of this node failed"
            return Fault(status=BUSY, code="server_error", message=message, retry_after_s=_WAIT_S)
        case _:
            return Fault(status=FAILED, code="server_error", message="this node failed")


__all__ = ["Fault", "Refused", "fault_of", "no_model", "not_ready", "not_supported", "refused", "too_long"]
