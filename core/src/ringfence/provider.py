"""The provider interface, version 1: all that a plugin implements. Standard library only.

A provider translates and sends; it never decides where a request goes, nor claims a ring. The core calls, in
this order: `open` once; `availability` before a request starts; `plan`, which is pure; `run`, with a grant, the only
execution path; `close` once. Everything runs on one asyncio loop; several `run`s may be under way at once.

Discovery: an entry point in the group `ringfence.providers`, named like the provider, whose value is
`package.module:ProviderClass`; beside it, in the top-level package, a file `ringfence-provider.toml` with the manifest.
The core reads that file without importing the package, and imports only when a recipient is first used.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Generic, Literal, Protocol, TypeAlias, TypeVar, runtime_checkable

from ringfence.errors import GateError, UnavailableReason
from ringfence.request import JsonValue, Request
from ringfence.response import Adjustment, ProviderEvent

if TYPE_CHECKING:
    import logging

    import httpx2

    from ringfence.grant import Grant
    from ringfence.receipt import Attestation
    from ringfence.recipient import Recipient
    from ringfence.response import Usage

INTERFACE_VERSION = 1
MANIFEST_FILE = "ringfence-provider.toml"

Capability: TypeAlias = Literal[
    "text",
    "image_input",
    "file_input",
    "tools",
    "output_schema",
    "reasoning",
    "draw",
    "embed",
    "transcribe",
    "speak",
    "count_tokens",
    "download",
]
"""What a model can do: the task `image` needs `draw`, `embed`, `transcribe` and `speak` their own name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a plugin says of itself, readable without importing it.

    `hosts` are the host names it reaches, over TLS, for a recipient without a `url`; empty means that it reaches none.
    `platforms` are values of `sys.platform` it runs on; empty means all. `default_model` is used by the policy that is
    built in and by `models pull` without a name. `secret` is where the vendor's key usually is, such as
    `env:OPENAI_API_KEY`. `environment` names variables that the vendor's client would read and that are ignored here.
    """

    name: str
    interface: int
    summary: str
    capabilities: frozenset[Capability]
    hosts: tuple[str, ...] = ()
    platforms: tuple[str, ...] = ()
    default_model: str | None = None
    secret: str | None = None
    environment: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCard:
    """Facts of one model: `context_tokens` for prompt and answer together, sizes in bytes."""

    name: str
    context_tokens: int
    capabilities: frozenset[Capability]
    max_output_tokens: int | None = None
    size_bytes: int | None = None
    languages: tuple[str, ...] = ()
    license: str | None = None
    summary: str = ""


@dataclass(frozen=True, slots=True)
class Available:
    """Ready to run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Downloadable:
    """Not here yet; `size_bytes` from `source`. `way_out` is the command that brings it."""

    size_bytes: int | None
    source: str
    way_out: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Downloading:
    """On its way; bytes done and in all."""

    done_bytes: int
    total_bytes: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NotAvailable:
    """Cannot run here now: a typed reason, a sentence, and the way out."""

    reason: UnavailableReason
    detail: str
    way_out: str


Availability: TypeAlias = Available | Downloadable | Downloading | NotAvailable

NativeT = TypeVar("NativeT")


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Plan(Generic[NativeT]):
    """A request translated for one model, before anything is sent. `native` is the provider's own and opaque here."""

    request: Request
    card: ModelCard
    native: NativeT
    adjustments: tuple[Adjustment, ...] = ()

    def __repr__(self) -> str:
        return f"Plan({self.card.name}, adjustments={[a.setting for a in self.adjustments]})"


def _no_directory(recipient: Recipient) -> httpx2.AsyncClient:
    raise GateError(f"recipient '{recipient.name}' has no directory", way_out="directory: https://… beside its ring")


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class ProviderContext:
    """What the core hands a provider when it opens it.

    `cache_dir` holds what can be fetched again (models), `state_dir` what cannot; both are the provider's alone and may
    not exist yet. `options` come from the app: `Assistant(providers={"mlx": {...}})`; an unknown one is refused.
    `monotonic_s` is the clock for durations.

    `http` makes the guarded network client of one recipient, the only one a provider uses; hand it to a vendor's SDK as
    its HTTP client. Keep it and use it again; the core closes it. It reaches the host of the recipient's `url`, or
    those of the manifest over TLS, and only inside `grant.spend(…)`; it follows no redirect, retries nothing, has no
    time limit but 15 s for a connection, and reads nothing from the environment. It raises `GateError` for a
    recipient on the device ring: there, there is no network.

    `directory` makes the client for what a recipient publishes of itself at its `directory`, such as which machines
    there are: GETs without a body, without a grant and without anything of a request. It raises `GateError` for a
    recipient without a directory.
    """

    cache_dir: Path
    state_dir: Path
    logger: logging.Logger
    options: Mapping[str, object] = field(default_factory=dict[str, object])
    monotonic_s: Callable[[], float]
    http: Callable[[Recipient], httpx2.AsyncClient]
    directory: Callable[[Recipient], httpx2.AsyncClient] = _no_directory

    def __repr__(self) -> str:
        return f"ProviderContext(options={sorted(self.options)})"


