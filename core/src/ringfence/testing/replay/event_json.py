"""Events, vectors, cards and manifests as JSON data, and back."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import asdict, fields
from typing import Any, TypeAlias, get_args

from ringfence.provider import Embeddings, Manifest, ModelCard
from ringfence.request import FilePart, ImagePart
from ringfence.response import Adjustment, Media, ProviderEvent, Usage, UsageReport

Plain: TypeAlias = dict[str, Any]
"""One line of a recording, or a piece of it: JSON data whose shape `file` has not checked."""

_KINDS = {kind.type: kind for kind in get_args(ProviderEvent)}


def event_to_plain(event: ProviderEvent) -> Plain:
    """`event` as JSON data; labels are not kept, the core gives an answer its own."""
    match event:
        case UsageReport():
            return {"type": event.type, **asdict(event.usage)}
        case Media(index, part):
            kind = "image" if isinstance(part, ImagePart) else "file"
            data = base64.b64encode(part.data).decode()
            said = {"kind": kind, "data": data, "media_type": part.media_type, "name": part.name}
            return {"type": event.type, "index": index, **said}
        case _:
            return {"type": event.type, **asdict(event)}


def event_from_plain(plain: Plain) -> ProviderEvent:
    """The event that `event_to_plain` wrote."""
    given = {name: value for name, value in plain.items() if name != "type"}
    if plain["type"] == UsageReport.type:
        return UsageReport(usage=Usage(**given))
    if plain["type"] == Media.type:
        kind = ImagePart if given["kind"] == "image" else FilePart
        return Media(
            given["index"],
            kind(base64.b64decode(given["data"]), media_type=given["media_type"], name=given["name"]),
        )
    event: ProviderEvent = _KINDS[plain["type"]](**given)
    return event


def embeddings_from_plain(plain: Plain) -> Embeddings:
    """The vectors that `asdict` wrote."""
    vectors = tuple(tuple(vector) for vector in plain["vectors"])
    return Embeddings(vectors=vectors, dimensions=plain["dimensions"], input_tokens=plain["input_tokens"])


def adjustments_from_plain(plain: Sequence[Plain]) -> tuple[Adjustment, ...]:
    """The adjustments that `asdict` wrote."""
    return tuple(Adjustment(**one) for one in plain)


def described_to_plain(described: Manifest | ModelCard) -> Plain:
    """A manifest or card as JSON data."""
    return {**asdict(described), "capabilities": sorted(described.capabilities)}


def manifest_from_plain(plain: Plain) -> Manifest:
    """The manifest that `described_to_plain` wrote."""
    return Manifest(**_described(Manifest, plain))


def card_from_plain(plain: Plain) -> ModelCard:
    """The card that `described_to_plain` wrote."""
    return ModelCard(**_described(ModelCard, plain))


def _described(kind: type[Manifest | ModelCard], plain: Plain) -> Plain:
    given = {field.name: plain[field.name] for field in fields(kind) if field.name in plain}
    given = {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
    return {**given, "capabilities": frozenset(plain["capabilities"])}
