"""The tree of a layer → what it says, in the words that the policy under it declares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from ringfence.policy import fields
from ringfence.policy.document import Document
from ringfence.policy.faults import Faults, quoted
from ringfence.policy.keys import BUILT_IN_TASKS, TOP, Keys
from ringfence.policy.layers.layer import Layer
from ringfence.policy.named import names_in
from ringfence.policy.place import NOWHERE
from ringfence.policy.read_budgets import read_audit, read_budgets
from ringfence.policy.read_conditions import Declared
from ringfence.policy.read_consent import read_consent
from ringfence.policy.read_invariants import InvariantReader
from ringfence.policy.read_rules import FlowReader
from ringfence.policy.read_tests import TestReader
from ringfence.policy.read_times import one_zone
from ringfence.policy.tree import Entry, MapNode, Node, Scalar
from ringfence.recipient import Recipient

VERSION: Final = 1
LAYER: Final = Keys(
    works=("version", "name", "include", "flow", "consent", "budgets", "audit", "invariants", "tests"),
    needed=("version",),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Vocabulary:
    """The words that a layer may use: what the policy under it declares."""

    declared: Declared
    recipients: Mapping[str, Recipient]
    routes: frozenset[str]

    @classmethod
    def of(cls, document: Document) -> Vocabulary:
        """The words of `document`."""
        zones = {} if document.zone is None else {document.zone: NOWHERE}
        declared = Declared(
            recipients=document.recipients,
            labels=frozenset(document.labels),
            facts=document.facts,
            tasks=frozenset((*BUILT_IN_TASKS, *document.tasks)),
            zones=zones,
        )
        routes = frozenset(route.id for route in document.route)
        return cls(declared=declared, recipients=document.recipients, routes=routes)

    def zone(self, faults: Faults) -> str | None:
        """The time zone of all conditions that were read in these words."""
        return one_zone(self.declared.zones, faults)


def read_layer(tree: Node, vocabulary: Vocabulary, faults: Faults) -> Layer | None:
    """The layer; its `name` is empty where the file gives none. It may be used only if no fault was noted."""
    faults.names = names_in(tree)
    top = fields.entries(_without_declarations(tree, faults), "", LAYER, faults)
    if top is None:
        return None
    _check_version(top, faults)
    declared, consent = vocabulary.declared, top.get("consent")
    if "include" in top:
        fields.names(top["include"].value, "include", faults, "[base.yaml]")
    return Layer(
        name=(fields.name(top["name"].value, "name", faults) or "") if "name" in top else "",
        flow=FlowReader(declared, faults).read(top["flow"].value) if "flow" in top else (),
        consent=read_consent(consent, declared, faults),
        budgets=read_budgets(top.get("budgets"), declared, faults),
        audit=read_audit(top.get("audit"), faults),
        invariants=InvariantReader(declared, faults).read(top.get("invariants")),
        tests=TestReader(declared, faults, routes=vocabulary.routes).read(top.get("tests")),
        places={f"consent.{entry.key}": entry.at for entry in _entries(consent.value if consent else None)},
    )


def _without_declarations(tree: Node, faults: Faults) -> Node:
    """The keys of a layer, less those that only the policy under it has, which are faults of their own."""
    if not isinstance(tree, MapNode):
        return tree
    # INVARIANT: a layer declares nothing and routes nothing, so it has no way to widen.
    foreign = [entry for entry in tree.entries if entry.key in TOP.works and entry.key not in LAYER.works]
    for entry in foreign:
        faults.add(entry.at, f"a layer only narrows: it cannot declare {quoted(entry.key)}.")
    return MapNode(entries=tuple(entry for entry in tree.entries if entry not in foreign), at=tree.at)


def _check_version(top: Mapping[str, Entry], faults: Faults) -> None:
    node = top["version"].value if "version" in top else None
    written = node.value if isinstance(node, Scalar) else None
    if node is not None and (isinstance(written, bool) or written != VERSION or not isinstance(written, int)):
        faults.add(node.at, f"this version of ringfence reads policy files of version 1. Write version: {VERSION}.")


def _entries(node: Node | None) -> tuple[Entry, ...]:
    return node.entries if isinstance(node, MapNode) else ()
