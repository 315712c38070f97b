"""`Assistant`: the synchronous face of `AsyncAssistant`. No logic of its own, only a thread to run the one path on."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterable, Iterator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, Unpack, cast, overload

from ringfence.assistant.asynchronous import AsyncAssistant
from ringfence.assistant.build import Input, RequestOptions
from ringfence.assistant.portal import Draw, Portal
from ringfence.assistant.session import AsyncSession
from ringfence.assistant.setup import Layers, PolicyLike, find_source
from ringfence.assistant.stream import AsyncStream
from ringfence.errors import Closed
from ringfence.lock import Lock, find_lock
from ringfence.policy import Policy
from ringfence.policy.decision import Decision
from ringfence.policy.reload import PolicyState
from ringfence.privacy.consent import ConsentCallback
from ringfence.privacy.consent_record import ConsentRecord
from ringfence.provider import Embeddings
from ringfence.receipt import Receipt
from ringfence.request import FilePart, JsonValue, Message
from ringfence.response import Event, Response
from ringfence.routing.limits import Retry, Timeouts
from ringfence.routing.providers import ProviderSetup
from ringfence.transport import Network

if TYPE_CHECKING:
    from ringfence.routing.budget import BudgetState

OutputT = TypeVar("OutputT")

_log = logging.getLogger("ringfence")
_CLOSE_TIMEOUT_S = 20.0

_left_behind: list[object] = []
"""What a forked child must never finalize: the parent's loop, workers and pipes."""


class _Live:
    """One process's portal and the assistant that lives on it."""

    def __init__(self, arguments: Mapping[str, Any]) -> None:
        self.process = os.getpid()
        self.portal = Portal()
        self.assistant = AsyncAssistant(**arguments)


