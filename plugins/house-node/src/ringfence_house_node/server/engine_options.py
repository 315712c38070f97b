"""The engine, as options of the commands that speak of it."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args

import click

from ringfence.provider import Capability
from ringfence_house_node.engine import EngineKind, EngineServer, EngineSettings

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

_OPTIONS = (
    click.option("--model", required=True, metavar="NAME", help="The name under which clients ask for it."),
    click.option(
        "--engine",
        "kind",
        type=click.Choice(get_args(EngineKind)),
        default="mlx",
        show_default=True,
        help="What computes.",
    ),
    click.option("--engine-url", "url", metavar="URL", help="Its API on loopback: http://127.0.0.1:8080/v1."),
    click.option(
        "--engine-command", "command", default="", metavar="TEXT", help="What serves it, run and watched here."
    ),
    click.option("--engine-key", metavar="PLACE", help="Where its key is, if it wants one: env:NAME or file:PATH."),
    click.option(
        "--engine-server",
        "server",
        type=click.Choice(get_args(EngineServer)),
        default="other",
        show_default=True,
        help="Whose server it is.",
    ),
    click.option("--served-model", metavar="NAME", help="The server's own name for the model."),
    click.option(
        "--capability",
        "capabilities",
        type=click.Choice(get_args(Capability)),
        multiple=True,
        help="What the model can do; may be repeated. [default: what is known of the engine]",
    ),
    click.option("--context-tokens", type=click.IntRange(min=1), metavar="N", help="Bounds prompt and answer."),
    click.option(
        "--weights",
        type=click.Path(path_type=Path, exists=True),
        metavar="PATH",
        help="The model's file or folder, measured at the start.",
    ),
)


def engine_options(command: Decorated) -> Decorated:
    """Adds them to a command, which hands them to `engine_of` by name."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def engine_of(given: Mapping[str, Any], *, concurrency: int) -> EngineSettings:
    """The settings that the options make.

    Raises:
        InvalidRequest: they do not fit together.
    """
    return EngineSettings(
        kind=given["kind"],
        model=given["model"],
        url=given["url"],
        command=tuple(shlex.split(given["command"])),
        server=given["server"],
        served_model=given["served_model"],
        capabilities=frozenset(given["capabilities"]) or None,
        context_tokens=given["context_tokens"],
        key=_place(given["engine_key"]),
        concurrency=concurrency,
    )


def _place(key: str | None) -> str | None:
    """The place of a key; a file by its whole path."""
    kind, _, name = (key or "").partition(":")
    return f"file:{Path(name).absolute()}" if kind == "file" and name else key


__all__ = ["engine_of", "engine_options"]
