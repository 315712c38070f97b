"""Every error Ringfence raises: one closed tree, no user content and no secret in any of them (invariant 7).

    RingfenceError
    ├── InvalidRequest            the caller's arguments; nothing was sent
    ├── PolicyError
    │   ├── PolicyNotReadable     a named policy cannot be read; never falls back to the built-in one
    │   └── PolicyInvalid         it was read and has faults, all of them listed
    ├── Denied                    the policy left no recipient; carries the decision
    ├── GateError                 a send without a live grant, or an obligation that could not be met
    │   ├── ConsentRefused        a person said no, or there was nobody to ask
    │   └── BudgetSpent           a budget has no room for this send until `resets_at`
    ├── PluginError
    │   ├── PluginNotInstalled    no plugin of that name
    │   ├── PluginBroken          it raised while loading, or its manifest cannot be read
    │   ├── InterfaceMismatch     it was written for another version of the provider interface
    │   └── PluginLocked          the plugin lock does not approve it as it is now
    ├── ProviderError             one recipient failed; `phase` says when
    │   ├── Unavailable           no package, no model, not enough memory, wrong platform … with the way out
    │   ├── Unsupported           a setting or part the model cannot honour
    │   ├── ContextLengthExceeded the request is longer than the model's context
    │   ├── AuthenticationFailed  the recipient refused the credential
    │   ├── AttestationFailed     the recipient did not prove what it is; nothing of the request was sent
    │   ├── RequestRejected       the recipient refused the request itself
    │   ├── RateLimited           too many requests; see `retry_after_s`
    │   ├── Overloaded            the recipient is full or failing for now
    │   ├── ConnectFailed         no connection
    │   ├── TimedOut              a time limit of the call passed; `limit` names it
    │   ├── StreamBroken          the stream ended before its end; `partial_text` holds what came
    │   ├── BackendDied           the process that computed the answer died
    │   └── ProtocolViolated      the provider broke the provider interface
    ├── OutputError
    │   ├── OutputTruncated       structured output hit the length limit
    │   └── OutputInvalid         structured output does not validate
    ├── ToolLimitReached          the model asked for more tool calls than the app allows
    ├── DownloadError
    │   ├── DownloadFailed        network, disk or source; what arrived is kept and resumed
    │   └── IntegrityFailed       a file does not have the pinned size or hash
    ├── AuditError                the record cannot be written or does not verify
    ├── StoreError                what was consented to or spent cannot be read or written
    └── Closed                    the assistant or session was closed

`retryable` says whether the same send may be tried again at the same recipient; `way_out` says what a person can do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ringfence.policy.decision import Decision
    from ringfence.receipt import Receipt
    from ringfence.response import Response

Phase: TypeAlias = Literal["plan", "connect", "before_first_event", "mid_stream"]
TimeLimit: TypeAlias = Literal["connect", "first_event", "between_events", "total"]


class RingfenceError(Exception):
    """Base of every error here. `str()` is lower case and safe to show; `way_out` completes "try: …"."""

    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, way_out: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.way_out = way_out
        self.receipt: Receipt | None = None
        """The receipt of the request that failed, once there is one."""

    def __str__(self) -> str:
        return f"{self.message} (try: {self.way_out})" if self.way_out else self.message


def describe(error: BaseException) -> str:
    """A foreign exception without its message, which may hold content: `KeyError at worker.py:41`."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return type(error).__name__
    file = trace.tb_frame.f_code.co_filename.replace("\\", "/").rpartition("/")[2]
    return f"{type(error).__name__} at {file}:{trace.tb_lineno}"


class InvalidRequest(RingfenceError):
    """The caller's arguments are wrong; nothing was sent."""


class PolicyError(RingfenceError):
    """The policy named for this request cannot be used."""


class PolicyNotReadable(PolicyError):
    """A named policy file is missing or cannot be read."""


class PolicyInvalid(PolicyError):
    """A policy file has faults; `faults` lists all of them, each `file:line:col: message`, in the file's order."""

    def __init__(self, message: str, *, faults: Sequence[str], way_out: str | None = None) -> None:
        super().__init__(message, way_out=way_out)
        self.faults = tuple(faults)

    def __str__(self) -> str:
        return "\n".join((self.message, *self.faults))


class Denied(RingfenceError):
    """The policy left no recipient for the request; `decision` gives the reason for each."""

    def __init__(self, message: str, *, decision: Decision, way_out: str | None = None) -> None:
        super().__init__(message, way_out=way_out)
        self.decision = decision


class GateError(RingfenceError):
    """Bytes were about to leave without a live grant, or an obligation could not be met. Nothing was sent."""


class ConsentRefused(GateError):
    """A person said no to a recipient, or there was nobody to ask; nothing was sent there."""


class BudgetSpent(GateError):
    """A budget has no room for what a send may cost at most; nothing was sent there.

    `limit` is as the policy says it, such as `500 USD`; `resets_at` is Unix time, `None` where it never does.
    """

    def __init__(
        self, message: str, *, budget: str, limit: str, resets_at: float | None, way_out: str | None = None
    ) -> None:
        super().__init__(message, way_out=way_out)
        self.budget = budget
        self.limit = limit
        self.resets_at = resets_at


class PluginError(RingfenceError):
    """A plugin cannot be used; only requests that need it fail."""


class PluginNotInstalled(PluginError):
    """No installed distribution declares this plugin."""


class PluginBroken(PluginError):
    """The plugin raised while it was loaded, or its manifest cannot be read."""


