"""From what goes wrong with a worker to the errors of the provider interface: by type and kind, never by words."""

from __future__ import annotations

from ringfence.errors import (
    BackendDied,
    Closed,
    ContextLengthExceeded,
    InvalidRequest,
    Overloaded,
    Phase,
    ProviderError,
    RequestRejected,
    RingfenceError,
    Unavailable,
    Unsupported,
)
from ringfence_mlx.fleet import NoMemory
from ringfence_mlx.process import WorkerDied, WorkerFault
from ringfence_mlx.supervisor import ForkedProcess, WorkerPaused
from ringfence_mlx.wire import FrameError

_MIB = 1024 * 1024


def as_provider_error(  # noqa: PLR0911  (one error a case)
    error: Exception, phase: Phase, *, closed: bool
) -> RingfenceError | None:
    """The error a caller gets for `error`; `None` for one that is not ours to translate. `closed`: the provider was."""
    match error:
        case WorkerDied() if closed:
            return closed_error()
        case WorkerDied():
            return BackendDied(
                f"the process of the model ended ({error.how})",
                phase=phase,
                way_out="send the request again; a new process starts",
            )
        case WorkerFault():
            return fault_error(error, phase)
        case WorkerPaused():
            return BackendDied(
                f"the process of the model ended {error.deaths} times in a row",
                phase=phase,
                retry_after_s=error.retry_after_s,
                way_out="wait a little; ringfence doctor says what is wrong",
            )
        case NoMemory():
            return _no_memory(error, phase)
        case ForkedProcess():
            return forked_error()
        case FrameError():
            return InvalidRequest("the request is too large for the worker", way_out="send less at once")
        case _:
            return None


def closed_error() -> Closed:
    """The provider is closed, or was never opened."""
    return Closed("the provider mlx is closed", way_out="open it, or a new assistant")


def forked_error() -> Closed:
    """This process was forked from the one that opened the provider."""
    return Closed("the provider mlx was opened in the process this one was forked from", way_out="open one after fork")


def fault_error(fault: WorkerFault, phase: Phase) -> ProviderError:  # noqa: PLR0911  (one error a case)
    """What a caller is told of a call that the worker refused or failed."""
    frame, message = fault.frame, fault.message
    match fault.kind:
        case "context_length":
            return ContextLengthExceeded(
                message,
                needed_tokens=int(frame["needed_tokens"]),
                context_tokens=int(frame["context_tokens"]),
                phase=phase,
                way_out="shorten the text, ask for a shorter answer, or use a model with a longer context",
            )
        case "unsupported":
            return Unsupported(message, setting=str(frame.get("setting", "request")), way_out="use another model")
        case "overloaded":
            return Overloaded(message, phase=phase, way_out="try again when some are done")
        case "no_memory":
            return Unavailable(
                message,
                reason="no_memory",
                phase=phase,
                way_out="shorten the request, or raise the option memory_bytes",
            )
        case "no_package":
            return Unavailable(message, reason="no_package", phase=phase, way_out="pip install ringfence-mlx")
        case "no_model":
            return Unavailable(message, reason="no_model", phase=phase, way_out="download the model again")
        case "rejected":
            return RequestRejected(message, phase=phase)
        case _:
            return BackendDied(message, phase=phase, way_out="send the request again")


def _no_memory(error: NoMemory, phase: Phase) -> ProviderError:
    needed, budget = error.needed_bytes // _MIB, error.budget_bytes // _MIB
    message = f"the model needs {needed} MiB; {budget} MiB are allowed for all models"
    if error.could_wait:
        return Overloaded(f"{message}, and the others are busy", phase=phase, way_out="try again when they are done")
    return Unavailable(
        message, reason="no_memory", phase=phase, way_out="raise the option memory_bytes, or use a smaller model"
    )


__all__ = ["as_provider_error", "closed_error", "fault_error", "forked_error"]
