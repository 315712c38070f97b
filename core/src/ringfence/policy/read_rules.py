"""The sections `flow:` and `route:` → rules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, cast

from ringfence.policy import fields
from ringfence.policy.decision import OnBrokenStream, Redaction
from ringfence.policy.document import Effect, FlowRule, Hedge, Overflow, Require, RouteRule
from ringfence.policy.faults import Faults, did_you_mean, quoted
from ringfence.policy.keys import BROKEN_STREAM, FLOW, HEDGE, OVERFLOW, REDACT, REQUIRE, ROUTE, SCOPE
from ringfence.policy.place import Position
from ringfence.policy.read_conditions import ConditionReader, Declared, check_label, check_place
from ringfence.policy.tree import Entry, ListNode, MapNode, Node, Scalar
from ringfence.recipient import RINGS

_LONGEST_HEDGE_S: Final = 600
"""No first event is waited for longer, unless an app says so."""


class FlowReader:
    """Reads the privacy rules."""

    def __init__(self, declared: Declared, faults: Faults) -> None:
        self._declared = declared
        self._faults = faults
        self._conditions = ConditionReader(declared, faults, may_read_labels=False)

    def read(self, node: Node) -> tuple[FlowRule, ...]:
        """The rules that can be read; the others are faults."""
        rules = [
            self._rule(item, f"flow[{index}]") for index, item in enumerate(rule_nodes(node, "flow", self._faults))
        ]
        return tuple(rule for rule in rules if rule is not None)

    def _rule(self, node: Node, where: str) -> FlowRule | None:
        before = len(self._faults.found)
        found = fields.entries(self._without_allow_keys(node, where), where, FLOW, self._faults)
        if found is None:
            return None
        rule_id = _rule_id(found, where, self._faults)
        name = f"rule {quoted(rule_id)}" if rule_id else f"rule {where}"
        effect = self._effect(node, found, name)
        when = self._conditions.read(found["when"].value, f"{where}.when") if "when" in found else None
        reason = fields.text(found["reason"].value, f"{where}.reason", self._faults) if "reason" in found else None
        require = self._require(found, f"{where}.require") if effect == "allow" else Require()
        redact = (
            fields.choice(found["redact"].value, f"{where}.redact", REDACT, self._faults) if "redact" in found else None
        )
        if effect is None:
            return None
        labels, to = self._scope(found[effect].value, f"{where}.{effect}")
        consent = effect == "allow" and self._consent(found, f"{where}.consent", partner=self._names_partner(to))
        # INVARIANT: no partner is reached without a person's consent.
        if effect == "allow" and "consent" not in found and self._names_partner(to):
            self._faults.add(node.at, f'{name} allows a partner without consent. Add "consent: ask".')
        if len(self._faults.found) > before or rule_id is None or to is None:
            return None
        return FlowRule(
            id=rule_id,
            effect=effect,
            labels=labels,
            to=to,
            when=when,
            require=require,
            reason=reason,
            redact=cast("Redaction | None", redact),
            consent=consent,
            at=node.at,
        )

    def _without_allow_keys(self, node: Node, where: str) -> Node:
        """The rule's keys, less those that stand on a deny and only an allow can carry: a fault of its own."""
        if not isinstance(node, MapNode) or _has(node, "allow") or not _has(node, "deny"):
            return node
        rule_id = next((e.value.value for e in node.entries if e.key == "id" and isinstance(e.value, Scalar)), None)
        name = f"rule {quoted(str(rule_id))}" if rule_id is not None else f"rule {where}"
        if _has(node, "redact") or _has(node, "consent"):
            self._faults.add(node.at, f"{name} is a deny: it cannot carry redact or consent.")
        if _has(node, "require"):
            self._faults.add(node.at, f"{name} is a deny: it cannot carry require.")
        kept = tuple(entry for entry in node.entries if entry.key not in ("redact", "consent", "require"))
        return MapNode(entries=kept, at=node.at)

    def _effect(self, node: Node, found: Mapping[str, Entry], name: str) -> Effect | None:
        effects: list[Effect] = [effect for effect in ("allow", "deny") if effect in found]
        if len(effects) == 1:
            return effects[0]
        self._faults.add(node.at, f"{name} must have exactly one of allow and deny.")
        return None

    def _consent(self, found: Mapping[str, Entry], where: str, *, partner: bool) -> bool:
        entry = found.get("consent")
        if entry is None:
            return False
        if not isinstance(entry.value, Scalar) or entry.value.value != "ask":
            hint = 'Write "consent: ask".' if partner else "Leave it out where nobody need be asked."
            self._faults.add(entry.value.at, f"{where} can only be ask. {hint}")
        return True

    def _require(self, found: Mapping[str, Entry], where: str) -> Require:
        entry = found.get("require")
        keys = fields.entries(entry.value, where, REQUIRE, self._faults) if entry else None
        if keys is None:
            return Require()
        if not keys and entry is not None:
            self._faults.add(entry.at, f"{where} is empty. Leave it out.")
        attested = (
            fields.boolean(keys["attested"].value, f"{where}.attested", self._faults) if "attested" in keys else None
        )
        if attested is False:
            self._faults.add(keys["attested"].at, f"{where}.attested can only be true. Leave it out.")
        retention = (
            fields.name(keys["retention"].value, f"{where}.retention", self._faults) if "retention" in keys else None
        )
        return Require(attested=bool(attested), retention=retention, regions=self._regions(keys, where))

    def _regions(self, keys: Mapping[str, Entry], where: str) -> frozenset[str]:
        if "region" not in keys:
            return frozenset()
        node = keys["region"].value
        if isinstance(node, ListNode):
            found = fields.names(node, f"{where}.region", self._faults, "[eu]")
            for name, at in found or ():
                fields.checked_name(name, at, f"{where}.region", self._faults)
            return frozenset(name for name, _ in found or ())
        one = fields.name(node, f"{where}.region", self._faults)
        return frozenset({one} if one else ())

    def _scope(self, node: Node, where: str) -> tuple[frozenset[str] | None, frozenset[str] | None]:
        keys = fields.entries(node, where, SCOPE, self._faults)
        if keys is None:
            return None, None
        labels = (
            read_labels(keys["labels"].value, f"{where}.labels", self._declared, self._faults)
            if "labels" in keys
            else None
        )
        to = read_places(keys["to"].value, f"{where}.to", self._declared, self._faults) if "to" in keys else None
        return labels, to

    def _names_partner(self, to: frozenset[str] | None) -> bool:
        declared = (self._declared.recipients or {}).values()
        partners = {one.name for one in declared if one is not None and one.ring == "partner"}
        return to is not None and bool(to & {"partner", *partners})


