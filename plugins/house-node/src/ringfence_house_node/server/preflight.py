"""What must hold of the engine before anything is started: where it can never work, `serve` ends and says why."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ringfence.provider import Downloadable, Downloading, Downloads, NotAvailable
from ringfence.recipient import Secret
from ringfence_house_node.engine import EngineSettings

if TYPE_CHECKING:
    from ringfence.provider import ModelCard

_MAY_PASS = frozenset({"no_memory", "unreachable"})
"""What a machine can be in want of now and have later."""


def checked_engine(settings: EngineSettings, *, brings: bool) -> ModelCard | None:
    """What the device ring's provider says of the model, where that is the engine. `brings`: a missing one is brought.

    Raises:
        Unavailable: this engine can never work here as it is: no package, no model, no such platform, no key.
        DownloadError: the model could not be brought.
    """
    if settings.key is not None:
        Secret(settings.key).read()
    if settings.kind != "mlx":
        return None
    from ringfence.cli import interrupts  # noqa: PLC0415  (with the first model that is asked for)

    return interrupts.run(_card(settings.model, brings=brings))


async def _card(model: str, *, brings: bool) -> ModelCard | None:
    from ringfence.cli.bring import bring, opened, stand_in  # noqa: PLC0415
    from ringfence.routing.providers import require_available  # noqa: PLC0415

    async with opened("mlx") as provider:
        recipient = stand_in(provider, model)
        state = await provider.availability(recipient)
        if brings and isinstance(provider, Downloads) and isinstance(state, Downloadable | Downloading):
            await bring(provider, model, state, provider="mlx")
            state = await provider.availability(recipient)
        if not (isinstance(state, NotAvailable) and state.reason in _MAY_PASS):
            require_available(state, model)
        return next((card for card in await provider.models() if card.name == model), None)


__all__ = ["checked_engine"]
