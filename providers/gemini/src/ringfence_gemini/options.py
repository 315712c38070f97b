"""Options of this provider: of a recipient, in the policy, and of one request. Unknown ones are refused."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from ringfence.errors import InvalidRequest

if TYPE_CHECKING:
    from ringfence.recipient import Recipient
    from ringfence.request import JsonValue

DEFAULT_URL = "https://generativelanguage.googleapis.com"
DEFAULT_API_VERSION = "v1beta"
_API_VERSION = re.compile(r"v[0-9]{1,2}(?:(?:alpha|beta)[0-9]{0,2})?")
_MODEL = re.compile(r"(?:(?:models|tunedModels)/)?[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_OWN = ("api_version",)

_OF_REQUESTS = (
    "tools",
    "toolConfig",
    "safetySettings",
    "generationConfig",
    "cachedContent",
    "serviceTier",
    "labels",
    "store",
)
_OF_EMBEDDINGS = ("taskType", "title", "outputDimensionality")
_NOT_HERE = {
    "generationConfig.candidateCount": "ask several times",
    "toolConfig.functionCallingConfig.streamFunctionCallArguments": "the Gemini API does not stream arguments",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the requests of a recipient go: a base URL without a version, and the version, empty if the URL has it."""

    url: str
    api_version: str


def place_of(recipient: Recipient) -> Place:
    """Where the requests of `recipient` go.

    Raises:
        InvalidRequest: an option is unknown or ill-typed; nothing of its value is in the error.
    """
    if unknown := [name for name in recipient.options if name not in _OWN]:
        raise InvalidRequest(f"unknown option '{unknown[0]}' of gemini", way_out=f"options: {', '.join(_OWN)}")
    version = recipient.options.get("api_version", DEFAULT_API_VERSION)
    if not isinstance(version, str) or not _API_VERSION.fullmatch(version):
        raise InvalidRequest("the option api_version of gemini is no version", way_out='api_version: "v1beta"')
    url = (recipient.url or DEFAULT_URL).rstrip("/")
    if _API_VERSION.fullmatch(url.rpartition("/")[2]):
        return Place(url=url, api_version="")
    return Place(url=url, api_version=version)


def model_path(model: str) -> str:
    """The resource name of `model`, safe to stand in a URL.

    Raises:
        InvalidRequest: it is no name of a model.
    """
    if not _MODEL.fullmatch(model):
        raise InvalidRequest("the recipient's model is no name of a Gemini model", way_out="model: gemini-3.8-flash")
    return model if "/" in model else f"models/{model}"


def merge(body: dict[str, Any], own: Mapping[str, JsonValue], *, embedding: bool) -> None:
    """Adds the provider options of a request to `body`. Lists of tools are joined; nothing is overridden.

    Raises:
        InvalidRequest: an option is unknown, says what the request says already, or cannot be had here.
    """
    allowed = _OF_EMBEDDINGS if embedding else _OF_REQUESTS
    if unknown := [name for name in own if name not in allowed]:
        raise InvalidRequest(
            f"unknown provider option '{unknown[0]}' of gemini", way_out=f"options of gemini: {', '.join(allowed)}"
        )
    _merge(body, own, "")


def _merge(into: dict[str, Any], own: Mapping[str, Any], above: str) -> None:
    for name, value in own.items():
        path = f"{above}{name}"
        listed: Any = value
        if (way_out := _NOT_HERE.get(path)) is not None:
            raise InvalidRequest(f"the provider option {path} of gemini cannot be used", way_out=way_out)
        present = into.get(name)
        if isinstance(value, Mapping) and isinstance(present, dict | None):
            into[name] = dict(cast("dict[str, Any]", present or {}))
            _merge(into[name], cast("Mapping[str, Any]", value), f"{path}.")
        elif path == "tools" and _is_list(listed) and isinstance(present, list | None):
            into[name] = [*(present or []), *listed]
        elif present is None:
            into[name] = value
        else:
            raise InvalidRequest(
                f"the provider option {path} of gemini says what the request says already", way_out="say it once"
            )


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)
