"""The section `facts:`: what the app supplies beyond the request, each with its type."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from ringfence.policy import fields
from ringfence.policy.conditions import FACT_TYPES, Fact, FactType
from ringfence.policy.faults import Faults, quoted
from ringfence.policy.keys import FACT, FACT_PREFIXES, Keys
from ringfence.policy.tree import Entry

# With a type come only the keys that mean something for it.
_FACT_KEYS: dict[FactType, Keys] = {
    "enum": Keys(works=("type", "values"), needed=("values",)),
    "bool": Keys(works=("type",)),
    "int": Keys(works=("type", "min", "max")),
    "number": Keys(works=("type", "min", "max")),
}


def read_facts(written: Entry | None, faults: Faults) -> Mapping[str, Fact | None] | None:
    """The facts by name, `None` for each that cannot be read; `None` where the section cannot."""
    if written is None:
        return {}
    section = fields.declarations(written, "facts", faults)
    return None if section is None else {entry.key: _fact(entry, faults) for entry in section.entries}


def _fact(entry: Entry, faults: Faults) -> Fact | None:
    where = f"facts.{entry.key}"
    if not entry.key.startswith(FACT_PREFIXES) or entry.key in FACT_PREFIXES:
        says = "must begin with user., device. or app., such as user.age_band."
        faults.add(entry.at, f"fact {quoted(entry.key)} {says}")
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
