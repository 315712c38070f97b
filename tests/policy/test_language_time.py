"""Conditions on time: the moment in the policy's zone, minute by minute, and not evaluable where it is not known."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.errors import PolicyInvalid
from ringfence.policy import Facts, read_policy
from ringfence.policy.conditions import Condition, Not, TimeIn
from ringfence.policy.evaluate import compile_condition
from ringfence.policy.satisfiable import Domains
from ringfence.policy.times import MINUTES_OF_A_WEEK, NotAZone, minute_of_moment, minute_of_week, zone_exists
from ringfence.privacy.labels import Labeller
from ringfence.request import Message, Request, TextPart

DAY = 1_440


def policy_text(*times: str) -> str:
    rules = [
        f'  - {{id: "r{index}", deny: {{labels: [work], to: [device]}}, when: {{time: {time}}}}}'
        for index, time in enumerate(times)
    ]
    return "\n".join(
        [
            "version: 1",
            "recipients: {mlx: {ring: device, provider: mlx, model: m}}",
            "labels: {work: {}, unclassified: {}}",
            "unknown: unclassified",
            "flow:",
            '  - {id: any, allow: {labels: "*", to: [device]}}',
            *rules,
            "route: [{id: all, prefer: [mlx]}]",
        ]
    )


def at(minute: int | None) -> Facts:
    return Facts(task="rewrite", labels=frozenset({"work"}), input_tokens=1, minute=minute)


WRITTEN = {
    "days": ("{days: [mon, sun]}", TimeIn(frozenset({0, 6}))),
    "from": ('{from: "08:30"}', TimeIn(frozenset(range(7)), 510)),
    "to": ('{to: "8:00"}', TimeIn(frozenset(range(7)), 0, 480)),
    "to midnight": ('{from: "22:00", to: "00:00"}', TimeIn(frozenset(range(7)), 1320, 1440)),
    "to the end": ('{to: "24:00", days: [sat]}', TimeIn(frozenset({5}))),
    "over midnight": ('{from: "22:00", to: "06:00"}', TimeIn(frozenset(range(7)), 1320, 360)),
}


@pytest.mark.parametrize(("written", "read"), WRITTEN.values(), ids=WRITTEN)
def test_a_time_as_it_is_written(written: str, read: TimeIn) -> None:
    document = read_policy(policy_text(written)).document
    assert document.flow[1].when == read
    assert document.zone == "UTC"


def test_a_policy_without_a_time_has_no_zone() -> None:
    assert read_policy(policy_text()).document.zone is None


def test_the_zone_is_the_one_that_the_conditions_name() -> None:
    time = "{days: [mon], zone: Europe/Zurich}"
    assert read_policy(policy_text(time, time)).document.zone == "Europe/Zurich"
    with pytest.raises(PolicyInvalid, match="has 1 fault"):
        read_policy(policy_text(time, "{days: [tue]}"))


OPEN = '{days: [mon, fri], from: "08:00", to: "18:00"}'
MOMENTS = {
    "before": (479, "allow"),
    "at the beginning": (480, "deny"),
    "within": (600, "deny"),
    "the last minute": (1_079, "deny"),
    "at the end": (1_080, "allow"),
    "another day": (DAY + 600, "allow"),
    "friday": (4 * DAY + 480, "deny"),
    "not known": (None, "deny"),
}


@pytest.mark.parametrize(("minute", "outcome"), MOMENTS.values(), ids=MOMENTS)
def test_a_deny_holds_within_its_time_and_where_the_time_is_not_known(minute: int | None, outcome: str) -> None:
    assert read_policy(policy_text(OPEN)).decide(at(minute)).outcome == outcome


def test_a_time_over_midnight_belongs_to_the_day_on_which_it_lies() -> None:
    test = compile_condition(TimeIn(frozenset({5}), 1_320, 360), {})
    saturday = 5 * DAY
    assert [test(at(saturday + minute)) for minute in (0, 359, 360, 1_319, 1_320, 1_439)] == [
        *(True, True, False, False, True, True)
    ]
    assert test(at(saturday - 1)) is test(at(saturday + DAY)) is False


TIMES = st.builds(
    TimeIn,
    st.frozensets(st.integers(0, 6), min_size=1),
    st.integers(0, 1_439),
    st.integers(1, 1_440),
)


@given(TIMES, st.integers(0, MINUTES_OF_A_WEEK - 1), st.booleans())
def test_what_can_be_satisfied_is_what_is_evaluated(when: TimeIn, minute: int, negated: bool) -> None:
    """The stretches of the week that the check of rules knows are the minutes at which the condition is true."""
    condition: Condition = Not(when) if negated else when
    domains = Domains(tasks=frozenset(), facts={})
    value = compile_condition(condition, {})(at(minute))
    for truth, alternatives in ((True, domains.true(condition)), (False, domains.not_true(condition))):
        ranges = [allowed for one in alternatives for allowed in one.values() if not isinstance(allowed, frozenset)]
        inside = any((r.over is None or r.over < minute) and (r.max is None or minute <= r.max) for r in ranges)
        assert inside is (value is truth)
    absent = [one for one in domains.not_true(condition) if frozenset({"(absent)"}) in one.values()]
    assert len(absent) == 1


def test_a_route_that_another_covers_in_time_is_never_reached() -> None:
    text = policy_text().replace(
        "route: [",
        'route: [{id: day, prefer: [mlx], when: {time: {from: "06:00", to: "20:00"}}}, '
        '{id: noon, prefer: [mlx], when: {time: {days: [tue], from: "11:00", to: "13:00"}}}, ',
    )
    with pytest.raises(PolicyInvalid) as caught:
        read_policy(text)
    assert "rule 'noon' can never be reached: rule 'day' before it matches every request that it does." in str(
        caught.value.faults
    )


def test_two_times_that_never_meet_are_a_fault() -> None:
    text = policy_text(OPEN).replace(
        f"when: {{time: {OPEN}}}", f"when: {{time: {OPEN}, not: {{time: {{days: [mon, tue, fri]}}}}}}"
    )
    with pytest.raises(PolicyInvalid) as caught:
        read_policy(text.replace("deny:", "allow:"))
    assert "can never match: its when: contradicts itself" in str(caught.value.faults)


# ---------------------------------------------------------------- the clock


@given(st.integers(0, 4_000_000_000), st.sampled_from(["UTC", "Europe/Zurich", "Asia/Kathmandu", "America/New_York"]))
def test_the_minute_of_the_week_is_that_of_the_wall_clock(unix_s: int, zone: str) -> None:
    minute = minute_of_week(zone, unix_s)
    there = datetime.fromtimestamp(unix_s, ZoneInfo(zone))
    assert divmod(minute, DAY) == (there.weekday(), there.hour * 60 + there.minute)


READ = {
    "in the zone": ("2026-03-02T09:30", 570 - 0),
    "with an offset": ("2026-03-02T09:30+00:00", 630),
    "in UTC": ("2026-03-02T23:30Z", DAY + 30),
    "in summer": ("2026-07-06T09:30Z", 690),
    "a day alone": ("2026-03-03", DAY),
}


@pytest.mark.parametrize(("written", "minute"), READ.values(), ids=READ)
def test_a_moment_without_an_offset_is_one_in_the_zone(written: str, minute: int) -> None:
    assert minute_of_moment("Europe/Zurich", written) == minute


@pytest.mark.parametrize("written", ["", "monday", "2026-02-30", "0001-01-01T00:00+14:00", "9999-12-31T23:59-14:00"])
def test_what_is_no_moment_has_no_minute(written: str) -> None:
    assert minute_of_moment("UTC", written) is None


@pytest.mark.parametrize("zone", ["", "Nowhere/Else", "../../etc/passwd", "/etc/localtime", "Europe", "a\x00b"])
def test_what_is_no_zone_is_known_as_such(zone: str) -> None:
    assert not zone_exists(zone)
    with pytest.raises(NotAZone):
        minute_of_week(zone, 0)


def test_a_request_has_a_minute_where_the_policy_asks_for_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monday = datetime(2026, 3, 2, 9, 30, 59, tzinfo=UTC).timestamp()
    monkeypatch.setattr("time.time", lambda: monday)
    request = Request(messages=(Message("user", (TextPart("hello"),)),))
    with_time = Labeller(read_policy(policy_text("{days: [mon], zone: Europe/Zurich}")))
    assert with_time.facts(request, frozenset({"work"})).minute == 630
    without = Labeller(read_policy(policy_text()))
    assert without.facts(request, frozenset({"work"})).minute is None
