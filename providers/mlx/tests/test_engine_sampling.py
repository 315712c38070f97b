"""Samplers are reproducible, checked, and keep to what was asked; the makers' defaults give way to it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import cast

import mlx.core as mx
import pytest

from ringfence_mlx.worker.job import JobFault, Sampling
from ringfence_mlx.worker.loader import read_defaults
from ringfence_mlx.worker.sampling import check, make_processors, make_sampler, with_defaults

VOCABULARY = 100


def logprobs(seed: int = 0) -> mx.array:
    logits = mx.random.normal((1, VOCABULARY), key=mx.random.key(seed))
    return logits - mx.logsumexp(logits, axis=-1, keepdims=True)


def token_of(array: mx.array) -> int:
    return cast("int", array.item())


def draws(sampling: Sampling, count: int = 40) -> list[int]:
    sampler = make_sampler(sampling, VOCABULARY)
    return [token_of(sampler(logprobs())) for _ in range(count)]


def test_without_settings_the_most_likely_token_is_taken() -> None:
    assert draws(Sampling(), 2) == [token_of(mx.argmax(logprobs()))] * 2


def test_a_seed_repeats_itself_and_others_differ() -> None:
    first, again, other = (draws(Sampling(temperature=1.0, seed=seed)) for seed in (5, 5, 6))
    assert first == again != other


def test_another_sampler_in_between_changes_nothing() -> None:
    one, two = make_sampler(Sampling(temperature=1.0, seed=5), VOCABULARY), make_sampler(Sampling(temperature=1.0), 100)
    mixed: list[int] = []
    for _ in range(40):
        mixed.append(token_of(one(logprobs())))
        two(logprobs())
    assert mixed == draws(Sampling(temperature=1.0, seed=5))


def test_without_a_seed_answers_differ() -> None:
    assert draws(Sampling(temperature=2.0)) != draws(Sampling(temperature=2.0))


@pytest.mark.parametrize(
    ("sampling", "most"),
    [
        (Sampling(temperature=2.0, top_k=3, seed=1), 3),
        (Sampling(temperature=2.0, top_p=1e-6, seed=1), 1),
        (Sampling(temperature=2.0, min_p=1.0, seed=1), 1),
    ],
)
def test_a_filter_narrows_what_is_drawn(sampling: Sampling, most: int) -> None:
    assert len(set(draws(sampling))) <= most


@pytest.mark.parametrize("sampling", [Sampling(temperature=1.0, top_k=VOCABULARY), Sampling(temperature=1.0, min_p=0)])
def test_a_filter_that_keeps_all_is_left_out(sampling: Sampling) -> None:
    assert all(0 <= token < VOCABULARY for token in draws(sampling, 3))


@pytest.mark.parametrize("token", [VOCABULARY, 10**9])
def test_a_bias_outside_the_vocabulary_is_refused(token: int) -> None:
    with pytest.raises(JobFault) as caught:
        check(Sampling(logit_bias={token: 1.0}), VOCABULARY)
    assert caught.value.kind == "rejected"


def test_a_penalty_of_one_costs_nothing() -> None:
    assert make_processors(Sampling(repetition_penalty=1.0)) == []


def test_defaults_fill_only_what_was_left_open() -> None:
    defaults = {"repetition_penalty": 1.1, "temperature": 0.7, "top_p": 0.9}
    assert with_defaults(Sampling(), defaults) == Sampling(repetition_penalty=1.1, temperature=0.7, top_p=0.9)
    assert with_defaults(Sampling(temperature=0), defaults) == Sampling(temperature=0, repetition_penalty=1.1)
    assert with_defaults(Sampling(repetition_penalty=1), {"repetition_penalty": 1.1}) == Sampling(repetition_penalty=1)


@pytest.mark.parametrize(
    ("document", "defaults"),
    [
        ({"repetition_penalty": 1.1, "temperature": 0.7}, {"repetition_penalty": 1.1}),
        ({"do_sample": True, "temperature": 0.7, "top_k": 20}, {"temperature": 0.7, "top_k": 20}),
        ({"do_sample": True, "temperature": 50, "top_k": 1.5, "top_p": True, "min_p": "x"}, {}),
        ({"repetition_penalty": float("nan")}, {}),
        ([], {}),
    ],
)
def test_the_makers_defaults_are_read_within_bounds(
    tmp_path: Path, document: object, defaults: dict[str, float]
) -> None:
    (tmp_path / "generation_config.json").write_text(json.dumps(document), encoding="utf-8")
    assert read_defaults(tmp_path) == defaults


def test_no_file_means_no_defaults(tmp_path: Path) -> None:
    assert read_defaults(tmp_path) == {}