class InterfaceMismatch(PluginError):
    """The plugin implements another version of the provider interface."""


class PluginLocked(PluginError):
    """The plugin lock does not approve the plugin as it is now, or where a policy puts it; nothing was imported."""


class ProviderError(RingfenceError):
    """One recipient failed. `phase` says when, `retry_after_s` what the recipient asked for (seconds)."""

    def __init__(
        self,
        message: str,
        *,
        phase: Phase = "before_first_event",
        retry_after_s: float | None = None,
        way_out: str | None = None,
    ) -> None:
        super().__init__(message, way_out=way_out)
        self.phase: Phase = phase
        self.retry_after_s = retry_after_s
        self.recipient: str | None = None
        """The recipient that failed; set by the core."""


UnavailableReason: TypeAlias = Literal[
    "no_package", "no_model", "no_memory", "wrong_platform", "not_configured", "plugin_broken", "unreachable"
]


class Unavailable(ProviderError):
    """The recipient cannot serve now; `reason` is typed, `way_out` says how to mend it."""

    def __init__(
        self, message: str, *, reason: UnavailableReason, phase: Phase = "plan", way_out: str | None = None
    ) -> None:
        super().__init__(message, phase=phase, way_out=way_out)
        self.reason: UnavailableReason = reason


class Unsupported(ProviderError):
    """The model cannot honour `setting`, and leaving it out would change the answer."""

    def __init__(self, message: str, *, setting: str, way_out: str | None = None) -> None:
        super().__init__(message, phase="plan", way_out=way_out)
        self.setting = setting


class ContextLengthExceeded(ProviderError):
    """The prompt and the room for an answer need `needed_tokens`; the model has `context_tokens`."""

    def __init__(
        self,
        message: str,
        *,
        needed_tokens: int,
        context_tokens: int,
        phase: Phase = "plan",
        way_out: str | None = None,
    ) -> None:
        super().__init__(message, phase=phase, way_out=way_out)
        self.needed_tokens = needed_tokens
        self.context_tokens = context_tokens


class AuthenticationFailed(ProviderError):
    """The recipient refused the credential."""


class AttestationFailed(ProviderError):
    """The recipient did not prove what it is, or not to the degree that is asked. Nothing of the request was sent."""


class RequestRejected(ProviderError):
    """The recipient refused the request itself; sending it again would be refused again."""


class RateLimited(ProviderError):
    """Too many requests; wait `retry_after_s` where it is given."""

    retryable: ClassVar[bool] = True


class Overloaded(ProviderError):
    """The recipient is full or failing for now."""

    retryable: ClassVar[bool] = True


class ConnectFailed(ProviderError):
    """No connection to the recipient."""

    retryable: ClassVar[bool] = True

    def __init__(
        self,
        message: str,
        *,
        phase: Phase = "connect",
        retry_after_s: float | None = None,
        way_out: str | None = None,
    ) -> None:
        super().__init__(message, phase=phase, retry_after_s=retry_after_s, way_out=way_out)


class TimedOut(ProviderError):
    """A time limit passed; `limit` names it. The total limit is never retried."""

    def __init__(self, message: str, *, limit: TimeLimit, phase: Phase, way_out: str | None = None) -> None:
        super().__init__(message, phase=phase, way_out=way_out)
        self.limit: TimeLimit = limit


class StreamBroken(ProviderError):
    """The stream ended before its end. `partial_text` holds what came, for the app only: never part of the message."""

    def __init__(self, message: str, *, phase: Phase = "mid_stream", way_out: str | None = None) -> None:
        super().__init__(message, phase=phase, way_out=way_out)
        self.partial_text = ""


class BackendDied(ProviderError):
    """The process that computed the answer died; the next request starts a new one."""

    retryable: ClassVar[bool] = True


class ProtocolViolated(ProviderError):
    """The provider broke the provider interface, such as an event out of order."""


class OutputError(RingfenceError):
    """The structured output cannot be used. `partial_text` holds what came, for the app only."""

    def __init__(self, message: str, *, partial_text: str = "", way_out: str | None = None) -> None:
        super().__init__(message, way_out=way_out)
        self.partial_text = partial_text
        self.response: Response[Any] | None = None


class OutputTruncated(OutputError):
    """The model reached its length limit inside the structured output."""


class OutputInvalid(OutputError):
    """The structured output does not validate against the schema."""


class ToolLimitReached(RingfenceError):
    """The model asked for more tool calls than the app allows. The calls of the last answer were not run.

    `response` is that answer, with the turns before it.
    """

    def __init__(self, message: str, *, response: Response[Any], way_out: str | None = None) -> None:
        super().__init__(message, way_out=way_out)
        self.response = response


class DownloadError(RingfenceError):
    """A model cannot be brought to this machine."""


class DownloadFailed(DownloadError):
    """The network, the disk or the source failed; what arrived is kept, and the next try resumes there."""


class IntegrityFailed(DownloadError):
    """A file does not have the pinned size or SHA-256; it was not used."""


class AuditError(RingfenceError):
    """The audit log cannot be written, or does not verify. `response` holds an answer that came before the fault."""

    def __init__(self, message: str, *, way_out: str | None = None) -> None:
        super().__init__(message, way_out=way_out)
        self.response: Response[Any] | None = None


class StoreError(RingfenceError):
    """The record of consents or of budgets cannot be read or written, or is damaged."""


class Closed(RingfenceError):
    """The assistant, session or provider was closed before this call."""
