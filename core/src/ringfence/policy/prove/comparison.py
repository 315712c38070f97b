"""Whether one document only narrows another, and where not, for each place a request that moves outward."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias, get_args

from ringfence.policy.conditions import Matcher, TimeIn
from ringfence.policy.decision import REDACTIONS
from ringfence.policy.document import Document
from ringfence.policy.facts import Facts
from ringfence.policy.prove import settings
from ringfence.policy.prove.contents import Content, contents
from ringfence.policy.prove.diagram import NOTHING, Set
from ringfence.policy.prove.interpreter import Answer, Interpreter
from ringfence.policy.prove.model import (
    WORK_LIMIT,
    Chooses,
    Model,
    Target,
    World,
    asks_consent,
    attests,
    redacts,
)
from ringfence.policy.prove.opaque import Rename, cel_alone, opaque
from ringfence.policy.prove.witness import Witness, witness_of
from ringfence.policy.prove.words import by
from ringfence.policy.words import plain, time_words
from ringfence.recipient import Ring

Weaker: TypeAlias = Literal["refused", "consent", "attest", "redact"]
_WEAKER: Final[tuple[Weaker, ...]] = get_args(Weaker)
_OBLIGING: Final[Sequence[tuple[Weaker, Chooses]]] = (
    ("consent", asks_consent),
    ("attest", attests),
    *(("redact", redacts(kind)) for kind in REDACTIONS),
)
_OUTWARD: Final[Mapping[Weaker, str]] = {
    "refused": "which was refused",
    "consent": "without the consent that it needed",
    "attest": "without the attestation that it needed",
    "redact": "redacted less than it was",
}
_INWARD: Final[Mapping[Weaker, str]] = {
    "refused": "is refused now",
    "consent": "needs consent now",
    "attest": "needs attestation now",
    "redact": "is redacted more now",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A request that one file lets go further than the other. Both interpreters confirmed it."""

    before: Facts
    """As the first file labels it; `after` as the second does."""
    after: Facts
    weaker: Weaker
    rules: tuple[str, ...]
    says: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One recipient or tool of the second file: how it moves outward, and how it narrows, each by one request."""

    name: str
    ring: Ring
    tool: bool = False
    new: str | None = None
    """Why it is compared with nothing: it is new, or it is another under the same name."""
    outward: Example | None = None
    looser: tuple[str, ...] = ()
    """What else makes it reach further: consent and budgets, in words."""
    narrower: Example | None = None

    @property
    def only_narrows(self) -> bool:
        """Whether nothing moves outward here."""
        return self.outward is None and not self.looser


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What an edit does, recipient by recipient. `notes` say what changed besides and moves nothing outward."""

    rows: tuple[Row, ...]
    notes: tuple[str, ...]

    @property
    def only_narrows(self) -> bool:
        """Whether no request goes further than it did."""
        return all(row.only_narrows for row in self.rows)


def compare(before: Document, after: Document, *, limit: int = WORK_LIMIT) -> Comparison:
    """Whether `after` only narrows `before`. Exact for the rules; where expressions or zones differ, never too kind.

    Raises:
        TooHard: it takes more than `limit` steps.
    """
    pair = _pair(before, after)
    world = World(pair, limit=limit)
    old, new = (Model(world, one) for one in pair)
    onward, back = _Edit(world, old, new), _Edit(world, new, old)
    rows = [*_recipients(onward, back, before, after), *_tools(onward, back, before, after)]
    return Comparison(rows=tuple(rows), notes=tuple(settings.notes(before, after)))


def _pair(before: Document, after: Document) -> tuple[Document, Document]:
    """Both with flow alone, and with facts for what does not mean the same in both."""
    same = before.facts == after.facts and set(before.tasks) == set(after.tasks)
    # A file without a condition on time has no zone, and none to differ.
    same_zone = before.zone == after.zone or None in (before.zone, after.zone)
    plain_before, plain_after = (replace(one, route=(), invariants=()) for one in (before, after))
    return (
        opaque(plain_before, _renaming(" (before)", same=same, same_zone=same_zone)),
        opaque(plain_after, _renaming(" (after)", same=same, same_zone=same_zone)),
    )


def _renaming(which: str, *, same: bool, same_zone: bool) -> Rename:
    def name(matcher: Matcher) -> str | None:
        if isinstance(matcher, TimeIn):
            return None if same_zone else f"time {time_words(matcher)}{which}"
        found = cel_alone(matcher)
        return found if found is None or (same and same_zone) else f"{found}{which}"

    return name


def _recipients(onward: _Edit, back: _Edit, before: Document, after: Document) -> Iterator[Row]:
    for name, recipient in after.recipients.items():
        known, new = before.recipients.get(name), onward.after.recipient(recipient)
        changed = settings.changed_identity(known, recipient) if known is not None else ()
        old = onward.before.recipient(known) if known is not None else None
        why = "new" if known is None else f"another {', '.join(changed)}" if changed else None
        yield Row(
            name=name,
            ring=recipient.ring,
            new=why,
            outward=onward.example(new, None if why else old),
            looser=()
            if why
            else (
                *settings.looser_consent(before, after, recipient),
                *settings.looser_budgets(before, after, recipient),
            ),
            narrower=None if old is None else back.example(old, new, inward=True),
        )


