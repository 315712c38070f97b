"""A policy file and its layers → a policy in force, or every fault in them."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from ringfence.errors import PolicyInvalid, PolicyNotReadable
from ringfence.policy.document import Document
from ringfence.policy.faults import MAX_FAULTS, Fault, Faults, TooManyFaults, quoted
from ringfence.policy.place import NOWHERE, Position
from ringfence.policy.policy import Policy, enforce
from ringfence.policy.tree import Entry, MapNode, Node, Scalar

if TYPE_CHECKING:
    from ringfence.policy.layers.files import Wanted

_log = logging.getLogger("ringfence")

AnyPath: TypeAlias = str | PathLike[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a check found. `policy` is there exactly where there is no fault; a warning never keeps it away.

    `files` is every file that was looked at, there or not: the policy, its layers, its shadow and what they name.
    """

    source: str
    policy: Policy | None
    faults: tuple[Fault, ...]
    warnings: tuple[Fault, ...] = ()
    files: tuple[Path, ...] = ()
    unproved: Document | None = None
    """What the file says, where nothing but its invariants is wrong: for a prover to show why, and never in force."""

    @property
    def fault_lines(self) -> tuple[str, ...]:
        """Each fault as `file:line:col: message`, in file order."""
        return tuple(fault.render(self.source) for fault in self.faults)

    @property
    def warning_lines(self) -> tuple[str, ...]:
        """Each warning, likewise: `file:line:col: warning: message`."""
        return tuple(Fault(one.at, f"warning: {one.message}").render(self.source) for one in self.warnings)


def load_policy(path: AnyPath, *, layers: Iterable[AnyPath] = ()) -> Policy:
    """The policy in the file `path` under `layers`: TOML where its name ends in `.toml`, YAML 1.2 otherwise.

    A layer is a policy file without declarations, or an Apple device profile; it only narrows. A shadow policy that
    cannot be used is told of in the log, and the policy loads without it.

    Raises:
        PolicyNotReadable: the file is missing or may not be read.
        PolicyInvalid: it or a layer has faults; all of them are listed, in file order.
    """
    report = read_file(path, layers=layers)
    tell_of_shadow(report)
    return policy_of(report)


def read_policy(text: str, *, source: str = "policy.yaml") -> Policy:
    """The policy in `text`, as if it stood in the file `source`.

    Raises:
        PolicyInvalid: it has faults; all of them are listed, in order.
    """
    return policy_of(_read(text.encode("utf-8", "surrogatepass"), source))


def check_file(path: AnyPath, *, layers: Iterable[AnyPath] = ()) -> Report:
    """All that is wrong with the file `path`, and what will not work on this machine as it is.

    Raises:
        PolicyNotReadable: the file is missing or may not be read.
    """
    from ringfence.policy.warnings import find_warnings  # noqa: PLC0415

    report = read_file(path, layers=layers)
    if report.policy is None:
        return report
    return replace(report, warnings=(*find_warnings(report.policy.document), *report.warnings))


def read_file(path: AnyPath, *, layers: Iterable[AnyPath] = (), source: str | None = None) -> Report:
    """What the file `path` and `layers` say. Its warnings are those about a shadow; `source` is how it is named.

    Raises:
        PolicyNotReadable: the file is missing or may not be read.
    """
    return _read_file(Path(path), source or fspath(path), tuple(Path(layer) for layer in layers))


def narrowed(policy: Policy, layers: Iterable[AnyPath]) -> Report:
    """`policy` under `layers` that it is not under yet.

    INVARIANT: a layer that cannot be read is a fault of the whole, so nothing is in force without it.
    """
    wanted = tuple(path for path in map(Path, layers) if str(path.resolve()) not in policy.layers)
    if not wanted:
        return Report(source=policy.source, policy=policy, faults=())
    found, files = Faults(most=MAX_FAULTS), list[Path]()
    document = policy.document
    # The last of too many faults says that there are more.
    with suppress(TooManyFaults):
        document = _layered(document, _over(wanted), Path(), found, files)
        _check(document, found)
    if found.found:
        return Report(source=policy.source, policy=None, faults=found.in_file_order(), files=tuple(files))
    under = enforce(document, source=policy.source, name=policy.name, digest=_digest_under(policy, document))
    shadow = None if policy.shadow is None else narrowed(policy.shadow, wanted).policy
    under = replace(under, shadow=shadow, layers=(*policy.layers, *(str(path.resolve()) for path in wanted)))
    return Report(source=policy.source, policy=under, faults=(), files=tuple(files))


