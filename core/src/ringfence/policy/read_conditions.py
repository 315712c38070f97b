"""A `when:` in the file → a condition. Typed by what the file declares; every misspelling is a fault."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ringfence.policy import fields
from ringfence.policy.conditions import (
    AllOf,
    AnyOf,
    Cel,
    Condition,
    Fact,
    FactIn,
    FactRange,
    LabelIn,
    ModalityIn,
    Not,
    Range,
    TaskIn,
    TokensIn,
)
from ringfence.policy.faults import Faults, did_you_mean, listed, quoted
from ringfence.policy.keys import FACT_PREFIXES, MODALITIES, OTHER_TASK, RANGE, WHEN
from ringfence.policy.place import Position
from ringfence.policy.read_times import read_time
from ringfence.policy.tree import Entry, MapNode, Node, Scalar, kind
from ringfence.recipient import RINGS, Recipient


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """What the file declares. A section that could not be read is `None`, and names in it are not checked."""

    recipients: Mapping[str, Recipient | None] | None
    labels: frozenset[str] | None
    facts: Mapping[str, Fact | None] | None
    tasks: frozenset[str]
    zones: dict[str, Position] = field(default_factory=dict[str, Position])
    """The time zones that conditions were found to name, each with its first place."""
    without_zone: list[Position] = field(default_factory=list[Position])
    """The conditions on time that name none."""


class ConditionReader:
    """Reads the conditions of one section: `labels` may be read in `route` and never in `flow`."""

    def __init__(self, declared: Declared, faults: Faults, *, may_read_labels: bool) -> None:
        self._declared = declared
        self._faults = faults
        self._may_read_labels = may_read_labels
        self._readers: Mapping[str, Callable[[Entry, str], Condition | None]] = {
            "task": self._task,
            "modality": self._modality,
            "input_tokens": self._tokens,
            "labels": self._labels,
            "time": self._time,
            "cel": self._cel,
            "all": self._all,
            "any": self._any,
            "not": self._not,
        }

    def read(self, node: Node, where: str) -> Condition | None:
        """The condition; its keys must all hold. `None`, with a fault noted, where one cannot be read."""
        found = fields.mapping(node, where, self._faults)
        if found is None:
            return None
        if not found.entries:
            self._faults.add(found.at, f"{where} is empty. Leave it out if the rule always applies.")
            return None
        parts = [self._entry(entry, where) for entry in found.entries]
        kept = tuple(part for part in parts if part is not None)
        if len(kept) < len(parts):
            return None
        return kept[0] if len(kept) == 1 else AllOf(kept)

    def _entry(self, entry: Entry, where: str) -> Condition | None:
        key = entry.key
        if key in WHEN or (key == "labels" and self._may_read_labels):
            return self._readers[key](entry, f"{where}.{key}")
        if key == "labels":
            self._faults.add(
                entry.at,
                f"{where} cannot read labels: one label more could widen. Name them in the rule's own labels:.",
            )
        elif key.startswith(FACT_PREFIXES):
            return self._fact(entry, f"{where}.{key}")
        else:
            hint = fields.meant(key, (*WHEN, *self._route_keys(), *(self._declared.facts or {})))
            self._faults.add(entry.at, f"unknown key {quoted(key)} in {where}.{hint}")
        return None

    def _route_keys(self) -> tuple[str, ...]:
        return ("labels",) if self._may_read_labels else ()

    def _task(self, entry: Entry, where: str) -> Condition | None:
        found = fields.names(entry.value, where, self._faults, "[open_question]")
        for name, at in found or ():
            check_task(name, at, self._declared, self._faults)
        return None if found is None else TaskIn(frozenset(name for name, _ in found))

    def _modality(self, entry: Entry, where: str) -> Condition | None:
        found = fields.names(entry.value, where, self._faults, "[image]")
        for name, at in found or ():
            fields.one_of(name, at, where, MODALITIES, self._faults)
        return None if found is None else ModalityIn(frozenset(name for name, _ in found))

    def _tokens(self, entry: Entry, where: str) -> Condition | None:
        found = self._range(entry.value, where, whole=True)
        return None if found is None else TokensIn(found)

    def _labels(self, entry: Entry, where: str) -> Condition | None:
        found = fields.names(entry.value, where, self._faults, "[public]")
        for name, at in found or ():
            check_label(name, at, self._declared, self._faults)
        return None if found is None else LabelIn(frozenset(name for name, _ in found))

    def _range(self, node: Node, where: str, *, whole: bool) -> Range | None:
        before = len(self._faults.found)
        if not isinstance(node, MapNode):
            says = f"must be a range such as {{over: 1}} or {{max: 2}}, not {kind(node)}"
            self._faults.add(node.at, f"{where} {says}.")
            return None
        found = fields.entries(self._without_min(node, whole=whole), where, RANGE, self._faults)
        if found is None or (not found and len(self._faults.found) > before):
            return None
        if not found:
            self._faults.add(node.at, f"{where} needs max (inclusive), over (exclusive), or both.")
            return None
        bounds = {
            key: fields.number(entry.value, f"{where}.{key}", self._faults, whole=whole) for key, entry in found.items()
        }
        return None if None in bounds.values() else Range(over=bounds.get("over"), max=bounds.get("max"))

    def _without_min(self, node: MapNode, *, whole: bool) -> MapNode:
        """The bounds less `min`, which a fact has and a range has not: a fault of its own, with what to write."""
        for entry in (one for one in node.entries if one.key == "min"):
            least = entry.value.value if isinstance(entry.value, Scalar) else None
            if whole and isinstance(least, int) and not isinstance(least, bool):
                says = f"write {{over: {least - 1}}}, which is {least} and more"
            else:
                says = "write over, which leaves out the number itself"
            self._faults.add(entry.at, f"unknown key 'min': {says}.")
        return MapNode(entries=tuple(one for one in node.entries if one.key != "min"), at=node.at)

    def _time(self, entry: Entry, where: str) -> Condition | None:
        found = read_time(entry.value, where, self._faults)
        if found is None:
            return None
        self._declared.zones.setdefault(found.zone, entry.at)
        if found.assumed:
            self._declared.without_zone.append(entry.at)
        return found.condition

    def _cel(self, entry: Entry, where: str) -> Condition | None:
        facts, node = self._declared.facts, entry.value
        if not isinstance(node, Scalar) or not isinstance(node.value, str) or not node.value.strip():
            says = 'must be a CEL expression in quotes, such as "input_tokens < 2000"'
            self._faults.add(node.at, f"{where} {says}, not {kind(node)}.")
            return None
        if facts is None or None in facts.values():
            return None
        from ringfence.policy.cel import NotCel, check_cel  # noqa: PLC0415  (only for a file with such a condition)

        # Its line breaks stay: in CEL they end a comment.
        found = Cel(node.value.strip(), reads_labels=self._may_read_labels)
        try:
            check_cel(found, {name: fact for name, fact in facts.items() if fact is not None})
        except NotCel as error:
            self._faults.add(node.at, f"{where} {error}")
            return None
        return found

    def _fact(self, entry: Entry, where: str) -> Condition | None:
        fact = check_fact(entry.key, entry.at, self._declared, self._faults)
        match None if fact is None else fact.type:
            case None:
                return None
            case "enum":
                return self._enum(entry, where, () if fact is None else fact.values)
            case "bool":
                value = fields.boolean(entry.value, where, self._faults)
                return None if value is None else FactIn(entry.key, frozenset({value}))
            case "int" | "number" as type_:
                found = self._range(entry.value, where, whole=type_ == "int")
                return None if found is None else FactRange(entry.key, found)

    def _enum(self, entry: Entry, where: str, values: tuple[str, ...]) -> Condition | None:
        found = fields.names(entry.value, where, self._faults, f"[{values[0]}]" if values else "[…]")
        for name, at in found or ():
            fields.one_of(name, at, entry.key, values, self._faults)
        return None if found is None else FactIn(entry.key, frozenset(name for name, _ in found))

    def _all(self, entry: Entry, where: str) -> Condition | None:
        parts = self._parts(entry.value, where)
        return None if parts is None else AllOf(parts)

    def _any(self, entry: Entry, where: str) -> Condition | None:
        parts = self._parts(entry.value, where)
        return None if parts is None else AnyOf(parts)

    def _not(self, entry: Entry, where: str) -> Condition | None:
        part = self.read(entry.value, where)
        return None if part is None else Not(part)

    def _parts(self, node: Node, where: str) -> tuple[Condition, ...] | None:
        found = fields.items(node, where, self._faults, "[{task: [open_question]}]")
        if found is None:
            return None
        parts = [self.read(item, f"{where}[{index}]") for index, item in enumerate(found)]
        kept = tuple(part for part in parts if part is not None)
        return kept if len(kept) == len(parts) else None


def check_place(name: str, at: Position, declared: Declared, faults: Faults) -> None:
    """Notes a fault where `name` is neither a ring nor a recipient of the file."""
    recipients = declared.recipients
    if recipients is not None and name not in recipients and name not in RINGS:
        hint = did_you_mean(name, (*recipients, *RINGS))
        faults.add(at, f"{quoted(name)} is neither a ring nor declared under recipients:.{hint}")


def check_label(name: str, at: Position, declared: Declared, faults: Faults) -> None:
    """Notes a fault where the label `name` is not in the file's vocabulary."""
    if declared.labels is not None and name not in declared.labels:
        together = " Write a comma between them." if set(name.split()) <= declared.labels else ""
        hint = together or did_you_mean(name, declared.labels)
        faults.add(at, f"label {quoted(name)} is not declared under labels:.{hint}")


def check_task(name: str, at: Position, declared: Declared, faults: Faults) -> None:
    """Notes a fault where `name` is a task that the file cannot know."""
    known = {*declared.tasks, OTHER_TASK}
    if name not in known:
        hint = did_you_mean(name, known) or f" Known are {listed(sorted(known))}."
        faults.add(at, f"task {quoted(name)} is not declared under tasks:.{hint}")


def check_fact(name: str, at: Position, declared: Declared, faults: Faults) -> Fact | None:
    """The fact `name`; `None`, with a fault noted, where it is not declared."""
    facts = declared.facts
    if facts is not None and name not in facts:
        faults.add(at, f"{quoted(name)} is not declared under facts:.{did_you_mean(name, facts)}")
    return None if facts is None else facts.get(name)