class RouteReader:
    """Reads the preference rules."""

    def __init__(self, declared: Declared, faults: Faults) -> None:
        self._declared = declared
        self._faults = faults
        self._conditions = ConditionReader(declared, faults, may_read_labels=True)

    def read(self, node: Node) -> tuple[RouteRule, ...]:
        """The rules that can be read; the others are faults."""
        found = rule_nodes(node, "route", self._faults)
        if isinstance(node, ListNode) and not found:
            self._faults.add(node.at, "route is empty, so nothing would ever be tried. Add a route with prefer:.")
        rules = [self._rule(item, f"route[{index}]") for index, item in enumerate(found)]
        if found and _has(found[-1], "when"):
            self._faults.add(
                found[-1].at,
                "the last route has a when:, so some requests match no route. End with a route that has none.",
            )
        return tuple(rule for rule in rules if rule is not None)

    def _rule(self, node: Node, where: str) -> RouteRule | None:
        before = len(self._faults.found)
        found = fields.entries(node, where, ROUTE, self._faults)
        if found is None:
            return None
        rule_id = _rule_id(found, where, self._faults)
        when = self._conditions.read(found["when"].value, f"{where}.when") if "when" in found else None
        prefer = self._recipients(found["prefer"].value, f"{where}.prefer") if "prefer" in found else ()
        fallback = self._fallback(found["fallback"].value, f"{where}.fallback") if "fallback" in found else ()
        overflow = self._overflow(found["overflow"].value, f"{where}.overflow", prefer) if "overflow" in found else None
        hedge = self._hedge(found["hedge"].value, f"{where}.hedge", prefer) if "hedge" in found else None
        broken = self._broken(found, f"{where}.on_broken_stream")
        if len(self._faults.found) > before or rule_id is None:
            return None
        return RouteRule(
            id=rule_id,
            when=when,
            prefer=prefer,
            fallback=fallback,
            overflow=overflow,
            hedge=hedge,
            on_broken_stream=broken,
            at=node.at,
        )

    def _overflow(self, node: Node, where: str, prefer: tuple[str, ...]) -> Overflow | None:
        keys = fields.entries(node, where, OVERFLOW, self._faults)
        if keys is None or not keys.keys() >= set(OVERFLOW.needed):
            return None
        to = self._beside(keys["to"].value, f"{where}.to", prefer, "it cannot take its own overflow")
        at = keys["when_utilisation_over"].value
        over = fields.number(at, f"{where}.when_utilisation_over", self._faults, whole=False)
        if over is not None and not 0 < over <= 1:
            self._faults.add(
                at.at, f"{where}.when_utilisation_over is a part of the whole: over 0, at most 1, such as 0.85."
            )
        return Overflow(to=to, over=float(over or 0))

    def _hedge(self, node: Node, where: str, prefer: tuple[str, ...]) -> Hedge | None:
        keys = fields.entries(node, where, HEDGE, self._faults)
        if keys is None or not keys.keys() >= set(HEDGE.needed):
            return None
        to = self._beside(keys["to"].value, f"{where}.to", prefer, "it cannot be its own hedge")
        bounds = "from 1s to 10m: how long nothing came from who was asked"
        after_s = fields.duration(
            keys["after"].value, f"{where}.after", self._faults, example="2s", longest_s=_LONGEST_HEDGE_S, bounds=bounds
        )
        return Hedge(to=to, after_s=after_s or 0)

    def _beside(self, node: Node, where: str, prefer: tuple[str, ...], never: str) -> tuple[str, ...]:
        """The recipients of `node`, none of which may stand in `prefer` too."""
        to = self._recipients(node, where)
        for name in set(to) & set(prefer):
            says = f"recipient {quoted(name)} is in prefer: and in {where}: {never}."
            self._faults.add(node.at, f"{says} Take it out of one of them.")
        return to

    def _fallback(self, node: Node, where: str) -> tuple[str, ...]:
        if isinstance(node, Scalar) and node.value == "none":
            return ()
        return self._recipients(node, where, "[mlx], or none")

    def _recipients(self, node: Node, where: str, example: str = "[mlx]") -> tuple[str, ...]:
        found = fields.names(node, where, self._faults, example)
        for name, at in found or ():
            if name in RINGS:
                self._faults.add(at, f"{quoted(name)} is a ring: {where} names recipients.")
            else:
                check_recipient(name, at, self._declared, self._faults)
        return tuple(name for name, _ in found or ())

    def _broken(self, found: Mapping[str, Entry], where: str) -> OnBrokenStream:
        if "on_broken_stream" not in found:
            return "fail"
        value = fields.choice(found["on_broken_stream"].value, where, BROKEN_STREAM, self._faults)
        return cast("OnBrokenStream", value or "fail")


