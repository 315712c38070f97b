"""The sections `consent:` and `tools:`: how a person is asked, and the ring that each tool of the app reaches."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal, cast

from ringfence.policy import fields
from ringfence.policy.decision import ConsentRule, Shown
from ringfence.policy.document import DeclaredTool
from ringfence.policy.faults import Faults, quoted
from ringfence.policy.keys import CONSENT, PER, SHOWN, TOOL
from ringfence.policy.read_conditions import Declared, check_place
from ringfence.policy.tree import Entry, Node
from ringfence.recipient import RINGS, Ring

_LATER_LASTS = re.compile(r"session|[0-9]+ ?[a-z]+")
_TOOL = re.compile(r"\S{1,128}")


def read_consent(written: Entry | None, declared: Declared, faults: Faults) -> Mapping[str, ConsentRule]:
    """How consent is asked, by ring or recipient; what cannot be read is a fault."""
    section = None if written is None else fields.mapping(written.value, "consent", faults)
    found: dict[str, ConsentRule] = {}
    for entry in section.entries if section else ():
        check_place(entry.key, entry.at, declared, faults)
        rule = _rule(entry, faults)
        if rule is not None:
            found[entry.key] = rule
    return found


def _rule(entry: Entry, faults: Faults) -> ConsentRule | None:
    where = f"consent.{entry.key}"
    found = fields.entries(entry.value, where, CONSENT, faults)
    if found is None:
        return None
    per = fields.choice(found["per"].value, f"{where}.per", PER, faults) if "per" in found else None
    shown = fields.names(found["show"].value, f"{where}.show", faults, "[recipient]") if "show" in found else None
    for name, at in shown or ():
        fields.one_of(name, at, f"{where}.show", SHOWN, faults)
    if "lasts" in found:
        _check_lasts(found["lasts"].value, f"{where}.lasts", faults)
    if "when_no_ui" in found:
        fields.choice(found["when_no_ui"].value, f"{where}.when_no_ui", ("deny",), faults)
    return ConsentRule(
        per=cast("Literal['recipient', 'ring']", per or "recipient"),
        show=tuple(cast("Shown", name) for name, _ in shown) if shown else ConsentRule().show,
    )


def _check_lasts(node: Node, where: str, faults: Faults) -> None:
    found = fields.text(node, where, faults)
    if found is not None and _LATER_LASTS.fullmatch(found):
        faults.add(node.at, f"{where}: {quoted(found)} is not supported by this version of ringfence. Write request.")
    elif found is not None:
        fields.one_of(found, node.at, where, ("request",), faults)


def read_tools(written: Entry | None, faults: Faults) -> Mapping[str, DeclaredTool]:
    """The tools by name; what cannot be read is a fault."""
    section = None if written is None else fields.mapping(written.value, "tools", faults)
    found: dict[str, DeclaredTool] = {}
    for entry in section.entries if section else ():
        if _TOOL.fullmatch(entry.key) is None or not entry.key.isprintable():
            says = "cannot be the name of a tool: write 1 to 128 characters without a space."
            faults.add(entry.at, f"{quoted(entry.key)} {says}")
        ring = _ring(entry, faults)
        if ring is not None:
            found[entry.key] = DeclaredTool(ring=ring)
    return found


def _ring(entry: Entry, faults: Faults) -> Ring | None:
    where = f"tools.{entry.key}"
    found = fields.entries(entry.value, where, TOOL, faults)
    if found is None or "ring" not in found:
        return None
    return cast("Ring | None", fields.choice(found["ring"].value, f"{where}.ring", RINGS, faults))