def _tools(onward: _Edit, back: _Edit, before: Document, after: Document) -> Iterator[Row]:
    for name, tool in after.tools.items():
        new, known = onward.after.tool(name), name in before.tools
        old = onward.before.tool(name) if known else None
        yield Row(
            name=name,
            ring=tool.ring,
            tool=True,
            new=None if known else "new",
            outward=onward.example(new, old),
            narrower=None if old is None else back.example(old, new, inward=True),
        )
    for name in before.tools.keys() - after.tools.keys():
        # INVARIANT: a tool that is not declared is not ruled, so leaving one out never narrows.
        gone = "it is no longer declared, so no rule holds for it"
        yield Row(name=name, ring=before.tools[name].ring, tool=True, looser=(gone,))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Move:
    """The requests of one content that move, and how."""

    moved: Set
    weaker: Weaker
    content: Content


class _Edit:
    """From one model to another of the same world."""

    def __init__(self, world: World, before: Model, after: Model) -> None:
        self.before, self.after = before, after
        self._world = world
        self._sets = world.diagrams
        self._ask_before, self._ask_after = Interpreter(before.document), Interpreter(after.document)
        self._contents = tuple(dict.fromkeys(contents(before.document, after.document)))

    def example(self, after: Target, before: Target | None, *, inward: bool = False) -> Example | None:
        """The plainest request that goes further to `after` than to `before`; `None` where none does.

        `inward` says that `before` is the later of the two: what went further before goes less far now.
        """
        moves = [move for content in self._contents for move in self._moves(content, after, before)]
        if not moves:
            return None
        plainest = min(_plainness(move) for move in moves)
        found = [(move, witness_of(self._world, move.moved)) for move in moves if _plainness(move) == plainest]
        move, witness = min(found, key=lambda one: one[1].cost)
        return self._confirmed(move, witness, after, before, inward=inward)

    def _moves(self, content: Content, after: Target, before: Target | None) -> Iterator[_Move]:
        sets = self._sets
        reaches = self._reaches(self.after, after, content.after)
        if reaches == NOTHING:
            return
        reached = NOTHING if before is None else self._reaches(self.before, before, content.before)
        ways: list[tuple[Weaker, Set]] = [("refused", sets.both(reaches, sets.outside(reached)))]
        both = sets.both(reaches, reached)
        if before is not None and both != NOTHING:
            for weaker, chosen in _OBLIGING:
                redacts_it = weaker == "redact"
                labels_before = content.redacted_before if redacts_it else content.before
                labels_after = content.redacted_after if redacts_it else content.after
                was = self._obliged(self.before, before, labels_before, chosen)
                now = self._obliged(self.after, after, labels_after, chosen)
                ways.append((weaker, sets.both(both, was, sets.outside(now))))
        yield from (_Move(moved=moved, weaker=weaker, content=content) for weaker, moved in ways if moved != NOTHING)

    def _reaches(self, model: Model, target: Target, labels: Iterable[str]) -> Set:
        return self._sets.both(*(model.reaches(target, label) for label in labels))

    def _obliged(self, model: Model, target: Target, labels: Iterable[str], chosen: Chooses) -> Set:
        return self._sets.union(model.obliged(target, label, chosen) for label in labels)

    def _confirmed(
        self, move: _Move, witness: Witness, after: Target, before: Target | None, *, inward: bool
    ) -> Example:
        """INVARIANT: nothing is said to move that the two interpreters do not confirm.

        Raises:
            AssertionError: they do not.
        """
        content = move.content
        facts_before, facts_after = witness.facts(content.before), witness.facts(content.after)
        now = self._ask_after.ask(after, facts_after)
        was = None if before is None else self._ask_before.ask(before, facts_before)
        if not now.allowed or (was is not None and move.weaker not in _weaker(was, now, content)):
            raise AssertionError("the interpreters do not confirm an example of the comparison")
        return Example(
            before=facts_before,
            after=facts_after,
            weaker=move.weaker,
            rules=now.rules,
            says=_says(move, witness, now.rules, compared=was is not None, inward=inward),
        )


def _says(move: _Move, witness: Witness, rules: Iterable[str], *, compared: bool, inward: bool) -> str:
    content = move.content
    what = f"{content.what}: " if content.what else ""
    other = ", ".join(plain(one) for one in sorted(content.before)) if content.before != content.after else ""
    differs = f" ({'now' if inward else 'before'} labels=[{other}])" if other and compared else ""
    ended = f", {(_INWARD if inward else _OUTWARD)[move.weaker]}" if compared else ""
    return f"{what}{witness.words(content.after)}{differs}{'' if inward else by('rule', rules)}{ended}"


def _plainness(move: _Move) -> tuple[int, bool, int]:
    content = move.content
    return _WEAKER.index(move.weaker), bool(content.what), len(content.before | content.after)


def _weaker(was: Answer, now: Answer, content: Content) -> Sequence[Weaker]:
    """How `now` goes further than `was`."""
    found: list[tuple[Weaker, bool]] = [
        ("refused", not was.allowed),
        ("consent", was.consent and not now.consent),
        ("attest", was.attest and not now.attest),
        ("redact", _strictness(was, content.redacted_before) > _strictness(now, content.redacted_after)),
    ]
    return [weaker for weaker, holds in found if holds]


def _strictness(answer: Answer, labels: Iterable[str]) -> int:
    return max((REDACTIONS.index(answer.redact[one]) + 1 for one in labels if one in answer.redact), default=0)
