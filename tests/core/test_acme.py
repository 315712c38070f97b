"""The complete example of the policy language in force: each of its ways, from the app to what a recipient got."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ringfence import AsyncAssistant, ConsentRequest, tool
from ringfence.errors import Denied, GateError
from ringfence.instructions import INSTRUCTIONS
from ringfence.testing import ScriptedProvider, call_events

ACME = Path(__file__).parents[2] / "examples" / "policies" / "acme-assistant.yaml"
ADULT = {"user.age_band": "adult"}


class World:
    """The example in force, with every provider scripted and every question answered as `says`."""

    def __init__(self, folder: Path) -> None:
        self.models = {name: ScriptedProvider(f"{name} says hello") for name in ("mlx", "house", "openai", "gemini")}
        self.asked: list[ConsentRequest] = []
        self.says = True
        self.assistant = AsyncAssistant(ACME, providers=self.models, audit=folder / "audit", consent=self._ask)

    def _ask(self, asked: ConsentRequest) -> bool:
        self.asked.append(asked)
        return self.says

    def sent(self, name: str) -> str:
        return repr([[message.text for message in one.messages] for one in self.models[name].requests])


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    made = World(tmp_path)
    async with made.assistant:
        yield made


async def test_simple_work_stays_on_the_device(world: World) -> None:
    response = await world.assistant.respond("Dinner at 8?", task="notification_summary", facts=ADULT)
    assert response.receipt.recipient == "mlx"
    assert response.receipt.route == "simple-on-device"
    assert not world.models["house"].requests


async def test_a_house_that_nobody_attests_is_passed_over_and_never_asked(world: World) -> None:
    response = await world.assistant.respond("How tall is Mount Fuji?", facts=ADULT)
    assert response.receipt.recipient == "openai"
    assert response.receipt.consented
    assert not world.models["house"].requests
    assert [asked.recipient for asked in world.asked] == ["openai"]


async def test_an_address_leaves_as_a_pseudonym_and_comes_back_as_itself(world: World) -> None:
    response = await world.assistant.respond("Write to anna@example.com, please.", facts=ADULT)
    assert response.receipt.recipient == "openai"
    assert response.receipt.redactions == {"contact": 1}
    assert "anna@example.com" not in world.sent("openai")
    assert "[EMAIL-1-" in world.sent("openai")
    assert "anna@example.com" not in world.asked[0].preview


async def test_a_card_number_never_reaches_a_partner(world: World) -> None:
    response = await world.assistant.respond("Is 4111 1111 1111 1111 a valid card?", facts=ADULT)
    assert response.receipt.recipient == "mlx"
    assert not world.asked
    assert world.sent("openai") == world.sent("gemini") == "[]"


async def test_without_an_age_no_partner_is_asked(world: World) -> None:
    response = await world.assistant.respond("How tall is Mount Fuji?")
    assert response.receipt.recipient == "mlx"
    assert not world.asked


async def test_a_no_goes_on_to_the_device(world: World) -> None:
    world.says = False
    response = await world.assistant.respond("How tall is Mount Fuji?", facts=ADULT)
    assert response.receipt.recipient == "mlx"
    assert [asked.recipient for asked in world.asked] == ["openai", "gemini"]


async def test_health_stays_inside_whatever_is_asked_for(world: World) -> None:
    with pytest.raises(Denied):
        await world.assistant.respond("My knee hurts.", labels={"health"}, facts=ADULT, to="openai")
    assert world.sent("openai") == "[]"


async def test_a_password_reaches_no_house_unless_it_is_removed(world: World) -> None:
    """The house would get it redacted; nobody attests the house, so it gets nothing at all."""
    decision = world.assistant.explain("The password is password=Tr0ub4dor&3-xK9", task="email_reply", facts=ADULT)
    house = next(step for step in decision.plan if step.recipient == "own-dc")
    assert house.redact == (("credentials", "remove"),)
    with pytest.raises(GateError):
        await world.assistant.respond(
            "The password is password=Tr0ub4dor&3-xK9", task="email_reply", facts=ADULT, to="own-dc"
        )
    assert world.sent("house") == "[]"


async def test_the_budget_of_the_partners_is_counted(world: World) -> None:
    await world.assistant.respond("How tall is Mount Fuji?", facts=ADULT)
    (state,) = await world.assistant.budgets()
    assert (state.id, state.limit, state.unit) == ("partner-month", 500, "USD")


async def test_a_tool_on_the_partner_ring_sees_no_more_than_a_partner(world: World) -> None:
    seen: list[str] = []

    @tool
    def web_search(query: str) -> str:
        """Searches."""
        seen.append(query)
        return "nothing found"

    world.models["mlx"] = ScriptedProvider(call_events("web_search", query="who is anna@example.com"), "Nobody.")
    async with AsyncAssistant(ACME, providers=world.models, audit=False, consent=lambda _: True) as assistant:
        await assistant.respond(
            "Who is anna@example.com?",
            task="notification_summary",
            facts=ADULT,
            tools=[web_search],
            approve=lambda _: True,
        )
    assert len(seen) == 1
    assert "anna@example.com" not in seen[0]


async def test_the_instructions_of_a_task_outlive_the_redaction_of_what_they_are_about(world: World) -> None:
    """What is declared for an input is declared for our own words beside it, which hold nothing of it."""
    await world.assistant.respond(
        "Invite anna@example.com to the concert.",
        labels={"contact"},
        instructions=INSTRUCTIONS["rewrite"],
        facts=ADULT,
        to="openai",
    )
    assert INSTRUCTIONS["rewrite"] in world.sent("openai")
    assert "to the concert" in world.sent("openai")
    assert "anna@example.com" not in world.sent("openai")
