"""A model folder as MLX opens it: its facts, read from JSON and headers, and whether it is whole."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal, TypeAlias, cast

from ringfence.errors import Unavailable
from ringfence.provider import Capability, ModelCard
from ringfence_mlx.models.manifest import MANIFEST_NAME, FolderManifest, read_manifest, sha256_of
from ringfence_mlx.models.regular import regular_bytes
from ringfence_mlx.models.safetensors import WeightsHeader, read_header
from ringfence_mlx.precision import FLOAT32_BYTES, widens

ModelKind: TypeAlias = Literal["text", "embed"]

_PATH_STARTS = ("/", "./", "../", "~")
_LONGEST_PATH = 4096  # PATH_MAX of Linux
_LARGEST_JSON_BYTES = 64 << 20
_INDEX_NAME = "model.safetensors.index.json"
_CONTEXT_KEYS = ("max_position_embeddings", "n_positions", "max_sequence_length", "max_seq_len", "seq_length")
_CONTEXT_IF_UNSAID = 2048
_EMBEDDING_TYPES = frozenset({"bert"})  # the encoders that this provider's engine runs
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.txt")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFolder:
    """A folder that can be loaded. `weights_bytes` is exact; a token in the KV cache takes `kv_bytes_per_token`.

    `loaded_bytes` is what the weights take in the memory of a worker on this machine, which may widen their floats.
    """

    name: str
    path: Path
    card: ModelCard
    kind: ModelKind
    weights_bytes: int
    loaded_bytes: int
    kv_bytes_per_token: int
    weights_format: str
    """`4bit`, `float32` … as it was converted or as the config says it; for people, not for decisions."""


def read_folder(name: str, path: Path, known: ModelCard | None = None) -> ModelFolder:
    """The facts of the folder at `path`; `known` is the card of a model known by name. Blocking; reads no weights.

    Raises:
        Unavailable: something in it is missing, cut or unreadable; the message names the file.
    """
    try:
        manifest = read_manifest(path)
        if manifest is not None:
            _check_sizes(path, manifest)
        config = _read_json(path / "config.json")
        headers = [read_header(file) for file in _weight_files(path)]
        _check_tokenizer(path)
        return _Reading(name, path, config, headers, manifest).folder(known)
    except FileNotFoundError as error:
        raise damaged(name, f"{Path(str(error.filename)).name} is missing") from None
    except OSError as error:
        raise damaged(name, f"a file cannot be read: {(error.strerror or 'unknown').lower()}") from None
    except ValueError as error:
        raise damaged(name, str(error)) from None


def check_hashes(folder: ModelFolder) -> None:
    """Holds if every file has the hash that was recorded when the folder was made. Blocking: about 0.4 GB a second.

    A folder that a person brought has no record, and nothing to compare with.

    Raises:
        Unavailable: a file differs, and is named.
    """
    try:
        manifest = read_manifest(folder.path)
        for file_name, record in manifest.files.items() if manifest else ():
            if sha256_of(folder.path / file_name) != record.sha256:
                raise ValueError(f"{file_name} does not have the recorded SHA-256")
    except OSError as error:
        raise damaged(folder.name, f"a file cannot be read: {(error.strerror or 'unknown').lower()}") from None
    except ValueError as error:
        raise damaged(folder.name, str(error)) from None


def damaged(name: str, detail: str) -> Unavailable:
    """The typed error of a folder that must not be loaded."""
    way_out = "bring the files of the folder again" if is_path(name) else f"ringfence models pull {name}"
    return Unavailable(f"the model {name} is damaged: {detail}", reason="no_model", way_out=way_out)


def is_path(name: str) -> bool:
    """Whether `name` is the path of a folder, and no name of a catalogue or a hub."""
    return name.startswith(_PATH_STARTS) and "\0" not in name and len(name) <= _LONGEST_PATH


def signature(path: Path) -> tuple[tuple[str, int, int], ...]:
    """Name, size and time of change of every file in the folder: what memoised facts of it depend on.

    Raises:
        OSError: the folder cannot be listed.
    """
    # scandir, not pathlib: this is asked for every request.
    with os.scandir(path) as entries:
        found = [(entry.name, status.st_size, status.st_mtime_ns) for entry in entries for status in (entry.stat(),)]
    return tuple(sorted(found))


def _check_sizes(path: Path, manifest: FolderManifest) -> None:
    for file_name, record in manifest.files.items():
        parts = PurePosixPath(file_name)
        if parts.is_absolute() or ".." in parts.parts:
            raise ValueError(f"{MANIFEST_NAME} is damaged")
        if regular_bytes(path / file_name) != record.size_bytes:
            raise ValueError(f"{file_name} does not have the recorded size")


def _weight_files(path: Path) -> list[Path]:
    """The files that the index names, all of them there; without an index, every safetensors file."""
    if (path / _INDEX_NAME).is_file():
        weight_map = _read_json(path / _INDEX_NAME).get("weight_map")
        if not isinstance(weight_map, dict):
            raise ValueError(f"{_INDEX_NAME} is damaged")
        names = sorted({str(name) for name in cast("dict[str, object]", weight_map).values()})
        if any(PurePosixPath(name).name != name for name in names):
            raise ValueError(f"{_INDEX_NAME} names a file outside the folder")
        return [path / name for name in names]
    found = sorted(path.glob("*.safetensors"))
    if not found:
        raise ValueError("model.safetensors is missing")
    return found


def _check_tokenizer(path: Path) -> None:
    if not any((path / name).is_file() for name in _TOKENIZER_FILES):
        raise ValueError("tokenizer.json is missing")


def _read_json(path: Path) -> dict[str, Any]:
    if regular_bytes(path) > _LARGEST_JSON_BYTES:
        raise ValueError(f"{path.name} is too large")
    try:
        document: Any = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        raise ValueError(f"{path.name} is not valid JSON") from None
    if not isinstance(document, dict):
        raise ValueError(f"{path.name} is not a JSON object")  # noqa: TRY004 - about the file, not an argument
    return cast("dict[str, Any]", document)


@dataclass(frozen=True, slots=True)
class _Reading:
    """What was read of a folder that is whole."""

    name: str
    path: Path
    config: dict[str, Any]
    headers: list[WeightsHeader]
    manifest: FolderManifest | None

    def folder(self, known: ModelCard | None) -> ModelFolder:
        """The facts, with the card of a model known by name.

        Raises:
            ValueError: the config says too little.
            Unavailable: loading the model would run code out of its folder.
        """
        config = self.config
        model_type = config.get("model_type")
        if not isinstance(model_type, str):
            raise ValueError("config.json names no model type")  # noqa: TRY004 - about the file, not an argument
        if config.get("model_file"):
            raise Unavailable(
                f"the model {self.name} brings its own program code, which is not run",
                reason="no_model",
                way_out="name a model of an architecture that mlx-lm knows",
            )
        kind: ModelKind = "embed" if model_type in _EMBEDDING_TYPES else "text"
        weights_bytes = sum(header.weights_bytes for header in self.headers)
        float_bytes = max((header.float_bytes for header in self.headers), default=0) or 2
        widened = kind == "text" and widens()
        computed_bytes = FLOAT32_BYTES if widened else float_bytes
        return ModelFolder(
            name=self.name,
            path=self.path,
            card=known or _card(self.name, self.path, config, kind, weights_bytes),
            kind=kind,
            weights_bytes=weights_bytes,
            loaded_bytes=sum(header.widened_bytes for header in self.headers) if widened else weights_bytes,
            kv_bytes_per_token=0 if kind == "embed" else _kv_bytes_per_token(config, computed_bytes),
            weights_format=self.manifest.weights if self.manifest else _weights_format(config, float_bytes),
        )


def _card(name: str, path: Path, config: dict[str, Any], kind: ModelKind, weights_bytes: int) -> ModelCard:
    return ModelCard(
        name=name,
        context_tokens=_context_tokens(path, config, kind),
        capabilities=_capabilities(path, kind),
        size_bytes=weights_bytes,
    )


def _context_tokens(path: Path, config: dict[str, Any], kind: ModelKind) -> int:
    sentence = path / "sentence_bert_config.json"
    if kind == "embed" and sentence.is_file():  # an encoder takes more, but was trained on no more than this
        trained = _positive(_read_json(sentence).get("max_seq_length"))
        if trained is not None:
            return trained
    text = _text_config(config)
    found = (_positive(text.get(key)) for key in _CONTEXT_KEYS)
    return next((tokens for tokens in found if tokens is not None), _CONTEXT_IF_UNSAID)


def _capabilities(path: Path, kind: ModelKind) -> frozenset[Capability]:
    if kind == "embed":
        return frozenset({"embed", "count_tokens"})
    capabilities: set[Capability] = {"text", "output_schema", "count_tokens"}
    template = _chat_template(path)
    if "tools" in template:
        capabilities.add("tools")
    if "<think>" in template or "enable_thinking" in template:
        capabilities.add("reasoning")
    return frozenset(capabilities)


def _chat_template(path: Path) -> str:
    """The template as text; where there are several, all of them."""
    file = path / "chat_template.jinja"
    if file.is_file():
        return file.read_text(encoding="utf-8")
    for name in ("chat_template.json", "tokenizer_config.json"):
        if (path / name).is_file() and (template := _read_json(path / name).get("chat_template")):
            return json.dumps(template)
    return ""


def _kv_bytes_per_token(config: dict[str, Any], float_bytes: int) -> int:
    """Keys and values of one token in every layer, in the float type that the activations have."""
    text = _text_config(config)
    layers = _positive(text.get("num_hidden_layers")) or _positive(text.get("n_layer")) or 0
    heads = _positive(text.get("num_attention_heads")) or _positive(text.get("n_head")) or 1
    hidden = _positive(text.get("hidden_size")) or _positive(text.get("n_embd")) or 0
    kv_heads = _positive(text.get("num_key_value_heads")) or heads
    head_dim = _positive(text.get("head_dim")) or hidden // heads
    return 2 * layers * kv_heads * head_dim * float_bytes


def _text_config(config: dict[str, Any]) -> dict[str, Any]:
    """Models that see keep the facts of their language part one level down."""
    nested: object = config.get("text_config")
    return config | cast("dict[str, Any]", nested) if isinstance(nested, dict) else config


def _weights_format(config: dict[str, Any], float_bytes: int) -> str:
    quantization: object = config.get("quantization") or config.get("quantization_config")
    if isinstance(quantization, dict) and "bits" in quantization:
        return f"{cast('dict[str, Any]', quantization)['bits']}bit"
    return f"{8 * float_bytes}-bit float"


def _positive(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


__all__ = ["ModelFolder", "ModelKind", "check_hashes", "damaged", "is_path", "read_folder", "signature"]
