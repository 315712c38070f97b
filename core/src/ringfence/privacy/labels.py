"""The labels and facts of a request: computed once, before `decide`, by the core alone.

The labels are the union over all parts. A part carries what the app declared and what the detectors found; one that
nothing is known of carries the policy's `clean` or `unknown` label. A declaration never removes a hit.
"""

from __future__ import annotations

import hashlib
import time
import weakref
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ringfence.errors import InvalidRequest
from ringfence.policy.facts import Facts
from ringfence.policy.faults import nearest
from ringfence.policy.times import minute_of_week
from ringfence.privacy.detection import DetectorSet, installed_detectors
from ringfence.privacy.material import (
    Material,
    material_of,
    modality_of,
    output_material,
    request_texts,
    says_settings,
    settings_material,
    tool_material,
    unescaped_forms,
    utf8_bytes,
)
from ringfence.request import NO_LABELS, FilePart, Message, Part, Request, TextPart

if TYPE_CHECKING:
    from ringfence.policy.policy import Policy
    from ringfence.privacy.detector import Hit

MAX_REMEMBERED_SCHEMAS = 1_024
LARGE_CHARACTERS = 20_000
"""More text than this, some milliseconds of scanning, belongs into a thread."""
_MAX_NAME_CHARACTERS = 40


@dataclass(frozen=True, slots=True)
class _Remembered:
    """The labels of one message, valid only while `message` still is that message: an `id` is used again."""

    message: weakref.ref[Message]
    labels: frozenset[str]


