"""A budget of money over a provider whose prices only its plugin knows, or nobody."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.core.support import NO_WAIT

from ringfence import AsyncAssistant
from ringfence.errors import GateError
from ringfence.policy import prices, read_policy
from ringfence.recipient import Recipient
from ringfence.request import Settings
from ringfence.response import Finish, Usage, UsageReport
from ringfence.testing import Script, ScriptedProvider, text_events

POLICY = """
version: 1
name: priced
recipients:
  polly: {ring: partner, provider: scripted, model: polly-1}
  near: {ring: device, provider: near, model: m}
labels: {unclassified: {}}
unknown: unclassified
flow:
  - {id: device, allow: {labels: "*", to: [device]}}
  - {id: partner, allow: {labels: [unclassified], to: [partner]}, consent: ask}
route: [{id: all, prefer: [polly]}]
budgets: [{id: month, of: [polly], limit: 100 USD, per: month}]
"""
ANSWER = Script(
    events=[*text_events("x")[:-2], UsageReport(usage=Usage(input_tokens=30, output_tokens=12)), Finish("stop")]
)

Install = Callable[[str], None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Puts a distribution on the import path that offers prices of the provider `scripted`."""

    def put(code: str) -> None:
        info = tmp_path / "polly-1.0.dist-info"
        info.mkdir()
        (tmp_path / "fake_polly.py").write_text(f"def price_usd(recipient, usage):\n    {code}\n")
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: ringfence-polly\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text("[ringfence.prices]\nscripted = fake_polly:price_usd\n")
        monkeypatch.syspath_prepend(str(tmp_path))  # pyright: ignore[reportUnknownMemberType]

    monkeypatch.delenv("RINGFENCE_LOCK", raising=False)
    monkeypatch.setenv("RINGFENCE_STATE_DIR", str(tmp_path / "state"))
    prices.refresh()
    yield put
    prices.refresh()
    sys.modules.pop("fake_polly", None)


class Unpriced(ScriptedProvider):
    """Has no `price_usd`."""

    price_usd: Any = None


def assistant(provider: Any = None) -> AsyncAssistant:
    return AsyncAssistant(
        read_policy(POLICY),
        providers={"scripted": provider or Unpriced(ANSWER), "near": ScriptedProvider("near")},
        audit=False,
        consent=lambda _: True,
        retry=NO_WAIT,
    )


CENT = "return (usage.input_tokens + usage.output_tokens) / 100"


async def test_where_the_provider_has_no_prices_those_of_its_plugin_count(install: Install) -> None:
    install(CENT)
    async with assistant() as it:
        response = await it.respond("x", settings=Settings(max_output_tokens=100))
        assert response.receipt.cost_usd == pytest.approx(0.42)
        assert [state.spent for state in await it.budgets()] == [pytest.approx(0.42)]


async def test_what_the_provider_says_itself_goes_before_its_plugin(install: Install) -> None:
    class Priced(ScriptedProvider):
        def price_usd(self, recipient: Recipient, usage: Usage) -> float | None:
            return 0.5

    install(CENT)
    async with assistant(Priced(ANSWER)) as it:
        assert (await it.respond("x", settings=Settings(max_output_tokens=100))).receipt.cost_usd == 0.5


async def test_where_nobody_knows_a_price_nothing_is_sent(install: Install) -> None:
    assert install is not None
    provider = Unpriced(ANSWER)
    async with assistant(provider) as it:
        with pytest.raises(GateError, match=r"the price of this request is not known \(try: "):
            await it.respond("x", settings=Settings(max_output_tokens=100))
    assert provider.requests == []


async def test_the_message_says_what_the_plugins_price_function_did(install: Install) -> None:
    install("raise ValueError('canary')")
    async with assistant() as it:
        with pytest.raises(GateError) as caught:
            await it.respond("x", settings=Settings(max_output_tokens=100))
    assert caught.value.message.endswith("is not known: price_usd of ringfence-polly raised ValueError")


async def test_the_message_says_what_the_providers_own_method_did(install: Install) -> None:
    class Broken(ScriptedProvider):
        def price_usd(self, recipient: Recipient, usage: Usage) -> float | None:
            raise ValueError("canary")

    install(CENT)
    async with assistant(Broken(ANSWER)) as it:
        with pytest.raises(GateError) as caught:
            await it.respond("x", settings=Settings(max_output_tokens=100))
    assert caught.value.message.endswith("is not known: price_usd of provider 'scripted' raised ValueError")


async def test_an_answer_is_not_lost_for_a_price_that_fails_after_it(
    install: Install, caplog: pytest.LogCaptureFixture
) -> None:
    install("return 1 if usage.output_tokens == 100 else 1 / 0")
    with caplog.at_level(logging.WARNING, "ringfence"):
        async with assistant() as it:
            response = await it.respond("x", settings=Settings(max_output_tokens=100))
    assert response.receipt.cost_usd is None
    assert "the price at polly is not known: price_usd of ringfence-polly raised ZeroDivisionError" in caplog.text
