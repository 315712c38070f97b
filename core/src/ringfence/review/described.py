"""A request that is described and not made: labelled, counted and dated exactly as the real one would be."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from ringfence.errors import InvalidRequest
from ringfence.instructions import INSTRUCTIONS
from ringfence.policy.times import UTC_ZONE, NotAZone, minute_of_moment
from ringfence.privacy.material import modality_of
from ringfence.request import FilePart, ImagePart, Message, Modality, Part, Request, TextPart, Tool

if TYPE_CHECKING:
    from ringfence.policy.document import TestRequest
    from ringfence.policy.facts import Facts
    from ringfence.policy.policy import Policy
    from ringfence.privacy.labels import Labeller

_SHOWN_CHARACTERS = 40
_PLACEHOLDER = "·"
_STAND_INS: dict[Modality, Part] = {
    "text": TextPart(_PLACEHOLDER),
    "image": ImagePart(b"\0", media_type="image/png"),
    "audio": FilePart(b"\0", media_type="audio/wav"),
    "file": FilePart(b"\0", media_type="application/octet-stream"),
}
"""A part of each modality, for an attachment of which only the modality is said. None but a text can be scanned."""


def facts_of(policy: Policy, described: TestRequest, labeller: Labeller, *, tools: Collection[str] = ()) -> Facts:
    """What `policy` decides on for the request that is `described`.

    With a text, labels are found as in a real request, in which a modality beyond those of the text and of the answer
    is an attachment that nobody can scan. Without a text they are the declared ones, else the policy's `unknown`.
    `tools` are the names of those that the app passes: with a text, each is a part that is labelled and counted by its
    name, since what the app says of it is not known here.

    INVARIANT: the clock is not read. Without `at` no condition on time can be evaluated, so that what comes out depends
    on the policy, the detectors and the description alone.

    Raises:
        InvalidRequest: a declared label is not one of the policy's, or `at` is no moment.
    """
    request = _request(described)
    if _has_text(described):
        request = replace(request, tools=tuple(Tool(name=name) for name in dict.fromkeys(tools)))
    if _has_text(described):
        labels = labeller.label(request)
    else:
        labels = labeller.label_text("", described.labels) if described.labels else frozenset({policy.unknown})
    facts = labeller.facts(request, labels)
    counted = facts.input_tokens if _has_text(described) else 0
    tokens = counted if described.input_tokens is None else described.input_tokens
    minute = None if described.at is None else _minute(policy, described.at)
    return replace(facts, input_tokens=tokens, minute=minute)


def _minute(policy: Policy, at: str) -> int:
    zone = policy.document.zone or UTC_ZONE
    try:
        minute = minute_of_moment(zone, at)
    except NotAZone:
        raise InvalidRequest(
            f"this machine does not know the time zone '{zone}'", way_out="pip install tzdata"
        ) from None
    if minute is None:
        raise InvalidRequest(f"'{at[:_SHOWN_CHARACTERS]}' is not a moment", way_out="2026-11-22T09:30")
    return minute


def _has_text(described: TestRequest) -> bool:
    return described.text is not None and bool(described.text.strip())


def _request(described: TestRequest) -> Request:
    """The request: the text, and a part for each modality that neither the text nor the answer has."""
    said = cast("frozenset[Modality]", described.modality or frozenset())
    text = (TextPart(described.text or "", labels=described.labels),) if _has_text(described) else ()
    plain = _with_parts(described, text or (_STAND_INS["text"],))
    beyond = sorted(said - modality_of(plain))
    attached = tuple(replace(_STAND_INS[one], labels=described.labels) for one in beyond)
    return _with_parts(described, (*text, *attached)) if text or attached else plain


def _with_parts(described: TestRequest, parts: tuple[Part, ...]) -> Request:
    # What an assistant says to the model of a task is text of the request too, and counts.
    ours = INSTRUCTIONS.get(described.task, "") if _has_text(described) else ""
    system = (Message("system", (TextPart(ours, labels=described.labels),)),) if ours else ()
    asked = (*system, Message("user", parts))
    return Request(messages=asked, task=described.task, facts=described.values, to=described.to)


__all__ = ["facts_of"]
