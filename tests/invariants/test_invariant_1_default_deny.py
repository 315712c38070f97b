"""Invariant 1: default deny. However something that a yes needs fails, no recipient gets a byte."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.invariants.support import ANNA, Mail, Recipients, cel, detectors, law, playable, policy_of, run, state
from tests.policy.random_policies import document_of

from ringfence import ConsentRequest
from ringfence.errors import ConsentRefused, Denied, GateError, InvalidRequest, PolicyError, RingfenceError
from ringfence.policy import read_policy
from ringfence.policy.conditions import Cel, Condition, FactIn, Not
from ringfence.policy.decision import ConsentRule
from ringfence.policy.document import Budget, FlowRule, RouteRule
from ringfence.privacy.consent_store import FILE as CONSENTS
from ringfence.privacy.detector import Detector, Hit
from ringfence.recipient import Recipient, Ring
from ringfence.routing.ledger import FILE as BUDGETS

POLICY = """\
version: 1
recipients:
  near: {ring: device, provider: near, model: m}
  far: {ring: partner, provider: far, model: m}
facts: {user.age: {type: enum, values: [adult, minor]}}
labels: {public: {}, contact: {detect: [mail]}, health: {declare: true}, unclassified: {}}
unknown: unclassified
clean: public
flow:
  - {id: near, allow: {labels: [public, contact], to: [device]}}
  - {id: far, allow: {labels: [public], to: [partner]}, consent: ask}
  - {id: never, deny: {labels: [health], to: [partner]}, when: {user.age: [minor]}}
