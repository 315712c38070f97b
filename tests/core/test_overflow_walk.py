"""The walk over a plan with overflow: which recipient is tried, given what each of them does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence import Retry
from ringfence.errors import (
    AuthenticationFailed,
    ConnectFailed,
    ConsentRefused,
    Overloaded,
    RequestRejected,
    RingfenceError,
    StreamBroken,
    TimedOut,
    Unavailable,
)
from ringfence.policy.decision import OverflowOf, Stage, Step
from ringfence.routing.walk import Walk

ONCE, THRICE = Retry(attempts=1), Retry(attempts=3, wait_s=0.0)

# What a recipient does when it is tried: the error, and whether anything was sent by then.
FATES: dict[str, tuple[RingfenceError, bool]] = {
    "down": (Unavailable("no node", reason="unreachable"), False),
    "no route": (ConnectFailed("no connection"), True),
    "full": (Overloaded("full", phase="before_first_event"), True),
    "full, unsent": (Overloaded("full", phase="plan"), False),
    "no key": (Unavailable("no key", reason="not_configured"), False),
    "no consent": (ConsentRefused("no"), False),
    "rejected": (RequestRejected("no", phase="before_first_event"), True),
    "unauthorised": (AuthenticationFailed("no", phase="before_first_event"), True),
    "broken": (StreamBroken("broken"), True),
    "full in the midst": (Overloaded("full", phase="mid_stream"), True),
    "out of time": (TimedOut("late", limit="total", phase="before_first_event"), True),
}


def step(name: str, stage: Stage = "prefer", of: str | None = None) -> Step:
    return Step(
        recipient=name,
        ring="house",
        stage=stage,
        overflow=None if of is None else OverflowOf(recipient=of, over=0.85),
    )


OWN, OTHER = step("own"), step("other")
RENTED, SPARE = step("rented", "overflow", "own"), step("spare", "overflow", "own")
MLX = step("mlx", "fallback")


def tried(
    plan: Sequence[Step],
    fates: Mapping[str, str],
    use: Mapping[str, float] | None = None,
    *,
    retry: Retry = ONCE,
) -> list[str]:
    """The recipients in the order in which they are tried, up to the one that answers: it has no fate."""
    walk = Walk(tuple(plan), retry, (use or {}).get)
    names = [walk.step.recipient]
    while (fate := fates.get(walk.step.recipient)) is not None:
        error, sent = FATES[fate]
        if walk.after(error, sent=sent) is None:
            return [*names, "nobody"]
        names.append(walk.step.recipient)
    return names


WALKS: dict[str, tuple[list[Step], dict[str, str], dict[str, float], list[str]]] = {
    "idle": ([OWN, RENTED, MLX], {}, {"own": 0.85}, ["own"]),
    "over the figure": ([OWN, RENTED, MLX], {}, {"own": 0.86}, ["rented"]),
    "use not known": ([OWN, RENTED, MLX], {}, {}, ["own"]),
    "full": ([OWN, RENTED, MLX], {"own": "full"}, {}, ["own", "rented"]),
    "full before it was sent": ([OWN, RENTED, MLX], {"own": "full, unsent"}, {}, ["own", "rented"]),
    "not reached": ([OWN, RENTED, MLX], {"own": "down"}, {}, ["own", "rented"]),
    "no connection": ([OWN, RENTED, MLX], {"own": "no route"}, {}, ["own", "rented"]),
    "no key is no reason": ([OWN, RENTED, MLX], {"own": "no key"}, {}, ["own", "mlx"]),
    "no consent is no reason": ([OWN, RENTED, OTHER, MLX], {"own": "no consent"}, {}, ["own", "other"]),
    "a rejection is no reason": ([OWN, RENTED, OTHER, MLX], {"own": "rejected"}, {}, ["own", "mlx"]),
    "a broken stream is no reason": ([OWN, RENTED, MLX], {"own": "broken"}, {}, ["own", "mlx"]),
    "full in the midst is no reason": ([OWN, RENTED, MLX], {"own": "full in the midst"}, {}, ["own", "mlx"]),
    "out of time": ([OWN, RENTED, MLX], {"own": "out of time"}, {}, ["own", "nobody"]),
    "full and only overflow is tried next": (
        [OWN, RENTED, OTHER, MLX],
        {"own": "full", "rented": "no key"},
        {},
        ["own", "rented", "mlx"],
    ),
    "both full": ([OWN, RENTED, SPARE, MLX], {"own": "full", "rented": "full"}, {}, ["own", "rented", "spare"]),
    "overflow failed": (
        [OWN, RENTED, SPARE, MLX],
        {"own": "full", "rented": "rejected"},
        {},
        ["own", "rented", "mlx"],
    ),
    "down, and what is preferred goes on": (
        [OWN, RENTED, OTHER, MLX],
        {"own": "down", "rented": "no key"},
        {},
        ["own", "rented", "other"],
    ),
    "busy is better than no answer": (
        [OWN, RENTED, MLX],
        {"rented": "no key"},
        {"own": 0.99},
        ["rented", "own"],
    ),
    "busy comes after another preferred one": (
        [OWN, RENTED, OTHER, MLX],
        {"rented": "no key"},
        {"own": 0.99},
        ["rented", "other"],
    ),
    "busy is not asked once something failed": (
        [OWN, RENTED, MLX],
        {"rented": "rejected"},
        {"own": 0.99},
        ["rented", "mlx"],
    ),
    "busy without overflow in the plan": ([OWN, MLX], {}, {"own": 0.99}, ["own"]),
    "the overflow of the second": (
        [OWN, RENTED, OTHER, MLX],
        {"own": "no key", "other": "full"},
        {},
        ["own", "other", "rented"],
    ),
    "no preferred one is in the plan": ([RENTED, MLX], {}, {}, ["rented"]),
    "one preferred one is in the plan": ([RENTED, OTHER, MLX], {}, {}, ["other"]),
    "a full fallback opens no overflow": (
        [OWN, RENTED, MLX],
        {"own": "rejected", "mlx": "full"},
        {},
        ["own", "mlx", "nobody"],
    ),
}


@pytest.mark.parametrize(("plan", "fates", "use", "names"), WALKS.values(), ids=WALKS)
def test_the_walk(plan: list[Step], fates: dict[str, str], use: dict[str, float], names: list[str]) -> None:
    assert tried(plan, fates, use) == names


def test_a_full_recipient_is_not_asked_again_where_it_has_overflow() -> None:
    assert tried([OWN, RENTED], {"own": "full"}, retry=THRICE) == ["own", "rented"]
    assert tried([OWN, MLX], {"own": "full"}, retry=THRICE) == ["own", "own", "own", "mlx"]


def test_a_connection_is_tried_as_often_as_ever_before_overflow() -> None:
    assert tried([OWN, RENTED], {"own": "no route"}, retry=THRICE) == ["own", "own", "own", "rented"]


PLANS = st.tuples(
    st.lists(st.sampled_from("ab"), unique=True, max_size=2),
    st.lists(st.sampled_from("cd"), unique=True, max_size=2),
    st.lists(st.sampled_from("ef"), unique=True, max_size=2),
).map(
    lambda parts: [
        *(step(name) for name in parts[0][:1]),
        *(step(name, "overflow", "a") for name in parts[1]),
        *(step(name) for name in parts[0][1:]),
        *(step(name, "fallback") for name in parts[2]),
    ]
)


@given(
    PLANS.filter(bool),
    st.dictionaries(st.sampled_from("abcdef"), st.sampled_from(sorted(FATES))),
    st.dictionaries(st.sampled_from("abcdef"), st.sampled_from((0.0, 0.85, 0.9))),
)
def test_invariant_a_walk_stays_in_the_plan_and_after_a_failed_send_is_never_preferred(
    plan: list[Step], fates: dict[str, str], use: dict[str, float]
) -> None:
    stages = {one.recipient: one.stage for one in plan}
    names = [name for name in tried(plan, fates, use) if name != "nobody"]
    assert set(names) <= set(stages)
    assert len(set(names)) == len(names)
    sent = [FATES[fates[name]][1] if name in fates else True for name in names]
    for place, name in enumerate(names):
        before = [other for other, was_sent in zip(names[:place], sent, strict=False) if was_sent]
        assert not before or stages[name] != "prefer"
        if stages[name] == "overflow":
            assert all(fates[other] in {"full", "no route"} for other in before)


class OutOfReach(ConnectFailed, Overloaded):
    """What a provider raises that looked for its recipient and found it out of reach."""


@pytest.mark.parametrize(("left", "then"), [([OTHER], "own"), ([OTHER, MLX], "mlx"), ([], "own")])
def test_who_is_out_of_reach_after_a_send_gives_way_only_to_who_may_be_tried_then(left: list[Step], then: str) -> None:
    """After a send nobody preferred is left to be tried, and giving way to them would give up."""
    walk = Walk((OWN, *left), THRICE)
    assert walk.after(ConnectFailed("no connection"), sent=True) == 0.0
    assert walk.after(OutOfReach("nobody answers"), sent=False) == 0.0
    assert walk.step.recipient == then
