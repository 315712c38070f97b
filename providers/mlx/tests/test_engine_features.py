"""Schemas, tools, adapters, vectors: each through the provider, with the real models."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pytest
import pytest_asyncio
from safetensors.numpy import save_file  # pyright: ignore[reportUnknownVariableType]  # its own types

from ringfence.errors import ContextLengthExceeded, Unsupported
from ringfence.provider import Available, CountsTokens, Diagnoses, Downloads, Embeds, Prewarms
from ringfence.request import Message, OutputSchema, Request, TextPart
from ringfence_mlx.models.catalog import EMBEDDING_MODEL

Kit: TypeAlias = Any
"""`conftest.Kit`, which no test module can import."""

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.model]


def similarity(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


def write_adapter(folder: Path, seed: int) -> str:
    """A LoRA adapter of the embedded model that changes what it says, as `mlx_lm lora` would write one."""
    random = np.random.default_rng(seed)
    halves = {"lora_a": (576, 4), "lora_b": (4, 576)}
    tensors = {
        f"model.layers.{layer}.self_attn.o_proj.{half}": random.normal(size=shape).astype(np.float32)
        for layer in (10, 20)
        for half, shape in halves.items()
    }
    folder.mkdir()
    save_file(tensors, folder / "adapters.safetensors")
    config = {"fine_tune_type": "lora", "num_layers": 30, "lora_parameters": {"rank": 4, "scale": 1.0, "dropout": 0.0}}
    (folder / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")
    return str(folder)


PERSON = OutputSchema(
    schema={
        "type": "object",
        "properties": {"name": {"type": "string", "maxLength": 10}, "age": {"type": "integer", "maximum": 120}},
        "required": ["name", "age"],
        "additionalProperties": False,
    }
)


async def test_the_provider_offers_what_its_manifest_says(kit: Kit) -> None:
    assert all(isinstance(kit.provider, kind) for kind in (Prewarms, CountsTokens, Embeds, Downloads, Diagnoses))


async def test_a_schema_is_kept_to(kit: Kit) -> None:
    answer = await kit.answer("Anna is 31 years old.", output=PERSON, max_output_tokens=40)
    value = json.loads(answer.text)
    assert set(value) == {"name", "age"}
    assert (answer.finish.reason, answer.finish.raw) in (("stop", "schema_complete"), ("stop", "stop"))


async def test_a_schema_is_kept_to_beside_free_answers(kit: Kit) -> None:
    async def text(question: str, **fields: Any) -> str:
        return str((await kit.answer(question, **fields)).text)

    structured, free, sampled = await asyncio.gather(
        text("Anna is 31 years old.", output=PERSON, max_output_tokens=40),
        text("What is the capital of France?"),
        text("Tell a story.", temperature=1.3, seed=5, repetition_penalty=1.2),
    )
    assert json.loads(structured)
    assert "Paris" in free
    assert sampled


async def test_a_schema_that_cannot_be_enforced_is_refused(kit: Kit) -> None:
    schema = OutputSchema(schema={"type": "object", "not": {"required": ["secret"]}})
    with pytest.raises(Unsupported) as caught:
        await kit.answer(output=schema)
    assert caught.value.setting == "output"
    assert "secret" not in str(caught.value)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def adapted(kit: Kit, provider_context: Any, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Kit]:
    """A provider whose app names two adapters, and a folder that is none."""
    folder = tmp_path_factory.mktemp("adapters")
    adapters = {"one": write_adapter(folder / "one", 1), "two": write_adapter(folder / "two", 2), "none": str(folder)}
    provider = type(kit.provider)()
    await provider.open(provider_context(adapters=adapters))
    yield type(kit)(provider=provider, card=kit.card)
    await provider.close()


async def test_an_adapter_that_is_none_is_refused_and_harms_nobody(adapted: Kit) -> None:
    with pytest.raises(Unsupported) as caught:
        await adapted.answer(provider_options={"mlx": {"adapter": "none"}})
    assert caught.value.setting == "adapter"
    assert "Paris" in (await adapted.answer()).text


async def test_each_request_is_answered_with_its_own_adapter(adapted: Kit) -> None:
    one, two = "one", "two"

    async def answer(adapter: str | None) -> str:
        options = {"mlx": {"adapter": adapter}} if adapter else {}
        return str((await adapted.answer(max_output_tokens=5, provider_options=options)).text)

    together = await asyncio.gather(*(answer(adapter) for adapter in (None, one, two, None, one)))
    assert together[0] == together[3] == await answer(None)
    assert together[1] == together[4] == await answer(one)
    assert len({together[0], together[1], together[2]}) == 3


async def test_texts_become_vectors(kit: Kit) -> None:
    if not isinstance(await kit.provider.availability(kit.on_device(EMBEDDING_MODEL)), Available):
        async for _ in kit.provider.download(EMBEDDING_MODEL):
            pass
    card = await kit.provider.card(kit.on_device(EMBEDDING_MODEL))

    def request(*texts: str) -> Request:
        return Request(messages=(Message("user", tuple(map(TextPart, texts))),), task="embed")

    asked = request("a dog runs", "a puppy is running", "the tax law of Peru")
    result = await kit.provider.embed(kit.provider.plan(asked, kit.on_device(EMBEDDING_MODEL), card), kit.grant(asked))
    dog, puppy, law = result.vectors
    assert (result.dimensions, len(law)) == (384, 384)
    assert all(math.isclose(math.hypot(*vector), 1, abs_tol=1e-4) for vector in result.vectors)
    assert similarity(dog, puppy) > similarity(dog, law)
    long = request("word " * 500)
    with pytest.raises(ContextLengthExceeded):
        await kit.provider.embed(kit.provider.plan(long, kit.on_device(EMBEDDING_MODEL), card), kit.grant(long))


async def test_tokens_are_counted_without_the_weights(kit: Kit, provider_context: Any) -> None:
    provider = type(kit.provider)()
    await provider.open(provider_context())
    other = type(kit)(provider=provider, card=kit.card)
    try:
        tokens = await other.count(other.request())
        assert other.worker_pid() is None
    finally:
        await provider.close()
    assert tokens == (await kit.answer(max_output_tokens=1)).usage.input_tokens


async def test_doctor_has_a_line_for_everything(kit: Kit) -> None:
    findings = await kit.provider.diagnose()
    subjects = {finding.subject for finding in findings}
    assert {"mlx", "mlx-lm", "blas", "memory", "workers", kit.card.name} <= subjects
    assert all(finding.way_out for finding in findings if finding.level != "ok")