route: [{id: only, when: {task: [rewrite]}, prefer: [far], fallback: [near]}, {id: rest, prefer: [far, near]}]
"""


@pytest.fixture(autouse=True)
def surroundings() -> Iterator[None]:
    with cel(), state(), detectors(mail=Mail()):
        yield


def nothing_left(make: Callable[[Recipients], Any], **asked: Any) -> RingfenceError:
    """Asks an assistant that `make` makes, and returns why it refused; nobody was opened, and nobody got anything."""
    world = Recipients(dict.fromkeys(("near", "far", "mlx", "own", "rented", "openai"), "answers"))

    async def ask() -> None:
        async with make(world) as it:
            await it.respond(asked.pop("text", "How?"), instructions="", **asked)

    with pytest.raises(RingfenceError) as caught:
        run(ask())
    assert not world.sent
    return caught.value


# ------------------------------------------------------------------ files
def edited(old: str, new: str) -> Callable[[Path], bytes]:
    assert old in POLICY
    return lambda _: POLICY.replace(old, new).encode()


def beside(name: str, content: bytes | None, *lines: str) -> Callable[[Path], bytes]:
    """A policy that names the file `name`, which holds `content` or is not there."""

    def make(folder: Path) -> bytes:
        if content is not None:
            (folder / name).write_bytes(content)
        return POLICY.encode() + "".join(f"{line}\n" for line in lines).encode()

    return make


FILES: dict[str, Callable[[Path], bytes | None]] = {
    "missing": lambda _: None,
    "empty": lambda _: b"",
    "no text": lambda _: bytes(range(256)),
    "no UTF-8": lambda _: POLICY.encode("utf-16"),
    "too large": lambda _: POLICY.encode() + b"#" * (1 << 20),
    "not YAML": lambda _: POLICY.encode() + b"]]]",
    "a key twice": lambda _: POLICY.encode() + b"unknown: unclassified\n",
    "an undeclared label": edited("labels: [public], to", "labels: [pubic], to"),
    "an undeclared recipient": edited("prefer: [far]", "prefer: [fra]"),
    "an undeclared fact": edited("when: {user.age", "when: {user.agee"),
    "a misspelt key": edited("consent: ask", "conset: ask"),
    "a partner without consent": edited(", consent: ask", ""),
    "unknown is public": edited("unknown: unclassified", "unknown: public"),
    "a label that is never declared": edited("unclassified: {}", "unclassified: {declare: maybe}"),
    "a layer that is missing": beside("layer.yaml", None, "include: [layer.yaml]"),
    "a layer that is broken": beside("layer.yaml", b"version: 1\nflow: [", "include: [layer.yaml]"),
    "a layer that routes": beside(
        "layer.yaml", b"version: 1\nroute: [{id: x, prefer: [far]}]\n", "include: [layer.yaml]"
    ),
    "a profile that is broken": beside("p.mobileconfig", b"<plist><dict>", "include: [p.mobileconfig]"),
    "an invariant that does not hold": beside("-", b"", "invariants: [{never: {labels: [public], to: [partner]}}]"),
    "a trust file that is missing": edited("model: m}\nfacts", "model: m, trust: trust.json}\nfacts"),
}


@pytest.mark.parametrize("how", ["argument", "environment", "layer"])
@pytest.mark.parametrize("kind", FILES)
def test_invariant_1_a_named_file_that_cannot_be_used_sends_nothing(
    kind: str, how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, content = tmp_path / "policy.yaml", FILES[kind](tmp_path)
    if content is not None:
        path.write_bytes(content)
    (tmp_path / "whole.yaml").write_text(POLICY)
    # A checkout with a policy of its own in the working directory changes nothing.
    monkeypatch.chdir(tmp_path)
    if how == "environment":
        monkeypatch.setenv("RINGFENCE_POLICY", str(path))
    given_: dict[str, dict[str, Any]] = {
        "argument": {"policy": path},
        "environment": {"policy": None},
        "layer": {"policy": tmp_path / "whole.yaml", "layers": [path]},
    }
    assert isinstance(nothing_left(lambda world: world.assistant(**given_[how])), PolicyError)


def test_what_these_failures_are_tried_on_works_where_nothing_fails(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(POLICY)
    world = Recipients({"near": "answers", "far": "answers"})

    async def ask() -> None:
        async with world.assistant(path) as it:
            await it.respond("How?", instructions="")

    run(ask())
    assert [one.to for one in world.sent] == ["far"]


WORDS = [match.span() for match in re.finditer(r"[a-z]+", POLICY)]


@law(30)
@given(word=st.sampled_from(WORDS), letter=st.sampled_from("qz"))
def test_invariant_1_a_word_that_is_misspelt_once_never_lets_more_through(word: tuple[int, int], letter: str) -> None:
    _, end = word
    misspelt = POLICY[:end] + letter + POLICY[end:]
    world = Recipients({"near": "answers", "far": "answers"})
    try:
        policy = read_policy(misspelt)
    except PolicyError:
        return

    async def ask() -> None:
        async with world.assistant(policy) as it:
            for text, labels in itertools.product(("How?", ANNA), ((), ("health",), ("unclassified",))):
                try:
                    await it.respond(text, labels=labels, instructions="")
                except RingfenceError:
                    continue

    run(ask())
    for one in world.sent:
        assert one.to == "near" or (one.consented and "@" not in one.texts)


# ------------------------------------------------------------------ detectors
class Endless:
    def detect(self, text: str) -> Iterator[Hit]:
        return (Hit(0, 1) for _ in itertools.count())


class Answers:
    def __init__(self, answer: object) -> None:
        self._answer = answer

    def detect(self, text: str) -> Any:
        return self._answer


class Raises:
    def __init__(self, after: int) -> None:
        self._after = after

    def detect(self, text: str) -> Iterator[Hit]:
        yield from [Hit(0, 1)][: self._after]
        raise ValueError(text)


bad_detectors: st.SearchStrategy[Detector | None] = st.one_of(
    st.none(),
    st.builds(Endless),
    st.integers(0, 1).map(Raises),
    st.one_of(
        st.none(),
        st.integers(),
        st.lists(st.tuples(st.integers(), st.integers()), min_size=1),
        st.builds(Hit, st.integers(max_value=-1), st.integers()).map(lambda hit: [hit]),
        st.builds(Hit, st.integers(0, 9), st.integers(10**6)).map(lambda hit: [hit]),
        st.just([Hit(1, 1)]),
    ).map(Answers),
)


@law(30)
@given(bad=bad_detectors, text=st.text(max_size=40), labels=st.sampled_from(((), ("public",))))
def test_invariant_1_a_detector_that_fails_lets_nothing_through(
    bad: Detector | None, text: str, labels: tuple[str, ...]
) -> None:
    with detectors(**({} if bad is None else {"mail": bad})):
        error = nothing_left(lambda world: world.assistant(read_policy(POLICY)), text=f"x{text}", labels=labels)
    assert isinstance(error, Denied)


# ------------------------------------------------------------------ conditions, labels and facts
NOT_TRUE: tuple[Condition, ...] = (
    Cel("raises"),
    Cel("unclear"),
    Not(Cel("raises")),
    Not(Cel("unclear")),
    FactIn("user.age", frozenset({"adult"})),
    Not(FactIn("user.age", frozenset({"minor"}))),
)
ALLOW = FlowRule(id="all", effect="allow", labels=None, to=frozenset({"device", "house", "partner"}), consent=True)
DENY = FlowRule(id="deny", effect="deny", labels=None, to=frozenset({"device", "house", "partner"}))


@law(30)
@given(
    when=st.sampled_from(NOT_TRUE),
    effect=st.sampled_from(("allow", "deny", "nothing allows", "label is not covered")),
    facts=st.sampled_from(({}, {"user.age": "elder"}, {"user.age": 7})),
    labels=st.sets(st.sampled_from(("public", "health")), max_size=2),
)
@example(when=Cel("raises"), effect="deny", facts={}, labels=set())
def test_invariant_1_what_cannot_be_evaluated_is_a_no(
    when: Condition, effect: str, facts: dict[str, Any], labels: set[str]
) -> None:
    flow = {
        "allow": [replace(ALLOW, when=when)],
        "deny": [ALLOW, replace(DENY, when=when)],
        "nothing allows": [],
        "label is not covered": [replace(ALLOW, labels=frozenset({"contact", "unclassified"}))],
    }[effect]
    document = playable(document_of(flow, [RouteRule(id="only", prefer=("openai", "own", "mlx"))]))
    error = nothing_left(lambda world: world.assistant(policy_of(document)), facts=facts, labels=labels)
    assert isinstance(error, Denied | InvalidRequest)


def test_invariant_1_a_label_that_is_not_declared_sends_nothing() -> None:
    error = nothing_left(lambda world: world.assistant(read_policy(POLICY)), labels={"pubic"})
    assert isinstance(error, InvalidRequest)


# ------------------------------------------------------------------ what must happen before sending
def broken_person(_: ConsentRequest) -> Any:
    raise RuntimeError(ANNA)


def says_no(_: ConsentRequest) -> bool:
    return False


class Untruthful:
    def __bool__(self) -> bool:
        return True


@law(20)
@given(
    answer=st.one_of(st.none(), st.just(False), st.just(1), st.text(), st.builds(Untruthful), st.just(broken_person))
)
def test_invariant_1_anything_but_a_yes_is_a_no(answer: object) -> None:
    def person(question: ConsentRequest) -> Any:
        return broken_person(question) if answer is broken_person else answer

    error = nothing_left(lambda world: world.assistant(read_policy(POLICY), consent=person), task="rewrite", to="far")
    assert isinstance(error, ConsentRefused)


@pytest.mark.parametrize("ring", ["device", "house", "partner"])
@pytest.mark.parametrize("store", [BUDGETS, CONSENTS])
def test_invariant_1_a_store_that_cannot_be_read_is_a_no(store: str, ring: Ring) -> None:
    document = playable(document_of([ALLOW], [RouteRule(id="only", prefer=("openai",))]))
    recipients = {"openai": Recipient(name="openai", ring=ring, provider="openai", model="m")}
    budget = Budget(id="b", of=frozenset({"openai"}), limit=9, unit="requests", per="total")
    document = replace(
        document,
        recipients=recipients,
        flow=(ALLOW,),
        budgets=(budget,) if store == BUDGETS else (),
        consent={ring: ConsentRule(lasts=3600)},
    )
    with state() as folder:
        Path(folder, store).write_bytes(b"this is no database" * 100)
        more: dict[str, Any] = {} if store == BUDGETS else {"consent": says_no}
        error = nothing_left(lambda world: world.assistant(policy_of(document), **more))
    assert isinstance(error, GateError)
