"""The section `tests:`: requests, and what the policy must answer; every name in them is one of the file's."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Final, Literal, TypeAlias, cast

from ringfence.policy import fields
from ringfence.policy.conditions import Fact, FactValue
from ringfence.policy.decision import Redaction
from ringfence.policy.document import Expected, PolicyTest, TestRequest
from ringfence.policy.faults import Faults, did_you_mean, quoted
from ringfence.policy.keys import EXPECT, FACT_GROUPS, MODALITIES, OUTCOMES, REDACT, TEST, TEST_REQUEST
from ringfence.policy.place import Position
from ringfence.policy.read_conditions import Declared, check_fact, check_label, check_task
from ringfence.policy.read_rules import check_recipient, read_places
from ringfence.policy.times import UTC_ZONE, minute_of_moment
from ringfence.policy.tree import Entry, Node, Scalar, kind

_MOST_TEXT: Final = 20_000
_Check: TypeAlias = Callable[[str, Position], None]


class TestReader:
    """Reads the file's own tests. `routes` are the ids of its route rules."""

    __test__ = False  # no test class of pytest's

    def __init__(self, declared: Declared, faults: Faults, *, routes: frozenset[str]) -> None:
        self._declared = declared
        self._faults = faults
        self._routes = routes

    def read(self, written: Entry | None) -> tuple[PolicyTest, ...]:
        """The tests that can be read; the others are faults, and so is a second one of a name."""
        example = "- {name: …, request: {…}, expect: {…}}"
        nodes = None if written is None else fields.items(written.value, "tests", self._faults, example)
        first: dict[str, Position] = {}
        found = [self._test(node, f"tests[{index}]", first) for index, node in enumerate(nodes or ())]
        return tuple(test for test in found if test is not None)

    def _test(self, node: Node, where: str, first: dict[str, Position]) -> PolicyTest | None:
        before = len(self._faults.found)
        found = fields.entries(node, where, TEST, self._faults)
        if found is None:
            return None
        name = fields.text(found["name"].value, f"{where}.name", self._faults) if "name" in found else None
        if name is not None:
            self._note_name(name, found["name"].value.at, first)
        request = self._request(found["request"].value, f"{where}.request") if "request" in found else None
        expect = self._expect(found["expect"].value, f"{where}.expect") if "expect" in found else None
        if len(self._faults.found) > before or name is None or request is None or expect is None:
            return None
        return PolicyTest(name=name, request=request, expect=expect, at=node.at)

    def _note_name(self, name: str, at: Position, first: dict[str, Position]) -> None:
        if name in first:
            line = first[name].line
            self._faults.add(at, f"test {quoted(name)} appears twice{f' (first on line {line})' if line else ''}.")
        first.setdefault(name, at)

    # ------------------------------------------------------------ request

    def _request(self, node: Node, where: str) -> TestRequest | None:
        keys = fields.entries(node, where, TEST_REQUEST, self._faults)
        if keys is None:
            return None
        task = fields.text(keys["task"].value, f"{where}.task", self._faults) if "task" in keys else None
        if task is not None:
            check_task(task, keys["task"].value.at, self._declared, self._faults)
        modality = self._some(keys, "modality", where, "[text]", self._modality)
        to = self._some(keys, "to", where, "[mlx]", self._recipient)
        return TestRequest(
            task=task or TestRequest().task,
            text=self._text(keys["text"].value, f"{where}.text") if "text" in keys else None,
            labels=frozenset(self._some(keys, "labels", where, "[public]", self._label) or ()),
            modality=None if modality is None else frozenset(modality),
            input_tokens=self._tokens(keys["input_tokens"].value, where) if "input_tokens" in keys else None,
            values=self._values(keys, where),
            to=None if to is None else frozenset(to),
            at=self._at(keys["at"].value, f"{where}.at") if "at" in keys else None,
        )

    def _text(self, node: Node, where: str) -> str | None:
        """A text as it is sent: white space and all."""
        written = node.value if isinstance(node, Scalar) else None
        if not isinstance(written, str):
            self._faults.add(node.at, f"{where} must be text, not {kind(node)}. Put it in quotes.")
        elif len(written) > _MOST_TEXT:
            self._faults.add(node.at, f"{where} must have at most {_MOST_TEXT:,} characters.")
        else:
            return written
        return None

    def _tokens(self, node: Node, where: str) -> int | None:
        found = fields.number(node, f"{where}.input_tokens", self._faults, whole=True)
        if found is not None and found < 0:
            self._faults.add(node.at, f"{where}.input_tokens must be 0 or more.")
        return None if found is None else int(found)

    def _values(self, keys: Mapping[str, Entry], where: str) -> dict[str, FactValue]:
        found: dict[str, FactValue] = {}
        for group in FACT_GROUPS:
            section = fields.mapping(keys[group].value, f"{where}.{group}", self._faults) if group in keys else None
            for entry in section.entries if section else ():
                name = f"{group}.{entry.key}"
                fact = check_fact(name, entry.at, self._declared, self._faults)
                value = None if fact is None else self._value(name, fact, entry.value)
                if value is not None:
                    found[name] = value
        return found

    def _value(self, name: str, fact: Fact, node: Node) -> FactValue | None:
        value = node.value if isinstance(node, Scalar) else None
        if value is not None and fact.admits(value):
            return value
        shown = quoted(value) if isinstance(value, str) else kind(node) if value is None else str(value).lower()
        hint = did_you_mean(value, fact.values) if isinstance(value, str) else ""
        self._faults.add(node.at, f"{quoted(name)} must be {fact.describe()}, not {shown}.{hint}")
        return None

    def _at(self, node: Node, where: str) -> str | None:
        written = fields.text(node, where, self._faults)
        if written is not None and minute_of_moment(UTC_ZONE, written) is None:
            says = "must be a moment such as 2026-03-02T09:30"
            self._faults.add(node.at, f"{where} {says}, not {quoted(written)}.")
        return written

    # ------------------------------------------------------------ expect

    def _expect(self, node: Node, where: str) -> Expected | None:
        before = len(self._faults.found)
        keys = fields.entries(node, where, EXPECT, self._faults)
        if keys is None:
            return None
        if not keys and len(self._faults.found) == before:
            says = "is empty, so nothing is tested. Say what must come out, such as never: [partner]."
            self._faults.add(node.at, f"{where} {says}")
        plan = self._some(keys, "plan", where, "[mlx]", self._recipient, or_none=True)
        consent = self._some(keys, "consent", where, "[openai]", self._recipient, or_none=True)
        allowed = self._some(keys, "allowed", where, "[mlx]", self._recipient, or_none=True)
        labels = self._some(keys, "labels", where, "[public]", self._label)
        outcome = self._one(keys, "outcome", where, OUTCOMES)
        never = (
            read_places(keys["never"].value, f"{where}.never", self._declared, self._faults)
            if "never" in keys
            else None
        )
        return Expected(
            labels=None if labels is None else frozenset(labels),
            outcome=cast("Literal['allow', 'ask', 'deny'] | None", outcome),
            route=self._route(keys["route"].value, f"{where}.route") if "route" in keys else None,
            plan=None if plan is None else tuple(plan),
            allowed=None if allowed is None else frozenset(allowed),
            never=never or frozenset(),
            consent=None if consent is None else frozenset(consent),
            redact=self._redact(keys["redact"].value, f"{where}.redact") if "redact" in keys else None,
        )

    def _route(self, node: Node, where: str) -> str | None:
        found = fields.text(node, where, self._faults)
        if found is not None and found not in self._routes:
            hint = did_you_mean(found, self._routes)
            self._faults.add(node.at, f"{quoted(found)} is no id of a rule under route:.{hint}")
        return found

    def _redact(self, node: Node, where: str) -> Mapping[str, Mapping[str, Redaction]]:
        section = fields.mapping(node, where, self._faults, " such as {openai: {contact: pseudonym}}")
        found: dict[str, Mapping[str, Redaction]] = {}
        for entry in section.entries if section else ():
            self._recipient(entry.key, entry.at)
            found[entry.key] = self._redactions(entry.value, f"{where}.{entry.key}")
        return found

    def _redactions(self, node: Node, where: str) -> Mapping[str, Redaction]:
        section = fields.mapping(node, where, self._faults, " such as {contact: pseudonym}")
        found: dict[str, Redaction] = {}
        for entry in section.entries if section else ():
            self._label(entry.key, entry.at)
            written = fields.choice(entry.value, f"{where}.{entry.key}", REDACT, self._faults)
            if written is not None:
                found[entry.key] = cast("Redaction", written)
        return found

    # ------------------------------------------------------------ names

    def _some(
        self, keys: Mapping[str, Entry], key: str, where: str, example: str, check: _Check, *, or_none: bool = False
    ) -> list[str] | None:
        """The names in the list at `key`, each checked; `None` where there is no such key."""
        if key not in keys:
            return None
        found = fields.names(keys[key].value, f"{where}.{key}", self._faults, example, or_none=or_none)
        for name, at in found or ():
            check(name, at)
        return [name for name, _ in found or ()]

    def _one(self, keys: Mapping[str, Entry], key: str, where: str, options: Collection[str]) -> str | None:
        return fields.choice(keys[key].value, f"{where}.{key}", options, self._faults) if key in keys else None

    def _label(self, name: str, at: Position) -> None:
        check_label(name, at, self._declared, self._faults)

    def _modality(self, name: str, at: Position) -> None:
        fields.one_of(name, at, "modality", MODALITIES, self._faults)

    def _recipient(self, name: str, at: Position) -> None:
        check_recipient(name, at, self._declared, self._faults)