def policy_of(report: Report) -> Policy:
    """The policy of `report`.

    Raises:
        PolicyInvalid: there are faults.
    """
    if report.policy is not None:
        return report.policy
    count = len(report.faults)
    raise PolicyInvalid(
        f"policy file '{report.source}' has {count} {'fault' if count == 1 else 'faults'}", faults=report.fault_lines
    )


def tell_of_shadow(report: Report) -> None:
    """Says in the log, once, why the shadow of a policy that could be loaded is not used."""
    if report.policy is not None and report.warnings:
        _log.warning("the shadow of policy %s is not used: %s", report.source, "; ".join(report.warning_lines))


def _read_file(path: Path, source: str, layers: tuple[Path, ...], *, with_shadow: bool = True) -> Report:
    from ringfence.policy.source import read_bytes  # noqa: PLC0415  (the built-in policy reads no file)

    report = _read(read_bytes(path, shown=source), source, path=path.absolute(), layers=layers)
    shadow = None if report.policy is None else report.policy.document.shadow
    return _with_shadow(report, shadow, path, layers) if shadow is not None and with_shadow else report


def _with_shadow(report: Report, shadow: str, path: Path, layers: tuple[Path, ...]) -> Report:
    """`report` with the shadow of its policy, or with warnings of what is wrong with it."""
    shown = str(Path(report.source).parent / shadow)
    at, whole = Position(None, None, shown), path.resolve().parent / shadow
    try:
        if not whole.is_file():
            raise PolicyNotReadable(f"policy file {quoted(shown)} does not exist, or is no file")
        beside = _read_file(whole, shown, layers, with_shadow=False)
    except (PolicyNotReadable, OSError, ValueError) as error:
        why = error.message if isinstance(error, PolicyNotReadable) else "this file cannot be read"
        return replace(report, warnings=(Fault(at, f"{why}."),), files=(*report.files, whole))
    files = (*report.files, *beside.files)
    if beside.policy is None or report.policy is None:
        faults = (replace(one, at=replace(one.at, file=one.at.file or shown)) for one in beside.faults)
        return replace(report, warnings=tuple(faults), files=files)
    return replace(report, policy=replace(report.policy, shadow=beside.policy), files=files)


def _read(data: bytes, source: str, *, path: Path | None = None, layers: tuple[Path, ...] = ()) -> Report:
    from ringfence.policy.curly_quotes import note_curly_quotes  # noqa: PLC0415
    from ringfence.policy.read_document import read_document  # noqa: PLC0415

    faults, beside = Faults(most=MAX_FAULTS), list[Path]()
    folder = None if path is None else path.resolve().parent
    tree: Node | None = None
    document: Document | None = None
    sound = False
    # The last of too many faults says that there are more.
    with suppress(TooManyFaults):
        tree = _policy_tree(data, source, faults)
        document = None if tree is None else read_document(tree, faults, folder=folder)
        if document is not None and tree is not None and path is not None and not faults.found:
            root = path.resolve()
            wanted = [*_own(document, tree, root.parent, source), *_over(layers)]
            document = _layered(document, wanted, root, faults, beside)
        sound = document is not None and _check(document, faults)
    files = () if path is None else (path, *beside, *_trust_files(tree, path.resolve().parent))
    # INVARIANT: a file with any fault gives no policy.
    if document is None or faults.found:
        if tree is not None:
            with suppress(TooManyFaults):
                note_curly_quotes(tree, faults)
        unproved = document if sound else None
        return Report(source=source, policy=None, faults=faults.in_file_order(), files=files, unproved=unproved)
    policy = enforce(
        document if folder is None else _anchored(document, folder),
        source=source,
        name=document.name or _stem(source),
        # The digest is of what the file says: wherever it stands, it says the same.
        digest=document.digest(),
    )
    policy = replace(policy, layers=tuple(str(layer.resolve()) for layer in layers))
    return Report(source=source, policy=policy, faults=(), files=files)


