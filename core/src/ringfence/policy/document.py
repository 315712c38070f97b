"""A policy file once it is understood: frozen data, equal for files that mean the same, and its digest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass
from typing import Any, Literal, TypeAlias, cast

from ringfence.policy.conditions import Condition, Fact
from ringfence.policy.decision import ConsentRule, OnBrokenStream, Redaction
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
    redact: Redaction | None = None
    """How this allow wants the labels that it covers redacted."""
    consent: bool = False
    """Whether a person must consent to what this allow lets through."""
    layer: str = ""
    """The layer that it came from; "" is the file itself. Each layer with an allow must cover every label."""
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
    overflow: Overflow | None = None
    hedge: Hedge | None = None
    on_broken_stream: OnBrokenStream = "fail"
    at: Position = field(default=NOWHERE, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Overflow:
    """Where the requests of a full recipient go: each of `prefer` is followed by `to`, in order.

    It is used when the last utilisation that the recipient reported is over `over` (0 … 1; not known = 0), when the
    recipient answers that it is full, or when no node of it can be reached.
    """

    to: tuple[str, ...]
    over: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Hedge:
    """Where the same request is sent as well, while one of `prefer` or `overflow` that was sent to says nothing.

    `after_s` seconds after the send the first of `to` that can serve is asked too; the first event decides who answers.
    """

    to: tuple[str, ...]
    after_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """The most that may be spent at `of` (rings and recipients as written) in one calendar period, in UTC.

    `unit` is `USD` (`limit` may have cents), `tokens` (input and output together) or `requests`. A week begins on
    Monday; `total` never ends. Spent: that recipient is refused.
    """

    id: str
    of: frozenset[str]
    limit: float
    unit: Literal["USD", "tokens", "requests"]
    per: Literal["hour", "day", "week", "month", "year", "total"]
    at: Position = field(default=NOWHERE, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRule:
    """What is kept of a request (never content), and for how long, in seconds; `None` for ever."""

    keep_s: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Invariant:
    """What must hold for every request, whatever its labels and facts; proved when the file is loaded.

    `never`: no request with any of `labels` is allowed by flow to any of `to`; with `unless_redacted`, none of which
    each of these labels that it has is not redacted; with `unless_attested`, none without attestation. `consent`: no
    request is allowed by flow to any of `to` without consent. `only`: the plan of every request leads nowhere but to
    `to`. `tasks` and `when` narrow down the requests that it speaks of; `labels` `None` is every request. `text` is the
    invariant in a person's words.
    """

    kind: Literal["never", "consent", "only"]
    to: frozenset[str]
    labels: frozenset[str] | None = None
    tasks: frozenset[str] | None = None
    when: Condition | None = None
    unless_redacted: bool = False
    unless_attested: bool = False
    text: str = field(default="", compare=False)
    at: Position = field(default=NOWHERE, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class TestRequest:
    """The request of one of the file's own tests. Without a `text` the labels are those declared, else `unknown`.

    `at` is a moment as the file writes it (ISO 8601; without an offset in the policy's zone).
    """

    __test__ = False  # no test class of pytest's

    task: str = "open_question"
    text: str | None = None
    labels: frozenset[str] = frozenset()
    modality: frozenset[str] | None = None
    input_tokens: int | None = None
    values: Mapping[str, str | int | float | bool] = field(default_factory=dict[str, "str | int | float | bool"])
    to: frozenset[str] | None = None
    at: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What a test expects; `None` is not looked at. `labels`, `plan`, `consent`, `allowed` and `redact` are exact."""

    labels: frozenset[str] | None = None
    outcome: Literal["allow", "ask", "deny"] | None = None
    route: str | None = None
    plan: tuple[str, ...] | None = None
    allowed: frozenset[str] | None = None
    """Every recipient that flow allows, in the plan or not."""
    never: frozenset[str] = frozenset()
    """Rings and recipients that flow must not allow."""
    consent: frozenset[str] | None = None
    """The recipients of the plan that need consent."""
    redact: Mapping[str, Mapping[str, Redaction]] | None = None
    """By recipient of the plan, then by label."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyTest:
    """One of the file's own tests."""

    name: str
    request: TestRequest
    expect: Expected
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
    budgets: tuple[Budget, ...] = ()
    audit: AuditRule = AuditRule()
    invariants: tuple[Invariant, ...] = ()
    tests: tuple[PolicyTest, ...] = ()
    zone: str | None = None
    """The time zone of its conditions on time; `None` where it has none."""
    include: tuple[str, ...] = ()
    """The layers as written; what they say stands in `flow` (with `layer`), `budgets`, `consent`, `invariants`."""
    shadow: str | None = None
    """The file of the policy that is decided beside this one, as written."""
    places: Mapping[str, Position] = field(default_factory=dict[str, Position], compare=False)
    """Where each recipient, label and consent is declared, by `recipients.NAME`, `labels.NAME`, `consent.NAME`.

    `time` is the first condition on time that names no zone.
    """

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
        # What a file leaves out is not in its digest, so that a key that is new in a later version changes none.
        kept = [item for item in fields(value) if item.compare and getattr(value, item.name) != _default(item)]
        return {"is": type(value).__name__, **{item.name: _canonical(getattr(value, item.name)) for item in kept}}
    if isinstance(value, Mapping):
        items = cast("Mapping[str, object]", value).items()
        return {key: _canonical(item) for key, item in items}
    if isinstance(value, frozenset):
        return sorted((_canonical(item) for item in cast("frozenset[object]", value)), key=repr)
    if isinstance(value, tuple):
        return [_canonical(item) for item in cast("tuple[object, ...]", value)]
    return value


def _default(item: Field[Any]) -> object:
    return item.default if item.default_factory is MISSING else item.default_factory()
