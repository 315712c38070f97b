"""`ringfence house release`: the builds and models that nodes may serve."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from ringfence.cli import terminal
from ringfence.cli.failure import Misuse
from ringfence.cli.options import json_option
from ringfence.provider import Capability
from ringfence_house.cli import shared
from ringfence_house.releases.faults import ReleasesFault

if TYPE_CHECKING:
    from rich.text import Text

    from ringfence_house.releases.reference import Release

_DAY_S = 86_400
_PATH = click.Path(path_type=Path, exists=True)


class _Day(click.DateTime):
    """A day, with its form in words that people use."""

    name = "day"

    def __init__(self) -> None:
        super().__init__(["%Y-%m-%d"])

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The day's beginning; wrong usage where it is none."""
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter:
            self.fail(f"'{value}' is no day; write it as YYYY-MM-DD", param, ctx)


_DATE = _Day()


@click.group()
def release() -> None:
    """The releases: a build of the node with a model and a configuration, each known by its measure."""


@release.command()
@click.argument("release_id", metavar="ID")
@click.option("--model", required=True, metavar="NAME", help="The name under which clients ask for it.")
@click.option(
    "--code-sha256", required=True, metavar="HEX", help="The code's measure, as `ringfence-node measure` prints."
)
@click.option("--config-sha256", required=True, metavar="HEX", help="The configuration's measure, from there too.")
@click.option("--model-sha256", metavar="HEX", help="The model's measure, from there too …")
@click.option("--model-folder", type=_PATH, metavar="PATH", help="… or measured now: a file or a folder.")
@click.option("--context-tokens", type=click.IntRange(min=1), required=True, metavar="N", help="The model's context.")
@click.option(
    "--capability",
    "capabilities",
    type=click.Choice(get_args(Capability)),
    multiple=True,
    help="What the model can do; may be repeated. [default: text]",
)
@click.option("--from", "start", type=_DATE, metavar="DATE", help="The first day, in UTC. [default: now]")
@click.option("--until", "end", type=_DATE, metavar="DATE", help="The day it ends, in UTC. [default: in 90 days]")
@click.option("--min-os", metavar="VERSION", help="The least version of macOS, such as 14.4.")
@shared.keys_option
@shared.repository_option
@json_option()
def add(
    *,
    release_id: str,
    model: str,
    code_sha256: str,
    config_sha256: str,
    model_sha256: str | None,
    model_folder: Path | None,
    context_tokens: int,
    capabilities: Sequence[str],
    start: datetime | None,
    end: datetime | None,
    min_os: str | None,
    keys: tuple[Path, ...],
    folder: Path,
    as_json: bool,
) -> None:
    """Lets nodes serve the release ID, and publishes that.

    `ringfence-node measure`, with the options of the node, prints three of the options of this command. The facts of a
    release never change afterwards: another build, model, configuration or time is another release.
    """
    from ringfence_house.releases.reference import Release  # noqa: PLC0415

    now = int(time.time())
    repository = shared.opened(folder, keys)
    added = Release(
        id=release_id,
        model=model,
        code=code_sha256.lower(),
        model_digest=_of_model(model_sha256, model_folder),
        config=config_sha256.lower(),
        not_before=now if start is None else _time(start),
        not_after=now + 90 * _DAY_S if end is None else _time(end),
        capabilities=frozenset(capabilities or ("text",)),
        context_tokens=context_tokens,
        min_os=min_os,
    )
    repository.add_release(added)
    if added.not_after <= now:
        ended = shared.day(added.not_after)
        raise ReleasesFault(
            f"release '{release_id}' would have ended already, {ended}", way_out="--until a day to come"
        )
    changes = shared.announce(repository, as_json=as_json)
    repository.publish()
    document = {"release": _document(added), **changes}
    since = "" if added.not_before <= now else f" from {shared.day(added.not_before)}"
    shared.tell(repository, f"nodes may serve {release_id}{since}", document, as_json=as_json)


@release.command("list")
@shared.keys_option
@shared.repository_option
@json_option()
def list_releases(*, keys: tuple[Path, ...], folder: Path, as_json: bool) -> None:
    """Lists the releases, those that have ended too, as verified from the root.json that lies with the keys.

    Where there are no keys it lists them too, and says that nothing is verified.
    """
    found, verified = shared.listed(folder, keys)
    releases, size, root = found.releases.values(), found.log_size, found.log_root.hex()
    if as_json:
        document = {"verified": verified, "releases": [_document(one) for one in releases]}
        terminal.write_json({**document, "log": {"size": size, "root": root}}, indent=2)
        return
    if releases:
        shared.show(("release", "state", "model", "from", "until", "code"), [_row(one) for one in releases])
    else:
        terminal.say("there are no releases yet")
    terminal.say(f"log: {size} {'entry' if size == 1 else 'entries'}, root {root}", dim=True)


@release.command()
@click.argument("release_id", metavar="ID")
@shared.keys_option
@shared.repository_option
@json_option()
def revoke(*, release_id: str, keys: tuple[Path, ...], folder: Path, as_json: bool) -> None:
    """Ends the release ID, and publishes that; it stays in the log.

    A client that has read the list before goes by it until it reads again, at most until the old timestamp ends.
    """
    repository = shared.opened(folder, keys)
    repository.revoke_release(release_id)
    changes = shared.announce(repository, as_json=as_json)
    repository.publish()
    document = {"release": _document(repository.releases[release_id]), **changes}
    shared.tell(repository, f"no node may serve {release_id} any more", document, as_json=as_json)


def _of_model(digest: str | None, path: Path | None) -> str:
    """The measure that was given, or that of `path`; one of the two."""
    from ringfence_house.releases.measure import measure  # noqa: PLC0415

    if (path is None) == (digest is None):
        raise Misuse("a release needs either --model-sha256 or --model-folder", way_out="one of the two")
    return measure(path) if path is not None else str(digest).lower()


def _time(day: datetime) -> int:
    return int(day.replace(tzinfo=UTC).timestamp())


def _document(one: Release) -> dict[str, object]:
    return {**asdict(one), "capabilities": sorted(one.capabilities), "state": shared.state(one)}


def _row(one: Release) -> tuple[Text, ...]:
    state = shared.state(one)
    return (
        shared.cell(one.id),
        shared.cell(state, style=shared.STATE_STYLES[state]),
        shared.cell(one.model),
        shared.cell(shared.day(one.not_before)),
        shared.cell(shared.day(one.not_after)),
        shared.cell(one.code[:12]),
    )


__all__ = ["release"]
