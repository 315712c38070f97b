"""The bench on which one provider is tested: its recipients, a gate, its backend, and one loop for the whole class."""

from __future__ import annotations

import asyncio
import os
import socket
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ringfence.errors import InvalidRequest, Unsupported
from ringfence.policy.document import Document, FlowRule, Label, RouteRule
from ringfence.policy.policy import enforce
from ringfence.privacy.gate import Gate
from ringfence.privacy.labels import Labeller
from ringfence.recipient import Recipient, Secret
from ringfence.request import JsonValue, Request, Settings
from ringfence.testing.kit.expect import expect, fail, named
from ringfence.testing.kit.material import SECRET, SECRET_VARIABLE, asking
from ringfence.testing.kit.opened import Opened, Outcome, opened
from ringfence.testing.scenes import Backend, Scene, Seen

if TYPE_CHECKING:
    from ringfence.policy.policy import Policy
    from ringfence.provider import ModelCard, Provider

T = TypeVar("T")

_NOTICE_S = 5.0
"""How long a backend may take to notice that a client is gone. Nothing is measured by it."""


class Bench:
    """Plays scenes and asks. Everything runs on one loop, with one open provider, as in an app."""

    def __init__(
        self,
        make: Callable[[], Provider],
        *,
        recipients: Iterable[Recipient],
        backend: Backend | None,
        options: Mapping[str, object],
        settings: Settings,
    ) -> None:
        self.make = make
        self.backend = backend
        self.options = options
        self.settings = settings
        self._folder = tempfile.TemporaryDirectory(prefix="ringfence-kit-")
        self.folder = Path(self._folder.name)
        self._runner = asyncio.Runner()
        self._stack = AsyncExitStack()
        self._shared: Opened | None = None
        self._kept_secret = os.environ.get(SECRET_VARIABLE)
        os.environ[SECRET_VARIABLE] = SECRET
        self.provider_name = make().manifest.name
        self.policy = policy_of(recipients)
        self.wire_events: int | None = None
        """How many wire events the long answer of the kit has, once it was found out."""
        self.gate = Gate(self.policy, Labeller(self.policy))
        self._cards: dict[str, ModelCard] = {}

    def close(self) -> None:
        """Closes what is open and gives the environment back."""
        try:
            self.run(self._drop())
        finally:
            self._runner.close()
            self._folder.cleanup()
            if self._kept_secret is None:
                os.environ.pop(SECRET_VARIABLE, None)
            else:
                os.environ[SECRET_VARIABLE] = self._kept_secret

    # ------------------------------------------------------------------ the provider
    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Runs `work` on the bench's loop."""
        return self._runner.run(work)

    async def opened(self) -> Opened:
        """The provider that all rules share, opened on first use."""
        if self._shared is None:
            self._shared = await self._stack.enter_async_context(
                opened(self.make, self.gate, self.options, self.folder)
            )
        return self._shared

    def new(self) -> AbstractAsyncContextManager[Opened]:
        """Another provider, opened on the bench's loop."""
        return opened(self.make, self.gate, self.options, self.folder)

    def nowhere(self) -> AbstractAsyncContextManager[Opened]:
        """Another provider, whose recipients are at an address where nothing listens."""
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        return self._opened_for(
            lambda one: replace(one, directory=url) if one.directory is not None else replace(one, url=url)
        )

    def without_secret(self) -> AbstractAsyncContextManager[Opened]:
        """Another provider, for whose recipients the policy names no key."""
        return self._opened_for(lambda one: replace(one, secret=None))

    def with_option(self, name: str) -> AbstractAsyncContextManager[Opened]:
        """Another provider, whose recipients have the option `name`."""
        return self._opened_for(lambda one: replace(one, options={**one.options, name: True}))

    def _opened_for(self, changed: Callable[[Recipient], Recipient]) -> AbstractAsyncContextManager[Opened]:
        policy = policy_of(changed(one) for one in self.policy.recipients.values())
        return opened(self.make, Gate(policy, Labeller(policy)), self.options, self.folder)

    async def _drop(self) -> None:
        self._shared = None
        stack, self._stack = self._stack, AsyncExitStack()
        await stack.aclose()

    def drop(self) -> None:
        """Closes the shared provider: after a rule that failed, the next one starts with a new one."""
        self.run(self._drop())

    # ------------------------------------------------------------------ what it can do
    def card(self, kind: str = "text") -> ModelCard:
        """The card of the model for requests of `kind`."""

        async def asked() -> ModelCard:
            found = await self.opened()
            return await found.card(found.recipient(kind))

        if kind not in self._cards:
            self._cards[kind] = self.run(asked())
        return self._cards[kind]

    def can(self, capability: str, kind: str = "text") -> bool:
        """Whether the model for `kind` is declared to have `capability`."""
        return capability in self.card(kind).capabilities

    def kinds(self) -> list[str]:
        """The kinds of request that are declared."""
        return [kind for kind in ("text", "embed", "draw", "transcribe", "speak") if self.can(kind, kind)]

    def odd_recipients(self) -> list[Recipient]:
        """The recipients of the policy, and one with a model that nobody knows."""
        known = list(self.policy.recipients.values())
        return [*known, replace(known[0], model="kit-no-such-model")]

    # ------------------------------------------------------------------ asking
    def asking(self, *parts: Any, **changes: Any) -> Request:
        """A request as the kit makes it, with the author's settings where none are given."""
        if changes.get("kind", "text") == "text":
            changes.setdefault("settings", self.settings)
        return asking(*parts, **changes)

    def play(self, *scenes: Scene) -> None:
        """Tells the backend, if there is one, what it does next."""
        if self.backend is not None:
            self.backend.play(*(scenes or (Scene(),)))

    def seen(self) -> tuple[Seen, ...]:
        """What the backend has seen since the last `play`."""
        return () if self.backend is None else tuple(self.backend.seen())

    def outcome(self, request: Request, *scenes: Scene, kind: str = "text") -> Outcome:
        """What comes of `request` while the backend plays `scenes`; an error is part of it."""

        async def asked() -> Outcome:
            return await (await self.opened()).outcome(request, kind)

        self.play(*scenes)
        outcome = self.run(asked())
        outcome.seen = self.seen()
        return outcome

    def answer(self, request: Request, *scenes: Scene, kind: str = "text") -> Outcome:
        """The outcome of a request that must succeed."""
        outcome = self.outcome(request, *scenes, kind=kind)
        if outcome.error is not None:
            raise AssertionError(f"the request failed with {named(outcome.error)}") from outcome.error
        return outcome

    def refused(self, request: Request, what: str, kind: str = "text") -> None:
        """Checks that `plan` refuses `request`, and that nothing was sent.

        Raises:
            AssertionError: it was accepted.
        """
        outcome = self.outcome(request, kind=kind)
        expect(not outcome.seen, f"{what} is not declared, and something was sent")
        expect(outcome.plan is None, f"{what} is not declared, and plan() accepted it")
        expect(
            isinstance(outcome.error, Unsupported), f"{what} is refused with {named(outcome.error)}, not Unsupported"
        )

    def told(self, request: Request, names: frozenset[str], kind: str = "text") -> bool:
        """Whether `plan` refuses `request`, or lists one of `names` in its adjustments. Nothing is sent."""

        async def planned() -> bool:
            try:
                ready = await (await self.opened()).ready(request, kind)
            except (Unsupported, InvalidRequest):
                return True
            ready.grant.revoke()
            return any(adjustment.setting in names for adjustment in ready.plan.adjustments)

        return self.run(planned())

    def wait_for(self, holds: Callable[[Sequence[Seen]], bool], what: str) -> tuple[Seen, ...]:
        """What the backend saw, once it `holds`.

        Raises:
            AssertionError: the backend does not come to see it.
        """
        until = time.monotonic() + _NOTICE_S
        while not holds(seen := self.seen()):
            if time.monotonic() > until:
                fail(what)
            time.sleep(0.005)
        return seen