def _policy_tree(data: bytes, source: str, faults: Faults) -> Node | None:
    """What the file says; `None`, with a fault noted, where that is no text of a policy, or a layer's."""
    from ringfence.policy.layers.mistaken import PROFILE, is_profile_by_name, not_a_policy  # noqa: PLC0415
    from ringfence.policy.source import read_tree  # noqa: PLC0415

    if is_profile_by_name(source):
        faults.add(NOWHERE, PROFILE)
        return None
    tree = read_tree(data, source, faults)
    why = None if tree is None else not_a_policy(tree, source)
    if tree is None or why is None:
        return tree
    faults.add(tree.at, why)
    return None


def _layered(document: Document, wanted: Sequence[Wanted], root: Path, faults: Faults, files: list[Path]) -> Document:
    """`document`, which `root` holds, under the layers that are `wanted`. What was looked at is added to `files`."""
    if not wanted:
        return document
    from ringfence.policy.layers.files import LayerFiles  # noqa: PLC0415  (most policies have no layer)
    from ringfence.policy.layers.layer import combined  # noqa: PLC0415

    found = LayerFiles(document, faults, files)
    for one in wanted:
        found.read(one, (root,))
    return replace(combined(document, found.layers), zone=found.zone())


def _own(document: Document, tree: Node, folder: Path, source: str) -> list[Wanted]:
    """The layers that a policy includes."""
    if not document.include:
        return []
    from ringfence.policy.layers.files import included  # noqa: PLC0415  (most policies have no layer)

    return list(included(tree, folder, source))


def _over(layers: Sequence[Path]) -> list[Wanted]:
    """Layers that are put over a policy from outside it."""
    if not layers:
        return []
    from ringfence.policy.layers.files import Wanted  # noqa: PLC0415  (most policies have no layer)

    return [
        Wanted(path=one.absolute(), written=one.name, shown=fspath(one), at=Position(None, None, fspath(one)))
        for one in layers
    ]


def _check(document: Document, faults: Faults) -> bool:
    """Notes what is wrong with the document as a whole; whether it is nothing, or invariants alone."""
    from ringfence.policy.checks import check_document  # noqa: PLC0415  (the built-in policy is checked by a test)

    check_document(document, faults)
    sound = not faults.found
    if document.invariants and sound:
        from ringfence.policy.prove import check_invariants  # noqa: PLC0415  (only for a file that asks for a proof)

        check_invariants(document, faults)
    return sound


def _trust_files(tree: Node | None, folder: Path) -> Iterator[Path]:
    """The trust files that recipients name, there or not: they are in the digest, so that a change of one counts."""
    for recipient in _value(tree, "recipients"):
        for key in _entries(recipient.value):
            if key.key == "trust" and isinstance(key.value, Scalar) and isinstance(key.value.value, str):
                yield folder / key.value.value.strip()


def _value(tree: Node | None, key: str) -> tuple[Entry, ...]:
    return next((_entries(entry.value) for entry in _entries(tree) if entry.key == key), ())


def _entries(node: Node | None) -> tuple[Entry, ...]:
    return node.entries if isinstance(node, MapNode) else ()


def _digest_under(policy: Policy, document: Document) -> str:
    """The digest of `policy` under layers. Where it names files their whole paths are in it, and do not count."""
    digest = document.digest()
    if policy.document.digest() == policy.digest:
        return digest
    import hashlib  # noqa: PLC0415

    said = replace(document, recipients={}).digest()
    return f"sha256:{hashlib.sha256(f'{policy.digest} {said}'.encode()).hexdigest()}"


def _anchored(document: Document, folder: Path) -> Document:
    """`document` with the whole path of every secret that lies in a file."""
    from ringfence.policy.read_recipients import anchored  # noqa: PLC0415

    return replace(
        document, recipients={name: anchored(recipient, folder) for name, recipient in document.recipients.items()}
    )


def _stem(source: str) -> str:
    """The name of the file, safe to print and to record, whatever a file may be named."""
    stem = Path(source).stem
    return stem if stem.isprintable() else ascii(stem)[1:-1]
