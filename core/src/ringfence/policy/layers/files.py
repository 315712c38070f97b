"""The files of layers: found from one another, read once each, within bounds."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ringfence.errors import PolicyNotReadable
from ringfence.policy.document import Document
from ringfence.policy.faults import Faults, quoted
from ringfence.policy.layers.layer import Layer, named
from ringfence.policy.layers.mistaken import not_a_layer
from ringfence.policy.layers.sections import Vocabulary, read_layer
from ringfence.policy.place import Position
from ringfence.policy.source import MAX_POLICY_BYTES, read_regular, read_tree
from ringfence.policy.tree import Entry, ListNode, MapNode, Node, Scalar

MAX_DEPTH = 8
MAX_LAYERS = 64
PROFILES = (".mobileconfig", ".plist", ".json")
"""What the name of an Apple device profile ends in."""

_NOT_IN_A_NAME = re.compile(r"[^\w.-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A file that is to be a layer: where it is, as it is written, as its faults name it, and where it is asked for."""

    path: Path
    written: str
    shown: str
    at: Position


class LayerFiles:
    """Reads layers for one policy. `files` gets every file that is looked at, there or not; `layers` is what they say.

    A file is named in `files` as it was reached, so that a link that is turned elsewhere is seen.
    """

    def __init__(self, document: Document, faults: Faults, files: list[Path]) -> None:
        self._vocabulary = Vocabulary.of(document)
        self._faults = faults
        self._known: set[Path] = set()
        self._bytes = 0
        self.files = files
        self.layers: list[Layer] = []

    def zone(self) -> str | None:
        """The time zone of the policy with its layers; a second one is a fault."""
        return self._vocabulary.zone(self._faults)

    def read(self, wanted: Wanted, above: Sequence[Path] = ()) -> None:
        """Reads a layer and those that it includes, after one another; whatever is wrong with one is a fault.

        `above` are the files that include it, the policy first.
        """
        path = wanted.path.resolve()
        if path in above:
            self._faults.add(wanted.at, f"layer {quoted(wanted.written)} includes itself.")
        elif path in self._known:
            return  # twice is once: it narrows no further
        elif len(above) > MAX_DEPTH or len(self._known) >= MAX_LAYERS:
            bounds = f"{MAX_DEPTH} deep, and {MAX_LAYERS} layers in all"
            self._faults.add(wanted.at, f"layer {quoted(wanted.written)} is one too many: layers may be {bounds}.")
        else:
            self._known.add(path)
            self.files.append(wanted.path)
            self._read(wanted, (*above, path))

    def _read(self, wanted: Wanted, above: Sequence[Path]) -> None:
        try:
            data = read_regular(wanted.path, shown=wanted.written)
        except PolicyNotReadable as error:
            self._faults.add(wanted.at, f"{error.message}.")
            return
        # INVARIANT: whatever keeps a layer from being read is a fault of the whole policy.
        if wanted.path.suffix.lower() in PROFILES:
            from ringfence.policy.layers.apple.rules import read_profile_layer  # noqa: PLC0415  (only for a profile)

            self._add(read_profile_layer(data, wanted.shown, self._vocabulary, self._faults), wanted)
            return
        self._bytes += len(data)
        if self._bytes > MAX_POLICY_BYTES >= len(data):
            most = f"with it the layers have more than {MAX_POLICY_BYTES:,} bytes together"
            self._faults.add(wanted.at, f"layer {quoted(wanted.written)} is one too many: {most}.")
            return
        found = Faults()
        tree = read_tree(data, wanted.path.name, found)
        tree = None if tree is None else _placed(tree, wanted.shown)
        for fault in found.found:
            self._faults.add(_in_file(fault.at, wanted.shown), fault.message)
        if tree is None:
            return
        if (why := not_a_layer(tree)) is not None:
            self._faults.add(tree.at, why)
            return
        layer = read_layer(tree, self._vocabulary, self._faults)
        if layer is not None:
            self._add(layer, wanted)
        for one in included(tree, above[-1].parent, wanted.shown):
            self.read(one, above)

    def _add(self, layer: Layer | None, wanted: Wanted) -> None:
        if layer is None:
            return
        # INVARIANT: no two layers share a name: the allows of one are not taken for those of the other.
        taken = {one.name for one in self.layers}
        name = layer.name or stem_of(wanted.path.name)
        numbers = (name if number == 1 else f"{name}-{number}" for number in range(1, MAX_LAYERS + 2))
        self.layers.append(named(layer, next(one for one in numbers if one not in taken)))


def included(tree: Node, folder: Path, shown: str) -> Iterable[Wanted]:
    """The files under `include:` in the order of the list; what is no name of a file is a fault noted elsewhere."""
    include = next((e.value for e in _entries(tree) if e.key == "include"), None)
    for item in include.items if isinstance(include, ListNode) else ():
        if isinstance(item, Scalar) and isinstance(item.value, str) and item.value.strip():
            written = " ".join(item.value.split())
            yield Wanted(
                path=folder / written,
                written=written,
                shown=str(Path(shown).parent / written),
                at=item.at,
            )


def stem_of(file: str) -> str:
    """The name of a file without what it ends in, as a name in a policy."""
    return _NOT_IN_A_NAME.sub("-", Path(file).stem).strip("-._")[:48] or "layer"


def _entries(node: Node) -> tuple[Entry, ...]:
    return node.entries if isinstance(node, MapNode) else ()


def _in_file(at: Position, file: str) -> Position:
    return Position(at.line, at.column, file)


def _placed(node: Node, file: str) -> Node:
    """`node`, every place of which names `file`. The depth of a tree is bounded when it is read."""
    at = _in_file(node.at, file)
    match node:
        case Scalar():
            return Scalar(value=node.value, at=at)
        case ListNode():
            return ListNode(items=tuple(_placed(item, file) for item in node.items), at=at)
        case MapNode():
            entries = (Entry(key=e.key, at=_in_file(e.at, file), value=_placed(e.value, file)) for e in node.entries)
            return MapNode(entries=tuple(entries), at=at)
