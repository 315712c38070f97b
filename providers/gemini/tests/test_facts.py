"""Cards, prices, vectors, counts and sound."""

from __future__ import annotations

import io
import json
import math
import sys
import threading
import wave
from typing import TYPE_CHECKING, Any

import genai_prices
import httpx2
import pytest
from genai_prices import data_snapshot
from providers.gemini.tests.conftest import asking, chunk, grant, recipient, streamed

from ringfence.errors import StreamBroken, Unsupported
from ringfence.provider import CountsTokens, Diagnoses, Embeds, Prices
from ringfence.request import FilePart, Message, Settings, TextPart, Tool
from ringfence.response import Media, Usage
from ringfence_gemini.models import KNOWN_MODELS, card_of
from ringfence_gemini.provider import GeminiProvider

if TYPE_CHECKING:
    from providers.gemini.tests.conftest import Wire


def test_the_provider_has_every_optional_side() -> None:
    provider = GeminiProvider()
    assert isinstance(provider, Prices)
    assert isinstance(provider, Embeds)
    assert isinstance(provider, CountsTokens)
    assert isinstance(provider, Diagnoses)


# ------------------------------------------------------------ cards


def test_context_sizes_are_those_of_the_price_table_where_it_has_one() -> None:
    google = next(one for one in data_snapshot.get_snapshot().providers if one.id == "google")
    compared = 0
    for name in KNOWN_MODELS:
        model = google.find_model(name)
        if model is None or model.context_window is None or "draw" in card_of(name).capabilities:
            continue
        # The table rounds: a million there is 1,048,576 here.
        assert math.isclose(card_of(name).context_tokens, model.context_window, rel_tol=0.05), name
        compared += 1
    assert compared >= 5


async def test_little_is_promised_of_a_model_that_nobody_knows(wire: Wire) -> None:
    card = await wire.provider.card(recipient("gemini-99-mystery"))
    assert card.context_tokens == 32_768
    assert card.capabilities == {"text", "tools", "output_schema", "count_tokens"}


async def test_all_capabilities_of_the_manifest_are_some_models(wire: Wire) -> None:
    found = {capability for card in await wire.provider.models() for capability in card.capabilities}
    assert found == wire.provider.manifest.capabilities


# ------------------------------------------------------------ prices


def test_a_price_is_that_of_the_table() -> None:
    usage = Usage(input_tokens=1000, output_tokens=500, cached_input_tokens=200, reasoning_tokens=100)
    expected = genai_prices.calc_price(
        genai_prices.Usage(input_tokens=1000, output_tokens=500, cache_read_tokens=200),
        "gemini-2.5-flash",
        provider_id="google",
    ).total_price
    assert GeminiProvider().price_usd(recipient("gemini-2.5-flash"), usage) == pytest.approx(float(expected))
    assert float(expected) > 0


@pytest.mark.parametrize(
    ("to", "usage"),
    [
        (recipient("some-model"), Usage(input_tokens=1)),
        (recipient("gemini-2.5-flash-image"), Usage(input_tokens=1, output_tokens=1)),
        (recipient("gemini-2.5-flash", url="https://proxy.example"), Usage(input_tokens=1)),
        (recipient("gemini-2.5-flash"), Usage(input_tokens=1, cached_input_tokens=2)),
        (recipient("gemini-2.5-flash-preview-tts"), Usage(input_tokens=1000, output_tokens=1000)),
        (recipient("gemini-2.5-flash", capabilities=frozenset({"speak"})), Usage(input_tokens=1, output_tokens=1)),
        (recipient("gemini-2.5-flash", capabilities=frozenset({"transcribe"})), Usage(input_tokens=1)),
        (recipient("gemma-3"), Usage(input_tokens=1000, output_tokens=1000)),
        (recipient("gemini-2.5-flash"), Usage()),
        (recipient("gemini-2.5-flash"), Usage(output_tokens=1000)),
        (recipient("gemini-2.5-flash"), Usage(input_tokens=0, output_tokens=0)),
    ],
)
def test_a_price_that_is_not_known_is_none(to: Any, usage: Usage) -> None:
    assert GeminiProvider().price_usd(to, usage) is None


def test_a_price_starts_no_thread() -> None:
    before = set(threading.enumerate())
    GeminiProvider().price_usd(recipient("gemini-2.5-flash"), Usage(input_tokens=1, output_tokens=1))
    assert set(threading.enumerate()) <= before
    assert "genai_prices" in sys.modules


# ------------------------------------------------------------ vectors and counts