class Assistant:
    """Sends assistant requests where a policy allows. The same as `AsyncAssistant`, without `await`.

    Safe to share between threads and to use inside a running event loop. A forked child that uses it gets providers of
    its own. Use it as a context manager, or call `close()`.

    Args:
        policy: a policy file or a loaded policy; `None` takes the file named by `RINGFENCE_POLICY`, else the built-in
            policy, under which nothing leaves the device. Never the working directory.
        layers: files that narrow the policy further: policy files without declarations, and Apple device profiles.
            Those that `RINGFENCE_LAYERS` names hold besides, for every policy.
        reload: whether a new version of the policy's files is noticed when a request begins, and used from then on.
        providers: options by provider name, or a provider object to use instead of the installed plugin.
        audit: the folder of the audit log; `True` is the default folder, `False` keeps no record.
        tenant: whose requests these are; a provider reuses work only within one tenant, and `None` reuses nothing.
        timeouts: time limits of every request.
        retry: how often one recipient is asked again after a retryable error.
        consent: asks a person whether a request may go to a recipient for which the policy wants consent; with none
            the answer is no. A plain function is called in a thread, so it may wait for a key press; a coroutine
            function runs on this assistant's own loop.
        network: a proxy and a CA file, for recipients beyond the device. Nothing is taken from the environment.

    Raises:
        PolicyError: the policy cannot be read or has faults. It never falls back to the built-in one.
    """

    def __init__(
        self,
        policy: PolicyLike | None = None,
        *,
        layers: Layers = (),
        reload: bool = True,
        providers: ProviderSetup | None = None,
        audit: bool | str | os.PathLike[str] = True,
        tenant: str | None = None,
        timeouts: Timeouts | None = None,
        retry: Retry | None = None,
        consent: ConsentCallback | None = None,
        network: Network | None = None,
        lock: Lock | str | os.PathLike[str] | None = None,
    ) -> None:
        self._source = find_source(policy, layers)
        self._arguments = {
            "policy": self._source,
            "reload": reload,
            "providers": providers,
            "audit": audit,
            "tenant": tenant,
            "timeouts": timeouts,
            "retry": retry,
            "consent": consent,
            "network": network,
            "lock": find_lock(lock),
        }
        self._lock = threading.Lock()
        self._live: _Live | None = _Live(self._arguments)

    @property
    def policy(self) -> Policy:
        """The policy in force: requests that begin now are decided under it."""
        return self._source.policy

    @property
    def policy_state(self) -> PolicyState:
        """What is in force, since when, and what is wrong with a newer version that is not."""
        return self._source.state

    def reload(self) -> None:
        """Loads the policy's files now; see `AsyncAssistant.reload`."""
        live = self._now()
        live.portal.call(live.assistant.reload())

    def _now(self) -> _Live:
        live = self._live
        if live is None:
            raise Closed("the assistant is closed", way_out="make a new one")
        if live.process == os.getpid():
            return live
        # A fork copies memory but no threads; another thread's lock may be held for ever in this copy.
        self._lock = threading.Lock()
        with self._lock:
            if self._live is live:
                _left_behind.append(live)
                self._live = _Live(self._arguments)
            assert self._live is not None  # noqa: S101  (only close() sets None, and it was not None above)
            return self._live

    # ------------------------------------------------------------------ asking
    @overload
    def respond(
        self, given: Input, *, output: None = None, repair: int = 0, **options: Unpack[RequestOptions]
    ) -> Response[None]: ...
    @overload
    def respond(
        self, given: Input, *, output: type[OutputT], repair: int = 0, **options: Unpack[RequestOptions]
    ) -> Response[OutputT]: ...
    @overload
    def respond(
        self, given: Input, *, output: Mapping[str, JsonValue], repair: int = 0, **options: Unpack[RequestOptions]
    ) -> Response[JsonValue]: ...
    def respond(
        self,
        given: Input,
        *,
        output: type[Any] | Mapping[str, JsonValue] | None = None,
        repair: int = 0,
        **options: Unpack[RequestOptions],
    ) -> Response[Any]:
        """The whole answer; see `AsyncAssistant.respond`."""
        live = self._now()
        asked = cast("Any", live.assistant.respond)(given, output=output, repair=repair, **options)
        return cast("Response[Any]", live.portal.call(asked))

    @overload
    def stream(self, given: Input, *, output: None = None, **options: Unpack[RequestOptions]) -> Stream[None]: ...
    @overload
    def stream(self, given: Input, *, output: type[OutputT], **options: Unpack[RequestOptions]) -> Stream[OutputT]: ...
    @overload
    def stream(
        self, given: Input, *, output: Mapping[str, JsonValue], **options: Unpack[RequestOptions]
    ) -> Stream[JsonValue]: ...
    def stream(
        self,
        given: Input,
        *,
        output: type[Any] | Mapping[str, JsonValue] | None = None,
        **options: Unpack[RequestOptions],
    ) -> Stream[Any]:
        """The answer as events; see `AsyncAssistant.stream`. Closing it cancels the work."""
        live = self._now()
        return Stream(live.portal, cast("Any", live.assistant.stream)(given, output=output, **options))

    def session(self, *, load: Mapping[str, Any] | None = None, **options: Unpack[RequestOptions]) -> Session:
        """A conversation; see `AsyncAssistant.session`."""
        live = self._now()
        return Session(live.portal, live.assistant.session(load=load, **options))

    # ------------------------------------------------------------------ the verbs of an assistant
    def summarize(self, text: str, **options: Unpack[RequestOptions]) -> str:
        """A summary of a long text."""
        live = self._now()
        return live.portal.call(live.assistant.summarize(text, **options))

    def rewrite(self, text: str, *, style: str = "", **options: Unpack[RequestOptions]) -> str:
        """`text`, written again; `style` says how."""
        live = self._now()
        return live.portal.call(live.assistant.rewrite(text, style=style, **options))

    def proofread(self, text: str, **options: Unpack[RequestOptions]) -> str:
        """`text` with spelling, grammar and punctuation corrected."""
        live = self._now()
        return live.portal.call(live.assistant.proofread(text, **options))

    def reply(self, text: str, *, intent: str = "", **options: Unpack[RequestOptions]) -> str:
        """A reply to a message or e-mail; `intent` is what it should say."""
        live = self._now()
        return live.portal.call(live.assistant.reply(text, intent=intent, **options))

    def extract(
        self, text: str, output: type[OutputT], *, repair: int = 1, **options: Unpack[RequestOptions]
    ) -> OutputT:
        """What `text` says, as an instance of `output`; see `AsyncAssistant.extract`."""
        live = self._now()
        return live.portal.call(live.assistant.extract(text, output, repair=repair, **options))

    def embed(self, texts: str | Iterable[str], **options: Unpack[RequestOptions]) -> Response[Embeddings]:
        """One vector of norm 1 for each text, in `response.output`."""
        live = self._now()
        return live.portal.call(live.assistant.embed(texts, **options))

    def draw(
        self, prompt: str, *, size: str | None = None, count: int | None = None, **options: Unpack[RequestOptions]
    ) -> Response[None]:
        """Pictures of what `prompt` says, in `response.images`; see `AsyncAssistant.draw`."""
        live = self._now()
        return live.portal.call(live.assistant.draw(prompt, size=size, count=count, **options))

    def transcribe(
        self,
        audio: bytes | FilePart,
        *,
        media_type: str = "audio/wav",
        language: str | None = None,
        **options: Unpack[RequestOptions],
    ) -> str:
        """The words of a recording; see `AsyncAssistant.transcribe`."""
        live = self._now()
        return live.portal.call(live.assistant.transcribe(audio, media_type=media_type, language=language, **options))

    def speak(
        self,
        text: str,
        *,
        voice: str | None = None,
        format: str | None = None,  # noqa: A002  (the word of every speech API)
        **options: Unpack[RequestOptions],
    ) -> Response[None]:
        """`text`, spoken: the sound is `response.files[0]`; see `AsyncAssistant.speak`."""
        live = self._now()
        return live.portal.call(live.assistant.speak(text, voice=voice, format=format, **options))

    def count_tokens(self, given: Input, **options: Unpack[RequestOptions]) -> int:
        """The tokens that the model would read for this request; see `AsyncAssistant.count_tokens`."""
        live = self._now()
        return live.portal.call(live.assistant.count_tokens(given, **options))

    # ------------------------------------------------------------------ around it
    def explain(self, given: Input, **options: Unpack[RequestOptions]) -> Decision:
        """What the policy decides for this request, without sending or loading anything."""
        return self._now().assistant.explain(given, **options)

    def consents(self, *, ended: bool = False) -> tuple[ConsentRecord, ...]:
        """Every consent that holds here; see `AsyncAssistant.consents`."""
        live = self._now()
        return live.portal.call(live.assistant.consents(ended=ended))

    def revoke(self, *ids: str, recipient: str | None = None, everything: bool = False) -> int:
        """Takes consents back, so that nothing leaves on them any more; see `AsyncAssistant.revoke`."""
        live = self._now()
        return live.portal.call(live.assistant.revoke(*ids, recipient=recipient, everything=everything))

    def budgets(self) -> tuple[BudgetState, ...]:
        """How each budget of the policy stands now; see `AsyncAssistant.budgets`."""
        live = self._now()
        return live.portal.call(live.assistant.budgets())

    def prewarm(self, *recipients: str) -> None:
        """Loads the models of `recipients` before they are needed; see `AsyncAssistant.prewarm`."""
        live = self._now()
        live.portal.call(live.assistant.prewarm(*recipients))

    def close(self) -> None:
        """Ends all work and the thread. Idempotent."""
        live, self._live = self._live, None
        if live is None:
            return
        if live.process != os.getpid():
            _left_behind.append(live)
            return
        try:
            live.portal.call(live.assistant.close(), timeout_s=_CLOSE_TIMEOUT_S)
        except TimeoutError:
            _log.warning("a provider did not end in time; its work is left behind")
        finally:
            live.portal.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Assistant(policy={self.policy.name}, recipients={list(self.policy.recipients)})"


