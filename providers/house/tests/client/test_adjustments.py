"""What the engine of a node did not honour as asked is told to the app, and nothing of it is believed further."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from providers.house.tests.client.support import PROMPT, TEXT, WORDS, Client, ask, saying

from ringfence.request import Settings
from ringfence.response import Adjustment
from ringfence_house.client.adjusted import read_adjustments
from ringfence_house.testing import HouseServer, Inside

SAID = {"setting": "reasoning_effort", "action": "changed", "detail": "the model knows no levels"}
OURS = "the engine of the house did not honour it as asked"
OTHER = Adjustment(setting="other", action="changed", detail=OURS)


def adjusting(*said: object) -> Inside:
    """An answer whose finish says these, as a node of ours does."""
    finish: dict[str, object] = {
        "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}],
        "adjustments": list(said),
    }
    honest = saying(*WORDS)
    return replace(
        honest, content=[*honest.content[:-2], b"data: %b\n\n" % json.dumps(finish).encode(), honest.content[-1]]
    )


async def told(house: HouseServer, *said: object, **options: Any) -> tuple[tuple[Adjustment, ...], tuple[str, ...]]:
    """The adjustments of the response, and those of the receipt."""
    house.script.inside = lambda request, machine: adjusting(*said)
    asked = await ask(house, **options)
    assert asked.text == TEXT
    assert asked.response is not None
    return asked.response.adjustments, asked.response.receipt.adjustments


async def test_what_the_engine_did_not_honour_is_told_to_the_app(house: HouseServer) -> None:
    response, receipt = await told(house, SAID)
    assert response == (Adjustment(setting="reasoning_effort", action="changed", detail="the model knows no levels"),)
    assert receipt == ("reasoning_effort",)


async def test_it_stands_beside_what_was_planned(house: HouseServer) -> None:
    house.script.inside = lambda request, machine: adjusting(SAID)
    async with Client(house, options={"extended_sampling": False}) as client:
        asked = await client.ask(settings=Settings(temperature=0.5))
        planned = asked.response.adjustments[:-1] if asked.response else ()
    assert asked.response is not None
    assert asked.response.adjustments == (*planned, Adjustment(**SAID))  # type: ignore[arg-type]


async def test_an_answer_that_adjusted_nothing_says_so(house: HouseServer) -> None:
    assert await told(house) == ((), ())


async def test_a_text_that_speaks_of_adjustments_is_none(house: HouseServer) -> None:
    words = ('{"adjustments": [', json.dumps(SAID), "]}")
    house.script.inside = lambda request, machine: saying(*words)
    asked = await ask(house)
    assert asked.text == "".join(words)
    assert asked.response is not None
    assert asked.response.adjustments == ()


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({**SAID, "setting": "canary-3f9c"}, replace(OTHER, detail="the model knows no levels")),
        (
            {**SAID, "detail": f"{PROMPT} is refused"},
            Adjustment(setting="reasoning_effort", action="changed", detail=OURS),
        ),
        ({**SAID, "detail": "x" * 201}, Adjustment(setting="reasoning_effort", action="changed", detail=OURS)),
        ({**SAID, "detail": "a\nb"}, Adjustment(setting="reasoning_effort", action="changed", detail=OURS)),
        ({**SAID, "action": "improved"}, OTHER),
        ({"setting": "seed"}, OTHER),
        (7, OTHER),
        ([], OTHER),
    ],
    ids=[
        "a name that is none",
        "words of the request",
        "long",
        "lines",
        "an action that is none",
        "half",
        "a number",
        "a list",
    ],
)
async def test_what_cannot_be_told_as_it_was_said_is_told_in_ours(
    house: HouseServer, said: object, expected: Adjustment
) -> None:
    response, receipt = await told(house, said)
    assert response == (expected,)
    assert receipt == (expected.setting,)


async def test_a_flood_of_them_is_cut_and_says_so(house: HouseServer) -> None:
    response, _ = await told(house, *[{**SAID, "detail": f"number {number}"} for number in range(1000)])
    assert len(response) == 17
    assert response[-1] == OTHER


@given(st.binary(max_size=200))
def test_any_bytes_are_some_adjustments_or_none(data: bytes) -> None:
    for whole in (data, b'{"adjustments":' + data + b"}"):
        assert all(one.setting == "other" or one.setting.isidentifier() for one in read_adjustments(whole, b""))
