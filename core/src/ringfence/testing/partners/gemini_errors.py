"""What the Gemini API refuses with, in its own words."""

from __future__ import annotations

from ringfence.testing.partners.loose_json import JsonObject
from ringfence.testing.scenes import ErrorKind

_TYPES = "type.googleapis.com/google.rpc"
_SERVICE = "generativelanguage.googleapis.com"

# A key that is not valid is HTTP 400 here; only the reason in the details tells it from other bad requests.
_SAID: dict[ErrorKind, tuple[int, str, str]] = {
    "bad_request": (400, "INVALID_ARGUMENT", "Request contains an invalid argument."),
    "authentication": (400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key."),
    "permission": (403, "PERMISSION_DENIED", "Permission denied on resource project projects/0."),
    "not_found": (
        404,
        "NOT_FOUND",
        (
            "models/{model} is not found for API version v1beta, or is not supported for generateContent. "
            "Call ListModels to see the list of available models and their supported methods."
        ),
    ),
    "context_length": (
        400,
        "INVALID_ARGUMENT",
        "The input token count (1048577) exceeds the maximum number of tokens allowed (1048576).",
    ),
    "rate_limited": (
        429,
        "RESOURCE_EXHAUSTED",
        "You exceeded your current quota, please check your plan and billing details.",
    ),
    "server": (500, "INTERNAL", "An internal error has occurred. Please retry."),
    "overloaded": (503, "UNAVAILABLE", "The model is overloaded. Please try again later."),
}


def status_of(kind: ErrorKind) -> int:
    """The HTTP status of a refusal."""
    return _SAID[kind][0]


def error_body(kind: ErrorKind, model: str, retry_after_s: float | None) -> JsonObject:
    """The body of a refusal, with a `RetryInfo` where there is something to wait for."""
    code, status, message = _SAID[kind]
    details = _details(kind, model)
    if retry_after_s is not None:
        details.append({"@type": f"{_TYPES}.RetryInfo", "retryDelay": f"{retry_after_s:g}s"})
    return refusal(code, status, message.replace("{model}", model), details)


def refusal(code: int, status: str, message: str, details: list[JsonObject] | None = None) -> JsonObject:
    """An error as this API writes it."""
    error: JsonObject = {"code": code, "message": message, "status": status}
    return {"error": {**error, "details": details} if details else error}


def _details(kind: ErrorKind, model: str) -> list[JsonObject]:
    if kind == "authentication":
        said: JsonObject = {"reason": "API_KEY_INVALID", "domain": "googleapis.com", "metadata": {"service": _SERVICE}}
        locale = {"@type": f"{_TYPES}.LocalizedMessage", "locale": "en-US", "message": _SAID[kind][2]}
        return [{"@type": f"{_TYPES}.ErrorInfo", **said}, {**locale}]
    if kind == "rate_limited":
        violation: JsonObject = {
            "quotaMetric": f"{_SERVICE}/generate_content_free_tier_requests",
            "quotaId": "GenerateRequestsPerMinutePerProjectPerModel-FreeTier",
            "quotaDimensions": {"location": "global", "model": model},
            "quotaValue": "10",
        }
        return [{"@type": f"{_TYPES}.QuotaFailure", "violations": [violation]}]
    return []
