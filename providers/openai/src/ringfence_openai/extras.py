"""`request.provider_options["openai"]`: fields of the API that the request has no words for, merged into the body."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeGuard

from ringfence.errors import InvalidRequest
from ringfence.request import JsonValue, Request
from ringfence_openai.fields import FIELDS, PROTECTED, keeps
from ringfence_openai.options import RecipientOptions
from ringfence_openai.server_tools import check_server_tools

PROVIDER = "openai"
IMAGE_DETAIL = "image_detail"
"""Ours: the `detail` of every picture in the request."""
EXTRA_BODY = "extra_body"
"""Fields that only another server knows; the SDK's word."""

_DETAILS = ("auto", "low", "high", "original")


def own_options(request: Request) -> Mapping[str, JsonValue]:
    """What the app gave for this provider, without what is ours."""
    given = request.provider_options.get(PROVIDER, {})
    return {name: value for name, value in given.items() if name != IMAGE_DETAIL} if IMAGE_DETAIL in given else given


def image_detail(request: Request) -> str | None:
    """How closely the model looks at pictures, where the app says.

    Raises:
        InvalidRequest: there is no such way of looking.
    """
    detail = request.provider_options.get(PROVIDER, {}).get(IMAGE_DETAIL)
    if detail is None or (isinstance(detail, str) and detail in _DETAILS):
        return detail
    raise InvalidRequest(f"the provider option {IMAGE_DETAIL} of openai is one of: {', '.join(_DETAILS)}")


def merged(
    route: str, body: Mapping[str, JsonValue], request: Request, options: RecipientOptions
) -> dict[str, JsonValue]:
    """`body` and the app's fields: lists are joined, objects are merged one level deep, nothing is overridden.

    Raises:
        InvalidRequest: a field that the route does not know, that the request itself decides, or that it sets too;
            one that makes the vendor keep something, or a tool of the server, that the recipient's options do not
            allow.
    """
    out = dict(body)
    own = own_options(request)
    extra = own.get(EXTRA_BODY, {})
    if not isinstance(extra, Mapping):
        raise InvalidRequest(f"the provider option {EXTRA_BODY} of openai maps names of fields to values")
    for name in own:
        if name != EXTRA_BODY and name not in FIELDS[route]:
            raise InvalidRequest(
                _unknown(name, route), way_out=f"put a field that only your server knows in {EXTRA_BODY}"
            )
    for name, value in (*own.items(), *extra.items()):
        if name == EXTRA_BODY:
            continue
        # INVARIANT: the app cannot make the vendor keep what the operator did not let it keep.
        # Some servers read names without regard to case.
        plain = name.lower()
        if plain in PROTECTED or (keeps(route, plain) and not options.store):
            raise InvalidRequest(
                f"the provider option '{name}' of openai is not the app's to set",
                way_out="leave it out; the request and the recipient's options decide it",
            )
        check_server_tools(plain, value, options.server_tools)
        out[name] = _joined(name, out[name], value) if name in out else value
    return out


def _unknown(name: str, route: str) -> str:
    import difflib  # noqa: PLC0415  (only a mistake needs it)

    # A name is the author's of the app; what is far from one may be anything, and is not repeated.
    near = difflib.get_close_matches(name, FIELDS[route], n=1)
    return "unknown provider option of openai" + (f"; did you mean '{near[0]}'?" if near else "")


def _joined(name: str, ours: JsonValue, theirs: JsonValue) -> JsonValue:
    if _is_list(ours) and _is_list(theirs):
        return [*ours, *(item for item in theirs if item not in ours)]
    if isinstance(ours, Mapping) and isinstance(theirs, Mapping) and not ours.keys() & theirs.keys():
        return {**ours, **theirs}
    raise InvalidRequest(
        f"the provider option '{name}' of openai is set by the request as well", way_out="set it in one place"
    )


def _is_list(value: JsonValue) -> TypeGuard[Sequence[JsonValue]]:
    return isinstance(value, Sequence) and not isinstance(value, str)


__all__ = ["EXTRA_BODY", "IMAGE_DETAIL", "PROVIDER", "image_detail", "merged", "own_options"]
