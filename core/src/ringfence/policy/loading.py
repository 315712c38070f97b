"""A policy file → a policy in force, or every fault in it."""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path

from ringfence.errors import PolicyInvalid
from ringfence.policy.document import Document
from ringfence.policy.faults import Fault, Faults
from ringfence.policy.policy import Policy, enforce


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a check found. `policy` is there exactly where there is no fault; a warning never keeps it away."""

    source: str
    policy: Policy | None
    faults: tuple[Fault, ...]
    warnings: tuple[Fault, ...] = ()

    @property
    def fault_lines(self) -> tuple[str, ...]:
        """Each fault as `file:line:col: message`, in file order."""
        return tuple(fault.render(self.source) for fault in self.faults)

    @property
    def warning_lines(self) -> tuple[str, ...]:
        """Each warning, likewise: `file:line:col: warning: message`."""
        return tuple(Fault(one.at, f"warning: {one.message}").render(self.source) for one in self.warnings)


def load_policy(path: str | PathLike[str]) -> Policy:
    """The policy in the file `path`: TOML where its name ends in `.toml`, YAML 1.2 otherwise.

    Raises:
        PolicyNotReadable: the file is missing or may not be read.
        PolicyInvalid: it has faults; all of them are listed, in file order.
    """
    from ringfence.policy.source import read_bytes  # noqa: PLC0415  (the built-in policy reads no file)

    return _policy(_read(read_bytes(Path(path)), fspath(path), folder=_folder(path)))


def read_policy(text: str, *, source: str = "policy.yaml") -> Policy:
    """The policy in `text`, as if it stood in the file `source`.

    Raises:
        PolicyInvalid: it has faults; all of them are listed, in order.
    """
    return _policy(_read(text.encode("utf-8", "surrogatepass"), source))


def check_file(path: str | PathLike[str]) -> Report:
    """All that is wrong with the file `path`, and what will not work on this machine as it is.

    Raises:
        PolicyNotReadable: the file is missing or may not be read.
    """
    from dataclasses import replace  # noqa: PLC0415

    from ringfence.policy.source import read_bytes  # noqa: PLC0415
    from ringfence.policy.warnings import find_warnings  # noqa: PLC0415

    report = _read(read_bytes(Path(path)), fspath(path), folder=_folder(path))
    return report if report.policy is None else replace(report, warnings=find_warnings(report.policy.document))


def _folder(path: str | PathLike[str]) -> Path:
    """Where the file `path` stands; it was just read from there."""
    return Path(path).parent.resolve()


def _read(data: bytes, source: str, *, folder: Path | None = None) -> Report:
    from ringfence.policy.checks import check_document  # noqa: PLC0415  (the built-in policy is checked by a test)
    from ringfence.policy.curly_quotes import note_curly_quotes  # noqa: PLC0415
    from ringfence.policy.read_document import read_document  # noqa: PLC0415
    from ringfence.policy.source import read_tree  # noqa: PLC0415

    faults = Faults()
    tree = read_tree(data, source, faults)
    document = None if tree is None else read_document(tree, faults, folder=folder)
    if document is not None:
        check_document(document, faults)
    if document is not None and document.invariants and not faults.found:
        from ringfence.policy.prove import check_invariants  # noqa: PLC0415  (only for a file that asks for a proof)

        check_invariants(document, faults)
    # INVARIANT: a file with any fault gives no policy.
    if document is None or faults.found:
        if tree is not None:
            note_curly_quotes(tree, faults)
        return Report(source=source, policy=None, faults=faults.in_file_order())
    policy = enforce(
        document if folder is None else _anchored(document, folder),
        source=source,
        name=document.name or _stem(source),
        # The digest is of what the file says: wherever it stands, it says the same.
        digest=document.digest(),
    )
    return Report(source=source, policy=policy, faults=())


def _anchored(document: Document, folder: Path) -> Document:
    """`document` with the whole path of every secret that lies in a file."""
    from dataclasses import replace  # noqa: PLC0415

    from ringfence.policy.read_recipients import anchored  # noqa: PLC0415

    return replace(
        document, recipients={name: anchored(recipient, folder) for name, recipient in document.recipients.items()}
    )


def _stem(source: str) -> str:
    """The name of the file, safe to print and to record, whatever a file may be named."""
    stem = Path(source).stem
    return stem if stem.isprintable() else ascii(stem)[1:-1]


def _policy(report: Report) -> Policy:
    if report.policy is not None:
        return report.policy
    count = len(report.faults)
    raise PolicyInvalid(
        f"policy file '{report.source}' has {count} {'fault' if count == 1 else 'faults'}", faults=report.fault_lines
    )
