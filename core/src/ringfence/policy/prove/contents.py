"""What one part of a request can be, as two files label it: declared, found, scanned in vain, not scanned."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ringfence.policy.document import Document
from ringfence.policy.faults import quoted


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """One part, and the labels that it has in each file. `what` says what it is where the labels alone do not."""

    before: frozenset[str]
    after: frozenset[str]
    what: str = ""


def contents(before: Document, after: Document) -> Iterator[Content]:
    """Every kind of part that matters: if any request moves, one that holds one of these alone moves as well.

    A request reaches a recipient where each of its parts does, and a part where each of its labels does. So one part is
    enough; and of one part what the first file sees of it, with as little besides as the second file lets it have.
    """
    found_before, found_after = _found(before), _found(after)
    plain_before, plain_after = _plain(before), _plain(after)
    for label in after.labels:
        new = "" if label in before.labels else f"content with the new label {quoted(label)}"
        yield Content(before=frozenset({label}), after=frozenset({label}), what=new)
    yield Content(before=plain_before, after=plain_after, what="a text in which no detector finds anything")
    yield Content(
        before=frozenset({before.unknown}), after=frozenset({after.unknown}), what="a part that cannot be scanned"
    )
    for kind in sorted({*found_before, *found_after}):
        what = f"what detector {quoted(kind)} finds"
        yield Content(before=found_before.get(kind, plain_before), after=found_after.get(kind, plain_after), what=what)
    for kind in sorted(found_after.keys() - found_before.keys()):
        what = f"a part for which detector {quoted(kind)} fails"
        yield Content(before=plain_before, after=frozenset({after.unknown}), what=what)
    for kind in sorted(found_before.keys() - found_after.keys()):
        yield from _dropped(kind, found_before[kind], before, after)


def _dropped(kind: str, labels: frozenset[str], before: Document, after: Document) -> Iterator[Content]:
    """A part with a hit that only the first file sees, or for which only its detector failed, and a declared label."""
    found = f"what detector {quoted(kind)} finds, with a declared label"
    failed = f"a part for which detector {quoted(kind)} fails"
    unknown = frozenset({before.unknown})
    yield Content(before=unknown, after=_plain(after), what=failed)
    for label in after.labels:
        declared = frozenset({label})
        yield Content(before=labels | declared, after=declared, what=found)
        yield Content(before=unknown | declared, after=declared, what=f"{failed}, with a declared label")


def _found(document: Document) -> Mapping[str, frozenset[str]]:
    """The labels of a hit, by the kind of its detector."""
    kinds = {kind for label in document.labels.values() for kind in label.detect}
    return {kind: frozenset(name for name, label in document.labels.items() if kind in label.detect) for kind in kinds}


def _plain(document: Document) -> frozenset[str]:
    """The label of a text that was scanned without a hit; where nothing is looked for, nothing is clean."""
    looks = any(label.detect for label in document.labels.values())
    return frozenset({document.clean if looks and document.clean is not None else document.unknown})
