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
_OWN = ("api_version", "server_tools", "workspace")
"""The last says something of the recipient to the operator's own layers, and nothing to the vendor."""
_WORD = re.compile(r"[a-z][A-Za-z]{0,63}")

_OF_REQUESTS = (
    "tools",
    "toolConfig",
    "safetySettings",
    "generationConfig",
    "serviceTier",
    "labels",
    "store",
)
_OF_EMBEDDINGS = ("taskType", "title", "outputDimensionality")
_NOT_HERE = {
    "generationConfig.candidateCount": "ask several times",
    "toolConfig.functionCallingConfig.streamFunctionCallArguments": "the Gemini API does not stream arguments",
    "cachedContent": "send the content itself: what the vendor keeps is not seen by the policy",
}
_HARMLESS_TOOLS = frozenset({"codeExecution"})
"""Tools of the server that reach nothing outside it. Every other one, known or not, is the operator's to allow."""
_KEYS_OF_THE_APP = frozenset({"labels", "headers", "responseJsonSchema", "responseSchema"})
"""Below these the names are the app's own, and no fields of the API."""


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
    server_tools_of(recipient)
    if unknown := [name for name in recipient.options if name not in _OWN]:
        raise InvalidRequest(f"unknown option '{unknown[0]}' of gemini", way_out=f"options: {', '.join(_OWN)}")
    version = recipient.options.get("api_version", DEFAULT_API_VERSION)
    if not isinstance(version, str) or not _API_VERSION.fullmatch(version):
        raise InvalidRequest("the option api_version of gemini is no version", way_out='api_version: "v1beta"')
    url = (recipient.url or DEFAULT_URL).rstrip("/")
    if _API_VERSION.fullmatch(url.rpartition("/")[2]):
        return Place(url=url, api_version="")
    return Place(url=url, api_version=version)


def server_tools_of(recipient: Recipient) -> frozenset[str]:
    """The tools of the server that the policy lets requests to `recipient` use, in the words of the API.

    Raises:
        InvalidRequest: the option is no list of such words.
    """
    named: Any = recipient.options.get("server_tools", ())
    names: list[Any] = list(named) if _is_list(named) else [None]
    if not all(isinstance(name, str) and _WORD.fullmatch(name) for name in names):
        raise InvalidRequest(
            "the option server_tools of gemini is no list of tools", way_out="server_tools: [googleSearch]"
        )
    return frozenset(names)


def model_path(model: str) -> str:
    """The resource name of `model`, safe to stand in a URL.

    Raises:
        InvalidRequest: it is no name of a model.
    """
    if not _MODEL.fullmatch(model):
        raise InvalidRequest("the recipient's model is no name of a Gemini model", way_out="model: gemini-3.8-flash")
    return model if "/" in model else f"models/{model}"


def merge(
    body: dict[str, Any], own: Mapping[str, JsonValue], *, embedding: bool, server_tools: frozenset[str] = frozenset()
) -> None:
    """Adds the provider options of a request to `body`. Lists of tools are joined; nothing is overridden.

    `server_tools` are those that the policy allows.

    Raises:
        InvalidRequest: an option is unknown, says what the request says already, cannot be had here, or would have the
            vendor keep the request or hand it on.
    """
    allowed = _OF_EMBEDDINGS if embedding else _OF_REQUESTS
    if not embedding:
        _refuse_what_reaches_further(own, server_tools)
    if unknown := [name for name in own if name not in allowed]:
        raise InvalidRequest(
            f"unknown provider option '{unknown[0]}' of gemini", way_out=f"options of gemini: {', '.join(allowed)}"
        )
    _refuse_other_spellings(own)
    _merge(body, own, "")


def _refuse_what_reaches_further(own: Mapping[str, Any], server_tools: frozenset[str]) -> None:
    # INVARIANT: where content goes and how long it stays is the policy's to say, never a request's.
    if own.get("store") not in (None, False):
        raise InvalidRequest("the provider option store of gemini would keep the request", way_out="store: False")
    if "cachedContent" in own:
        raise _cannot_be_used("cachedContent")
    tools: Any = own.get("tools", ())
    if not _is_list(tools) or not all(isinstance(tool, Mapping) for tool in tools):
        raise InvalidRequest("the provider option tools of gemini is no list of objects", way_out="tools: [{…}]")
    for name in (name for tool in tools for name in tool):
        if name == "functionDeclarations":
            raise InvalidRequest("functions are no provider option of gemini", way_out="declare them with tools=")
        if name not in _HARMLESS_TOOLS and name not in server_tools:
            raise InvalidRequest(
                f"the policy does not let this recipient use the server's tool '{name}'",
                way_out=f"in the policy, options: {{server_tools: [{name}]}} of the recipient",
            )


def _refuse_other_spellings(own: Any) -> None:
    """The API takes every field in snake_case too; each is known here in one spelling, so that none slips through."""
    if _is_list(own):
        for one in own:
            _refuse_other_spellings(one)
    elif isinstance(own, Mapping):
        for name, value in cast("Mapping[str, Any]", own).items():
            if "_" in name:
                raise InvalidRequest(
                    f"the provider option '{name}' of gemini is in another spelling", way_out="write it in camelCase"
                )
            if name not in _KEYS_OF_THE_APP:
                _refuse_other_spellings(value)


def _cannot_be_used(path: str) -> InvalidRequest:
    return InvalidRequest(f"the provider option {path} of gemini cannot be used", way_out=_NOT_HERE[path])


def _merge(into: dict[str, Any], own: Mapping[str, Any], above: str) -> None:
    for name, value in own.items():
        path = f"{above}{name}"
        listed: Any = value
        if path in _NOT_HERE:
            raise _cannot_be_used(path)
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
