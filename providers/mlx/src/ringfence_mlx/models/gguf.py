"""A GGUF file of the llama family, written as an ordinary MLX model folder. Runs in the converting process only.

Names, shapes and the tokenizer follow the GGUF specification as llama.cpp writes it; the tokenizer was compared with
llama.cpp's, the logits with a float32 reference.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ringfence.errors import IntegrityFailed
from ringfence_mlx.models.catalog import WeightsFormat

GROUP_SIZE = 32  # of Q4_1 and Q8_0 alike
WEIGHTS_FILE = "model.safetensors"
_SPECIAL_TOKEN = 3  # tokenizer.ggml.token_type: control
_TENSOR_NAMES = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def write_mlx_folder(gguf_path: Path, folder: Path, weights: WeightsFormat) -> None:
    """Writes weights, config, tokenizer and generation config of `gguf_path` into the empty `folder`.

    Raises:
        IntegrityFailed: the file is not a llama-family GGUF with a byte-level BPE tokenizer.
    """
    import mlx.core as mx  # noqa: PLC0415 - the converting process is the only one that may import MLX

    loaded: Any = mx.load(str(gguf_path), return_metadata=True)
    arrays, metadata = loaded
    facts = _Facts(metadata)
    facts.require("general.architecture", "llama")
    facts.require("tokenizer.ggml.model", "gpt2")
    facts.require("tokenizer.ggml.pre", "smollm")
    _write_weights(mx, arrays, folder, weights)
    _write_json(folder / "config.json", _config(facts, arrays, weights))
    _write_json(folder / "generation_config.json", _generation_config(facts))
    _write_json(folder / "tokenizer_config.json", _tokenizer_config(facts))
    _tokenizer(facts).save(str(folder / "tokenizer.json"))


class _Facts:
    """The metadata of a GGUF as plain Python values; a missing key is an error that names it."""

    def __init__(self, metadata: Mapping[str, Any]) -> None:
        self._metadata = metadata

    def require(self, key: str, wanted: str) -> None:
        """Holds if `key` is `wanted`."""
        if self.value(key) != wanted:
            raise IntegrityFailed(f"the model file has {key} other than {wanted!r}")

    def value(self, key: str) -> Any:
        if key not in self._metadata:
            raise IntegrityFailed(f"the model file lacks {key}")
        value = self._metadata[key]
        return value.tolist() if hasattr(value, "tolist") else value

    def integer(self, key: str) -> int:
        return int(self.value(key))

    def token(self, key: str) -> str:
        """The text of the token that `tokenizer.ggml.<key>_token_id` points at."""
        return str(self.value("tokenizer.ggml.tokens")[self.integer(f"tokenizer.ggml.{key}_token_id")])


def mlx_name(gguf_name: str) -> str:
    """`blk.7.attn_q.scales` → `model.layers.7.self_attn.q_proj.scales`."""
    stem, _, kind = gguf_name.rpartition(".")
    if stem.startswith("blk."):
        _, layer, part = stem.split(".", 2)
        return f"model.layers.{layer}.{_TENSOR_NAMES[part]}.{kind}"
    return f"{_TENSOR_NAMES[stem]}.{kind}"


def _write_weights(mx: Any, arrays: Mapping[str, Any], folder: Path, weights: WeightsFormat) -> None:
    tensors = _packed(mx, arrays) if weights == "4bit" else _dequantized(mx, arrays)
    named = {mlx_name(name): array for name, array in tensors.items()}
    mx.eval(named)
    mx.save_safetensors(str(folder / WEIGHTS_FILE), named, metadata={"format": "mlx"})
    index = {
        "metadata": {"total_size": sum(array.nbytes for array in named.values())},
        "weight_map": dict.fromkeys(sorted(named), WEIGHTS_FILE),
    }
    _write_json(folder / "model.safetensors.index.json", index)


def _packed(mx: Any, arrays: Mapping[str, Any]) -> dict[str, Any]:
    """As packed in the file. The norms become float16: in float32 they widen every activation and the KV cache."""
    return {name: array.astype(mx.float16) if array.dtype == mx.float32 else array for name, array in arrays.items()}


def _dequantized(mx: Any, arrays: Mapping[str, Any]) -> dict[str, Any]:
    """Everything in float32. Scales and biases are cast first: in float16 the product would lose bits."""
    tensors: dict[str, Any] = {}
    for name, array in arrays.items():
        stem, _, kind = name.rpartition(".")
        if kind in {"scales", "biases"}:
            continue
        scales = arrays.get(f"{stem}.scales")
        if scales is None:
            tensors[name] = array.astype(mx.float32)
            continue
        tensors[name] = mx.dequantize(
            array,
            scales.astype(mx.float32),
            arrays[f"{stem}.biases"].astype(mx.float32),
            group_size=GROUP_SIZE,
            bits=_bits(array, scales),
        )
    return tensors


def _bits(packed: Any, scales: Any) -> int:
    """Bits per weight: a row holds 32 bits per word, and one scale per group of `GROUP_SIZE` weights."""
    return int(packed.shape[-1] * 32 // (scales.shape[-1] * GROUP_SIZE))


def _config(facts: _Facts, arrays: Mapping[str, Any], weights: WeightsFormat) -> dict[str, Any]:
    config: dict[str, Any] = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": facts.integer("llama.embedding_length"),
        "num_hidden_layers": facts.integer("llama.block_count"),
        "intermediate_size": facts.integer("llama.feed_forward_length"),
        "num_attention_heads": facts.integer("llama.attention.head_count"),
        "num_key_value_heads": facts.integer("llama.attention.head_count_kv"),
        "head_dim": facts.integer("llama.rope.dimension_count"),
        "vocab_size": facts.integer("llama.vocab_size"),
        "max_position_embeddings": facts.integer("llama.context_length"),
        "rms_norm_eps": _short_float(facts.value("llama.attention.layer_norm_rms_epsilon")),
        "rope_theta": _short_float(facts.value("llama.rope.freq_base")),
        # llama.cpp permutes the rows of q and k for its own rotary embedding; this asks MLX for the same one.
        "rope_traditional": True,
        "tie_word_embeddings": "output.weight" not in arrays,
        "hidden_act": "silu",
        "bos_token_id": facts.integer("tokenizer.ggml.bos_token_id"),
        "eos_token_id": facts.integer("tokenizer.ggml.eos_token_id"),
        "pad_token_id": facts.integer("tokenizer.ggml.padding_token_id"),
        "torch_dtype": "float32" if weights == "float32" else "float16",
    }
    if weights == "4bit":
        config["quantization"] = _quantization(arrays)
    return config


def _quantization(arrays: Mapping[str, Any]) -> dict[str, Any]:
    """4 bits in groups, and every tensor that has another width by its name."""
    quantization: dict[str, Any] = {"group_size": GROUP_SIZE, "bits": 4}
    for name, scales in arrays.items():
        stem, _, kind = name.rpartition(".")
        if kind == "scales" and (bits := _bits(arrays[f"{stem}.weight"], scales)) != quantization["bits"]:
            quantization[mlx_name(name).removesuffix(".scales")] = {"group_size": GROUP_SIZE, "bits": bits}
    return quantization


REPETITION_PENALTY = 1.1
"""The embedded model's default: without it, a model this small repeats itself until its limit (decision 0055)."""


