"""Tokens of a prompt, counted by the vendor."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec import Struct

from ringfence.errors import Unsupported
from ringfence.request import JsonValue
from ringfence_openai.content import encoded
from ringfence_openai.faults import Malformed
from ringfence_openai.native import Native
from ringfence_openai.responses.items import whole
from ringfence_openai.responses.request import ROUTE as RESPONSES_ROUTE

ROUTE = "/responses/input_tokens"

COUNTED = frozenset(
    {
        "model",
        "input",
        "instructions",
        "tools",
        "tool_choice",
        "text",
        "reasoning",
        "parallel_tool_calls",
        "truncation",
        "personality",
        "conversation",
        "previous_response_id",
    }
)
"""The fields of openai/types/responses/input_token_count_params.py."""


class Count(Struct):
    """The answer."""

    input_tokens: int


_decode = msgspec.json.Decoder(Count).decode


def counting(native: Native) -> Native:
    """The request that counts the prompt of `native`.

    Raises:
        Unsupported: its API counts nothing.
    """
    if native.route != RESPONSES_ROUTE:
        raise Unsupported(
            "this API counts no tokens", setting="count_tokens", way_out="use a recipient with the Responses API"
        )
    body: Mapping[str, JsonValue] = {name: value for name, value in native.body.items() if name in COUNTED}
    return Native(recipient=native.recipient, route=ROUTE, body=body, content=encoded(body), whole=whole)


def count_of(body: bytes) -> int:
    """The tokens that an answer names.

    Raises:
        Malformed: it names none.
    """
    try:
        return _decode(body).input_tokens
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Malformed from None


__all__ = ["COUNTED", "Count", "count_of", "counting"]