TEXTS = asking(task="embed", messages=(Message("user", (TextPart("one"), TextPart("two"))),))
EMBEDDING = recipient("gemini-embedding-001")


async def embedded(wire: Wire, body: object) -> Any:
    wire.replies = [httpx2.Response(200, json=body)]
    plan = await wire.plan(TEXTS, EMBEDDING)
    return await wire.provider.embed(plan, grant(TEXTS, EMBEDDING))


async def test_vectors_are_scaled_to_norm_one(wire: Wire) -> None:
    found = await embedded(wire, {"embeddings": [{"values": [3, 4]}, {"values": [0, -2]}]})
    assert found.vectors == ((0.6, 0.8), (0.0, -1.0))
    assert (found.dimensions, found.input_tokens) == (2, 0)


async def test_tokens_of_an_embedding_are_told_where_the_api_counts_them(wire: Wire) -> None:
    found = await embedded(
        wire, {"embeddings": [{"values": [1]}, {"values": [1]}], "usageMetadata": {"promptTokenCount": 9}}
    )
    assert found.input_tokens == 9


@pytest.mark.parametrize(
    "body", [{"embeddings": [{"values": [1]}]}, {"embeddings": [{"values": [1]}, {"values": [1, 2]}]}, {}, [1]]
)
async def test_vectors_that_do_not_fit_the_texts_are_no_answer(wire: Wire, body: object) -> None:
    with pytest.raises(StreamBroken):
        await embedded(wire, body)


@pytest.mark.parametrize("values", [[0, 0], [5e-324, 5e-324], [1e308, 1e308, 1e308, 1e308]])
async def test_a_vector_that_no_scale_makes_norm_one_is_no_answer(wire: Wire, values: list[float]) -> None:
    with pytest.raises(StreamBroken):
        await embedded(wire, {"embeddings": [{"values": values}, {"values": values}]})


async def test_tokens_are_counted_of_the_very_request(wire: Wire) -> None:
    request = asking(
        messages=(Message("system", (TextPart("Be brief."),)), *asking().messages), tools=(Tool(name="clock"),)
    )
    plan = await wire.plan(request, recipient())
    native: Any = plan.native
    wire.replies = [httpx2.Response(200, json={"totalTokens": 42})]
    assert await wire.provider.count_tokens(plan, grant(request, recipient())) == 42
    sent = wire.body["generateContentRequest"]
    assert sent.pop("model") == "models/gemini-3.8-flash"
    assert sent == json.loads(native.body)
    assert wire.requests[0].url.path == "/v1beta/models/gemini-3.8-flash:countTokens"


async def test_a_plan_is_used_for_what_it_is(wire: Wire) -> None:
    plan = await wire.plan(asking(), recipient())
    with pytest.raises(Unsupported):
        await wire.provider.embed(plan, grant(plan.request, recipient()))
    assert wire.requests == []


# ------------------------------------------------------------ sound

SAMPLES = bytes(range(200)) * 4


async def spoken(wire: Wire, settings: Settings, media_type: str = "audio/L16;codec=pcm;rate=16000") -> FilePart:
    import base64

    def piece(data: bytes, finish: str | None = None) -> dict[str, Any]:
        return chunk({"inlineData": {"mimeType": media_type, "data": base64.b64encode(data).decode()}}, finish=finish)

    wire.replies = [streamed(piece(SAMPLES[:300]), piece(SAMPLES[300:], "STOP"))]
    events = await wire.events(asking(task="speak", settings=settings), recipient("gemini-3.8-flash-tts"))
    (media,) = [event for event in events if isinstance(event, Media)]
    assert isinstance(media.part, FilePart)
    return media.part


async def test_speech_in_pieces_is_one_file_that_opens(wire: Wire) -> None:
    part = await spoken(wire, Settings())
    assert part.media_type == "audio/wav"
    with wave.open(io.BytesIO(part.data)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (16_000, 1, 2)
        assert file.readframes(file.getnframes()) == SAMPLES


async def test_speech_is_left_raw_where_that_is_asked(wire: Wire) -> None:
    part = await spoken(wire, Settings(audio_format="pcm"))
    assert (part.data, part.media_type) == (SAMPLES, "audio/L16;codec=pcm;rate=16000")


async def test_sound_of_another_kind_stays_as_it_came(wire: Wire) -> None:
    part = await spoken(wire, Settings(), "audio/mpeg")
    assert (part.data, part.media_type) == (SAMPLES, "audio/mpeg")
