"""The response object of OpenAI's Responses API, which stands in the first and last events and is the whole answer."""

from __future__ import annotations

import time
from collections.abc import Sequence

from ringfence.response import FinishReason
from ringfence.testing.partners.asked import counted, wire_id
from ringfence.testing.partners.loose_json import JsonObject, as_object, objects_in
from ringfence.testing.scenes import Scene

# Unified reason: status of the response, and why it is incomplete.
_ENDS: dict[FinishReason, tuple[str, str | None]] = {
    "stop": ("completed", None),
    "tool_calls": ("completed", None),
    "refusal": ("completed", None),
    "length": ("incomplete", "max_output_tokens"),
    "content_filter": ("incomplete", "content_filter"),
    "other": ("incomplete", "steered"),
    "error": ("failed", None),
}

_FAILURE = {"code": "server_error", "message": "The model failed to generate a response."}

# What the vendor says of a setting that was not given; one without a default comes back as `null`.
_DEFAULTS: JsonObject = {
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "model": None,
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "prompt_cache_key": None,
    "safety_identifier": None,
    "store": True,
    "temperature": 1.0,
    "tool_choice": "auto",
    "top_logprobs": 0,
    "top_p": 1.0,
    "truncation": "disabled",
    "user": None,
}


class ResponseObject:
    """One response, as it begins and as it ends. `status` is the one it ends with."""

    def __init__(self, body: JsonObject, scene: Scene) -> None:
        self._usage = _usage(scene)
        reason: FinishReason = scene.finish or "stop"
        self.status, self._why = _ENDS[reason]
        echoed = {name: body.get(name, default) for name, default in _DEFAULTS.items()}
        self._created = int(time.time())
        self._common: JsonObject = {
            "id": wire_id("resp_"),
            "object": "response",
            "created_at": self._created,
            "background": False,
            **echoed,
            "reasoning": {"effort": None, "summary": None, **as_object(body.get("reasoning"))},
            "service_tier": "default",
            "text": {"format": {"type": "text"}, "verbosity": "medium", **as_object(body.get("text"))},
            "tools": [_echoed(tool) for tool in objects_in(body.get("tools"))],
        }

    def begun(self) -> JsonObject:
        """The object before there is any output."""
        return self._in("in_progress", ())

    def final(self, output: Sequence[JsonObject]) -> JsonObject:
        """The object at the end the scene gives it."""
        end = self._in(self.status, output)
        end["usage"] = self._usage
        end["incomplete_details"] = {"reason": self._why} if self._why else None
        end["error"] = _FAILURE if self.status == "failed" else None
        return end

    def failed(self) -> JsonObject:
        """The object of an answer that failed, whatever the scene's end."""
        return {**self._in("failed", ()), "error": _FAILURE}

    def _in(self, status: str, output: Sequence[JsonObject]) -> JsonObject:
        return {
            **self._common,
            "status": status,
            "completed_at": self._created + 1 if status == "completed" else None,
            "error": None,
            "incomplete_details": None,
            "output": list(output),
            "usage": None,
        }


def _usage(scene: Scene) -> JsonObject | None:
    usage = counted(scene.usage)
    if usage is None:
        return None
    taken, made = usage.input_tokens or 0, usage.output_tokens or 0
    return {
        "input_tokens": taken,
        "input_tokens_details": {"cache_write_tokens": 0, "cached_tokens": usage.cached_input_tokens},
        "output_tokens": made,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": taken + made,
    }


def _echoed(tool: JsonObject) -> JsonObject:
    if tool.get("type") != "function":
        return tool
    return {"description": None, "parameters": None, "strict": True, **tool}
