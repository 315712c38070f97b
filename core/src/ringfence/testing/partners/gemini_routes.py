"""The routes of the Gemini API: what the real one refuses before a model is asked, and who answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from urllib.parse import parse_qs

from ringfence.testing.partners import gemini_content, gemini_media
from ringfence.testing.partners.answer import Answer
from ringfence.testing.partners.gemini_content import JSON_UTF8
from ringfence.testing.partners.gemini_errors import error_body, refusal, status_of
from ringfence.testing.partners.gemini_fields import FIELDS, fault_in
from ringfence.testing.partners.headers import gemini_headers, retry_headers
from ringfence.testing.partners.loose_json import JsonObject, encoded, object_in
from ringfence.testing.partners.stage import Stage
from ringfence.testing.partners.wire import HttpRequest
from ringfence.testing.scenes import ErrorKind, Scene

_PREFIXES = ("/v1beta/", "/v1/")
_UNREGISTERED = (
    "Method doesn't allow unregistered callers (callers without established identity). "
    "Please use API Key or other form of API consumer identity to call this API."
)

_OTHERS: dict[str, Callable[[JsonObject, Scene], Answer]] = {
    "countTokens": gemini_media.count,
    "embedContent": gemini_media.embed,
    "batchEmbedContents": gemini_media.embed_all,
    "predict": gemini_media.predict,
}


def takes(request: HttpRequest) -> bool:
    """Whether a request is Gemini's: `/v1/models`, which both vendors have, is told by the key's header."""
    if request.path.startswith(_PREFIXES[0]):
        return True
    named = request.path.startswith("/v1/models/") and ":" in request.path
    return named or (request.path.startswith("/v1/models") and _has_key(request))


def _has_key(request: HttpRequest) -> bool:
    return "x-goog-api-key" in request.headers or "key" in parse_qs(request.query)


def answer(request: HttpRequest, stage: Stage) -> Answer:
    """The answer to a request under `/v1beta/` or `/v1/`, with the vendor's headers."""
    name, _, method = request.path.partition("models")[2].removeprefix("/").partition(":")
    body = object_in(request.body)
    found = _refused(request, name, method, body) or _answered(request, name, method, body or {}, stage)
    retry = retry_headers(found.scene.retry_after_s) if found.scene and found.scene.error else {}
    return replace(found, headers={**gemini_headers(), **retry, **found.headers})


def _said(status: int, body: JsonObject, scene: Scene | None = None) -> Answer:
    said = encoded(body)
    return Answer(
        status=status, media_type=JSON_UTF8, body=said, malformed=b'{"error": {', failed=(500, said), scene=scene
    )


def _refused(request: HttpRequest, name: str, method: str, body: JsonObject | None) -> Answer | None:
    if not _has_key(request):
        return _said(403, refusal(403, "PERMISSION_DENIED", _UNREGISTERED))
    if name.startswith("missing-"):
        return _error("not_found", name, None)
    if request.method == "GET" and not method:
        return None
    routed = request.path.startswith(tuple(f"{prefix}models/" for prefix in _PREFIXES))
    if not routed or method not in FIELDS or request.method != "POST":
        return _said(404, refusal(404, "NOT_FOUND", "Requested entity was not found."))
    if body is None:
        return _said(400, refusal(400, "INVALID_ARGUMENT", "Invalid JSON payload received. Unexpected token."))
    fault = fault_in(method, body)
    return _said(400, fault) if fault else None


def _error(kind: ErrorKind, model: str, scene: Scene | None) -> Answer:
    retry_after_s = scene.retry_after_s if scene else None
    return _said(status_of(kind), error_body(kind, model, retry_after_s), scene)


def _answered(request: HttpRequest, name: str, method: str, body: JsonObject, stage: Stage) -> Answer:
    if request.method == "GET":
        return gemini_media.model(name) if name else gemini_media.models()
    stream = method == "streamGenerateContent"
    writes = stream or method == "generateContent"
    scene = stage.scene(gemini_content.asked_of(name, body, stream=stream))
    if scene.error is not None:
        return _error(scene.error, name, scene)
    if writes:
        sse = parse_qs(request.query).get("alt") == ["sse"]
        return gemini_content.answer(name, scene, stream=stream, sse=sse)
    return _OTHERS[method](body, scene)
