"""Invariant 6: no silent change. Whatever settings come together, each is honoured, in adjustments, or refused."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.support import assistant, policy
from tests.invariants.support import law, run

from ringfence.errors import Unsupported
from ringfence.provider import ModelCard, Plan, Provider
from ringfence.recipient import Recipient
from ringfence.request import Message, Request, Settings, TextPart
from ringfence.response import Adjustment, Response
from ringfence.testing import ScriptedProvider
from ringfence_gemini.provider import GeminiProvider
from ringfence_mlx.planning import make_plan
from ringfence_openai.provider import OpenAIProvider

NAMES = tuple(item.name for item in fields(Settings))
_share = st.floats(0.01, 1, allow_nan=False)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "max_output_tokens": st.integers(1, 4096),
    "temperature": st.floats(0, 2),
    "top_p": _share,
    "top_k": st.integers(1, 200),
    "min_p": _share,
    "repetition_penalty": st.floats(0.5, 2),
    "presence_penalty": st.floats(-2, 2),
    "frequency_penalty": st.floats(-2, 2),
    "seed": st.integers(0, 2**31 - 1),
    "stop": st.lists(st.text("abc", min_size=1, max_size=3), min_size=1, max_size=4, unique=True).map(tuple),
    "logit_bias": st.dictionaries(st.integers(0, 500), st.floats(-100, 100), min_size=1, max_size=2),
    "reasoning_effort": st.sampled_from(("none", "low", "medium", "high")),
    "image_size": st.sampled_from(("1024x1024", "64x64")),
    "image_count": st.integers(1, 4),
    "language": st.sampled_from(("de", "en-GB")),
    "voice": st.sampled_from(("alloy", "anna")),
    "audio_format": st.sampled_from(("wav", "mp3")),
}
given_settings = st.sets(st.sampled_from(NAMES), min_size=1, max_size=5).flatmap(
    lambda names: st.fixed_dictionaries({name: VALUES[name] for name in names})
)


class Planner:
    """Plans of one model; nothing is sent."""

    def __init__(self, make: type[Provider] | None, model: str, **options: Any) -> None:
        self._provider = None if make is None else make()
        self._recipient = Recipient(
            name="to",
            ring="device" if make is None else "partner",
            provider="mlx" if make is None else self._manifest(make),
            model=model,
            options=options,
        )
        self._card: ModelCard | None = None

    @staticmethod
    def _manifest(make: type[Provider]) -> str:
        return make.manifest.name

    def plan(self, settings: Settings) -> Plan[object]:
        request = Request(messages=(Message("user", (TextPart("How?"),)),), settings=settings)
        if self._provider is None:
            capable = ModelCard(name="m", context_tokens=8192, capabilities=frozenset({"text", "reasoning"}))
            return make_plan(request, capable, {})
        if self._card is None:
            self._card = run(self._provider.card(self._recipient))
        return self._provider.plan(request, self._recipient, self._card)


PLANNERS: dict[str, Planner] = {
    "openai responses": Planner(OpenAIProvider, "gpt-5.2", api="responses"),
    "openai chat": Planner(OpenAIProvider, "gpt-4.1", api="chat"),
    "gemini": Planner(GeminiProvider, "gemini-3-flash"),
    "mlx": Planner(None, "m"),
}


@law(30)
@given(values=given_settings)
@pytest.mark.parametrize("provider", PLANNERS)
def test_invariant_6_no_setting_is_dropped_whatever_it_comes_with(provider: str, values: dict[str, Any]) -> None:
    planner, values = PLANNERS[provider], dict(values)
    plan, settings = None, Settings()
    while plan is None:
        settings = Settings(**values)
        try:
            plan = planner.plan(settings)
        except Unsupported as refused:
            # It is refused by name; what is left must still be honoured, told or refused.
            del values[refused.setting]
    told = {adjustment.setting for adjustment in plan.adjustments}
    assert job(plan) == job(planner.plan(settings))
    for name, value in values.items():
        if (name, value) == ("reasoning_effort", "none") and "reasoning" not in plan.card.capabilities:
            continue  # a model that never reasons does as it is told
        default: Any = () if name == "stop" else None
        without = planner.plan(replace(settings, **{name: default}))
        assert name in told or job(without) != job(plan), f"{name} changes nothing, and nobody is told"


def job(plan: Plan[object]) -> object:
    """What is sent or done, in a form that compares."""
    return getattr(plan.native, "body", plan.native)


@law(20)
@given(told=st.lists(st.sampled_from(NAMES), max_size=4), stream=st.booleans())
def test_invariant_6_what_a_provider_adjusted_is_told(told: list[str], stream: bool) -> None:
    adjustments = tuple(Adjustment(setting=name, action="ignored", detail="not here") for name in told)

    class Adjusting(ScriptedProvider):
        def plan(self, request: Request, recipient: Recipient, card: ModelCard) -> Plan[object]:
            return Plan(request=request, card=card, native=None, adjustments=adjustments)

    async def ask() -> Response[None]:
        async with assistant(policy("first"), first=Adjusting("x")) as it:
            return await (it.stream("x").response() if stream else it.respond("x"))

    response = run(ask())
    assert response.adjustments == adjustments
    assert set(response.receipt.adjustments) == set(told)


@law(20)
@given(values=given_settings)
def test_invariant_6_settings_reach_a_provider_as_they_were_given(values: dict[str, Any]) -> None:
    provider, settings = ScriptedProvider("x"), Settings(**values)

    async def ask() -> None:
        async with assistant(policy("first"), first=provider) as it:
            await it.respond("x", settings=settings)

    run(ask())
    assert provider.requests[0].settings == settings