def recipients_for(
    provider: str,
    models: Mapping[str, str],
    url: str | None,
    *,
    capabilities: frozenset[str] | None,
    options: Mapping[str, JsonValue],
    fields: Mapping[str, Any],
) -> Iterator[Recipient]:
    """A recipient for each kind of request that has a model: on the device, or at `url`; `fields` say otherwise."""
    for kind, model in models.items():
        plain = Recipient(
            name=f"kit-{kind}",
            ring="device" if url is None else "partner",
            provider=provider,
            model=model,
            url=url,
            secret=None if url is None else Secret(f"env:{SECRET_VARIABLE}"),
            capabilities=capabilities,
            options=options,
        )
        yield replace(plain, **fields)


def policy_of(given: Iterable[Recipient]) -> Policy:
    """A small policy that lets everything go to each of the recipients."""
    recipients = {one.name: one for one in given}
    document = Document(
        name="kit",
        recipients=recipients,
        labels={"unclassified": Label()},
        unknown="unclassified",
        flow=(FlowRule(id="all", effect="allow", labels=None, to=frozenset(recipients)),),
        route=(RouteRule(id="all", prefer=tuple(recipients)),),
    )
    return enforce(document, source="kit", name="kit")


__all__ = ["Bench", "policy_of", "recipients_for"]
