"""`ringfence plugin`: a new provider or detector that works from the start, and the kit for one that is written."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ringfence.cli import failure, terminal
from ringfence.cli.options import json_option

if TYPE_CHECKING:
    from ringfence.scaffold import Kind


@click.group()
def plugin() -> None:
    """Write a provider or a detector, and test it."""


@plugin.command()
@click.argument("name")
@click.option(
    "--kind",
    type=click.Choice(["http", "local", "detector"]),
    default="http",
    show_default=True,
    help="A provider that asks a service, a provider that answers on this machine, or a detector.",
)
@click.option(
    "--dir",
    "folder",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="Where. [default: ./ringfence-NAME; of a detector ./ringfence-detector-NAME]",
)
@json_option()
def new(*, name: str, kind: Kind, folder: Path | None, as_json: bool) -> None:
    """Writes a provider or detector NAME that works and passes the conformance kit, to go on from.

    The folder is written whole or not at all, and must not exist or be empty.
    """
    from ringfence.scaffold import distribution, make_plugin  # noqa: PLC0415  (help and completion write nothing)

    target = folder or Path(distribution(name, kind))
    made = make_plugin(name, kind, target)
    if as_json:
        paths = [path.relative_to(target).as_posix() for path in made]
        terminal.write_json({"name": name, "kind": kind, "path": str(target), "files": paths}, indent=2)
        return
    terminal.write(f"{target}\n")
    terminal.say("it passes the kit as it stands:")
    terminal.say(f"  cd {target}")
    terminal.say("  pip install -e '.[test]'")
    terminal.say("  ringfence plugin test")


@plugin.command()
@click.argument("target", required=False, metavar="[NAME|PATH]")
@json_option()
def test(*, target: str | None, as_json: bool) -> None:
    """Runs the conformance kit, and shows which groups of rules are kept, and each rule that is broken.

    PATH is a plugin's folder or a test module; left out, it is this folder. NAME is an installed provider that needs no
    network, or an installed detector. Exit 0 if every rule is kept, 1 if one is broken, 2 if there is nothing to test.
    """
    try:
        from ringfence.testing.kit.running import by_rule, run_kit  # noqa: PLC0415  (brings pytest)
    except ModuleNotFoundError as error:
        raise _missing(error) from None
    from ringfence.cli import plugin_rules  # noqa: PLC0415

    with plugin_rules.progress() as progress:
        rules = by_rule(run_kit(target, progress))
    if as_json:
        kept = all(rule.kept for rule in rules)
        terminal.write_json({"passed": kept, "rules": plugin_rules.documents(rules)}, indent=2)
    else:
        terminal.write_table(plugin_rules.table(rules))
        plugin_rules.say_the_end(rules, target)
    click.get_current_context().exit(failure.DONE if all(rule.kept for rule in rules) else failure.REFUSED)


def _missing(error: ModuleNotFoundError) -> Exception:
    """What it means that a package is not there: the kit needs pytest, and nothing else that is not installed."""
    from ringfence.errors import Unavailable  # noqa: PLC0415

    if (error.name or "").partition(".")[0] not in {"pytest", "_pytest", "httpx2"}:
        return error
    return Unavailable("the conformance kit needs pytest", reason="no_package", way_out="pip install 'ringfence[kit]'")


__all__ = ["plugin"]
