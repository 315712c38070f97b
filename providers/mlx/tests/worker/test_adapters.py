"""Adapters are exchanged exactly; one that does not fit changes nothing."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

mx = pytest.importorskip("mlx.core")
pytestmark = pytest.mark.model

QUERIES = ("model.layers.0.self_attn.q_proj", "model.layers.1.self_attn.q_proj")
UP = ("model.layers.1.mlp.up_proj",)


def dimensions(model: Any, target: str) -> tuple[int, int]:
    layer = dict(model.named_modules())[target]
    outputs, inputs = layer.weight.shape
    return outputs, inputs * 32 // layer.bits if hasattr(layer, "bits") else inputs


def write(folder: Path, model: Any, *, rank: int, targets: tuple[str, ...], seed: int) -> str:
    mx.random.seed(seed)
    tensors: dict[str, Any] = {}
    for target in targets:
        outputs, inputs = dimensions(model, target)
        tensors[f"{target}.lora_a"] = mx.random.normal((inputs, rank))
        tensors[f"{target}.lora_b"] = mx.random.normal((rank, outputs))
    folder.mkdir()
    mx.save_safetensors(str(folder / "adapters.safetensors"), tensors)
    parameters = {
        "rank": rank,
        "scale": 2.0,
        "dropout": 0.1,
        "keys": [target.partition("layers.")[2][2:] for target in targets],
    }
    config = {"fine_tune_type": "lora", "num_layers": 2, "lora_parameters": parameters}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return str(folder)


def logits(model: Any) -> Any:
    found = model(mx.array([[1, 5, 9, 13]]))
    mx.eval(found)
    return found


def same(one: Any, other: Any) -> bool:
    return bool(mx.array_equal(one, other).item())


@pytest.fixture(params=["float32", "4bit"])
def model(tiny_model: Any, request: pytest.FixtureRequest) -> Any:
    if request.param == "4bit":
        importlib.import_module("mlx.nn").quantize(tiny_model, group_size=32, bits=4)
    return tiny_model


class TestSwitching:
    def test_there_and_back_again_is_identical(self, model: Any, tmp_path: Path) -> None:
        from ringfence_mlx.worker.adapters import AdapterSwitch

        one = write(tmp_path / "one", model, rank=4, targets=QUERIES, seed=1)
        two = write(tmp_path / "two", model, rank=2, targets=UP, seed=2)
        switch = AdapterSwitch(model)
        base = logits(model)
        found: dict[str | None, list[Any]] = {None: [base], one: [], two: []}
        for path in (one, two, one, None, two, None, None, one):
            switch.use(path)
            assert switch.current == path
            found[path].append(logits(model))

        for answers in found.values():
            assert all(same(answers[0], other) for other in answers)
        assert not same(base, found[one][0])
        assert not same(base, found[two][0])
        assert not same(found[one][0], found[two][0])

    def test_it_gives_what_mlx_lm_gives(self, model: Any, tmp_path: Path) -> None:
        from mlx_lm.tuner.utils import load_adapters

        from ringfence_mlx.worker.adapters import AdapterSwitch

        path = write(tmp_path / "one", model, rank=4, targets=QUERIES, seed=1)
        switch = AdapterSwitch(model)
        switch.use(path)
        ours = logits(model)
        switch.use(None)
        load_adapters(model, path)
        model.eval()
        assert same(ours, logits(model))

    def test_base_parameters_are_shared_and_come_back(self, model: Any, tmp_path: Path) -> None:
        from ringfence_mlx.worker.adapters import AdapterSwitch

        tree_flatten = importlib.import_module("mlx.utils").tree_flatten
        before = dict(tree_flatten(model.parameters()))
        switch = AdapterSwitch(model)
        switch.use(write(tmp_path / "one", model, rank=4, targets=QUERIES, seed=1))
        switch.use(None)
        after = dict(tree_flatten(model.parameters()))
        assert set(before) == set(after)
        assert all(before[name] is after[name] for name in before)


def no_config(folder: Path) -> None:
    (folder / "adapter_config.json").unlink()


def half_a_config(folder: Path) -> None:
    (folder / "adapter_config.json").write_text("{")


def no_tensors(folder: Path) -> None:
    (folder / "adapters.safetensors").unlink()


def half_the_tensors(folder: Path) -> None:
    file = folder / "adapters.safetensors"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def junk(folder: Path) -> None:
    (folder / "adapters.safetensors").write_bytes(b"\xff" * 64)


def config(**changes: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        file = folder / "adapter_config.json"
        found = json.loads(file.read_text())
        parameters = {**found["lora_parameters"], **changes.pop("parameters", {})}
        file.write_text(json.dumps({**found, "lora_parameters": parameters, **changes}))

    return change


def tensors(change: Callable[[dict[str, Any]], None]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        file = str(folder / "adapters.safetensors")
        found: Any = mx.load(file)
        mx.eval(list(found.values()))
        change(found)
        mx.save_safetensors(file, found)

    return apply


def without_half(found: dict[str, Any]) -> None:
    del found[f"{QUERIES[0]}.lora_b"]


def of_another_model(found: dict[str, Any]) -> None:
    for half in ("lora_a", "lora_b"):
        found[f"model.layers.99.self_attn.q_proj.{half}"] = found[f"{QUERIES[0]}.{half}"]


def of_a_norm(found: dict[str, Any]) -> None:
    for half in ("lora_a", "lora_b"):
        found[f"model.norm.{half}"] = found[f"{QUERIES[0]}.{half}"]


def turned(found: dict[str, Any]) -> None:
    found[f"{UP[0]}.lora_a"] = found.pop(f"{QUERIES[0]}.lora_a")
    found[f"{UP[0]}.lora_b"] = found.pop(f"{QUERIES[0]}.lora_b")


def not_finite(found: dict[str, Any]) -> None:
    found[f"{QUERIES[0]}.lora_a"] = found[f"{QUERIES[0]}.lora_a"] * float("inf")


def whole_numbers(found: dict[str, Any]) -> None:
    found[f"{QUERIES[0]}.lora_a"] = found[f"{QUERIES[0]}.lora_a"].astype(mx.int32)


BAD: dict[str, tuple[Callable[[Path], None], str]] = {
    "no config": (no_config, "no readable adapter_config.json"),
    "a config that is no JSON": (
        half_a_config,
        "no readable",
    ),
    "a config without parameters": (config(lora_parameters=None), "no lora_parameters"),
    "another kind": (config(fine_tune_type="dora"), "fine_tune_type"),
    "rank zero": (config(parameters={"rank": 0}), "rank"),
    "a rank that is text": (config(parameters={"rank": "4"}), "rank"),
    "another rank": (config(parameters={"rank": 5}), "shapes"),
    "a scale that is none": (config(parameters={"scale": None}), "scale"),
    "no tensors": (no_tensors, "no readable adapters.safetensors"),
    "half a file": (half_the_tensors, "no readable adapters.safetensors"),
    "junk": (junk, "no readable adapters.safetensors"),
    "half a pair": (tensors(without_half), "pairs"),
    "layers the model has not": (tensors(of_another_model), "does not have"),
    "a layer that is not linear": (tensors(of_a_norm), "not linear"),
    "the shapes of another layer": (tensors(turned), "shapes"),
    "infinite values": (tensors(not_finite), "not finite"),
    "whole numbers": (tensors(whole_numbers), "floating-point"),
}


class TestBadAdapters:
    @pytest.mark.parametrize("name", BAD)
    def test_it_is_refused_and_what_was_in_force_stays(self, tiny_model: Any, tmp_path: Path, name: str) -> None:
        from ringfence_mlx.worker.adapters import AdapterError, AdapterSwitch

        damage, message = BAD[name]
        good = write(tmp_path / "good", tiny_model, rank=4, targets=QUERIES, seed=1)
        bad = write(tmp_path / "secret", tiny_model, rank=4, targets=QUERIES, seed=2)
        damage(Path(bad))
        switch = AdapterSwitch(tiny_model)
        switch.use(good)
        before = logits(tiny_model)

        with pytest.raises(AdapterError, match=message) as caught:
            switch.use(bad)

        assert "secret" not in str(caught.value)
        assert switch.current == good
        assert same(before, logits(tiny_model))

    def test_a_folder_that_is_not_there(self, tiny_model: Any, tmp_path: Path) -> None:
        from ringfence_mlx.worker.adapters import AdapterError, AdapterSwitch

        with pytest.raises(AdapterError):
            AdapterSwitch(tiny_model).use(str(tmp_path / "nowhere"))
