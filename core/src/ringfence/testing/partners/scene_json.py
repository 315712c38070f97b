"""Scenes and what was seen, as JSON for the control connection."""

from __future__ import annotations

import base64
from dataclasses import asdict
from typing import Any, cast

from ringfence.request import FilePart, ImagePart, ToolCallPart
from ringfence.response import Usage
from ringfence.testing.partners.loose_json import JsonObject
from ringfence.testing.scenes import Scene, Seen


def scene_to_json(scene: Scene) -> JsonObject:
    """`scene` as JSON data; labels are not kept, a wire has none."""
    plain: JsonObject = {name: getattr(scene, name) for name in Scene.__slots__}
    plain["tool_calls"] = [[call.id, call.name, call.arguments] for call in scene.tool_calls]
    plain["media"] = [_media_to_json(part) for part in scene.media]
    plain["usage"] = asdict(scene.usage)
    return plain


def _media_to_json(part: ImagePart | FilePart) -> JsonObject:
    kind = "image" if isinstance(part, ImagePart) else "file"
    data = base64.b64encode(part.data).decode()
    return {"kind": kind, "data": data, "media_type": part.media_type, "name": part.name}


def scene_from_json(plain: JsonObject) -> Scene:
    """The scene that `scene_to_json` wrote."""
    given = cast("dict[str, Any]", {**plain})
    given["text"] = tuple(given["text"])
    given["reasoning"] = tuple(given["reasoning"])
    given["tool_calls"] = tuple(ToolCallPart(*call) for call in given["tool_calls"])
    given["media"] = tuple(_media_from_json(part) for part in given["media"])
    given["vectors"] = tuple(tuple(vector) for vector in given["vectors"])
    given["usage"] = Usage(**given["usage"])
    return Scene(**given)


def _media_from_json(plain: dict[str, Any]) -> ImagePart | FilePart:
    kind = ImagePart if plain["kind"] == "image" else FilePart
    return kind(base64.b64decode(plain["data"]), media_type=plain["media_type"], name=plain["name"])


def seen_to_json(seen: Seen) -> JsonObject:
    """`seen` as JSON data."""
    plain: JsonObject = {name: getattr(seen, name) for name in Seen.__slots__}
    return {**plain, "headers": dict(seen.headers), "body": base64.b64encode(seen.body).decode()}


def seen_from_json(plain: JsonObject) -> Seen:
    """What `seen_to_json` wrote."""
    given = cast("dict[str, Any]", {**plain})
    given["body"] = base64.b64decode(given["body"])
    return Seen(**given)