class Labeller:
    """Labels requests under one policy. Thread-safe; call it in a thread where `scans_long` says so.

    The labels of a message are remembered as long as the message lives, so that a long session scans each turn once.
    Nothing here keeps content alive: messages are held weakly, schemas by digest.

    INVARIANT: the labels of a request are never empty; what one part carries does not depend on the others, and a
    declared label is only ever added.
    """

    def __init__(self, policy: Policy, detectors: DetectorSet | None = None) -> None:
        self._policy_name = policy.name
        self._zone = policy.document.zone
        self._names = frozenset(policy.labels)
        self._kinds = tuple(sorted(policy.detect_kinds))
        self._detectors = detectors
        self._slow = True
        self._unknown = frozenset({policy.unknown})
        # Without a detector nothing was scanned, so nothing is known to be clean.
        self._clean = frozenset({policy.clean}) if policy.clean and self._kinds else self._unknown
        self._labels_by_kind = {
            kind: frozenset(name for name, rule in policy.labels.items() if kind in rule.detect) for kind in self._kinds
        }
        self._messages: dict[int, _Remembered] = {}
        self._schemas: dict[bytes, frozenset[str]] = {}

    def label(self, request: Request) -> frozenset[str]:
        """The labels of `request`.

        Raises:
            InvalidRequest: the app declared a label that the policy does not; nothing was sent.
        """
        if request.labels:
            self._check_declared(request.labels)
        found = set(request.labels)
        for message in request.messages:
            found |= self._message_labels(message)
        for tool in request.tools:
            found |= self._schema_labels(tool_material(tool), tool.labels)
        if request.output is not None:
            found |= self._schema_labels(output_material(request.output), request.output.labels)
        if self._kinds and says_settings(request):
            # INVARIANT: settings are no part; they carry what all beside them carries, and what is found in them.
            found |= self._found(settings_material(request))
        return frozenset(found) or self._unknown

    def label_text(self, text: str, declared: Iterable[str] = NO_LABELS) -> frozenset[str]:
        """The labels of a request that is one text. Without a text, what is declared stands alone.

        Raises:
            InvalidRequest: as `label`.
        """
        part = TextPart(text, labels=frozenset(declared))
        self._check_declared(part.labels)
        if part.labels and not text:
            return part.labels
        return self._material_labels(Material((text,)), part.labels)

    def facts(self, request: Request, labels: frozenset[str]) -> Facts:
        """What the policy decides on. `input_tokens` is ceil(UTF-8 bytes of all text / 3), for every recipient."""
        text_bytes = sum(map(utf8_bytes, request_texts(request)))
        return Facts(
            task=request.task,
            labels=labels,
            input_tokens=-(-text_bytes // 3),
            modality=modality_of(request),
            values=request.facts,
            to=request.to,
            minute=None if self._zone is None else minute_of_week(self._zone, time.time()),
        )

    def hits(self, text: str, labels: frozenset[str]) -> tuple[list[tuple[Hit, str, frozenset[str]]], bool]:
        """The hits in `text`, as it stands, that carry any of `labels`: each with its kind and all its labels.

        The second value says whether every detector that could find one scanned all of it.
        """
        kinds = [kind for kind in self._kinds if not labels.isdisjoint(self._labels_by_kind[kind])]
        if not kinds:
            return [], True
        scan = (self._detectors or installed_detectors()).scan(kinds, text)
        found = [(hit, kind, self._labels_by_kind[kind]) for kind, hits in scan.hits.items() for hit in hits]
        return found, not scan.failed

    @property
    def unscanned(self) -> frozenset[str]:
        """What a part carries that could not be scanned in full."""
        return self._unknown

    @property
    def without_hits(self) -> frozenset[str]:
        """What a part carries in which nothing was found and for which nothing was declared."""
        return self._unknown | self._clean

    def carried(self, part: Part) -> frozenset[str]:
        """What `part` carries by itself, declared labels included."""
        return self._material_labels(material_of(part), part.labels)

    def unscanned_characters(self, request: Request) -> int:
        """Characters that `label` would have to scan now; 0 without detectors. Costs under 1 µs a message."""
        if not self._kinds:
            return 0
        return sum(
            len(part.data) if isinstance(part, FilePart) else sum(map(len, material_of(part).texts))
            for message in request.messages
            if self._recall(message) is None
            for part in message.parts
        )

    def scans_long(self, request: Request) -> bool:
        """Whether `label` may take so long now that it belongs into a thread."""
        left = self.unscanned_characters(request)
        return left > LARGE_CHARACTERS or (left > 0 and self.slow)

    @property
    def slow(self) -> bool:
        """Whether a detector of the policy takes long for any text, or is not loaded yet."""
        # Asked for each request: once all are loaded and none is slow, that stays so.
        if self._slow:
            self._slow = (self._detectors or installed_detectors()).slow(self._kinds)
        return self._slow

    def _message_labels(self, message: Message) -> frozenset[str]:
        remembered = self._recall(message)
        if remembered is not None:
            return remembered
        found: set[str] = set()
        for part in message.parts:
            if part.labels:
                self._check_declared(part.labels)
            found |= (
                self._material_labels(material_of(part), part.labels) if self._kinds else part.labels or self._unknown
            )
        if self._kinds:
            found |= self._labels_across_parts(message)
            self._remember(message, frozenset(found))
        return frozenset(found)

    def _labels_across_parts(self, message: Message) -> AbstractSet[str]:
        """Labels of what stands in no single text part but in several of them read on, as a model reads them."""
        texts = [part.text for part in message.parts if type(part) is TextPart]
        if len(texts) < 2:  # noqa: PLR2004
            return NO_LABELS
        labels, scanned = self._hits("".join(texts))
        return labels if scanned else labels | self._unknown

    def _schema_labels(self, material: Material, declared: frozenset[str]) -> frozenset[str]:
        """The labels of a tool's definition or an output schema. They can be changed in place, hence the digest."""
        if declared:
            self._check_declared(declared)
        if not self._kinds:
            return declared or self._unknown
        digest = hashlib.blake2b(digest_size=32)
        for text in material.texts:
            digest.update(len(text).to_bytes(8, "big") + text.encode("utf-8", "surrogatepass"))
        key = digest.digest() + bytes([material.complete])
        labels = self._schemas.get(key)
        if labels is None:
            labels = self._found(material)
            if len(self._schemas) >= MAX_REMEMBERED_SCHEMAS:
                self._schemas.clear()
            self._schemas[key] = labels
        return labels | declared or self._clean

    def _material_labels(self, material: Material, declared: frozenset[str]) -> frozenset[str]:
        """The labels of one part."""
        if not self._kinds:
            return declared or self._unknown
        return declared | self._found(material) or self._clean

    def _found(self, material: Material) -> frozenset[str]:
        """The labels of what the detectors found, and `unknown` where they could not scan all of it."""
        found: set[str] = set()
        complete = material.complete
        for text in (*material.texts, *material.marks):
            labels, scanned = self._hits(text)
            found |= labels
            complete = complete and scanned
        # INVARIANT: what was not scanned in full carries `unknown`, whatever else is known of it.
        return frozenset(found) if complete else self._unknown.union(found)

    def _hits(self, text: str) -> tuple[AbstractSet[str], bool]:
        """The labels of the hits in `text`, and whether every detector scanned all of it."""
        detectors = self._detectors or installed_detectors()
        labels: set[str] = set()
        forms, scanned = unescaped_forms(text)
        for form in forms:
            scan = detectors.scan(self._kinds, form)
            labels.update(*(self._labels_by_kind[kind] for kind in scan.hits))
            scanned = scanned and not scan.failed
        return labels, scanned

    def _recall(self, message: Message) -> frozenset[str] | None:
        remembered = self._messages.get(id(message))
        return remembered.labels if remembered is not None and remembered.message() is message else None

    def _remember(self, message: Message, labels: frozenset[str]) -> None:
        key = id(message)
        messages = self._messages

        def forget(reference: weakref.ref[Message]) -> None:
            remembered = messages.get(key)
            if remembered is not None and remembered.message is reference:
                messages.pop(key, None)

        messages[key] = _Remembered(weakref.ref(message, forget), labels)

    def _check_declared(self, declared: frozenset[str]) -> None:
        if not declared <= self._names:
            self._refuse(sorted(declared - self._names))

    def _refuse(self, undeclared: list[str]) -> None:
        name = undeclared[0][:_MAX_NAME_CHARACTERS]
        close = nearest(name, self._names)
        raise InvalidRequest(
            f"label '{name}' is not declared in policy '{self._policy_name}'",
            way_out=f"'{close}'" if close else f"one of {', '.join(sorted(self._names))}",
        )


def label_text(policy: Policy, text: str, declared: Iterable[str] = NO_LABELS) -> frozenset[str]:
    """The labels of `text` under `policy`, with the installed detectors: what `policy explain` decides on.

    Raises:
        InvalidRequest: a declared label is not one of the policy's.
    """
    return Labeller(policy).label_text(text, declared)


__all__ = ["Labeller", "label_text"]
