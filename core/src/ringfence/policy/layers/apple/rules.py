"""The payloads of a device profile → the denies that they make."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final, cast

from ringfence.policy.conditions import AllOf, Condition, Matcher, ModalityIn, TaskIn
from ringfence.policy.document import FlowRule
from ringfence.policy.faults import Faults, quoted
from ringfence.policy.keys import OTHER_TASK
from ringfence.policy.layers.apple.profile import NotAProfile, Payload, read_payloads
from ringfence.policy.layers.apple.settings import (
    NO_BEARING,
    RESTRICTIONS,
    SETTINGS,
    TO_RINGS,
    TRANSLATION,
    WORKSPACES,
    Setting,
)
from ringfence.policy.layers.layer import Layer
from ringfence.policy.layers.sections import Vocabulary
from ringfence.policy.place import Position
from ringfence.recipient import Recipient

_MISSPELT: Final = 0.9
"""How like one of ours a key of the restrictions is that is taken for a misspelling; Apple's own are further apart."""


def read_profile_layer(data: bytes, shown: str, vocabulary: Vocabulary, faults: Faults) -> Layer | None:
    """The layer that a profile makes; `None`, with a fault noted, where it cannot be used."""
    at, before = Position(None, None, shown), len(faults.found)
    try:
        payloads = read_payloads(data, shown)
    except NotAProfile as error:
        faults.add(at, f"this file {error}.")
        return None
    for payload in payloads:
        for fault in _key_faults(payload):
            faults.add(at, fault)
    if len(faults.found) > before:
        return None
    return Layer(name="", flow=tuple(_rules(payloads, vocabulary, at)))


def _key_faults(payload: Payload) -> Iterator[str]:
    """What is wrong with the keys that bear on a request, and with those that look like one."""
    booleans = [setting.keys[payload.type] for setting in SETTINGS if payload.type in setting.keys]
    workspaces = WORKSPACES.get(payload.type)
    known = frozenset((*booleans, *([workspaces] if workspaces else ())))
    written = dict(_flat(payload.keys, known))
    for key in booleans:
        if key in written and not isinstance(written[key], bool):
            yield f"{key} must be true or false."
    if workspaces in written and not _is_texts(written[workspaces]):
        yield f"{workspaces} must be a list of texts."
    for key in written.keys() - known - NO_BEARING.get(payload.type, frozenset()):
        meant = _meant(key, known)
        # A profile holds hundreds of restrictions; a declaration of these types holds nothing but intelligence.
        if meant or payload.type != RESTRICTIONS:
            yield f"unknown key {quoted(key)} in {payload.type}.{f' Did you mean {quoted(meant)}?' if meant else ''}"


def _flat(keys: Mapping[str, object], known: frozenset[str], prefix: str = "") -> Iterator[tuple[str, object]]:
    """The keys with those of inner dictionaries that can hold one of `known`, as `Apps.Mail.AllowSummary`."""
    for key, value in keys.items():
        path = f"{prefix}{key}"
        if any(one.startswith(f"{path}.") for one in known):
            if isinstance(value, Mapping):
                yield from _flat(cast("Mapping[str, object]", value), known, f"{path}.")
            else:
                yield f"{path} (which must be a dictionary)", value
        else:
            yield path, value


def _is_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) and item for item in cast("list[object]", value))


def _meant(key: str, known: Iterable[str]) -> str | None:
    names = {name.casefold(): name for name in sorted(known)}
    found = difflib.get_close_matches(key[:100].casefold(), names, n=1, cutoff=_MISSPELT)
    return names[found[0]] if found else None


def _rules(payloads: tuple[Payload, ...], vocabulary: Vocabulary, at: Position) -> Iterator[FlowRule]:
    written = [
        (payload.type, key, value)
        for payload in payloads
        for key, value in _flat(payload.keys, _KNOWN[payload.type])
        if key in _KNOWN[payload.type]
    ]
    for setting in SETTINGS:
        # INVARIANT: one payload that narrows is enough: boolean-and of allowances, boolean-or of restrictions.
        key = next((k for kind, k, v in written if setting.keys.get(kind) == k and v is setting.narrows), None)
        to = _to(setting, vocabulary)
        if key is not None and to:
            value = str(setting.narrows).lower()
            yield _deny(
                setting.id, to, f"{key} is {value} in {_name(at)}: {setting.says}", at, _when(setting, vocabulary)
            )
    lists = [(k, frozenset(cast("list[str]", v))) for kind, k, v in written if k == WORKSPACES.get(kind)]
    if lists:
        allowed = lists[0][1].intersection(*(ids for _, ids in lists))
        outside = [one.name for one in _partners(vocabulary) if one.options.get("workspace") not in allowed]
        reason = f"{lists[0][0]} in {_name(at)} does not hold the workspace of this recipient"
        if outside:
            yield _deny("external-workspaces", frozenset(outside), reason, at, None)


def _name(at: Position) -> str:
    """The profile without its folder: a rule says the same wherever the file stands."""
    return quoted(Path(at.file).name)


def _deny(rule_id: str, to: frozenset[str], reason: str, at: Position, when: Condition | None) -> FlowRule:
    return FlowRule(id=rule_id, effect="deny", labels=None, to=to, when=when, reason=reason, at=at)


def _to(setting: Setting, vocabulary: Vocabulary) -> frozenset[str]:
    if setting.to != "signed-in":
        return frozenset(TO_RINGS[setting.to])
    # Only one with a url of its own and no secret is sent no key (`Recipient.credential`).
    return frozenset(one.name for one in _partners(vocabulary) if one.secret is not None or one.url is None)


def _partners(vocabulary: Vocabulary) -> list[Recipient]:
    return [one for one in vocabulary.recipients.values() if one.ring == "partner"]


def _when(setting: Setting, vocabulary: Vocabulary) -> Condition | None:
    tasks = setting.tasks
    if tasks is not None and tasks == TRANSLATION:
        tasks = (tasks & vocabulary.declared.tasks) | {OTHER_TASK}
    conditions: list[Matcher] = []
    if tasks is not None:
        conditions.append(TaskIn(tasks=tasks))
    if setting.modality is not None:
        conditions.append(ModalityIn(modalities=frozenset({setting.modality})))
    return AllOf(parts=tuple(conditions)) if len(conditions) > 1 else conditions[0] if conditions else None


_KNOWN: Final[Mapping[str, frozenset[str]]] = {
    kind: frozenset(
        {setting.keys[kind] for setting in SETTINGS if kind in setting.keys}
        | ({WORKSPACES[kind]} if kind in WORKSPACES else set())
    )
    for kind in (*NO_BEARING, RESTRICTIONS)
}
"""The keys that bear on a request, by the type of the payload."""
