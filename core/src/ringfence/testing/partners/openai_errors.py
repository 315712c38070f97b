"""What OpenAI's API refuses with, in its own words."""

from __future__ import annotations

from ringfence.testing.partners.loose_json import JsonObject
from ringfence.testing.scenes import ErrorKind

_INVALID = "invalid_request_error"

# Status, type, code, parameter, message.
_SAID: dict[ErrorKind, tuple[int, str, str | None, str | None, str]] = {
    "bad_request": (400, _INVALID, "invalid_value", "input", "Invalid value in the request."),
    "authentication": (
        401,
        _INVALID,
        "invalid_api_key",
        None,
        "Incorrect API key provided. You can find your API key at https://platform.openai.com/account/api-keys.",
    ),
    "permission": (
        403,
        "request_forbidden",
        "unsupported_country_region_territory",
        None,
        "Country, region, or territory not supported",
    ),
    "not_found": (
        404,
        _INVALID,
        "model_not_found",
        None,
        "The model `{model}` does not exist or you do not have access to it.",
    ),
    "context_length": (
        400,
        _INVALID,
        "context_length_exceeded",
        "input",
        (
            "This model's maximum context length is 128000 tokens. However, your messages resulted in 128001 tokens. "
            "Please reduce the length of the messages."
        ),
    ),
    "rate_limited": (
        429,
        "requests",
        "rate_limit_exceeded",
        None,
        (
            "Rate limit reached for {model} in organization org-ringfence on requests per min (RPM): "
            "Limit 3, Used 3, Requested 1."
        ),
    ),
    "server": (
        500,
        "server_error",
        None,
        None,
        "The server had an error while processing your request. Sorry about that!",
    ),
    "overloaded": (
        503,
        "service_unavailable_error",
        "server_is_overloaded",
        None,
        "Our servers are currently overloaded. Please try again later.",
    ),
}


def status_of(kind: ErrorKind) -> int:
    """The HTTP status of a refusal."""
    return _SAID[kind][0]


def error_body(kind: ErrorKind, model: str) -> JsonObject:
    """The body of a refusal."""
    _, said, code, parameter, message = _SAID[kind]
    return refusal(message.replace("{model}", model), code=code, parameter=parameter, said=said)


def refusal(message: str, *, code: str | None = None, parameter: str | None = None, said: str = _INVALID) -> JsonObject:
    """An error as this API writes it."""
    return {"error": {"message": message, "type": said, "param": parameter, "code": code}}
