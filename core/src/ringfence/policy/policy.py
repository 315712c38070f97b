"""A policy in force: what it declares, and what it decides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from ringfence.errors import InvalidRequest
from ringfence.policy.compiled import Compiled
from ringfence.policy.conditions import Fact
from ringfence.policy.decision import ConsentRule, Decision, ToolVerdict
from ringfence.policy.document import Document, Label
from ringfence.policy.facts import Facts
from ringfence.policy.faults import nearest, quoted
from ringfence.policy.keys import BUILT_IN_TASKS
from ringfence.recipient import Recipient


@dataclass(frozen=True, slots=True, kw_only=True, repr=False, eq=False)
class Policy:
    """A policy that was loaded without a fault. `source` is the file it came from, or `built-in`.

    `digest` covers all that the file says, and neither comments nor layout. `detect_kinds` are the detector kinds that
    any label names, `tasks` those every policy knows and the file's own. `shadow` is decided beside it and sends
    nothing; `layers` are the files that were put over it from outside. Made by `load_policy`, `read_policy` and
    `builtin_policy` only.
    """

    name: str
    digest: str
    source: str
    document: Document
    recipients: Mapping[str, Recipient]
    labels: Mapping[str, Label]
    unknown: str
    clean: str | None
    detect_kinds: frozenset[str]
    tasks: frozenset[str]
    facts: Mapping[str, Fact]
    compiled: Compiled
    shadow: Policy | None = None
    layers: tuple[str, ...] = ()

    def decide(self, facts: Facts) -> Decision:
        """What may happen to one request: pure, no I/O, never an exception for what the facts hold."""
        return self.compiled.decide(facts)

    def check_facts(self, given: Mapping[str, object]) -> None:
        """Refuses a misspelt fact. One that no rule reads changes nothing: an app does not know what a file asks for.

        Raises:
            InvalidRequest: one is declared neither here nor in the shadow, and is nearly that of one that is not given.
        """
        if given.keys() <= self.facts.keys():
            return
        known = {*self.facts, *(() if self.shadow is None else self.shadow.facts)}
        for name in sorted(given.keys() - known):
            if close := nearest(name, known - given.keys()):
                raise InvalidRequest(
                    f"fact {quoted(name)} is not declared in policy '{self.name}': did you mean '{close}'?",
                    way_out=f"one of {', '.join(sorted(known))}",
                )

    def consent_rule(self, recipient: str) -> ConsentRule:
        """How consent is asked for `recipient`: as the file says for it, else for its ring, else the default."""
        rules = self.document.consent
        return rules.get(recipient) or rules.get(self.recipients[recipient].ring) or _DEFAULT_CONSENT

    def tool_verdict(self, name: str, facts: Facts) -> ToolVerdict:
        """Whether data with the labels of `facts` may reach tool `name`; a tool the file does not declare is not ruled.

        A declared tool is a recipient on its ring: in every layer each label must be covered by an allow that names the
        ring, counts and has no `require`, and no deny that names the ring may fire. All these allows contribute their
        `redact` and `consent`. Pure.
        """
        tool = self.document.tools.get(name)
        return _NOT_RULED if tool is None else self.compiled.tool_verdict(tool.ring, facts)

    def tool_refusal(self, name: str, facts: Facts) -> str:
        """Why `tool_verdict` is deny for the declared tool `name`, in the sentences of a recipient's reason. Pure."""
        return self.compiled.tool_refusal(self.document.tools[name].ring, facts)

    def __repr__(self) -> str:
        return f"Policy({self.name}, {self.digest[:19]}…, source={self.source})"


_DEFAULT_CONSENT = ConsentRule()
_NOT_RULED = ToolVerdict(outcome="allow", declared=False)


def enforce(document: Document, *, source: str, name: str, digest: str | None = None) -> Policy:
    """The policy of a document without faults; `digest` where it is known already."""
    digest = digest or document.digest()
    return Policy(
        name=name,
        digest=digest,
        source=source,
        document=document,
        recipients=MappingProxyType(dict(document.recipients)),
        labels=MappingProxyType(dict(document.labels)),
        unknown=document.unknown,
        clean=document.clean,
        detect_kinds=frozenset(kind for label in document.labels.values() for kind in label.detect),
        tasks=frozenset((*BUILT_IN_TASKS, *document.tasks)),
        facts=MappingProxyType(dict(document.facts)),
        compiled=Compiled(document, name=name, digest=digest),
    )
