"""`AsyncAssistant`: the facade an app holds. It builds requests and hands them to one execution path."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, Unpack, cast, overload

from ringfence.assistant.build import (
    Input,
    RequestOptions,
    build_request,
    input_messages,
    with_tools_made,
    without_input_options,
)
from ringfence.assistant.media import audio_part, require_parts, with_settings
from ringfence.assistant.output import Output
from ringfence.assistant.setup import (
    Layers,
    PolicyLike,
    audit_log,
    check_providers,
    check_recipients,
    find_policy,
    find_source,
    gate_for,
)
from ringfence.assistant.stream import Answering, AsyncStream
from ringfence.assistant.tools import ToolLimits, toolbox_of
from ringfence.checks import is_mapping, require
from ringfence.errors import (
    Closed,
    OutputInvalid,
    ProtocolViolated,
    RingfenceError,
    describe,
)
from ringfence.lock import Lock, find_lock
from ringfence.privacy.consent import ConsentCallback
from ringfence.privacy.consents import ConsentDesk, Consents, Held
from ringfence.privacy.detection import installed_detectors
from ringfence.provider import Embeddings, Prewarms
from ringfence.request import FilePart, JsonValue, Message, Request, TextPart
from ringfence.response import Response
from ringfence.routing.execute import Execution
from ringfence.routing.limits import Retry, Timeouts
from ringfence.routing.providers import Providers, ProviderSetup
from ringfence.routing.runtime import InForce, Runtime, UnderWay
from ringfence.transport import Network

if TYPE_CHECKING:
    from ringfence.assistant.session import AsyncSession
    from ringfence.policy import Policy
    from ringfence.policy.decision import Decision
    from ringfence.policy.reload import PolicySource, PolicyState
    from ringfence.privacy.consent_record import ConsentRecord
    from ringfence.privacy.gate import Gate
    from ringfence.recipient import Recipient
    from ringfence.routing.budget import BudgetState
    from ringfence.routing.ledger import Ledger

OutputT = TypeVar("OutputT")


class AsyncAssistant:
    """Sends assistant requests where a policy allows. Use it as an async context manager, on one event loop.

    Args:
        policy: a policy file or a loaded policy; `None` takes the file named by `RINGFENCE_POLICY`, else the built-in
            policy, under which nothing leaves the device. Never the working directory.
        layers: files that narrow the policy further: policy files without declarations, and Apple device profiles.
            Those that `RINGFENCE_LAYERS` names hold besides, for every policy.
        reload: whether a new version of the policy's files is noticed when a request begins, and used from then on.
        providers: options by provider name, or a provider object to use instead of the installed plugin. A name that
            neither the policy nor an installed plugin has is refused.
        audit: the folder of the audit log; `True` is the default folder, `False` keeps no record.
        tenant: whose requests these are; a provider reuses work only within one tenant, and `None` reuses nothing.
        timeouts: time limits of every request.
        retry: how often one recipient is asked again after a retryable error.
        consent: asks a person whether a request may go to a recipient for which the policy wants consent; with none
            the answer is no. A plain function is called in a thread, so it may wait for a key press.
        network: a proxy and a CA file, for recipients beyond the device. Nothing is taken from the environment.
        lock: the plugin lock, a file that `ringfence providers lock` wrote; `None` takes the file named by
            `RINGFENCE_LOCK`, else that of the user, if there is one. `NO_LOCK` loads whatever is installed.

    Raises:
        PluginLocked: a lock was named and cannot be used.
        PolicyError: the policy cannot be read or has faults. It never falls back to the built-in one.
    """

    def __init__(
        self,
        policy: PolicyLike | PolicySource | None = None,
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
        require(providers is None or is_mapping(providers), "providers maps names", 'providers={"mlx": {…}}')
        name: object = tenant
        require(name is None or (isinstance(name, str) and name != ""), "tenant is a name", 'tenant="customer-7"')
        require(timeouts is None or isinstance(timeouts, Timeouts), "timeouts is a Timeouts", "Timeouts(total_s=60)")
        require(retry is None or isinstance(retry, Retry), "retry is a Retry", "Retry(attempts=1)")
        require(consent is None or callable(consent), "consent is a function that asks", "consent=ask_a_person")
        require(network is None or isinstance(network, Network), "network is a Network", 'Network(proxy="http://…")')
        require(
            lock is None or isinstance(lock, Lock | str | os.PathLike), "lock is a file", 'lock="plugins.lock.toml"'
        )
        self._source = find_source(policy, layers)
        check_providers(providers or {}, self._source.policy)
        self._tenant = tenant
        plugin_lock = find_lock(lock)
        self._detectors = installed_detectors(plugin_lock)
        self._providers = Providers(providers, network, plugin_lock)
        self._audit = audit_log(audit)
        runtime = Runtime(
            gate=self._gate_for(self._source.policy),
            providers=self._providers,
            audit=self._audit,
            timeouts=timeouts or Timeouts(),
            retry=retry or Retry(),
            under_way=UnderWay(),
            consents=ConsentDesk(consent),
            ledger=lambda: self._ledger,
        )
        self._in_force = InForce(self._source, runtime, self._gate_for, follow=reload)
        self._closed = False

    def _gate_for(self, policy: Policy) -> Gate:
        """The gate under a version of the policy that is coming into force, which says how long records are kept."""
        if self._audit is not None:
            self._audit.keep_s = policy.document.audit.keep_s
        return gate_for(policy, self._detectors)

    @cached_property
    def _ledger(self) -> Ledger:
        """What was spent of budgets; made on first use."""
        from ringfence.routing.ledger import Ledger  # noqa: PLC0415  (few policies have budgets)

        return Ledger()

    @property
    def policy(self) -> Policy:
        """The policy in force: requests that begin now are decided under it."""
        return self._in_force.policy

    @property
    def policy_state(self) -> PolicyState:
        """What is in force, since when, and what is wrong with a newer version that is not."""
        return self._source.state

    async def reload(self) -> None:
        """Loads the policy's files now, instead of when the next request begins.

        Raises:
            PolicyInvalid: what they say now has faults; the version before stays in force.
            PolicyNotReadable: the policy file is gone or may not be read; likewise.
        """
        await self._in_force.reload()

    @property
    def _runtime(self) -> Runtime:
        return self._in_force.runtime

    # ------------------------------------------------------------------ asking
    @overload
    async def respond(
        self, given: Input, *, output: None = None, repair: int = 0, **options: Unpack[RequestOptions]
    ) -> Response[None]: ...
    @overload
    async def respond(
        self, given: Input, *, output: type[OutputT], repair: int = 0, **options: Unpack[RequestOptions]
    ) -> Response[OutputT]: ...
    @overload
    async def respond(
        self, given: Input, *, output: Mapping[str, JsonValue], repair: int = 0, **options: Unpack[RequestOptions]
    ) -> Response[JsonValue]: ...
    async def respond(
        self,
        given: Input,
        *,
        output: type[Any] | Mapping[str, JsonValue] | None = None,
        repair: int = 0,
        **options: Unpack[RequestOptions],
    ) -> Response[Any]:
        """The whole answer to `given`. `output` asks for structured output, `repair` for that many turns to mend it.

        Raises:
            InvalidRequest: the arguments; nothing was sent.
            Denied: the policy leaves no recipient.
            ConsentRefused: a person said no, or there was nobody to ask, and the plan has no other recipient.
            ProviderError: the last recipient that the plan allows failed.
            ToolLimitReached: the model went further with tools than `tool_limits` allows.
            OutputError: the structured output was cut, or is invalid after the repair turns.
        """
        count: object = repair
        require(isinstance(count, int) and not isinstance(count, bool) and repair >= 0, "repair is a count", "repair=1")
        wanted = None if output is None else Output(output)
        # INVARIANT: one request of a user, its repair turns included, is asked about once for each recipient.
        consents = self.consents_for(options.get("tenant"))
        runtime = await self._runtime.begin()
        while True:
            stream = self.stream_turn(given, wanted, options, consents=consents, runtime=runtime, stream=False)
            try:
                async with stream:
                    return await stream.response()
            except OutputInvalid as error:
                if repair <= 0 or wanted is None or error.response is None:
                    raise
                repair -= 1
                given = _repair_turn(given, options, wanted, error.response)
                options = without_input_options(options)

    @overload
    def stream(self, given: Input, *, output: None = None, **options: Unpack[RequestOptions]) -> AsyncStream[None]: ...
    @overload
    def stream(
        self, given: Input, *, output: type[OutputT], **options: Unpack[RequestOptions]
    ) -> AsyncStream[OutputT]: ...
    @overload
    def stream(
        self, given: Input, *, output: Mapping[str, JsonValue], **options: Unpack[RequestOptions]
    ) -> AsyncStream[JsonValue]: ...
    def stream(
        self,
        given: Input,
        *,
        output: type[Any] | Mapping[str, JsonValue] | None = None,
        **options: Unpack[RequestOptions],
    ) -> AsyncStream[Any]:
        """The answer as events. Nothing is sent before the first one is drawn.

        Raises:
            InvalidRequest: the arguments. What `respond` raises otherwise, the stream raises when it is drawn.
        """
        return self.stream_turn(given, None if output is None else Output(output), options)

    def stream_turn(
        self,
        given: Input,
        wanted: Output[OutputT] | None,
        options: RequestOptions,
        *,
        earlier: tuple[Message, ...] = (),
        high_water: frozenset[str] = frozenset(),
        on_response: Callable[[Response[OutputT]], None] | None = None,
        consents: Consents | None = None,
        runtime: Runtime | None = None,
        stream: bool = True,
    ) -> AsyncStream[OutputT]:
        """What `stream`, `respond` and a session's turns are made of; apps use those.

        Raises:
            Closed: the assistant was closed.
            InvalidRequest: the arguments.
        """
        if "tools" in options:
            options = with_tools_made(options)
        schema = None if wanted is None else wanted.schema
        request = build_request(
            given, options, output=schema, earlier=earlier, high_water=high_water, tenant=self._tenant, stream=stream
        )
        self._check(request)
        work = self._work(
            runtime or self._runtime, request, options, consents or self.consents_for(options.get("tenant"))
        )
        return AsyncStream(work, wanted, on_response)

    def consents_for(self, tenant: str | None = None, session: Held | None = None) -> Consents:
        """The consents of one request of a user. A session's turns use this; apps use `consents`."""
        return self._runtime.consents.request(tenant=tenant or self._tenant, session=session)

    def hold_consents(self) -> Held:
        """Where a session keeps the yeses that last as long as it."""
        return self._runtime.consents.held()

    def _work(self, runtime: Runtime, request: Request, options: RequestOptions, consents: Consents) -> Answering:
        """One model call, or the loop of several where there are functions that the model may call."""
        toolbox = None
        if request.tools:
            limits = options.get("tool_limits", ToolLimits())
            toolbox = toolbox_of(options.get("tools", ()), options.get("approve"), limits)
        if toolbox is None:
            return Execution(runtime, request, consents)
        from ringfence.assistant.toolloop import ToolLoop  # noqa: PLC0415  (most requests have no tools)

        return ToolLoop(runtime, request, toolbox, consents)

    def _check(self, request: Request) -> None:
        if self._closed:
            raise Closed("the assistant is closed", way_out="make a new one")
        if request.to is not None:
            check_recipients(request.to, self.policy)
        if request.provider_options:
            check_providers(request.provider_options, self.policy)

    def session(self, *, load: Mapping[str, Any] | None = None, **options: Unpack[RequestOptions]) -> AsyncSession:
        """A conversation that remembers its turns and the high-water mark of their labels.

        `options` hold for every turn. `load` takes what `session.dump()` gave. Nothing is stored unasked.
        """
        from ringfence.assistant.session import AsyncSession  # noqa: PLC0415  (most apps hold no session)

        session = AsyncSession(self, options)
        if load is not None:
            session.load(load)
        return session

    # ------------------------------------------------------------------ the verbs of an assistant
    async def summarize(self, text: str, **options: Unpack[RequestOptions]) -> str:
        """A summary of a long text (`task` article_summary unless given)."""
        return (await self.respond(text, **_with_task("article_summary", options))).text

    async def rewrite(self, text: str, *, style: str = "", **options: Unpack[RequestOptions]) -> str:
        """`text`, written again; `style` says how, such as "friendlier, and shorter"."""
        options = _with_task("rewrite", options)
        if style and "instructions" not in options:
            options["instructions"] = f"Rewrite the text: {style}. Keep its meaning and its language."
        return (await self.respond(text, **options)).text

    async def proofread(self, text: str, **options: Unpack[RequestOptions]) -> str:
        """`text` with spelling, grammar and punctuation corrected."""
        return (await self.respond(text, **_with_task("proofread", options))).text

    async def reply(self, text: str, *, intent: str = "", **options: Unpack[RequestOptions]) -> str:
        """A reply to a message or e-mail; `intent` is what it should say, such as "yes, but on Monday"."""
        options = _with_task("email_reply", options)
        if intent and "instructions" not in options:
            options["instructions"] = f"Write a reply to this message, as the person who received it. Say: {intent}."
        return (await self.respond(text, **options)).text

    async def extract(
        self, text: str, output: type[OutputT], *, repair: int = 1, **options: Unpack[RequestOptions]
    ) -> OutputT:
        """What `text` says, as an instance of `output`.

        Raises:
            OutputTruncated: the model reached its length limit.
            OutputInvalid: what it wrote does not validate, also after `repair` turns.
        """
        return (await self.respond(text, output=output, repair=repair, **_with_task("extract", options))).output

    async def embed(self, texts: str | Iterable[str], **options: Unpack[RequestOptions]) -> Response[Embeddings]:
        """One vector of norm 1 for each text, in order, in `response.output`.

        Raises:
            Unsupported: the recipient's model makes no embeddings.
        """
        every = (texts,) if isinstance(texts, str) else texts
        require(isinstance(every, Iterable), "embed takes a text or several", 'embed(["some text"])')
        given = [TextPart(text) for text in every]
        require(bool(given) and all(part.text.strip() for part in given), "a text to embed is empty", 'embed(["text"])')
        stream: AsyncStream[Any] = self.stream_turn(given, None, _with_task("embed", options), stream=False)
        async with stream:
            return cast("Response[Embeddings]", await stream.response())

    async def draw(
        self, prompt: str, *, size: str | None = None, count: int | None = None, **options: Unpack[RequestOptions]
    ) -> Response[None]:
        """Pictures of what `prompt` says, in `response.images`. `size` is width × height in pixels: `1024x1024`.

        Pictures to start from go into `attachments=`.

        Raises:
            Unsupported: the recipient's model draws nothing, or not in this size or number.
            OutputInvalid: the answer holds no picture; it is in the error's `response`.
        """
        asked = with_settings(_with_task("image", options), image_size=size, image_count=count)
        response = await self.respond(prompt, **asked)
        return require_parts(response, response.images, "picture")

    async def transcribe(
        self,
        audio: bytes | FilePart,
        *,
        media_type: str = "audio/wav",
        language: str | None = None,
        **options: Unpack[RequestOptions],
    ) -> str:
        """The words of a recording; an empty text where nobody speaks. `language` is a BCP 47 tag, such as `de`.

        `media_type` is that of bytes. `instructions` may say what is heard, such as names and their spelling.

        Raises:
            Unsupported: the recipient's model transcribes nothing, or not this kind of file.
        """
        asked = with_settings(_with_task("transcribe", options), language=language)
        return (await self.respond(audio_part(audio, media_type), **asked)).text

    async def speak(
        self,
        text: str,
        *,
        voice: str | None = None,
        format: str | None = None,  # noqa: A002  (the word of every speech API)
        **options: Unpack[RequestOptions],
    ) -> Response[None]:
        """`text`, spoken: the sound is `response.files[0]`. `voice` and `format` are names that the model knows.

        Raises:
            Unsupported: the recipient's model does not speak, or not so.
            OutputInvalid: the answer holds no sound; it is in the error's `response`.
        """
        asked = with_settings(_with_task("speak", options), voice=voice, audio_format=format)
        response = await self.respond(text, **asked)
        return require_parts(response, response.files, "sound")

    async def count_tokens(self, given: Input, **options: Unpack[RequestOptions]) -> int:
        """The tokens that the model would read for this request, its template included, counted where it would run.

        It is a send like any other: decided, consented to where the policy says so, and on record. The first recipient
        of the plan that can count does; `to` names another.

        Raises:
            Unsupported: no recipient of the plan can count.
        """
        request = build_request(given, options, tenant=self._tenant, stream=False)
        self._check(request)
        stream: AsyncStream[None] = AsyncStream(
            Execution(self._runtime, request, self.consents_for(options.get("tenant")), kind="count"), None
        )
        async with stream:
            usage = (await stream.response()).usage
        assert usage.input_tokens is not None  # noqa: S101  (Send yields it)
        return usage.input_tokens

    # ------------------------------------------------------------------ around it
    def explain(self, given: Input, **options: Unpack[RequestOptions]) -> Decision:
        """What the policy decides for this request, without sending or loading anything."""
        gate, request = self._runtime.gate, build_request(given, options, tenant=self._tenant)
        gate.policy.check_facts(request.facts)
        return gate.clear(request).decision

    async def consents(self, *, ended: bool = False) -> tuple[ConsentRecord, ...]:
        """Every consent that holds here: of requests under way, of sessions, and stored, oldest first.

        With `ended` also those that expired or were revoked.

        Raises:
            StoreError: the stored ones cannot be read.
        """
        return await asyncio.to_thread(self._runtime.consents.list, ended=ended)

    async def revoke(self, *ids: str, recipient: str | None = None, everything: bool = False) -> int:
        """Takes consents back: those with these ids, those that cover `recipient`, or all; how many held until now.

        When this has returned, nothing leaves on one of them any more, not even of a request that is under way; of a
        stored one in no process.

        Raises:
            InvalidRequest: nothing is named, or an id that no consent has.
            StoreError: the stored ones cannot be written; they may hold on.
        """
        named = bool(ids) or recipient is not None or everything
        require(named, "revoke takes ids, a recipient, or everything", 'revoke(recipient="openai")')
        return await asyncio.to_thread(
            lambda: self._runtime.consents.revoke(*ids, recipient=recipient, everything=everything)
        )

    async def budgets(self) -> tuple[BudgetState, ...]:
        """How each budget of the policy stands now.

        Raises:
            StoreError: what was spent cannot be read.
        """
        return await asyncio.to_thread(self._ledger.states, self.policy.name, self.policy.document.budgets)

    async def prewarm(self, *recipients: str) -> None:
        """Loads the models of `recipients` before they are needed; with none named, that of a plain question.

        Raises:
            InvalidRequest: the policy has no such recipient.
            Unavailable: one cannot serve now.
        """
        check_recipients(frozenset(recipients), self.policy)
        known = self.policy.recipients
        usual = self.explain("?").plan[:1]
        for name in recipients or [step.recipient for step in usual]:
            await self._prewarm(known[name])

    async def _prewarm(self, recipient: Recipient) -> None:
        failure: str | None = None
        try:
            provider, _ = await self._providers.ready(recipient)
            if isinstance(provider, Prewarms):
                await provider.prewarm(recipient)
        except RingfenceError:
            raise
        except Exception as error:  # noqa: BLE001  (a plugin may raise anything, and its message may hold a secret)
            failure = describe(error)
        if failure is not None:
            # Raised here and not in the handler, so that no exception of a plugin stays in its context.
            raise ProtocolViolated(f"the provider raised {failure}", phase="connect")

    async def close(self) -> None:
        """Ends all work, closes the providers and the audit log. Idempotent."""
        self._closed = True
        await self._in_force.close()
        await self._providers.close()
        # A stream that the app still holds has its receipt to write.
        self._runtime.under_way.when_idle(self._close_files)

    def _close_files(self) -> None:
        if self._audit is not None:
            self._audit.close()
        self._runtime.consents.close()
        if "_ledger" in vars(self):
            self._ledger.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"AsyncAssistant(policy={self.policy.name}, recipients={list(self.policy.recipients)})"


def _repair_turn(
    given: Input, options: RequestOptions, wanted: Output[Any], answer: Response[object]
) -> tuple[Message, ...]:
    """The same again, with the answer and what is wrong with it; it goes through the gate anew."""
    faults = f"That does not validate:\n{wanted.faults(answer.text)}\nAnswer again, with valid JSON only."
    turn = Message("user", (TextPart(faults, labels=answer.labels),))
    return (*input_messages(given, options), *answer.messages, turn)


def _with_task(task: str, options: RequestOptions) -> RequestOptions:
    return options if "task" in options else {**options, "task": task}


__all__ = ["AsyncAssistant", "PolicyLike", "find_policy"]