class Provider(ABC):
    """A model backend. Subclass it, and keep every method honest: the conformance kit runs them all.

    It is opened once at a time: after `close` it may be opened again, on another event loop too.
    """

    manifest: ClassVar[Manifest]

    @abstractmethod
    async def open(self, context: ProviderContext) -> None:
        """Takes the context. Loads nothing heavy: a model is loaded by the first `run` or by `prewarm`.

        Raises:
            InvalidRequest: an option is unknown or ill-typed.
        """

    @abstractmethod
    async def close(self) -> None:
        """Ends all work and frees everything; running requests get `Closed`. Idempotent."""

    @abstractmethod
    async def models(self) -> Sequence[ModelCard]:
        """The models that can be named without a download, and those this provider knows by name."""

    @abstractmethod
    async def availability(self, recipient: Recipient) -> Availability:
        """Whether `recipient` could answer now; loads nothing, never downloads, and sends nothing.

        Quick enough to be asked per request. A key that is missing and options that make no sense are found here.
        """

    @abstractmethod
    async def card(self, recipient: Recipient) -> ModelCard:
        """The facts of the model of `recipient`. Capabilities that the policy gives it take the place of these.

        Raises:
            Unavailable: there is no such model here.
        """

    @abstractmethod
    def plan(self, request: Request, recipient: Recipient, card: ModelCard) -> Plan[object]:
        """Translates; pure, no I/O. Every setting is honoured, listed in `adjustments`, or refused.

        Raises:
            Unsupported: a setting, part or tool that this model cannot honour.
        """

    @abstractmethod
    def run(self, plan: Plan[object], grant: Grant) -> AsyncGenerator[ProviderEvent, None]:
        """Sends `plan` under `grant` and yields the answer's events.

        The first thing it does is `grant.spend(plan.request)`; it sets `grant.connected` once the backend has taken the
        request (an answer begun, a model loaded). `aclose()` cancels, here and at the backend, and returns within
        250 ms.
        Pictures, transcripts and speech come this way too: `plan.request.task` says what is asked.

        Where `plan.request.stream` is false nobody watches the events, and the backend may be asked for the whole at
        once; the events are the same.

        Raises:
            GateError: the grant is spent, revoked, or for another payload.
            ProviderError: with the phase in which it failed.
        """


@runtime_checkable
class Prewarms(Protocol):
    """A provider that can load a model before it is needed."""

    async def prewarm(self, recipient: Recipient) -> None:
        """Loads the model of `recipient` and makes it ready for a first token."""
        ...


@runtime_checkable
class CountsTokens(Protocol):
    """A provider that counts tokens exactly as the model will."""

    async def count_tokens(self, plan: Plan[object], grant: Grant) -> int:
        """The tokens of the prompt of `plan`, template included. No weights are loaded; to send, it spends `grant`."""
        ...


@runtime_checkable
class Prices(Protocol):
    """A provider that knows what its recipients cost."""

    def price_usd(self, recipient: Recipient, usage: Usage) -> float | None:
        """The price of `usage` at `recipient` in US dollars; `None` where it is not known. Pure; never raises."""
        ...


@runtime_checkable
class ReportsUtilisation(Protocol):
    """A provider that is told how full its recipients are."""

    def utilisation(self, recipient: Recipient) -> float | None:
        """The share of the capacity of `recipient` in use (0 … 1), as last reported; `None` where it is not known.

        Pure, so it asks nobody; never raises.
        """
        ...


@runtime_checkable
class Attests(Protocol):
    """A provider that verifies a machine before it sends to it, and calls `grant.attest(…)` with what it verified.

    Only such a provider serves a recipient that the policy wants attested.
    """

    def attestations(self, recipient: Recipient) -> Sequence[Attestation]:
        """What is verified of `recipient` at this moment; empty where nothing was asked yet. Pure; sends nothing."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Embeddings:
    """One vector per text, in order; each of length `dimensions` and Euclidean norm 1."""

    vectors: tuple[tuple[float, ...], ...]
    dimensions: int
    input_tokens: int

    def __repr__(self) -> str:
        return f"Embeddings({len(self.vectors)} of {self.dimensions} dimensions)"


@runtime_checkable
class Embeds(Protocol):
    """A provider that turns texts into vectors. The texts are the text parts of the request's one message."""

    async def embed(self, plan: Plan[object], grant: Grant) -> Embeddings:
        """Embeds under the same grant as `run`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadProgress:
    """Where a download stands: what is done now (`download`, `verify`, `convert`, `done`), and how far it is."""

    step: Literal["download", "verify", "convert", "done"]
    done_bytes: int
    total_bytes: int | None
    source: str
    path: Path | None = None
    """Where the model is kept; set on `done`."""


@runtime_checkable
class Downloads(Protocol):
    """A provider that brings models to this machine.

    The one thing on the device ring that uses the network, and only when a person asks; no part of a request is in it.
    """

    def download(self, model: str) -> AsyncGenerator[DownloadProgress, None]:
        """Brings `model`; resumes what was begun; verified before it is used. `aclose()` stops it and keeps the part.

        Raises:
            DownloadFailed: network, disk or source; try again and it resumes.
            IntegrityFailed: what came is not what is pinned.
        """
        ...

    async def remove(self, model: str) -> int:
        """Deletes `model` from this machine; returns the bytes freed.

        Raises:
            Unavailable: there is no such model here.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line of `ringfence doctor`: `ok`, `warning` or `fault`, what was found, and how to mend it."""

    level: Literal["ok", "warning", "fault"]
    subject: str
    detail: str
    way_out: str | None = None


@runtime_checkable
class Diagnoses(Protocol):
    """A provider that can say how it stands on this machine."""

    async def diagnose(self) -> Sequence[Finding]:
        """What `ringfence doctor` prints of this provider; loads no model."""
        ...


__all__ = [
    "INTERFACE_VERSION",
    "MANIFEST_FILE",
    "Attests",
    "Availability",
    "Available",
    "Capability",
    "CountsTokens",
    "Diagnoses",
    "DownloadProgress",
    "Downloadable",
    "Downloading",
    "Downloads",
    "Embeddings",
    "Embeds",
    "Finding",
    "JsonValue",
    "Manifest",
    "ModelCard",
    "NotAvailable",
    "Plan",
    "Prewarms",
    "Prices",
    "Provider",
    "ProviderContext",
    "ReportsUtilisation",
]
