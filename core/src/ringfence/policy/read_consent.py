"""The sections `consent:` and `tools:`: how a person is asked, and the ring that each tool of the app reaches."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, Literal, cast

from ringfence.policy import fields
from ringfence.policy.decision import ConsentRule, Shown
from ringfence.policy.document import DeclaredTool
from ringfence.policy.durations import DAY_S, duration_s, units_hint
from ringfence.policy.faults import Faults, did_you_mean, quoted
from ringfence.policy.keys import CONSENT, PER, SHOWN, TOOL
from ringfence.policy.read_conditions import Declared, check_place
from ringfence.policy.tree import Entry, Node, Scalar, kind
from ringfence.recipient import RINGS, Ring

_LASTS = ("request", "session")
_LONGEST_S: Final = 3_650 * DAY_S
_TOOL = re.compile(r"\S{1,128}")


def read_consent(written: Entry | None, declared: Declared, faults: Faults) -> Mapping[str, ConsentRule]:
    """How consent is asked, by ring or recipient; what cannot be read is a fault."""
    section = fields.declarations(written, "consent", faults)
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
    lasts = _lasts(found["lasts"].value, f"{where}.lasts", faults) if "lasts" in found else None
    if "when_no_ui" in found:
        fields.choice(found["when_no_ui"].value, f"{where}.when_no_ui", ("deny",), faults)
    return ConsentRule(
        per=cast("Literal['recipient', 'ring']", per or "recipient"),
        lasts=lasts or "request",
        show=tuple(cast("Shown", name) for name, _ in shown) if shown else ConsentRule().show,
    )


def _lasts(node: Node, where: str, faults: Faults) -> Literal["request", "session"] | int | None:
    written = node.value if isinstance(node, Scalar) else None
    if not isinstance(written, str):
        faults.add(node.at, f"{where} must be request, session, or a time such as 12h or 30d, not {kind(node)}.")
        return None
    found = fields.text(node, where, faults)
    match found:
        case None | "request" | "session":
            return found
        case _:
            seconds = duration_s(found)
    if seconds is None:
        says = f"must be request, session, or a time such as 12h or 30d, not {quoted(found)}"
        faults.add(node.at, f"{where} {says}.{did_you_mean(found, _LASTS) or units_hint(found)}")
    elif not 0 < seconds <= _LONGEST_S:
        faults.add(node.at, f"{where} must be more than nothing and at most ten years, 3650d.")
    return seconds


def read_tools(written: Entry | None, faults: Faults) -> Mapping[str, DeclaredTool]:
    """The tools by name; what cannot be read is a fault."""
    section = fields.declarations(written, "tools", faults)
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
