"""`ringfence policy graph`: a picture of where each label may go."""

from __future__ import annotations

from pathlib import Path

import click

from ringfence.cli import terminal
from ringfence.cli.failure import Misuse
from ringfence.cli.options import json_option, layer_option
from ringfence.cli.policy.shown import layers_in_force


@click.command()
@click.argument("file", type=click.Path())
@click.option("--output", type=click.Path(), metavar="FILE.svg", help="Write it there. [default: stdout]")
@click.option("--denied", is_flag=True, help="Show faintly what a rule denies by name, too.")
@layer_option
@json_option("The same as data: how each label may reach each recipient.")
def graph(*, file: str, output: str | None, denied: bool, layers: tuple[str, ...], as_json: bool) -> None:
    """Draws which label may reach which recipient under FILE, as one SVG picture that needs nothing beside itself.

    Exit 1 if FILE has faults, 2 if it cannot be read or the picture cannot be written there.
    """
    from ringfence.policy import load_policy  # noqa: PLC0415  (help and completion read no policy)

    if as_json and output is not None:
        raise Misuse("--json writes to stdout, and --output holds a picture", way_out="leave one of them out")
    if output is not None and Path(output).suffix.lower() not in ("", ".svg"):
        raise Misuse("the picture is an SVG", way_out=f"name it {Path(output).with_suffix('.svg').name}")
    policy = load_policy(file, layers=layers_in_force(layers))
    if as_json:
        from ringfence.review.graph import as_document  # noqa: PLC0415

        terminal.write_json(as_document(policy, denied=denied), indent=2)
        return
    from ringfence.review.graph import graph as drawn  # noqa: PLC0415

    picture = drawn(policy, denied=denied)
    if output is None:
        terminal.write(picture)
    else:
        _save(picture, Path(output), policy_file=Path(file))


def _save(picture: str, path: Path, *, policy_file: Path) -> None:
    if path.exists() and path.samefile(policy_file):
        raise Misuse("--output names the policy itself", way_out="--output policy.svg")
    try:
        path.write_text(picture, encoding="utf-8")
    except (OSError, ValueError) as error:
        why = (getattr(error, "strerror", None) or "not a usable path").lower()
        raise Misuse(f"'{terminal.harmless(str(path))}' cannot be written: {why}") from None
    terminal.say(f"wrote {terminal.harmless(str(path))}")


__all__ = ["graph"]
