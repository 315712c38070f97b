"""The backend of `whole`: the scenes of the kit on its tiny wire."""

from __future__ import annotations

import base64
import json
from dataclasses import asdict
from typing import Any

from ringfence.testing.kit import Reply
from ringfence.testing.scenes import Scene, Seen

_STATUS = {
    "bad_request": 400,
    "authentication": 401,
    "permission": 403,
    "not_found": 404,
    "context_length": 400,
    "rate_limited": 429,
    "server": 500,
    "overloaded": 503,
}


def reply(scene: Scene, seen: Seen) -> Reply:
    if scene.error is not None:
        wait = {} if scene.retry_after_s is None else {"Retry-After": f"{scene.retry_after_s:g}"}
        # As vendors do: the request and the key stand in what is said.
        said = {"message": "".join(scene.text), "request": seen.body.decode(), "key": seen.headers.get("x-key")}
        return Reply(status=_STATUS[scene.error], headers=wait, events=[json.dumps(said).encode()])
    events = list(_said(scene))
    lines = [_line(one) for one in events] if json.loads(seen.body)["stream"] else [_line(events)]
    return Reply(events=lines, error_event=_line({"failing": "".join(scene.text)}))


def _line(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode() + b"\n"


def _said(scene: Scene) -> list[dict[str, Any]]:
    said: list[dict[str, Any]] = [{"reasoning": text} for text in scene.reasoning]
    said += [{"text": text} for text in scene.text]
    for call in scene.tool_calls:
        said.append({"call": [call.name, call.id]})
        said += [{"arguments": call.arguments[at : at + 4]} for at in range(0, len(call.arguments), 4)]
    said += [{"media": [part.media_type, base64.b64encode(part.data).decode()]} for part in scene.media]
    said += [{"vector": vector} for vector in scene.vectors]
    finish = scene.finish or ("tool_calls" if scene.tool_calls else "stop")
    return [*said, {"usage": asdict(scene.usage)}, {"end": f"because-{finish}"}]
