"""The section `invariants:`: what must hold for every request, each in a person's words too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, TypeAlias, cast

from ringfence.policy import fields
from ringfence.policy.document import Invariant
from ringfence.policy.faults import Faults, did_you_mean
from ringfence.policy.keys import INVARIANT, NEVER, ONLY, ONLY_WITH_CONSENT, Keys
from ringfence.policy.read_conditions import ConditionReader, Declared, check_task
from ringfence.policy.read_rules import read_labels, read_places
from ringfence.policy.tree import Entry, ListNode, Node, Scalar
from ringfence.policy.words import under

_Kind: TypeAlias = Literal["never", "consent", "only"]
_KEYS: Final[Mapping[str, Keys]] = {"never": NEVER, "consent": ONLY_WITH_CONSENT, "only": ONLY}
_UNLESS: Final = ("redacted", "attested")


class InvariantReader:
    """Reads the invariants; a `when:` in one cannot read labels, which stand beside it."""

    def __init__(self, declared: Declared, faults: Faults) -> None:
        self._declared = declared
        self._faults = faults
        self._conditions = ConditionReader(declared, faults, may_read_labels=False)

    def read(self, written: Entry | None) -> tuple[Invariant, ...]:
        """The invariants that can be read; the others are faults."""
        example = "- never: {labels: [health], to: [partner]}"
        nodes = None if written is None else fields.items(written.value, "invariants", self._faults, example)
        found = [self._invariant(node, f"invariants[{index}]") for index, node in enumerate(nodes or ())]
        return tuple(one for one in found if one is not None)

    def _invariant(self, node: Node, where: str) -> Invariant | None:
        before = len(self._faults.found)
        found = fields.entries(node, where, INVARIANT, self._faults)
        if found is None:
            return None
        if len(found) != 1:
            if len(self._faults.found) == before:
                self._faults.add(node.at, f"{where} must have exactly one of never, consent and only.")
            return None
        ((kind, entry),) = found.items()
        keys = fields.entries(entry.value, f"{where}.{kind}", _KEYS[kind], self._faults)
        built = None if keys is None else self._built(kind, keys, f"{where}.{kind}", node)
        return None if len(self._faults.found) > before else built

    def _built(self, kind: str, keys: Mapping[str, Entry], where: str, node: Node) -> Invariant | None:
        labels = (
            read_labels(keys["labels"].value, f"{where}.labels", self._declared, self._faults)
            if "labels" in keys
            else None
        )
        to = read_places(keys["to"].value, f"{where}.to", self._declared, self._faults) if "to" in keys else None
        tasks = self._tasks(keys["task"].value, f"{where}.task") if "task" in keys else None
        when = self._conditions.read(keys["when"].value, f"{where}.when") if "when" in keys else None
        unless = self._unless(keys, labels, where) if "unless" in keys else None
        return (
            None
            if to is None
            else Invariant(
                kind=cast("_Kind", kind),
                to=to,
                labels=labels,
                tasks=tasks,
                when=when,
                unless_redacted=unless == "redacted",
                unless_attested=unless == "attested",
                text=_said(cast("_Kind", kind), keys, unless) + under(when, next(iter(self._declared.zones), None)),
                at=node.at,
            )
        )

    def _tasks(self, node: Node, where: str) -> frozenset[str]:
        found = fields.names(node, where, self._faults, "[notification_summary]")
        for name, at in found or ():
            check_task(name, at, self._declared, self._faults)
        return frozenset(name for name, _ in found or ())

    def _unless(self, keys: Mapping[str, Entry], labels: frozenset[str] | None, where: str) -> str | None:
        node = keys["unless"].value
        if not isinstance(node, Scalar) or node.value not in _UNLESS:
            written = node.value if isinstance(node, Scalar) and isinstance(node.value, str) else ""
            hint = did_you_mean(written, _UNLESS) or " Leave it out for what may never leave."
            self._faults.add(node.at, f"{where}.unless can only be redacted or attested.{hint}")
            return None
        if node.value == "redacted" and labels is None and "labels" in keys:
            self._faults.add(node.at, f'{where}.unless needs the labels that are redacted: name them in place of "*".')
        return node.value


def _said(kind: _Kind, keys: Mapping[str, Entry], unless: str | None) -> str:
    """The invariant as a person says it, with the names in the order in which the file has them."""
    labels, to, tasks = (_written(keys.get(key)) for key in ("labels", "to", "task"))
    match kind:
        case "never":
            return f"never {labels} to {to}{f' unless {unless}' if unless else ''}"
        case "consent":
            return f"consent before {to}{f' for {labels}' if labels else ''}"
        case "only":
            return f"only {to}{f' for {tasks}' if tasks else ''}{f' with {labels}' if labels else ''}"


def _written(entry: Entry | None) -> str:
    node = None if entry is None else entry.value
    if isinstance(node, Scalar):
        return "anything"
    items = node.items if isinstance(node, ListNode) else ()
    return " or ".join(str(item.value) for item in items if isinstance(item, Scalar))
