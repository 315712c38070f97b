"""`ringfence models`: the models of a provider on this machine."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TypeVar, assert_never

import click

from ringfence.cli import interrupts, options, terminal
from ringfence.cli.bring import DEFAULT_PROVIDER, models_command
from ringfence.cli.failure import Misuse
from ringfence.errors import Unavailable
from ringfence.provider import Availability, Available, Downloadable, Downloading, Downloads, NotAvailable, Provider

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from ringfence.provider import ModelCard

_STATES: dict[type[Availability], str] = {
    Available: "available",
    Downloadable: "downloadable",
    Downloading: "downloading",
    NotAvailable: "unavailable",
}

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


def _provider_option(command: Decorated) -> Decorated:
    return click.option(
        "--provider",
        default=DEFAULT_PROVIDER,
        show_default=True,
        metavar="NAME",
        help="Whose models.",
        callback=_installed,
    )(command)


def _installed(ctx: click.Context, param: click.Parameter, value: str) -> str:
    """The name of a provider that is installed, be it broken."""
    del param
    if ctx.resilient_parsing:
        return value
    from ringfence import registry  # noqa: PLC0415  (scans what is installed)

    known = sorted({*(plugin.name for plugin in registry.installed()), *registry.duplicates()})
    # The provider that is meant where none is named says itself how it is installed.
    if value not in known and value != DEFAULT_PROVIDER:
        near = difflib.get_close_matches(value[:100], known, n=1)
        way_out = f"--provider {near[0]}" if near else f"one that is installed: {', '.join(known) or 'there is none'}"
        raise Misuse(f"provider '{value}' is not installed", way_out=way_out)
    return value


@click.group()
def models() -> None:
    """The models on this machine."""


@models.command("list")
@_provider_option
@options.json_option()
def list_models(*, provider: str, as_json: bool) -> None:
    """Lists the models a provider has here, those it can bring, and those it knows elsewhere."""
    found, keeps = interrupts.run(_states(provider))
    folder = _folder(provider) if keeps else None
    if as_json:
        rows = [{**_card_document(card), "availability": _state_document(state)} for card, state in found]
        terminal.write_json({"provider": provider, "folder": folder, "models": rows}, indent=2)
        return
    if not found:
        terminal.say(f"provider {provider} knows no model")
        return
    terminal.write_table(_table(found))
    for line in _why_not(provider, found):
        terminal.say(line, fg="yellow")
    for card, state in found:
        if isinstance(state, Downloadable):
            terminal.say(terminal.harmless(f"to bring {card.name}: {models_command('pull', card.name, provider)}"))
    elsewhere = "not on this machine; a policy says what may go there"
    terminal.say(elsewhere if folder is None else f"kept in {folder}", dim=True)


def _why_not(provider: str, found: list[tuple[ModelCard, Availability]]) -> Iterator[str]:
    """Why models cannot be used now; once for the provider where all have the same reason."""
    reasons = {card.name: state for card, state in found if isinstance(state, NotAvailable)}
    if len(found) > 1 and len(reasons) == len(found) and len(set(reasons.values())) == 1:
        reasons = {provider: next(iter(reasons.values()))}
    for name, state in reasons.items():
        yield terminal.harmless(f"{name}: {state.detail} (try: {state.way_out})")


@models.command()
@click.argument("model", required=False)
@_provider_option
@options.json_option()
def pull(*, model: str | None, provider: str, as_json: bool) -> None:
    """Brings MODEL to this machine, or the provider's own default model.

    Stopped half-way, what came is kept, and the next pull goes on from there. What came is verified before it is used.
    """
    chosen = model or _default_model(provider)
    document = interrupts.run(_pull(provider, chosen))
    if as_json:
        terminal.write_json(document, indent=2)


@models.command()
@click.argument("model")
@click.option("--yes", is_flag=True, help="Do not ask.")
@_provider_option
@options.json_option()
def rm(*, model: str, yes: bool, provider: str, as_json: bool) -> None:
    """Deletes MODEL from this machine."""
    if not yes:
        if not terminal.is_terminal(sys.stdin):
            raise Misuse(
                "this deletes a model, and there is nobody to ask",
                way_out=models_command("rm --yes", model, provider),
            )
        if not click.confirm(f"delete model {model} from this machine?", err=True):
            raise click.Abort
    freed = interrupts.run(_remove(provider, model))
    if as_json:
        terminal.write_json({"provider": provider, "model": model, "freed_bytes": freed}, indent=2)
    else:
        from ringfence.cli.bring import megabytes  # noqa: PLC0415

        terminal.say(f"model {model} is deleted; {megabytes(freed)} are free again")


def _folder(provider: str) -> str:
    from ringfence.paths import cache_dir  # noqa: PLC0415

    return str(cache_dir() / provider)


def _default_model(provider: str) -> str:
    from ringfence import registry  # noqa: PLC0415  (scans what is installed)

    manifest = registry.manifest(provider)
    if "download" not in manifest.capabilities:
        raise _keeps_none(provider)
    if manifest.default_model is None:
        raise Misuse(f"provider '{provider}' has no default model", way_out="name one: ringfence models list")
    return manifest.default_model


def _keeps_none(provider: str) -> Misuse:
    return Misuse(
        f"provider '{provider}' keeps no models on this machine", way_out=f"ringfence models list --provider {provider}"
    )


async def _states(name: str) -> tuple[list[tuple[ModelCard, Availability]], bool]:
    """The models of a provider and how they stand, and whether it keeps them on this machine."""
    from ringfence.cli.bring import opened, stand_in  # noqa: PLC0415

    async with opened(name) as provider:
        cards = await provider.models()
        found = [(card, await provider.availability(stand_in(provider, card.name))) for card in cards]
        return found, isinstance(provider, Downloads)


async def _pull(name: str, model: str) -> dict[str, Any]:
    from ringfence.cli.bring import bring, opened, stand_in  # noqa: PLC0415

    async with opened(name) as provider:
        downloads = _downloads(provider, name)
        state = await provider.availability(stand_in(provider, model))
        path = None
        match state:
            case Available():
                terminal.say(f"model {model} is on this machine already")
            case NotAvailable(reason=reason, detail=detail, way_out=way_out):
                meant = await _meant(provider, model) if reason == "no_model" else None
                raise Unavailable(
                    detail, reason=reason, way_out=models_command("pull", meant, name) if meant else way_out
                )
            case Downloadable() | Downloading():
                path = await bring(downloads, model, state, provider=name)
            case _:
                assert_never(state)
    came = not isinstance(state, Available)
    return {"provider": name, "model": model, "downloaded": came, "path": None if path is None else str(path)}


async def _meant(provider: Provider, model: str) -> str | None:
    """The model of the provider whose name is a slip of the keys away."""
    near = difflib.get_close_matches(model[:100], [card.name for card in await provider.models()], n=1)
    return near[0] if near and near[0] != model else None


async def _remove(name: str, model: str) -> int:
    from ringfence.cli.bring import opened  # noqa: PLC0415

    async with opened(name) as provider:
        return await _downloads(provider, name).remove(model)


def _downloads(provider: Provider, name: str) -> Downloads:
    if not isinstance(provider, Downloads):
        raise _keeps_none(name)
    return provider


def _card_document(card: ModelCard) -> dict[str, Any]:
    return {**asdict(card), "capabilities": sorted(card.capabilities)}


def _state_document(state: Availability) -> dict[str, Any]:
    return {"state": _STATES[type(state)], **asdict(state)}


def _table(found: list[tuple[ModelCard, Availability]]) -> Table:
    from ringfence.cli.rows import rows  # noqa: PLC0415  (rich takes 45 ms, and only a table needs it)

    names = ("model", "state", "size", "context", "can", "what it is")
    return rows(names, [_cells(card, state) for card, state in found], right=("size", "context"))


def _cells(card: ModelCard, state: Availability) -> list[Text]:
    from rich.text import Text  # noqa: PLC0415

    from ringfence.cli.bring import megabytes  # noqa: PLC0415

    words, style = _state_words(state)
    return [
        Text(terminal.harmless(card.name)),
        Text(words, style=style),
        Text(megabytes(card.size_bytes) if card.size_bytes is not None else "–"),
        Text(f"{card.context_tokens:,}"),
        Text(", ".join(sorted(card.capabilities))),
        Text(" · ".join(part for part in (card.summary, card.license) if part) or "–"),
    ]


def _state_words(state: Availability) -> tuple[str, str]:
    match state:
        case Available():
            return "available", "green"
        case Downloadable():
            return "not here yet", "yellow"
        case Downloading(done_bytes=done, total_bytes=total):
            return f"downloading {100 * done // total} %" if total else "downloading", "yellow"
        case NotAvailable(reason=reason):
            return reason.replace("_", " "), "red"
        case _:
            assert_never(state)


__all__ = ["models"]
