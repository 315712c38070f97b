"""The tree of a policy file → a document, or every fault in it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ringfence.policy import fields
from ringfence.policy.document import Document, Label
from ringfence.policy.faults import Faults
from ringfence.policy.keys import BUILT_IN_TASKS, LABEL, OTHER_TASK, TOP
from ringfence.policy.named import names_in
from ringfence.policy.read_budgets import read_audit, read_budgets
from ringfence.policy.read_conditions import Declared, check_label
from ringfence.policy.read_consent import read_consent, read_tools
from ringfence.policy.read_facts import read_facts
from ringfence.policy.read_invariants import InvariantReader
from ringfence.policy.read_recipients import RecipientReader
from ringfence.policy.read_rules import FlowReader, RouteReader
from ringfence.policy.read_tests import TestReader
from ringfence.policy.read_times import one_zone
from ringfence.policy.tree import Entry, ListNode, MapNode, Node, Scalar

VERSION = 1


def read_document(root: Node, faults: Faults, *, folder: Path | None = None) -> Document | None:
    """The document; `None` where it cannot be built. It may be used only if no fault was noted.

    `folder` is where the file stands, from which it may name other files; they stay as they are written. A trust file
    is read from there, and its digest kept.
    """
    faults.names = names_in(root)
    top = fields.entries(root, "", TOP, faults)
    if top is None:
        return None
    _version(top, faults)
    labels, tasks = _labels(top, faults), _tasks(top, faults)
    declared = Declared(
        recipients=RecipientReader(faults, folder=folder).read(top.get("recipients")),
        labels=None if labels is None else frozenset(labels),
        facts=read_facts(top.get("facts"), faults),
        tasks=frozenset((*BUILT_IN_TASKS, *tasks)),
    )
    unknown, clean = _unknown(top, declared, faults), _clean(top, declared, labels or {}, faults)
    flow = FlowReader(declared, faults).read(top["flow"].value) if "flow" in top else ()
    route = RouteReader(declared, faults).read(top["route"].value) if "route" in top else ()
    document = Document(
        name=fields.name(top["name"].value, "name", faults) if "name" in top else None,
        recipients={one.name: one for one in (declared.recipients or {}).values() if one is not None},
        labels={key: label for key, label in (labels or {}).items() if label is not None},
        unknown=unknown or "",
        clean=clean,
        tasks=tasks,
        facts={key: fact for key, fact in (declared.facts or {}).items() if fact is not None},
        flow=flow,
        route=route,
        consent=read_consent(top.get("consent"), declared, faults),
        tools=read_tools(top.get("tools"), faults),
        budgets=read_budgets(top.get("budgets"), declared, faults),
        audit=read_audit(top.get("audit"), faults),
        invariants=InvariantReader(declared, faults).read(top.get("invariants")),
        tests=TestReader(declared, faults, routes=_ids(top.get("route"))).read(top.get("tests")),
        include=_include(top, faults, in_a_file=folder is not None),
        shadow=_shadow(top, faults, in_a_file=folder is not None),
        zone=one_zone(declared.zones, faults),
        places={
            f"{key}.{entry.key}": entry.at
            for key in ("recipients", "labels", "facts", "consent", "tools")
            for entry in _declarations(top, key)
        }
        | dict(zip(["time"], declared.without_zone, strict=False))
        | ({"flow": top["flow"].at} if "flow" in top else {}),
    )
    return None if unknown is None else document


def _ids(section: Entry | None) -> frozenset[str]:
    """The ids in a section of rules, as they are written."""
    items = section.value.items if section is not None and isinstance(section.value, ListNode) else ()
    written = [entry for item in items if isinstance(item, MapNode) for entry in item.entries if entry.key == "id"]
    return frozenset(str(entry.value.value) for entry in written if isinstance(entry.value, Scalar))


def _include(top: Mapping[str, Entry], faults: Faults, *, in_a_file: bool) -> tuple[str, ...]:
    if "include" not in top:
        return ()
    node = top["include"].value
    if not _may_name_a_policy("include", top, faults, in_a_file=in_a_file):
        return ()
    found = fields.names(node, "include", faults, "[company.yaml]") or []
    return tuple(name for name, at in found if fields.is_usable_path(name, at, "include", faults, in_a_file=in_a_file))


def _shadow(top: Mapping[str, Entry], faults: Faults, *, in_a_file: bool) -> str | None:
    if "shadow" not in top or not _may_name_a_policy("shadow", top, faults, in_a_file=in_a_file):
        return None
    return fields.file_name(top["shadow"].value, "shadow", faults, in_a_file=in_a_file)


def _may_name_a_policy(key: str, top: Mapping[str, Entry], faults: Faults, *, in_a_file: bool) -> bool:
    if not in_a_file:
        faults.add(top[key].at, f"{key}: needs a policy that stands in a file. Save it, and load it by its name.")
    return in_a_file


def _declarations(top: Mapping[str, Entry], key: str) -> tuple[Entry, ...]:
    node = top[key].value if key in top else None
    return node.entries if isinstance(node, MapNode) else ()


def _version(top: Mapping[str, Entry], faults: Faults) -> None:
    if "version" not in top:
        return
    node = top["version"].value
    if not (
        isinstance(node, Scalar) and isinstance(node.value, int) and node.value == VERSION and node.value is not True
    ):
        faults.add(node.at, "this version of ringfence reads policy files of version 1. Write version: 1.")


def _labels(top: Mapping[str, Entry], faults: Faults) -> dict[str, Label | None] | None:
    section = fields.declarations(top.get("labels"), "labels", faults)
    if section is None:
        return None
    if not section.entries:
        faults.add(section.at, "labels is empty. Declare at least the one that unknown: names.")
    return {entry.key: _label(entry, faults) for entry in section.entries}


def _label(entry: Entry, faults: Faults) -> Label | None:
    where, before = f"labels.{entry.key}", len(faults.found)
    fields.checked_name(entry.key, entry.at, "labels", faults)
    if fields.mapping(entry.value, where, faults, " such as {}") is None:
        return None
    found = fields.entries(entry.value, where, LABEL, faults) or {}
    declare = fields.boolean(found["declare"].value, f"{where}.declare", faults) if "declare" in found else False
    kinds = fields.names(found["detect"].value, f"{where}.detect", faults, "[email]") if "detect" in found else []
    for kind, at in kinds or ():
        fields.checked_name(kind, at, f"{where}.detect", faults)
    if len(faults.found) > before:
        return None
    return Label(detect=tuple(kind for kind, _ in kinds or ()), declare=bool(declare))


def _tasks(top: Mapping[str, Entry], faults: Faults) -> tuple[str, ...]:
    if "tasks" not in top:
        return ()
    found = fields.names(top["tasks"].value, "tasks", faults, "[minutes]") or []
    for name, at in found:
        if name == OTHER_TASK:
            faults.add(at, "task 'other' cannot be declared: it is what a task that no file declares is matched as.")
        else:
            fields.checked_name(name, at, "tasks", faults)
    return tuple(name for name, _ in found)


def _unknown(top: Mapping[str, Entry], declared: Declared, faults: Faults) -> str | None:
    if "unknown" not in top:
        return None
    entry = top["unknown"]
    label = fields.text(entry.value, "unknown", faults)
    if label is None:
        return None
    clean = top["clean"].value if "clean" in top else None
    # INVARIANT: what was not scanned never carries the label of what was scanned and found clean.
    if label == "public" or (isinstance(clean, Scalar) and clean.value == label):
        faults.add(
            entry.at,
            f"unknown: {label} would let unscanned content go wherever {label} data may go. Use a restricted label.",
        )
    check_label(label, entry.value.at, declared, faults)
    return label


def _clean(
    top: Mapping[str, Entry], declared: Declared, labels: Mapping[str, Label | None], faults: Faults
) -> str | None:
    if "clean" not in top:
        return None
    label = fields.text(top["clean"].value, "clean", faults)
    if label is None:
        return None
    check_label(label, top["clean"].value.at, declared, faults)
    if labels and not any(one is None or one.detect for one in labels.values()):
        faults.add(
            top["clean"].at,
            f"clean: {label} needs a label with detect: without a detector no text can be found clean.",
        )
    return label
