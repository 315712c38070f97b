"""What the operator's commands share: their options, and how a change is told."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ringfence.cli import terminal

if TYPE_CHECKING:
    from rich.text import Text

    from ringfence_house.releases.reference import Release
    from ringfence_house.releases.repository import Repository
    from ringfence_house.releases.seen import Seen

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

STATE_STYLES = {"serves": "green", "revoked": "red", "ended": "yellow", "to come": "yellow"}
"""The colour of each state of a release or machine."""

_KEYS = Path("keys")
_NAMES = {"releases": "release", "machines": "machine"}
_TO_DO = {"added": "add", "revoked": "revoke", "restored": "restore", "changed": "change", "removed": "remove"}
_RENEW = {
    "root": "two people must run 'ringfence house sign'",
    "targets": "two people must run 'ringfence house sign'",
    "snapshot": "run 'ringfence house publish'",
    "timestamp": "run 'ringfence house publish'",
}
"""What renews each role, for whoever is told that it ends."""

repository_option = click.option(
    "--repository",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("releases"),
    show_default=True,
    metavar="DIR",
    help="The folder of the repository.",
)
keys_option = click.option(
    "--keys",
    "keys",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    multiple=True,
    metavar="DIR",
    help="A folder with keys and their root.json, such as a stick; may be repeated. [default: keys]",
)


def opened(folder: Path, keys: Sequence[Path]) -> Repository:
    """The repository, verified from the roots that lie with the keys.

    Raises:
        ReleasesFault: there is none, or it is not to be believed.
    """
    from ringfence_house.releases.repository import Repository  # noqa: PLC0415  (0.1 s; `--help` waits for none of it)

    return Repository(folder, keys=keys or (_KEYS,))


def listed(folder: Path, keys: Sequence[Path]) -> tuple[Seen, bool]:
    """What the repository lists, and whether that is verified: it is but where there are no keys, which is said.

    So is what has ended, for no client goes by such a list.

    Raises:
        ReleasesFault: as `opened`.
    """
    from ringfence_house.releases.published import read_unverified  # noqa: PLC0415

    if keys or _KEYS.exists():
        repository = opened(folder, keys)
        _say_ended(repository.expiries())
        return repository.published(), True
    found = read_unverified(folder)
    _say_ended(found.expiries())
    terminal.say("nothing of this is verified: whoever can write the repository may have written it", fg="yellow")
    terminal.say("try: --keys DIR, a folder with the root.json of the house", fg="yellow")
    return found.seen(), False


def announce(repository: Repository, *, as_json: bool) -> Mapping[str, object]:
    """Says by its ids what is to be signed and was not before; gives the same for a document.

    Nothing is done yet: it may fail after this, such as for a key that is not at hand.
    """
    changes = repository.changes()
    document = {what: {k: list(ids) for k, ids in found.by_kind().items()} for what, found in changes.items()}
    if not as_json:
        lines = [
            f"to be signed: {_TO_DO[kind]} {_NAMES[what]} {terminal.harmless(', '.join(ids))}\n"
            for what, found in changes.items()
            for kind, ids in found.by_kind().items()
            if ids
        ]
        terminal.write("".join(lines) or "no release and no machine is added, revoked or removed\n")
    return {"changes": document}


def expiries(repository: Repository) -> dict[str, int]:
    """When each role ends, in Unix time."""
    return {role: int(at) for role, at in repository.expiries().items()}


def day(at: float) -> str:
    """A date for people, in UTC."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d")


def tell(repository: Repository, said: str, document: Mapping[str, object], *, as_json: bool) -> None:
    """Says what a change did, and until when what was published holds."""
    if as_json:
        size, root = repository.log_head()
        log = {"size": size, "root": root}
        terminal.write_json({**document, "expires": expiries(repository), "log": log}, indent=2)
        return
    terminal.write(f"{said}\n")
    ends = ", ".join(f"{role} {day(at)}" for role, at in expiries(repository).items())
    terminal.say(f"signed until: {ends}", dim=True)


def state(one: Release) -> str:
    """How a release stands now: a key of `STATE_STYLES`."""
    now = time.time()
    if one.revoked:
        return "revoked"
    return "to come" if now < one.not_before else "ended" if now >= one.not_after else "serves"


def say_end(role: str, at: float) -> None:
    """Says when a role ends or that it has ended, what that does to clients, and who has to do what."""
    ends = f"ended {day(at)}, clients refuse the house" if at <= time.time() else f"ends {day(at)}"
    terminal.say(f"due: the {role} {ends}: {_RENEW[role]}", fg="red")


def _say_ended(ends: Mapping[str, float]) -> None:
    for role, at in ends.items():
        if at <= time.time():
            say_end(role, at)


def cell(written: str, *, style: str = "") -> Text:
    """Text of a table: never read as markup, and no control character reaches the terminal."""
    from rich.text import Text  # noqa: PLC0415  (45 ms, and only a table needs it)

    return Text(terminal.harmless(written), style=style)


def show(columns: Sequence[str], cells: Sequence[Sequence[Text]]) -> None:
    """Writes a table: a row for each thing where it fits, else a line for each fact."""
    from ringfence.cli.rows import rows  # noqa: PLC0415

    terminal.write_table(rows(columns, cells))


__all__ = [
    "STATE_STYLES",
    "announce",
    "cell",
    "day",
    "expiries",
    "keys_option",
    "listed",
    "opened",
    "repository_option",
    "say_end",
    "show",
    "state",
    "tell",
]
