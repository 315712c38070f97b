"""A policy file once it is understood: frozen data, equal for files that mean the same, and its digest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Literal, TypeAlias, cast

from ringfence.policy.conditions import Condition, Fact
from ringfence.policy.decision import ConsentRule, OnBrokenStream
from ringfence.policy.place import NOWHERE, Position
from ringfence.recipient import Recipient, Ring

Effect: TypeAlias = Literal["allow", "deny"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """A data class: the detector kinds that find it, and whether only the app can know it."""

    detect: tuple[str, ...] = ()
    declare: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Unmet:
    """A fact that an allow asks for, and what the recipient declares of it: another value, or nothing."""

    fact: str
    wanted: str
    declared: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Require:
    """What an allow asks of its recipient. `retention` and `region` are facts of the recipient: unknown = unmet."""

    attested: bool = False
    retention: str | None = None
    regions: frozenset[str] = frozenset()

    def unmet(self, recipient: Recipient) -> tuple[Unmet, ...]:
        """What `recipient` does not show of the facts that are asked for."""
        asked: list[Unmet] = []
        # INVARIANT: a fact that the recipient does not declare is not met.
        if self.retention is not None and recipient.retention != self.retention:
            asked.append(Unmet(fact="retention", wanted=self.retention, declared=recipient.retention))
        if self.regions and recipient.region not in self.regions:
            asked.append(Unmet(fact="region", wanted=" or ".join(sorted(self.regions)), declared=recipient.region))
        return tuple(asked)


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowRule:
    """One privacy rule. `labels` is `None` for "*"; `to` holds rings and recipients as written."""

    id: str
    effect: Effect
    labels: frozenset[str] | None
    to: frozenset[str]
    when: Condition | None = None
    require: Require = Require()
    reason: str | None = None
    consent: bool = False
    """Whether a person must consent to what this allow lets through."""
    at: Position = field(default=NOWHERE, compare=False)

    def names(self, recipient: Recipient) -> bool:
        """Whether the rule names `recipient` or its ring."""
        return recipient.name in self.to or recipient.ring in self.to


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteRule:
    """One preference rule: recipients in order, inside what flow allows."""

    id: str
    prefer: tuple[str, ...]
    fallback: tuple[str, ...] = ()
    when: Condition | None = None
    on_broken_stream: OnBrokenStream = "fail"
    at: Position = field(default=NOWHERE, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredTool:
    """A tool of the app, which is a recipient too: the ring its arguments reach."""

    ring: Ring


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A whole policy without faults. `name` is `None` where the file gives none; `tasks` are the file's own."""

    name: str | None
    recipients: Mapping[str, Recipient]
    labels: Mapping[str, Label]
    unknown: str
    flow: tuple[FlowRule, ...]
    route: tuple[RouteRule, ...]
    clean: str | None = None
    tasks: tuple[str, ...] = ()
    facts: Mapping[str, Fact] = field(default_factory=dict[str, Fact])
    consent: Mapping[str, ConsentRule] = field(default_factory=dict[str, ConsentRule])
    """By recipient or ring."""
    tools: Mapping[str, DeclaredTool] = field(default_factory=dict[str, DeclaredTool])
    places: Mapping[str, Position] = field(default_factory=dict[str, Position], compare=False)
    """Where each recipient, label and consent is declared, by `recipients.NAME`, `labels.NAME`, `consent.NAME`."""

    def digest(self) -> str:
        """`sha256:` and the hash of all that the file says; comments, layout and the order of keys do not count."""
        import hashlib  # noqa: PLC0415  (the built-in policy carries its digest)
        import json  # noqa: PLC0415

        text = json.dumps(_canonical(self), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"

    def reached(self, to: frozenset[str]) -> frozenset[str]:
        """The recipients that `to` names, by name or by ring."""
        return frozenset(name for name, one in self.recipients.items() if name in to or one.ring in to)

    def allowing(self, recipient: Recipient) -> tuple[FlowRule, ...]:
        """The allows that name `recipient` or its ring, and whose requirements on it are met."""
        return tuple(
            rule
            for rule in self.flow
            if rule.effect == "allow" and rule.names(recipient) and not rule.require.unmet(recipient)
        )

    def covered(self, labels: frozenset[str] | None) -> frozenset[str]:
        """The labels a rule names; "*" is every declared label, `unknown` included."""
        return frozenset(self.labels) if labels is None else labels


def _canonical(value: object) -> object:
    if is_dataclass(value) and not isinstance(value, type):
        kept = [item.name for item in fields(value) if item.compare]
        return {"is": type(value).__name__, **{name: _canonical(getattr(value, name)) for name in kept}}
    if isinstance(value, Mapping):
        items = cast("Mapping[str, object]", value).items()
        return {key: _canonical(item) for key, item in items}
    if isinstance(value, frozenset):
        return sorted((_canonical(item) for item in cast("frozenset[object]", value)), key=repr)
    if isinstance(value, tuple):
        return [_canonical(item) for item in cast("tuple[object, ...]", value)]
    return value
