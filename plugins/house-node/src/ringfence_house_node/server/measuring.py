"""What a node says that it is: the measures of its code, its model and its configuration."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path

from ringfence_house.attestation.claims import ReleaseClaim
from ringfence_house.releases.measure import measure
from ringfence_house_node.engine import EngineSettings

PACKAGES = ("ringfence", "ringfence_house", "ringfence_house_node", "ringfence_openai")
"""The code that a request passes through here, before the engine."""
_OF_CONFIG = ("kind", "model", "url", "command", "server", "served_model", "capabilities", "context_tokens", "options")


@dataclass(frozen=True, slots=True, kw_only=True)
class Measures:
    """SHA-256 values in lower-case hex, as `ringfence house release add` takes them."""

    code: str
    model: str
    config: str

    def claim(self, release_id: str) -> ReleaseClaim:
        """What the evidence says of the release."""
        return ReleaseClaim(id=release_id, code=self.code, model=self.model, config=self.config)


def measures_of(settings: EngineSettings, weights: Path | None) -> Measures:
    """The measures of this installation with that engine. Without `weights` the model's is that of its name alone.

    Raises:
        ReleasesFault: something cannot be read.
    """
    model = measure(weights) if weights is not None else _digest(["model named", settings.model])
    return Measures(code=_code(), model=model, config=_config(settings))


def _code() -> str:
    folders = {name: Path(str(import_module(name).__file__)).parent for name in PACKAGES}
    return _digest([[name, measure(folder)] for name, folder in folders.items()])


def _config(settings: EngineSettings) -> str:
    facts = {name: value for name, value in asdict(settings).items() if name in _OF_CONFIG}
    return _digest({**facts, "capabilities": sorted(settings.capabilities or ())})


def _digest(document: object) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


__all__ = ["PACKAGES", "Measures", "measures_of"]
