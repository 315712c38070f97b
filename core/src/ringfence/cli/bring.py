"""Bringing a model to this machine, with the progress on stderr."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator, Generator
from contextlib import aclosing, asynccontextmanager, contextmanager
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Protocol

from ringfence.cli import interrupts, terminal
from ringfence.errors import Unavailable
from ringfence.provider import Available, Downloadable, Downloading, DownloadProgress, Downloads, NotAvailable, Provider

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from ringfence.policy import Policy
    from ringfence.recipient import Recipient

DEFAULT_PROVIDER = "mlx"
"""Whose models `ringfence models` speaks of, unless it is told."""

_STEPS = {"download": "downloading", "verify": "verifying", "convert": "converting"}
_PLAIN_PERCENT = 10


def megabytes(size_bytes: int | None) -> str:
    """`92.9 MB`; `size unknown` where nobody says."""
    if size_bytes is None:
        return "size unknown"
    return f"{size_bytes / 1e9:.1f} GB" if size_bytes >= 1e9 else f"{size_bytes / 1e6:.1f} MB"  # noqa: PLR2004


def models_command(verb: str, model: str, provider: str) -> str:
    """What to type to have `verb` done to a model: `ringfence models pull NAME`."""
    whose = "" if provider == DEFAULT_PROVIDER else f" --provider {quote(provider)}"
    return f"ringfence models {verb}{whose} {quote(model)}"


@asynccontextmanager
async def opened(name: str) -> AsyncGenerator[Provider]:
    """The installed provider `name`, open until the block ends.

    Raises:
        Unavailable: it is not installed or is broken.
    """
    from ringfence.routing.providers import Providers  # noqa: PLC0415

    providers = Providers()
    try:
        yield await providers.get(name)
    finally:
        await providers.close()


def stand_in(provider: Provider, model: str) -> Recipient:
    """A model as a recipient that no policy declares, to ask `provider` about: nothing is ever sent to it."""
    from ringfence.recipient import Recipient  # noqa: PLC0415  (with the first model that is asked for)

    manifest = provider.manifest
    return Recipient(name=model, ring="partner" if manifest.hosts else "device", provider=manifest.name, model=model)


def bring_missing(policy: Policy, error: Unavailable) -> bool:
    """Downloads the model whose absence `error` reports; whether there was one that can be downloaded.

    Raises:
        DownloadError: it could not be brought; what arrived is kept.
    """
    recipient = policy.recipients.get(error.recipient or "")
    if error.reason != "no_model" or recipient is None:
        return False
    return interrupts.run(_bring_missing(recipient))


async def _bring_missing(recipient: Recipient) -> bool:
    async with opened(recipient.provider) as provider:
        state = await provider.availability(recipient)
        if isinstance(state, NotAvailable) or not isinstance(provider, Downloads):
            return False
        if not isinstance(state, Available):
            terminal.say(f"model {recipient.model} is not on this machine yet")
            await bring(provider, recipient.model, state, provider=recipient.provider)
        return True


async def bring(downloads: Downloads, model: str, state: Downloadable | Downloading, *, provider: str) -> Path | None:
    """Downloads `model`, saying from where, how much and where it is kept; stopping it keeps what came.

    Where another process is at it, this waits and shows how far that is.

    Raises:
        DownloadError: it could not be brought.
    """
    if isinstance(state, Downloadable):
        terminal.say(f"downloading {megabytes(state.size_bytes)} from {state.source}")
    else:
        terminal.say("another process is downloading it")
    path: Path | None = None
    try:
        with _shown(model) as show:
            async with aclosing(downloads.download(model)) as steps:
                async for step in steps:
                    path = step.path or path
                    show.step(step)
    except asyncio.CancelledError:
        terminal.say(f"stopped; what came is kept, and goes on with: {models_command('pull', model, provider)}")
        raise
    if path is not None:
        terminal.say(f"model {model} is kept in {path}")
    return path


class _Show(Protocol):
    def step(self, step: DownloadProgress) -> None: ...


@contextmanager
def _shown(model: str) -> Generator[_Show]:
    if not terminal.is_terminal(sys.stderr):
        yield _Lines()
        return
    from rich.console import Console  # noqa: PLC0415  (45 ms, and only a download on a terminal needs it)
    from rich.progress import (  # noqa: PLC0415
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True, highlight=False), transient=True) as progress:
        yield _Bar(progress, model)


class _Bar:
    """A progress bar, one for each step."""

    def __init__(self, progress: Progress, model: str) -> None:
        self._progress = progress
        self._model = model
        self._now: tuple[str, TaskID] | None = None

    def step(self, step: DownloadProgress) -> None:
        if step.step == "done":
            return
        if self._now is None or self._now[0] != step.step:
            if self._now is not None:
                self._progress.remove_task(self._now[1])
            self._now = (step.step, self._progress.add_task(_STEPS[step.step], total=step.total_bytes))
        self._progress.update(self._now[1], completed=step.done_bytes, total=step.total_bytes)


class _Lines:
    """A line now and then, for a log."""

    def __init__(self) -> None:
        self._said: tuple[str, int] = ("", -1)

    def step(self, step: DownloadProgress) -> None:
        if step.step == "done":
            return
        tenths = 100 * step.done_bytes // step.total_bytes // _PLAIN_PERCENT if step.total_bytes else 0
        kind, furthest = self._said
        # A provider may begin a part anew; a log that went back would say nothing more.
        if step.step == kind and tenths <= furthest:
            return
        self._said = (step.step, tenths)
        share = f" {tenths * _PLAIN_PERCENT} %" if step.total_bytes else ""
        terminal.say(f"{_STEPS[step.step]}{share}")


__all__ = ["DEFAULT_PROVIDER", "bring", "bring_missing", "megabytes", "models_command", "opened", "stand_in"]