def read_labels(node: Node, where: str, declared: Declared, faults: Faults) -> frozenset[str] | None:
    """The labels that `node` names; `None` for "*", which is every one."""
    if isinstance(node, Scalar) and node.value == "*":
        return None
    # A label that stands alone was meant as one; any other word may have been meant as every label.
    label = isinstance(node, Scalar) and node.value in (declared.labels or ())
    found = fields.names(node, where, faults, "[public]" if label else '[public], or "*" for every label')
    for name, at in found or ():
        if name == "*":
            faults.add(at, f'"*" stands alone: write labels: "*" in {where}.')
        else:
            check_label(name, at, declared, faults)
    return frozenset(name for name, _ in found or ())


def read_places(node: Node, where: str, declared: Declared, faults: Faults) -> frozenset[str] | None:
    """The rings and recipients that `node` names; `None`, with a fault noted, where it is no list of them."""
    found = fields.names(node, where, faults, "[device]")
    for name, at in found or ():
        check_place(name, at, declared, faults)
    return None if found is None else frozenset(name for name, _ in found)


def check_recipient(name: str, at: Position, declared: Declared, faults: Faults) -> None:
    """Notes a fault where `name` is no recipient of the file."""
    if declared.recipients is not None and name not in declared.recipients:
        says = "is a ring, and a recipient is named here" if name in RINGS else "is not declared under recipients:"
        hint = did_you_mean(name, declared.recipients)
        faults.add(at, f"recipient {quoted(name)} {says}.{hint}")


def rule_nodes(node: Node, section: str, faults: Faults) -> tuple[Node, ...]:
    """The rules of a section, with a fault for each id that stands twice."""
    if not isinstance(node, ListNode):
        fields.items(node, section, faults, "- id: …")
        return ()
    first: dict[str, Position] = {}
    for item in node.items:
        for entry in _entries(item):
            if entry.key == "id" and isinstance(entry.value, Scalar) and isinstance(entry.value.value, str):
                _note_id(entry.value.value, entry.value.at, first, faults)
    return node.items


def _note_id(rule_id: str, at: Position, first: dict[str, Position], faults: Faults) -> None:
    if rule_id in first:
        line = first[rule_id].line
        faults.add(at, f"id {quoted(rule_id)} appears twice{f' (first on line {line})' if line else ''}.")
    first.setdefault(rule_id, at)


def _rule_id(found: Mapping[str, Entry], where: str, faults: Faults) -> str | None:
    return fields.name(found["id"].value, f"{where}.id", faults) if "id" in found else None


def _entries(node: Node) -> tuple[Entry, ...]:
    return node.entries if isinstance(node, MapNode) else ()


def _has(node: Node, key: str) -> bool:
    return any(entry.key == key for entry in _entries(node))
