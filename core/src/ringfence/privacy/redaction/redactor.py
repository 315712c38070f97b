"""A payload as one recipient may see it: one object for the wire, the consent preview, errors and receipts alike."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ringfence.errors import GateError
from ringfence.instructions import is_ours
from ringfence.policy.decision import strictest
from ringfence.privacy.redaction.memory import NOTHING
from ringfence.privacy.redaction.reveal import Reveal
from ringfence.privacy.redaction.sent import every_text, has_opaque_ids
from ringfence.privacy.redaction.slots import Slot
from ringfence.privacy.redaction.spans import Finder, Literals
from ringfence.privacy.redaction.turns import SAYS_NOTHING, Piece, Turn
from ringfence.privacy.redaction.vault import MASK, Entry
from ringfence.request import NO_LABELS, Message, Part, ReasoningPart, Request, ToolCallPart
from ringfence.response import Adjustment

if TYPE_CHECKING:
    from ringfence.policy.decision import Redaction
    from ringfence.privacy.labels import Labeller
    from ringfence.privacy.redaction.memory import Known, Memory
    from ringfence.privacy.redaction.rewriting import Cut
    from ringfence.privacy.redaction.vault import Vault

_WORDS: dict[Redaction, str] = {"remove": "removed", "mask": "masked", "pseudonym": "as pseudonym"}


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Redacted:
    """What may be sent. `counts` are the values that were redacted, by label; `hidden` what must not be in it."""

    request: Request
    counts: dict[str, int]
    hidden: frozenset[str]
    adjustments: tuple[Adjustment, ...]


class Redactor:
    """Redacts for one recipient: `redact` is how, by label; `labels` are those that were decided on.

    INVARIANT: what cannot be redacted in full is refused, and what was redacted is scanned again.
    """

    def __init__(
        self,
        labeller: Labeller,
        memory: Memory,
        vault: Vault,
        redact: Mapping[str, Redaction],
        *,
        labels: frozenset[str],
        recipient: str,
    ) -> None:
        self._labeller = labeller
        self._memory = memory
        self._vault = vault
        self._redact = redact
        self._names = frozenset(redact)
        self._decided = labels
        self._recipient = recipient
        self._finder = Finder(labeller, self._names)
        self._reveal = Reveal(vault, labels, memory)
        self._counts: dict[str, set[object]] = {}

    # ------------------------------------------------------------------ a request
    def request(self, request: Request) -> Redacted:
        """`request`, redacted.

        Raises:
            GateError: it cannot be redacted in full, or nothing is left of it to answer.
        """
        # INVARIANT: what is sent and shown to nobody says nothing: the identifier of a call is no text.
        if not has_opaque_ids(request):
            raise GateError(
                f"recipient '{self._recipient}' is refused: the identifier of a tool's call reads as a text",
                way_out="identifiers of letters, digits and '-', '_', '.', ':', '|', '/', '+', '=', '~'",
            )
        self._vault.begin(tuple(every_text(request)))
        # Texts to embed are no text that a model reads on, and each has a vector of its own.
        apart = request.task == "embed"
        turns = [self._turn(message, alone=apart) for message in request.messages]
        about = [Slot.of(tool.description) for tool in request.tools]
        self._mark(turns, about)
        self._mark_request(request, turns)
        messages = tuple(self._messages(turns, all_parts=apart))
        tools = tuple(
            replace(tool, description=slot.rewritten(self._shown)[0]) if slot.spans else tool
            for tool, slot in zip(request.tools, about, strict=True)
        )
        redacted = replace(request, messages=messages, tools=tools)
        self._check(every_text(redacted))
        return Redacted(
            request=redacted,
            counts={label: len(values) for label, values in sorted(self._counts.items())},
            hidden=self._hidden(),
            adjustments=tuple(self._adjustments(turns)),
        )

    def call(self, call: ToolCallPart, known: Known) -> ToolCallPart:
        """The call as a tool may see it.

        Raises:
            GateError: it cannot be redacted in full.
        """
        self._vault.begin((call.arguments,))
        turn = Turn(self._reveal.message(Message("assistant", (call,))), known)
        self._mark([turn], [])
        parts = [part for _, part in turn.rebuilt(self._shown)]
        self._check(part.arguments for part in parts if isinstance(part, ToolCallPart))
        return next(part for part in parts if isinstance(part, ToolCallPart))

    def _turn(self, message: Message, *, alone: bool) -> Turn:
        known = self._memory.of(message)
        if is_ours(message):
            # What is declared for an input is declared for these words too, and they say nothing of it.
            known = replace(known, unseen=known.unseen | message.parts[0].labels)
        return Turn(self._reveal.message(message), known, alone=alone)

    # ------------------------------------------------------------------ what has to go
    def _mark(self, turns: list[Turn], about: list[Slot]) -> None:
        slots = [slot for turn in turns for slot in turn.slots()] + about
        self._scan(slots)
        # INVARIANT: only what a detector finds now says that the rest of a part may stay, never a value known before.
        needed = [(piece, self._needed(piece, turn)) for turn in turns for piece in turn.pieces]
        for slot in slots:
            for cut in slot.cuts():
                self._vault.note(Entry(value=cut.value, labels=cut.span.labels, name=cut.span.name))
        for turn in turns:
            for entry in turn.known.restored:
                self._vault.note(entry)
        self._mark_known(slots, Literals(self._entries()))
        for turn in turns:
            self._mark_known(turn.slots(), self._restored(turn))
        before = {entry.value for entry in self._vault.entries}
        for piece, labels in needed:
            self._mark_whole(piece, labels)
        self._mark_known(slots, Literals(entry for entry in self._entries() if entry.value not in before))
        for turn in turns:
            self._mark_opaque(turn)

    def _scan(self, slots: list[Slot]) -> None:
        for slot in slots:
            slot.scan(self._finder)
            if not slot.complete and not self._unscanned() & (self._names | self._decided):
                raise self._refused("a text could not be scanned again")

    def _mark_opaque(self, turn: Turn) -> None:
        # What a text of it shows, its opaque state may say too.
        for piece in filter(Piece.opaque, turn.pieces):
            self._mark_whole(piece, (piece.found() & self._names) - turn.known.unseen)

    def _mark_known(self, slots: Iterable[Slot], literals: Literals) -> None:
        for slot in slots if literals else ():
            slot.add(literals.spans(slot.text))

    def _restored(self, turn: Turn) -> Literals:
        # A model chose what stands around a placeholder, so the value may be a part of a word there.
        return Literals((), anywhere=(entry for entry in turn.known.restored if entry.labels & self._names))

    def _mark_whole(self, piece: Piece, labels: frozenset[str]) -> None:
        if not labels:
            return
        name = min(labels)
        piece.take_whole(labels | piece.part.labels | piece.found(), name)
        if piece.slot is not None and not piece.gone:
            start = piece.slot.ends[piece.place - 1] if piece.place else 0
            text = piece.slot.text[start : piece.slot.ends[piece.place]]
            self._vault.note(Entry(value=text, labels=labels | piece.part.labels, name=name, whole=True))

    def _needed(self, piece: Piece, turn: Turn) -> frozenset[str]:
        """The labels for which spans are not enough, so that all of the part has to go."""
        labels, known = piece.part.labels, turn.known
        # INVARIANT: to forget never widens. What an answer or a result carries, its author read elsewhere: a hit says
        # nothing about the rest where nothing is known of it, or where the author was told what no detector finds.
        forgotten = known is NOTHING and turn.message.role in ("assistant", "tool")
        if not (forgotten or piece.opaque()):
            told = NO_LABELS.union(*(entry.labels for entry in known.restored if entry.whole))
            labels -= piece.hits() - told
        if self._names & self._labeller.without_hits:
            labels |= self._labeller.carried(piece.part) - piece.part.labels - piece.found()
        return (labels & self._names) - known.unseen

    def _mark_request(self, request: Request, turns: list[Turn]) -> None:
        """Labels of no part: they are redacted where they were found, else everything is."""
        pieces = [(turn, piece) for turn in turns for piece in turn.pieces]
        done = frozenset[str]().union(*(piece.found() | piece.gone for _, piece in pieces))
        for label in sorted((request.labels & self._names) - done):
            for turn, piece in pieces:
                if label not in turn.known.unseen:
                    self._mark_whole(piece, frozenset({label}))
            done |= {label}
        declared = [tool.labels for tool in request.tools]
        declared += [request.output.labels] if request.output is not None else []
        # What is declared for an input is declared for the definitions that go with it; alone, it is about them.
        for label in sorted(frozenset[str]().union(*declared) & self._names - done):
            raise self._refused("it is declared for a tool or an output schema, which cannot be rewritten", label)

    # ------------------------------------------------------------------ how it goes
    def _messages(self, turns: list[Turn], *, all_parts: bool) -> Iterator[Message]:
        asked = _asked(turns)
        asking = set(map(id, asked))
        left = False
        for turn in turns:
            kept = list(turn.rebuilt(self._shown))
            if all_parts and len(kept) != len(turn.pieces):
                raise self._refused("nothing is left of a text to embed")
            for piece in turn.pieces:
                for label in piece.gone & self._names:
                    self._counts.setdefault(label, set()).add(id(piece))
            left = left or (id(turn) in asking and any(piece.left(now) for piece, now in kept))
            if kept:
                yield _message(turn.message, tuple(part for _, part in kept))
        if not left:
            gone = frozenset[str]().union(*(p.found() | p.gone for turn in asked for p in turn.pieces)) & self._names
            raise self._refused("nothing is left to answer", min(gone, default=None))

    def _shown(self, cut: Cut) -> str:
        span, value = cut.span, cut.value
        labels = span.labels & self._names
        kinds: list[Redaction] = [self._redact[label] for label in labels]
        self._vault.note(Entry(value=value, labels=span.labels, name=span.name, whole=span.whole))
        for label in labels:
            self._counts.setdefault(label, set()).add(value)
        match strictest(*kinds):
            case "remove":
                return ""
            case "mask":
                return MASK
            case "pseudonym":
                return self._vault.placeholder(value)

    # ------------------------------------------------------------------ afterwards
    def _check(self, texts: Iterator[str]) -> None:
        """INVARIANT: nothing that had to be redacted is left, as far as anybody can see."""
        literals = Literals(self._entries())
        for text in texts:
            hits, scanned = self._finder.detected(text)
            if not scanned and not self._unscanned() & (self._names | self._decided):
                raise self._refused("a text could not be scanned again")
            own = list(self._vault.places(text))
            for span in hits + literals.spans(text):
                place = bisect_right(own, (span.start, len(text)))
                if not place or span.end > own[place - 1][1]:
                    raise self._refused("a value is left after redaction", min(span.labels & self._names))

    def _entries(self) -> list[Entry]:
        entries = self._vault.entries
        return [entry for entry in entries if entry.labels & self._names and entry.value not in SAYS_NOTHING]

    def _hidden(self) -> frozenset[str]:
        return frozenset(entry.value for entry in self._entries())

    def _unscanned(self) -> frozenset[str]:
        return self._labeller.unscanned

    def _adjustments(self, turns: list[Turn]) -> Iterator[Adjustment]:
        if self._counts:
            counted = (
                f"{len(values)} value{'s' if len(values) != 1 else ''} of {label} {_WORDS[self._redact[label]]}"
                for label, values in sorted(self._counts.items())
            )
            yield Adjustment(setting="redaction", action="changed", detail="; ".join(counted))
        if any(piece.gone and isinstance(piece.part, ReasoningPart) for turn in turns for piece in turn.pieces):
            yield Adjustment(setting="reasoning", action="ignored", detail="reasoning that had to be redacted")

    def _refused(self, why: str, label: str | None = None) -> GateError:
        of = f" label '{label}' has to be redacted ({self._redact[label]}), and" if label is not None else ""
        return GateError(
            f"recipient '{self._recipient}' is refused:{of} {why}",
            way_out="another recipient, or a rule that lets this label through as it is",
        )


def _asked(turns: list[Turn]) -> list[Turn]:
    """What is to be answered: what the user said last, and what tools said around it."""
    roles = [turn.message.role for turn in turns]
    start = max((number for number, role in enumerate(roles) if role == "user"), default=0)
    while start and roles[start - 1] != "assistant":
        start -= 1
    return [turn for turn in turns[start:] if turn.message.role in ("user", "tool")] or turns


def _message(message: Message, parts: tuple[Part, ...]) -> Message:
    same = len(parts) == len(message.parts) and all(a is b for a, b in zip(parts, message.parts, strict=True))
    return message if same else Message(message.role, parts)


__all__ = ["Redacted", "Redactor"]
