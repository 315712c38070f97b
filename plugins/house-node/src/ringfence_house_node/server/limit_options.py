"""The limits, as options of `serve`; their defaults are those of `Limits`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, TypeVar

import click

from ringfence_house_node.server.limits import Limits

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

_DEFAULTS = asdict(Limits())
_METAVARS = {"concurrency": "N", "queue": "N", "share": "SHARE"}
"""Of those that are no seconds."""
_HELP: Mapping[str, tuple[str, str]] = {
    "--concurrency": ("concurrency", "Requests that run at once."),
    "--queue": ("queue", "Requests that wait for a seat."),
    "--queue-seconds": ("queue_s", "How long one waits at most."),
    "--share": ("share", "Of the queue that one caller may hold, 0 to 1."),
    "--body-seconds": ("body_s", "Within which a request must be here."),
    "--answer-seconds": ("answer_s", "Within which an answer must be out."),
    "--drain-seconds": ("drain_s", "How long what runs may go on after SIGTERM."),
    "--key-life-seconds": ("key_life_s", "Of a key; at half of it the next is offered."),
    "--key-grace-seconds": ("key_grace_s", "How long a key is accepted after its life."),
}
_KINDS: Mapping[str, click.IntRange | click.FloatRange] = {
    "concurrency": click.IntRange(1, 10_000),
    "queue": click.IntRange(0, 100_000),
    "share": click.FloatRange(0, 1),
    "key_life_s": click.IntRange(2, 3600),
    "key_grace_s": click.IntRange(0, 3600),
}


def limit_options(command: Decorated) -> Decorated:
    """Adds them to a command, which hands them to `limits_of` by name."""
    for option, (name, text) in reversed([*_HELP.items()]):
        kind = _KINDS.get(name, click.FloatRange(min=0.1))
        command = click.option(
            option,
            name,
            type=kind,
            default=_DEFAULTS[name],
            show_default=True,
            metavar=_METAVARS.get(name, "SECONDS"),
            help=text,
        )(command)
    return command


def limits_of(given: Mapping[str, Any]) -> Limits:
    """The limits that the options make."""
    return Limits(**{name: given[name] for name, _ in _HELP.values()})


__all__ = ["limit_options", "limits_of"]