def _generation_config(facts: _Facts) -> dict[str, Any]:
    ids = {f"{key}_token_id": facts.integer(f"tokenizer.ggml.{name}_token_id") for key, name in _TOKEN_IDS.items()}
    return {**ids, "repetition_penalty": REPETITION_PENALTY}


_TOKEN_IDS = {"bos": "bos", "eos": "eos", "pad": "padding"}


def _tokenizer_config(facts: _Facts) -> dict[str, Any]:
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": facts.integer("llama.context_length"),
        "add_bos_token": bool(facts.value("tokenizer.ggml.add_bos_token")),
        "add_prefix_space": bool(facts.value("tokenizer.ggml.add_space_prefix")),
        "clean_up_tokenization_spaces": False,
        "bos_token": facts.token("bos"),
        "eos_token": facts.token("eos"),
        "pad_token": facts.token("padding"),
        "unk_token": facts.token("unknown"),
        "chat_template": facts.value("tokenizer.chat_template"),
    }


def _tokenizer(facts: _Facts) -> Any:
    """Byte-level BPE in which every digit stands alone. transformers' own GGUF loader leaves the digits together."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers  # noqa: PLC0415 - as above

    tokens: list[str] = facts.value("tokenizer.ggml.tokens")
    merges = [tuple(merge.split(" ", 1)) for merge in facts.value("tokenizer.ggml.merges")]
    vocabulary = {token: index for index, token in enumerate(tokens)}
    tokenizer: Any = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    kinds: list[int] = facts.value("tokenizer.ggml.token_type")
    special = [token for token, kind in zip(tokens, kinds, strict=True) if kind == _SPECIAL_TOKEN]
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    return tokenizer


def _short_float(value: float) -> float:
    """A float32 as the decimal it was written as: 1e-05, not 9.999999747378752e-06."""
    return float(f"{value:.7g}")


def _write_json(path: Path, document: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


__all__ = ["GROUP_SIZE", "WEIGHTS_FILE", "mlx_name", "write_mlx_folder"]