class Stream(Generic[OutputT]):
    """A streamed answer for synchronous code; see `AsyncStream`. Closing it cancels the work."""

    def __init__(self, portal: Portal, stream: AsyncStream[OutputT]) -> None:
        self._portal = portal
        self._stream = stream
        self._draw: Draw[Any] | None = None

    def _drawn(self, make: Any) -> Iterator[Any]:
        if self._draw is None:
            self._draw = Draw(self._portal, make, self._stream.aclose)
        return self._draw

    def __iter__(self) -> Iterator[Event]:
        return cast("Iterator[Event]", self._drawn(self._stream.__aiter__))

    def __next__(self) -> Event:
        return next(iter(self))

    @property
    def receipt(self) -> Receipt | None:
        """The receipt, once the stream has ended, was closed or failed; `None` before."""
        return self._stream.receipt

    def text(self) -> Iterator[str]:
        """The text as it comes."""
        return cast("Iterator[str]", self._drawn(self._stream.text))

    def partials(self) -> Iterator[object]:
        """The structured output as it grows, ending with the validated instance."""
        return self._drawn(self._stream.partials)

    def response(self) -> Response[OutputT]:
        """The whole answer; draws what is left first."""
        for _ in self._drawn(self._stream.__aiter__):
            pass
        return self._portal.call(self._stream.response())

    def close(self) -> None:
        """Cancels what still runs, here and at the backend. Idempotent."""
        if self._draw is not None:
            self._draw.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Session:
    """A conversation for synchronous code; see `AsyncSession`."""

    def __init__(self, portal: Portal, session: AsyncSession) -> None:
        self._portal = portal
        self._session = session

    @property
    def messages(self) -> tuple[Message, ...]:
        """The turns so far."""
        return self._session.messages

    @property
    def labels(self) -> frozenset[str]:
        """The high-water mark: every label that any turn carried."""
        return self._session.labels

    def respond(
        self,
        given: Input,
        *,
        output: type[Any] | Mapping[str, JsonValue] | None = None,
        **options: Unpack[RequestOptions],
    ) -> Response[Any]:
        """The answer to the next turn."""
        asked = cast("Any", self._session.respond)(given, output=output, **options)
        return cast("Response[Any]", self._portal.call(asked))

    def stream(
        self,
        given: Input,
        *,
        output: type[Any] | Mapping[str, JsonValue] | None = None,
        **options: Unpack[RequestOptions],
    ) -> Stream[Any]:
        """The answer to the next turn as events. The turn counts once the stream was drawn to its end."""
        return Stream(self._portal, self._session.stream(given, output=output, **options))

    def dump(self, *, provider_state: bool = True) -> dict[str, Any]:
        """The turns and labels as JSON-ready data; see `AsyncSession.dump`."""
        return self._session.dump(provider_state=provider_state)

    def load(self, data: Mapping[str, Any]) -> None:
        """Takes the turns of a dump; the high-water mark never falls."""
        self._session.load(data)
