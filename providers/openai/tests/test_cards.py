"""Facts of models and prices: from tables on this machine, never from the network."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from typing import Any

import pytest
from openai.types.shared.chat_model import ChatModel

from ringfence.recipient import Recipient
from ringfence.response import Usage
from ringfence_openai.cards import NAMED, card_of
from ringfence_openai.prices import PLACES
from ringfence_openai.provider import OpenAIProvider


def _recipient(model: str, **fields: Any) -> Recipient:
    return Recipient(name="far", ring="partner", provider="openai", model=model, **fields)


@pytest.mark.parametrize(
    ("model", "can", "cannot"),
    [
        ("gpt-6-astra", {"text", "reasoning", "image_input", "count_tokens"}, {"draw"}),
        ("gpt-5.3-chat-latest", {"text", "image_input"}, {"reasoning"}),
        ("o3-mini", {"reasoning"}, {"image_input"}),
        ("gpt-4.1-mini", {"output_schema", "image_input"}, {"reasoning"}),
        ("gpt-3.5-turbo", {"text", "tools"}, {"output_schema"}),
        ("gpt-image-2.5-flare", {"draw"}, {"text"}),
        ("text-embedding-3-small", {"embed"}, {"text"}),
        ("gpt-4o-transcribe", {"transcribe"}, {"text"}),
        ("whisper-1", {"transcribe"}, {"text"}),
        ("gpt-4o-mini-tts", {"speak"}, {"text"}),
        ("nobody-knows", {"text", "tools", "output_schema"}, {"reasoning", "image_input", "draw"}),
    ],
)
def test_what_a_model_can_do_is_in_a_table(model: str, can: set[str], cannot: set[str]) -> None:
    card = card_of(model, vendor=True, api="responses")
    assert card.capabilities >= can
    assert not card.capabilities & cannot


def test_context_sizes_come_from_the_price_tables() -> None:
    assert card_of("gpt-5.4", vendor=True, api="responses").context_tokens == 1_050_000
    assert card_of("nobody-knows", vendor=True, api="responses").context_tokens == 8_192


def test_a_server_of_ones_own_says_by_the_policy_what_it_can() -> None:
    card = card_of("gpt-6-astra", vendor=False, api="chat")
    assert card.capabilities == {"text", "tools", "output_schema"}


async def test_every_named_model_is_known(openai: OpenAIProvider) -> None:
    cards = {card.name: card for card in await openai.models()}
    assert set(cards) == set(NAMED)
    for card in cards.values():
        assert card.capabilities <= openai.manifest.capabilities
    chat_models = ChatModel.__args__  # type: ignore[attr-defined]
    assert {name for name, card in cards.items() if "text" in card.capabilities} <= set(chat_models)


async def test_a_card_is_asked_for_once(openai: OpenAIProvider) -> None:
    to = _recipient("gpt-6-astra")
    assert await openai.card(to) is await openai.card(to)


USAGE = Usage(input_tokens=1000, output_tokens=100, cached_input_tokens=10, reasoning_tokens=5)


def test_a_price_is_that_of_the_tables(openai: OpenAIProvider) -> None:
    from genai_prices import Usage as Counted
    from genai_prices import calc_price

    counted = Counted(input_tokens=1000, output_tokens=100, cache_read_tokens=10)
    expected = float(calc_price(counted, "gpt-4o", provider_id="openai").total_price)
    assert expected > 0
    assert openai.price_usd(_recipient("gpt-4o"), USAGE) == expected
    assert openai.price_usd(_recipient("gpt-4o", url="https://eu.api.openai.com/v1"), USAGE) == expected


@pytest.mark.parametrize(
    ("to", "usage"),
    [
        (_recipient("nobody-knows"), USAGE),
        (_recipient("gpt-4o", url="http://127.0.0.1:11434/v1"), USAGE),
        (_recipient("gpt-4o", url="https://models.example.com/v1"), USAGE),
        (_recipient("gpt-4o"), Usage()),
        (_recipient("gpt-4o"), Usage(input_tokens=1, output_tokens=1, cached_input_tokens=5)),
        (_recipient("gpt-4o"), Usage(input_tokens=-1, output_tokens=1)),
        (_recipient("gpt-4o"), Usage(input_tokens=1000)),
        (_recipient("gpt-4o"), Usage(output_tokens=1000)),
        (_recipient("gpt-4o"), Usage(input_tokens=0, output_tokens=0)),
        (_recipient("gpt-image-1"), USAGE),
        (_recipient("openai/gpt-4o-mini-tts", url="https://openrouter.ai/api/v1"), USAGE),
        (_recipient("gemini-2.5-flash-image", url="https://generativelanguage.googleapis.com/v1beta/openai"), USAGE),
        (_recipient("gpt-4o-transcribe"), USAGE),
        (_recipient("gpt-transcribe"), USAGE),
        (_recipient("whisper-1"), USAGE),
        (_recipient("gpt-4o-mini-tts"), USAGE),
        (_recipient("gpt-4o", url="https://api.openai.com.evil.example/v1"), USAGE),
        (_recipient("gpt-4o", url="https://evil.example/api.openai.com"), USAGE),
        (_recipient("deepseek-chat", url="https://api.deepseek.com.evil.example/v1"), USAGE),
        (_recipient("deepseek-chat", url="https://api.deepseek.com@evil.example/v1"), USAGE),
        (_recipient("deepseek-chat", url="http://api.deepseek.com/v1"), USAGE),
    ],
)
def test_a_price_that_nobody_knows_is_none(openai: OpenAIProvider, to: Recipient, usage: Usage) -> None:
    assert openai.price_usd(to, usage) is None


def test_a_price_at_another_vendor_is_that_of_its_host(openai: OpenAIProvider) -> None:
    from genai_prices import Usage as Counted
    from genai_prices import calc_price

    counted = Counted(input_tokens=1000, output_tokens=100, cache_read_tokens=10)
    expected = float(calc_price(counted, "deepseek-chat", provider_id="deepseek").total_price)
    assert expected > 0
    assert openai.price_usd(_recipient("deepseek-chat", url="https://api.deepseek.com/v1"), USAGE) == expected


def test_vectors_cost_by_their_texts_alone(openai: OpenAIProvider) -> None:
    price = openai.price_usd(_recipient("text-embedding-3-small"), Usage(input_tokens=1000))
    assert price is not None
    assert price > 0


def test_every_place_is_one_of_the_tables() -> None:
    from genai_prices.data_snapshot import get_snapshot

    patterns = {provider.id: provider.api_pattern for provider in get_snapshot().providers}
    assert all(re.match(patterns[place], f"https://{host}/v1") for host, place in PLACES.items())


def test_a_price_starts_no_thread_and_opens_no_connection() -> None:
    code = """
import sys
def forbid(event, arguments):
    if event.startswith("socket.") and event != "socket.gethostname":
        raise SystemExit(event)
sys.addaudithook(forbid)
import threading
from ringfence.recipient import Recipient
from ringfence.response import Usage
from ringfence_openai.cards import card_of
from ringfence_openai.prices import price_usd
to = Recipient(name="far", ring="partner", provider="openai", model="gpt-4o")
card_of("gpt-4o", vendor=True, api="chat")
assert price_usd(to, Usage(input_tokens=1000, output_tokens=1)) > 0
print(threading.active_count())
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=dict(os.environ)
    )
    assert done.stdout.strip() == "1"
    assert threading.active_count() >= 1
