"""What no script can be is refused where the double is made, with what to write."""

from __future__ import annotations

from typing import Any

import pytest

from ringfence.errors import InvalidRequest, RateLimited
from ringfence.testing import Script, ScriptedProvider, text_events

SECRET = "the secret of the test"


@pytest.mark.parametrize(
    ("script", "says", "way_out"),
    [
        pytest.param(RateLimited(SECRET), "'RateLimited'", "failing(RateLimited(…))", id="an error"),
        pytest.param(None, "'NoneType'", "a text, events", id="nothing"),
        pytest.param([SECRET], "'list' that holds what is no event", "text_events(", id="texts in a list"),
        pytest.param([*text_events("a"), None], "'list' that holds", "text_events(", id="events and nothing"),
        pytest.param(SECRET.encode(), "'bytes' that holds", "text_events(", id="bytes"),
    ],
)
def test_what_is_no_script_is_refused_at_once(script: Any, says: str, way_out: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        ScriptedProvider("first", script)
    assert says in refused.value.message
    assert way_out in (refused.value.way_out or "")
    assert SECRET not in f"{refused.value!r} {refused.value} {refused.value.way_out}"


@pytest.mark.parametrize(
    "script",
    ["a text", "", text_events("a"), list(text_events("a")), [], Script()],
    ids=["a text", "no text", "events", "events in a list", "no events", "a script"],
)
def test_a_text_events_and_a_script_are_scripts(script: Any) -> None:
    assert ScriptedProvider(script).requests == []
