"""One world for the invariants: the recipients of drawn policies as doubles that note whatever they get."""

from __future__ import annotations

import asyncio
import os
import re
import tempfile
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any, TypeAlias, TypeVar
from unittest.mock import patch

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from tests.core.support import NO_WAIT
from tests.policy.random_policies import LABELS, NAMES, document_of, flow_rules

from ringfence import AsyncAssistant, ConsentRequest, Policy
from ringfence.assistant.build import RequestOptions
from ringfence.assistant.setup import PolicyLike, find_policy
from ringfence.errors import (
    ConnectFailed,
    Overloaded,
    RateLimited,
    RequestRejected,
    RingfenceError,
    StreamBroken,
)
from ringfence.grant import Grant
from ringfence.policy import Facts
from ringfence.policy import cel as cel_conditions
from ringfence.policy.conditions import Cel
from ringfence.policy.decision import OnBrokenStream
from ringfence.policy.document import Document, FlowRule, Label, Overflow, RouteRule
from ringfence.policy.policy import enforce
from ringfence.privacy.detection import DetectorSet
from ringfence.privacy.detector import Detector, Hit
from ringfence.privacy.material import request_texts
from ringfence.provider import Availability, Available, NotAvailable, Plan
from ringfence.recipient import Recipient
from ringfence.registry import is_known
from ringfence.request import Request
from ringfence.response import ProviderEvent, TextDelta
from ringfence.testing import ScriptedProvider, text_events

T = TypeVar("T")
World: TypeAlias = tuple[list[FlowRule], Random]

MAIL = re.compile(r"[a-z]+@[a-z]+\.[a-z]+")
ANNA, BERTA = "anna@example.org", "berta@example.net"


class Mail:
    """The detector of these tests."""

    def detect(self, text: str) -> Iterator[Hit]:
        return (Hit(match.start(), match.end()) for match in MAIL.finditer(text))


def law(examples: int) -> settings:
    """How often of 40 a law is tried; a document is slow to draw, and a fixture patches the same for all examples."""
    return settings(
        max_examples=examples * settings().max_examples // 40,
        phases=(Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink),
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    )


def run(work: Coroutine[Any, Any, T]) -> T:
    """Runs `work` on a loop of its own."""
    return asyncio.run(work)


@contextmanager
def detectors(**by_kind: Detector) -> Generator[None]:
    """Assistants made inside have these detectors and no others."""
    found = DetectorSet(by_kind)

    def installed(_lock: object = None) -> DetectorSet:
        return found

    with patch("ringfence.assistant.asynchronous.installed_detectors", installed):
        yield


def _raises(request: Facts) -> bool | None:
    raise RuntimeError(request.task)


@contextmanager
def cel() -> Generator[None]:
    """A stand-in for the engine of CEL, an extra, that knows the expressions of drawn policies."""
    tests: dict[str, Callable[[Facts], bool | None]] = {
        "yes": lambda _request: True,
        "no": lambda _request: False,
        "unclear": lambda _request: None,
        "short": lambda request: request.input_tokens <= 2,
        "raises": _raises,
    }

    def compiled(condition: Cel, _facts: object) -> Callable[[Facts], bool | None]:
        return tests[condition.expression]

    with patch.object(cel_conditions, "compile_cel", compiled):
        yield


@contextmanager
def state() -> Generator[str]:
    """A state folder of its own, so that no example meets what another spent or agreed to."""
    with tempfile.TemporaryDirectory() as folder, patch.dict(os.environ, {"RINGFENCE_STATE_DIR": folder}):
        yield folder


