"""Vectors of texts."""

from __future__ import annotations

import math
import sys
from array import array
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Sequence

import msgspec
from msgspec import Struct

from ringfence.errors import Unsupported
from ringfence.provider import Embeddings, ModelCard, Plan
from ringfence.recipient import Recipient
from ringfence.request import JsonValue, Request, TextPart
from ringfence.response import ProviderEvent
from ringfence_openai import settings
from ringfence_openai.content import encoded, no_tools, require
from ringfence_openai.extras import merged
from ringfence_openai.faults import Malformed
from ringfence_openai.native import Native
from ringfence_openai.options import RecipientOptions

ROUTE = "/embeddings"


def plan_embed(request: Request, recipient: Recipient, card: ModelCard, options: RecipientOptions) -> Plan[object]:
    """The plan of a request for vectors.

    Raises:
        Unsupported: the model makes none, or there is something else than texts; tools or a schema.
    """
    require(card, "embed", "task", "embed")
    no_tools(request)
    parts = [part for message in request.messages for part in message.parts]
    inputs: list[JsonValue] = [part.text for part in parts if isinstance(part, TextPart)]
    if len(inputs) < len(parts):
        raise Unsupported("only texts can be embedded", setting="parts", way_out="give text parts")
    _, adjustments = settings.apply_settings(request.settings, settings.NONE, what="embedding")
    # The vendor's base64 is a quarter of the JSON numbers; not every other server knows it.
    coding = "base64" if options.vendor else "float"
    body = merged(ROUTE, {"model": recipient.model, "input": inputs, "encoding_format": coding}, request, options)
    native = Native(recipient=recipient, route=ROUTE, body=body, content=encoded(body), whole=_no_events)
    return Plan(request=request, card=card, native=native, adjustments=tuple(adjustments))


def _no_events(body: bytes, media_type: str) -> Sequence[ProviderEvent]:  # noqa: ARG001  (as every `whole`)
    raise Malformed


class Vector(Struct):
    """One vector: packed, or as numbers."""

    embedding: str | list[float]
    index: int | None = None


class UsageBody(Struct):
    """Tokens."""

    prompt_tokens: int = 0


class Vectors(Struct):
    """The answer of `/embeddings`."""

    data: list[Vector]
    usage: UsageBody | None = None


_decode = msgspec.json.Decoder(Vectors).decode


def embeddings(body: bytes, *, expected: int) -> Embeddings:
    """The vectors of an answer, in the order of the texts, each brought to norm 1.

    Raises:
        Malformed: it is no answer of this API, or not one vector for each of the `expected` texts.
    """
    try:
        answer = _decode(body)
        given = {place if one.index is None else one.index: one for place, one in enumerate(answer.data)}
        # INVARIANT: every text has its own vector: no place is missing, and none is taken twice.
        if given.keys() != set(range(len(answer.data))):
            raise Malformed
        vectors = tuple(_unit(_numbers(given[place].embedding)) for place in range(len(given)))
    except (msgspec.DecodeError, UnicodeDecodeError, Base64Error, ValueError):
        raise Malformed from None
    if len(vectors) != expected or len({len(vector) for vector in vectors}) > 1:
        raise Malformed
    used = answer.usage.prompt_tokens if answer.usage is not None else 0
    return Embeddings(vectors=vectors, dimensions=len(vectors[0]) if vectors else 0, input_tokens=used)


def _numbers(given: str | list[float]) -> Sequence[float]:
    if isinstance(given, list):
        return given
    numbers = array("f", b64decode(given, validate=True))
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers


def _unit(numbers: Sequence[float]) -> tuple[float, ...]:
    norm = math.hypot(*numbers)
    if not numbers or not math.isfinite(norm) or norm == 0:
        raise ValueError
    return tuple(number / norm for number in numbers)


__all__ = ["ROUTE", "UsageBody", "Vector", "Vectors", "embeddings", "plan_embed"]
