"""Why an engine gives no token, in words that hold nothing of a request and nothing that the engine said."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from ringfence.errors import (
    AuthenticationFailed,
    BackendDied,
    ConnectFailed,
    Overloaded,
    ProviderError,
    RingfenceError,
    TimedOut,
    Unavailable,
    UnavailableReason,
)

CauseWord: TypeAlias = (
    UnavailableReason
    | Literal["nothing_listens", "key_refused", "ended", "died", "silent", "connection_lost", "failing", "refused"]
)

_NOT_STARTED = 127
_KEY = "--engine-key env:NAME or file:PATH, with the key that the engine takes"
_MODEL = "--served-model with the engine's own name for the model; look at --engine-url too"
_COMMAND = "run it by hand and read what it says: nothing of that is kept here"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """`word` is for programs, `says` for people; `way_out` completes "try: …"."""

    word: CauseWord
    says: str
    way_out: str | None = None

    def __str__(self) -> str:
        return f"{self.says} (try: {self.way_out})" if self.way_out else self.says


SILENT = Cause(word="silent", says="the engine gave no token in time")
RESTARTING = Cause(word="died", says="the engine died or hangs; it is started again")


def cause_of(error: RingfenceError, *, ours: bool) -> Cause:
    """What `error` says of the engine. `ours`: it is our worker, whose words and ways out are for this operator."""
    if isinstance(error, Unavailable):
        return _unavailable(error, ours=ours)
    if isinstance(error, AuthenticationFailed):
        return Cause(word="key_refused", says="the engine refused: it wants a key, or another one", way_out=_KEY)
    if isinstance(error, ConnectFailed) and error.phase == "connect":
        way_out = "start the engine, or look at --engine-url"
        return Cause(word="nothing_listens", says="nothing listens at the engine's url", way_out=way_out)
    if isinstance(error, TimedOut):
        return SILENT
    return Cause(word=_word(error), says=_of_the_engine(error), way_out=error.way_out if ours else None)


def ended(code: int | None, *, lived: bool) -> Cause:
    """A command that ended. `lived`: it had given a token."""
    if code == _NOT_STARTED:
        return Cause(word="ended", says="the engine's command cannot be started", way_out="look at --engine-command")
    if lived:
        return Cause(word="died", says=f"the engine died: its command ended with code {code}; it is started again")
    return Cause(word="ended", says=f"the engine's command ended with code {code}", way_out=_COMMAND)


def _unavailable(error: Unavailable, *, ours: bool) -> Cause:
    if not ours and error.reason == "no_model":
        return Cause(word="no_model", says="the engine knows no such model, or no such address", way_out=_MODEL)
    return Cause(word=error.reason, says=_of_the_engine(error), way_out=error.way_out)


def _word(error: RingfenceError) -> CauseWord:
    if isinstance(error, BackendDied):
        return "died"
    if isinstance(error, Overloaded):
        return "failing"
    lost = isinstance(error, ProviderError) and error.phase != "plan" and error.retryable
    return "connection_lost" if lost else "refused"


def _of_the_engine(error: RingfenceError) -> str:
    # INVARIANT 7 makes the words of our errors safe to show; to the policy of a node, its engine is a recipient.
    return error.message.replace("the recipient", "the engine")


__all__ = ["RESTARTING", "SILENT", "Cause", "CauseWord", "cause_of", "ended"]
