"""The tree of a policy file → a document, or every fault in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from ringfence.policy import fields
from ringfence.policy.conditions import FACT_TYPES, Fact, FactType
from ringfence.policy.document import Document, Label
from ringfence.policy.faults import Faults, quoted
from ringfence.policy.keys import (
    BUILT_IN_TASKS,
    FACT,
    FACT_PREFIX,
    LABEL,
    LATER_FACTS,
    OTHER_TASK,
    TOP,
    Keys,
)
from ringfence.policy.read_conditions import Declared, check_label
from ringfence.policy.read_consent import read_consent, read_tools
from ringfence.policy.read_recipients import RecipientReader
from ringfence.policy.read_rules import FlowReader, RouteReader
from ringfence.policy.tree import Entry, MapNode, Node, Scalar

VERSION = 1

# With a type come only the keys that mean something for it.
_FACT_KEYS: dict[FactType, Keys] = {
    "enum": Keys(works=("type", "values"), needed=("values",)),
    "bool": Keys(works=("type",)),
    "int": Keys(works=("type", "min", "max")),
    "number": Keys(works=("type", "min", "max")),
}


def read_document(root: Node, faults: Faults, *, in_a_file: bool = False) -> Document | None:
    """The document; `None` where it cannot be built. It may be used only if no fault was noted.

    Where it stands `in_a_file`, the file of a secret may be relative to it, and stays as it is written.
    """
    top = fields.entries(root, "", TOP, faults)
    if top is None:
        return None
    _version(top, faults)
    labels, tasks = _labels(top, faults), _tasks(top, faults)
    declared = Declared(
        recipients=RecipientReader(faults, in_a_file=in_a_file).read(top.get("recipients")),
        labels=None if labels is None else frozenset(labels),
        facts=_facts(top, faults),
        tasks=frozenset((*BUILT_IN_TASKS, *tasks)),
    )
    unknown, clean = _unknown(top, declared, faults), _clean(top, declared, labels or {}, faults)
    flow = FlowReader(declared, faults).read(top["flow"].value) if "flow" in top else ()
    route = RouteReader(declared, faults).read(top["route"].value) if "route" in top else ()
    consent = read_consent(top.get("consent"), declared, faults)
    tools = read_tools(top.get("tools"), faults)
    name = fields.name(top["name"].value, "name", faults) if "name" in top else None
    if unknown is None:
        return None
    recipients = {one.name: one for one in (declared.recipients or {}).values() if one is not None}
    facts = {key: fact for key, fact in (declared.facts or {}).items() if fact is not None}
    return Document(
        name=name,
        recipients=recipients,
        labels={key: label for key, label in (labels or {}).items() if label is not None},
        unknown=unknown,
        clean=clean,
        tasks=tasks,
        facts=facts,
        flow=flow,
        route=route,
        consent=consent,
        tools=tools,
        places={
            f"{key}.{entry.key}": entry.at
            for key in ("recipients", "labels", "consent")
            for entry in _declarations(top, key)
        },
    )


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


def _section(top: Mapping[str, Entry], key: str, faults: Faults) -> MapNode | None:
    if key not in top:
        return None
    return fields.mapping(top[key].value, key, faults)


def _labels(top: Mapping[str, Entry], faults: Faults) -> dict[str, Label | None] | None:
    section = _section(top, "labels", faults)
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


def _facts(top: Mapping[str, Entry], faults: Faults) -> Mapping[str, Fact | None] | None:
    if "facts" not in top:
        return {}
    section = _section(top, "facts", faults)
    if section is None:
        return None
    return {entry.key: _fact(entry, faults) for entry in section.entries}


def _fact(entry: Entry, faults: Faults) -> Fact | None:
    where = f"facts.{entry.key}"
    if entry.key.startswith(LATER_FACTS):
        fields.refuse_later(entry, "facts", faults)
        return None
    if not entry.key.startswith(FACT_PREFIX) or len(entry.key) == len(FACT_PREFIX):
        faults.add(entry.at, f"fact {quoted(entry.key)} must begin with user., such as user.age_band.")
        return None
    fields.checked_name(entry.key, entry.at, "facts", faults)
    found = fields.entries(entry.value, where, FACT, faults)
    if found is None or "type" not in found:
        return None
    type_ = fields.choice(found["type"].value, f"{where}.type", FACT_TYPES, faults)
    return None if type_ is None else _typed_fact(cast("FactType", type_), found, entry, faults)


def _typed_fact(type_: FactType, found: Mapping[str, Entry], entry: Entry, faults: Faults) -> Fact | None:
    where, keys = f"facts.{entry.key}", _FACT_KEYS[type_]
    for key, stray in found.items():
        if key not in keys.works:
            faults.add(stray.at, f"{where} is of type {type_}: it takes no {key}.")
    if type_ == "enum" and "values" not in found:
        faults.add(entry.value.at, f"{where} is an enum: it needs values, such as [adult, minor].")
    bounds = {
        key: fields.number(found[key].value, f"{where}.{key}", faults, whole=type_ == "int")
        for key in ("min", "max")
        if key in found and key in keys.works
    }
    low, high = bounds.get("min"), bounds.get("max")
    if low is not None and high is not None and low > high:
        faults.add(found["min"].at, f"{where} can have no value: min {low} is over max {high}.")
    values = (
        fields.names(found["values"].value, f"{where}.values", faults, "[adult, minor]") if "values" in found else []
    )
    return Fact(type=type_, values=tuple(value for value, _ in values or ()), min=low, max=high)


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
