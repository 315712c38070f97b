"""What one part of a request can be, as two files label it: declared, found, scanned in vain, not scanned."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from ringfence.policy.document import Document
from ringfence.policy.faults import quoted


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """Some text of one part: the labels of the part in each file, and those of them that redact this text.

    A span is redacted for the labels of its detector, and all text of a part for those of its labels that no span has.
    `what` says what it is where the labels alone do not.
    """

    before: frozenset[str]
    after: frozenset[str]
    redacted_before: frozenset[str]
    redacted_after: frozenset[str]
    what: str = ""


def contents(before: Document, after: Document) -> Iterator[Content]:
    """Every kind of text that matters: if any request moves, one that holds one of these alone moves as well.

    A request reaches a recipient where each of its parts does, and a part where each of its labels does. So one part is
    enough; and of one part what the first file sees of it, with as little besides as the second file lets it have.
    """
    found_before, found_after = _found(before), _found(after)
    plain_before, plain_after = _plain(before), _plain(after)
    unknown_before, unknown_after = frozenset({before.unknown}), frozenset({after.unknown})
    for label in after.labels:
        new = "" if label in before.labels else f"content with the new label {quoted(label)}"
        yield _whole(frozenset({label}), frozenset({label}), new)
    yield _whole(plain_before, plain_after, "a text in which no detector finds anything")
    yield _whole(unknown_before, unknown_after, "a part that cannot be scanned")
    for kind in sorted({*found_before, *found_after}):
        was, now = found_before.get(kind, _NONE), found_after.get(kind, _NONE)
        yield _whole(was or plain_before, now or plain_after, f"what detector {quoted(kind)} finds")
        yield Content(
            before=was | unknown_before,
            after=now | unknown_after,
            redacted_before=unknown_before - was,
            redacted_after=unknown_after - now,
            what=f"the text around what detector {quoted(kind)} finds, in a part that another could not scan",
        )
    for kind in sorted(found_after.keys() - found_before.keys()):
        yield _whole(plain_before, unknown_after, f"a part for which detector {quoted(kind)} fails")
    for kind, now in sorted(found_after.items()):
        yield from _around(kind, found_before.get(kind, _NONE), now, plain_before)
    for kind in sorted(found_before.keys() - found_after.keys()):
        yield from _dropped(kind, found_before, found_after, before, after)


_NONE: Final = frozenset[str]()


def _whole(before: frozenset[str], after: frozenset[str], what: str) -> Content:
    """Text that all labels of its part redact."""
    return Content(before=before, after=after, redacted_before=before, redacted_after=after, what=what)


def _around(kind: str, was: frozenset[str], now: frozenset[str], plain_before: frozenset[str]) -> Iterator[Content]:
    """The text around a hit: a label that a span has redacts the rest no longer, so more detectors can bare it."""
    what = f"the text around what detector {quoted(kind)} finds"
    if not was:
        yield Content(before=plain_before, after=now, redacted_before=plain_before, redacted_after=_NONE, what=what)
    for label in sorted(now - was):
        declared = frozenset({label})
        yield Content(
            before=was | declared,
            after=now,
            redacted_before=declared,
            redacted_after=_NONE,
            what=f"{what}, in a part declared {quoted(label)}",
        )


def _dropped(
    kind: str,
    found_before: Mapping[str, frozenset[str]],
    found_after: Mapping[str, frozenset[str]],
    before: Document,
    after: Document,
) -> Iterator[Content]:
    """A part with a hit that only the first file sees, or for which only its detector failed, and something besides."""
    unknown = frozenset({before.unknown})
    ways = {f"what detector {quoted(kind)} finds": found_before[kind]}
    ways[f"a part for which detector {quoted(kind)} fails"] = unknown
    yield _whole(unknown, _plain(after), f"a part for which detector {quoted(kind)} fails")
    for what, was in ways.items():
        for label in after.labels:
            declared = frozenset({label})
            yield _whole(was | declared, declared, f"{what}, with a declared label")
        for other, now in sorted(found_after.items()):
            beside = found_before.get(other, _NONE)
            yield Content(
                before=was | beside,
                after=now,
                redacted_before=was - beside if was == unknown else was,
                redacted_after=_NONE,
                what=f"{what}, beside what detector {quoted(other)} finds",
            )


def _found(document: Document) -> Mapping[str, frozenset[str]]:
    """The labels of a hit, by the kind of its detector."""
    kinds = {kind for label in document.labels.values() for kind in label.detect}
    return {kind: frozenset(name for name, label in document.labels.items() if kind in label.detect) for kind in kinds}


def _plain(document: Document) -> frozenset[str]:
    """The label of a text that was scanned without a hit."""
    return frozenset({document.unknown if document.clean is None else document.clean})
