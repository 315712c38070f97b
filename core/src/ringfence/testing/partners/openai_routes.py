"""The routes of OpenAI's API: what the real one refuses before a model is asked, and who answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from email.parser import BytesParser
from email.policy import HTTP

from ringfence.testing.partners import openai_chat, openai_media, openai_responses
from ringfence.testing.partners.answer import Answer
from ringfence.testing.partners.asked import Asked
from ringfence.testing.partners.headers import openai_headers, retry_headers
from ringfence.testing.partners.loose_json import JsonObject, as_text, encoded, object_in
from ringfence.testing.partners.openai_errors import error_body, refusal, status_of
from ringfence.testing.partners.openai_fields import fault_in
from ringfence.testing.partners.stage import Stage
from ringfence.testing.partners.wire import HttpRequest
from ringfence.testing.scenes import Scene

PREFIX = "/v1/"

_ROUTES: dict[str, Callable[[JsonObject, Scene], Answer]] = {
    "responses": openai_responses.answer,
    "responses/input_tokens": openai_media.count,
    "chat/completions": openai_chat.answer,
    "embeddings": openai_media.embeddings,
    "images/generations": openai_media.images,
    "audio/transcriptions": openai_media.transcription,
    "audio/speech": openai_media.speech,
}
_ASKED: dict[str, Callable[[JsonObject], Asked]] = {
    "responses": openai_responses.asked_of,
    "responses/input_tokens": openai_responses.asked_of,
    "chat/completions": openai_chat.asked_of,
}


def answer(request: HttpRequest, stage: Stage) -> Answer:
    """The answer to a request under `/v1/`, with the vendor's headers."""
    route = request.path.removeprefix(PREFIX)
    body = _body(request)
    model = as_text((body or {}).get("model"))
    found = _refused(request, route, body, keyless=stage.keyless) or _answered(request, route, body or {}, stage)
    retry = retry_headers(found.scene.retry_after_s) if found.scene and found.scene.error else {}
    return replace(found, headers={**openai_headers(model), **retry, **found.headers})


def _body(request: HttpRequest) -> JsonObject | None:
    """The fields of a JSON object or of a form; `None` if it is neither."""
    media_type = request.headers.get("content-type", "")
    if media_type.startswith("multipart/form-data"):
        return _form(media_type, request.body)
    return object_in(request.body)


def _form(media_type: str, body: bytes) -> JsonObject:
    head = f"content-type: {media_type}\r\n\r\n".encode("latin-1")
    message = BytesParser(policy=HTTP).parsebytes(head + body)
    fields: JsonObject = {}
    for part in message.iter_parts():
        name = part.get_param("name", header="content-disposition")
        content = part.get_payload(decode=True)
        if isinstance(name, str) and isinstance(content, bytes):
            is_file = part.get_filename() is not None
            fields[name.removesuffix("[]")] = f"{len(content)} bytes" if is_file else content.decode("utf-8", "replace")
    return fields


def _refused(request: HttpRequest, route: str, body: JsonObject | None, *, keyless: bool) -> Answer | None:
    asks_models = request.method == "GET" and (route == "models" or route.startswith("models/"))
    if not keyless and not request.headers.get("authorization", "").startswith("Bearer "):
        return _said(401, refusal("You didn't provide an API key."))
    if route not in _ROUTES and not asks_models:
        return _said(404, refusal(f"Invalid URL ({request.method} {request.path})"))
    if request.method != "POST" and not asks_models:
        return _said(405, refusal(f"Not allowed to {request.method} on {request.path}.", code="method_not_supported"))
    if not asks_models and (fault := _fault(route, body)):
        return _said(400, fault)
    model = route.removeprefix("models/") if asks_models else as_text((body or {}).get("model"))
    missing = model.startswith("missing-")
    return _said(status_of("not_found"), error_body("not_found", model)) if missing else None


def _asked_of(body: JsonObject) -> Asked:
    return Asked(model=as_text(body.get("model")), characters=len(encoded(body.get("input"))))


def _fault(route: str, body: JsonObject | None) -> JsonObject | None:
    if body is None:
        return refusal("We could not parse the JSON body of your request.")
    return fault_in(route, body)


def _said(status: int, body: JsonObject, scene: Scene | None = None) -> Answer:
    said = encoded(body)
    return Answer(status=status, body=said, malformed=b'{"error": {', failed=(500, said), scene=scene)


def _answered(request: HttpRequest, route: str, body: JsonObject, stage: Stage) -> Answer:
    if request.method == "GET":
        return openai_media.models() if route == "models" else openai_media.model(route.removeprefix("models/"))
    asked = _ASKED.get(route, _asked_of)(body)
    scene = stage.scene(asked)
    if scene.error is not None:
        return _said(status_of(scene.error), error_body(scene.error, asked.model), scene)
    return _ROUTES[route](body, scene)