# ------------------------------------------------------------------ what a recipient does
FATES = ("answers", "absent", "full", "limited", "rejects", "no route", "breaks", "breaks late", "breaks late", "lies")
SAYS = f"It is {BERTA}, I think."
"""What every recipient answers, whole or in part: a text with an address that nobody gave it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """One payload as a recipient got it."""

    to: str
    request: Request
    grant: Grant
    consented: bool
    """Whether a person had said yes to this recipient by then."""
    said: str
    """What recipients before it had said of an answer by then."""

    @property
    def texts(self) -> str:
        """All text in it."""
        return "\n".join(request_texts(self.request))

    @property
    def continues(self) -> bool:
        """Whether it holds what another recipient said before its stream broke."""
        return any(message.role == "assistant" for message in self.request.messages)


class Recipients:
    """Doubles for all recipients, by name. `sent` is what left, in order; `asked` is who a person was asked about."""

    def __init__(self, fates: Mapping[str, str], says_no: Iterable[str] = ()) -> None:
        self.sent: list[Sent] = []
        self.asked: list[str] = []
        self.agreed: set[str] = set()
        self.previews: list[str] = []
        self.said = ""
        self._says_no = frozenset(says_no)
        self.doubles = {name: _Double(name, fate, self) for name, fate in fates.items()}

    def person(self, question: ConsentRequest) -> bool:
        """Answers a question, and notes what was shown."""
        self.asked.append(question.recipient)
        self.previews.append(question.preview)
        if question.recipient in self._says_no:
            return False
        self.agreed.add(question.recipient)
        return True

    def assistant(self, policy: PolicyLike, **more: Any) -> AsyncAssistant:
        """An assistant over them."""
        more = {"audit": False, "retry": NO_WAIT, "consent": self.person, **more}
        named = {one.provider for one in find_policy(policy).recipients.values()}
        known = {name: double for name, double in self.doubles.items() if name in named or is_known(name)}
        return AsyncAssistant(policy, providers=known, **more)

    @property
    def reached(self) -> frozenset[str]:
        """The names of those that got anything."""
        return frozenset(one.to for one in self.sent)


class _Double(ScriptedProvider):
    def __init__(self, name: str, fate: str, world: Recipients) -> None:
        super().__init__(SAYS, utilisation={"m": 0.99} if fate == "full" else None)
        self._name, self._fate, self._world = name, fate, world

    async def availability(self, recipient: Recipient) -> Availability:
        if self._fate == "absent":
            return NotAvailable(reason="unreachable", detail="away", way_out="wait")
        return Available()

    async def run(self, plan: Plan[object], grant: Grant) -> AsyncGenerator[ProviderEvent, None]:
        grant.spend(plan.request)
        world = self._world
        consented = self._name in world.agreed
        world.sent.append(Sent(to=self._name, request=plan.request, grant=grant, consented=consented, said=world.said))
        for event in self._events():
            if isinstance(event, TextDelta):
                world.said += event.text
            yield event

    def _events(self) -> Iterator[ProviderEvent]:
        events = text_events(*SAYS)
        match self._fate:
            case "full":
                raise Overloaded("full")
            case "limited":
                raise RateLimited("slow down")
            case "rejects":
                raise RequestRejected("no")
            case "no route":
                raise ConnectFailed("no connection")
            case "breaks" | "breaks late":
                yield from events[: 4 if self._fate == "breaks" else 22]
                raise StreamBroken("cut")
            case "lies":
                yield from events[1:]
            case _:
                yield from events


def _world(rules: list[FlowRule], seed: int) -> World:
    return rules, Random(f"{seed} {rules!r}")


worlds = st.builds(_world, st.lists(flow_rules(), max_size=2), st.integers(0, 2**32))
"""Some flow rules, and chance for the rest. Hypothesis tries like things again and again; a seed spreads evenly."""


def fates_of(random: Random, among: tuple[str, ...] = FATES) -> dict[str, str]:
    """What each recipient does."""
    return {name: random.choice(among) for name in NAMES}


FAILING = ("absent", "full", "no route", "rejects")
"""Fates that let a walk go on as far as it may."""


# ------------------------------------------------------------------ policies and requests
def playable(document: Document, broken: OnBrokenStream = "fail") -> Document:
    """A drawn document whose recipients are the doubles, which finds addresses and calls the rest public."""
    return replace(
        document,
        recipients={name: replace(one, provider=name) for name, one in document.recipients.items()},
        labels={**document.labels, "contact": Label(detect=("mail",)), "health": Label(declare=True)},
        clean="public",
        route=tuple(replace(rule, on_broken_stream=broken) for rule in document.route),
    )


def policy_of(document: Document) -> Policy:
    """Its policy, as it stands."""
    return enforce(document, source="test", name="test", digest="sha256:test")


def _ready(rule: FlowRule) -> FlowRule:
    """Without what can never be met in a test, so that more is sent."""
    return replace(rule, require=replace(rule.require, attested=False))


_ALL = FlowRule(id="all", effect="allow", labels=None, to=frozenset({"device", "house", "partner"}), consent=True)


def _redacting(random: Random) -> FlowRule:
    return FlowRule(
        id="redacting",
        effect="allow",
        labels=random.choice((frozenset({"contact"}), frozenset({"contact", "health"}))),
        to=frozenset(random.sample((*NAMES, "house", "partner"), 3)),
        redact=random.choice(("pseudonym", "mask", "remove")),
        consent=True,
    )


def sending(rules: Iterable[FlowRule], random: Random) -> Document:
    """A document under which most requests are sent, and sent on: all may go everywhere, but for `rules`."""
    order, cut = tuple(random.sample(NAMES, 4)), random.choice((1, 1, 2, 3))
    redacting = [_redacting(random) for _ in range(random.choice((0, 1, 1, 2)))]
    overflow = Overflow(to=order[cut : cut + 1], over=0.8) if random.random() < 0.3 else None
    route = RouteRule(id="only", prefer=order[:cut], fallback=order[cut:], overflow=overflow)
    how: tuple[OnBrokenStream, ...] = ("fail", "restart", "continue", "continue")
    covered = frozenset(random.sample(LABELS, 3)) if random.random() < 0.3 else None
    return playable(
        document_of([replace(_ALL, labels=covered), *map(_ready, rules), *redacting], [route]), random.choice(how)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What an app asks: a text with or without an address, declared labels, a task and facts."""

    text: str
    labels: frozenset[str] = frozenset()
    task: str = "open_question"
    facts: Mapping[str, Any] = field(default_factory=dict[str, Any])
    to: frozenset[str] | None = None

    @property
    def options(self) -> RequestOptions:
        """As the assistant takes it."""
        options: RequestOptions = {
            "labels": self.labels,
            "task": self.task,
            "facts": self.facts,
            "instructions": "",
        }
        if self.to is not None:
            options["to"] = self.to
        return options

    def meant(self, *later: str) -> Facts:
        """The facts of it, from the text of the language; `later` are texts that were added to it on the way."""
        found = {"contact" for text in (self.text, *later) if MAIL.search(text)}
        return Facts(
            task=self.task,
            labels=self.labels | found or frozenset({"public"}),
            input_tokens=-(-len(self.text.encode()) // 3),
            values=self.facts,
            to=self.to,
        )


def asked_of(random: Random) -> Asked:
    """Any request."""
    values = {"user.age": random.choice(("adult", "minor")), "user.staff": random.random() < 0.5, "user.level": 4}
    return Asked(
        text=random.choice(("How?", "Is it so?", f"Write to {ANNA} now.", f"Is {ANNA} right?")),
        labels=frozenset(random.sample(LABELS, random.choice((0, 0, 0, 1, 2)))),
        task=random.choice(("open_question", "rewrite", "minutes")),
        facts={name: value for name, value in values.items() if random.random() < 0.7},
        to=frozenset(random.sample(NAMES, 2)) if random.random() < 0.2 else None,
    )


async def ask(
    world: Recipients, policy: Policy, asked: Asked, *, stream: bool = False, **more: Any
) -> RingfenceError | None:
    """Sends it, and returns what it failed with."""
    async with world.assistant(policy, **more) as it:
        try:
            if stream:
                await it.stream(asked.text, **asked.options).response()
            else:
                await it.respond(asked.text, **asked.options)
        except RingfenceError as error:
            return error
    return None
