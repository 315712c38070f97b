"""A Merkle tree of entries to which is only ever added (RFC 9162, 2.1): its root, its proofs and their verification.

A leaf is the SHA-256 of 0x00 and an entry, a node the SHA-256 of 0x01 and its two children.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256


def leaf_hash(entry: bytes) -> bytes:
    """The hash of one entry."""
    return sha256(b"\0" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of two children."""
    return sha256(b"\1" + left + right).digest()


class Log:
    """The tree over `leaves`, the hashes of its entries in order."""

    def __init__(self, leaves: Sequence[bytes]) -> None:
        self._leaves = tuple(leaves)
        self._known: dict[tuple[int, int], bytes] = {}

    def root(self, size: int | None = None) -> bytes:
        """The root of the first `size` entries, of all where it is left out."""
        end = len(self._leaves) if size is None else size
        return self._subtree(0, end) if end else sha256(b"").digest()

    def inclusion(self, index: int) -> tuple[bytes, ...]:
        """The path from the entry at `index` to the root, from the leaf up."""
        return tuple(self._path(index, 0, len(self._leaves)))

    def consistency(self, earlier: int) -> tuple[bytes, ...]:
        """What shows that the tree goes on from its first `earlier` entries, 0 < `earlier` < the size."""
        return tuple(self._join(earlier, 0, len(self._leaves), whole=True))

    def _subtree(self, start: int, end: int) -> bytes:
        if end - start == 1:
            return self._leaves[start]
        known = self._known.get((start, end))
        if known is None:
            middle = start + _split(end - start)
            known = self._known[start, end] = node_hash(self._subtree(start, middle), self._subtree(middle, end))
        return known

    def _path(self, index: int, start: int, end: int) -> list[bytes]:
        if end - start == 1:
            return []
        middle = start + _split(end - start)
        if index < middle:
            return [*self._path(index, start, middle), self._subtree(middle, end)]
        return [*self._path(index, middle, end), self._subtree(start, middle)]

    def _join(self, earlier: int, start: int, end: int, *, whole: bool) -> list[bytes]:
        if earlier == end:
            return [] if whole else [self._subtree(start, end)]
        middle = start + _split(end - start)
        if earlier <= middle:
            return [*self._join(earlier, start, middle, whole=whole), self._subtree(middle, end)]
        return [*self._join(earlier, middle, end, whole=False), self._subtree(start, middle)]


def verify_inclusion(leaf: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> bool:
    """Whether `path` shows that `leaf` stands at `index` of the `size` entries under `root` (RFC 9162, 2.1.3.2)."""
    if not 0 <= index < size:
        return False
    at, last, found = index, size - 1, leaf
    for sibling in path:
        if last == 0:
            return False
        if at % 2 or at == last:
            found = node_hash(sibling, found)
            while at and not at % 2:
                at, last = at // 2, last // 2
        else:
            found = node_hash(found, sibling)
        at, last = at // 2, last // 2
    return last == 0 and found == root


def verify_consistency(earlier: int, size: int, earlier_root: bytes, root: bytes, path: Sequence[bytes]) -> bool:
    """Whether `path` shows that the tree of `size` begins with that of `earlier` (RFC 9162, 2.1.4.2)."""
    if earlier == size:
        return not path and earlier_root == root
    if not 0 < earlier < size or not path:
        return False
    first, *rest = (earlier_root, *path) if earlier & (earlier - 1) == 0 else path
    at, last = earlier - 1, size - 1
    while at % 2:
        at, last = at // 2, last // 2
    before = after = first
    for sibling in rest:
        if last == 0:
            return False
        if at % 2 or at == last:
            before, after = node_hash(sibling, before), node_hash(sibling, after)
            while at and not at % 2:
                at, last = at // 2, last // 2
        else:
            after = node_hash(after, sibling)
        at, last = at // 2, last // 2
    return last == 0 and before == earlier_root and after == root


def _split(size: int) -> int:
    """The largest power of two below `size`."""
    return 1 << ((size - 1).bit_length() - 1)


__all__ = ["Log", "leaf_hash", "node_hash", "verify_consistency", "verify_inclusion"]
