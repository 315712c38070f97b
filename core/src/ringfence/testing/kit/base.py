"""What an author says of a provider, and the bench that comes of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, TypeVar

import pytest

from ringfence.provider import Provider
from ringfence.request import JsonValue, Settings
from ringfence.response import FinishReason
from ringfence.testing.kit.bench import Bench, recipients_for
from ringfence.testing.kit.expect import fail
from ringfence.testing.kit.sealed import Sealed
from ringfence.testing.scenes import Backend

Rule = TypeVar("Rule", bound=Callable[..., None])

LOCAL_SETTINGS = Settings(max_output_tokens=32)
"""Short answers from a model that has to compute them."""


def needs_backend(rule: Rule) -> Rule:
    """Marks a rule that only a provider with a network can break; others do not get it."""
    rule.__dict__["_kit_needs_backend"] = True
    return rule


class Subject(metaclass=Sealed):
    """The provider under test, in its author's words. All but `provider` and `model` have a default."""

    provider: ClassVar[type[Provider]]
    """The provider class."""

    model: ClassVar[str]
    """The model of requests for text; of all others too, where `models` does not name one."""

    models: ClassVar[Mapping[str, str]] = {}
    """Models for `embed`, `draw`, `transcribe` and `speak`, where they are others than `model`."""

    options: ClassVar[Mapping[str, object]] = {}
    """Options the provider is opened with, as an app gives them."""

    recipient_options: ClassVar[Mapping[str, JsonValue]] = {}
    """Options that the policy gives the recipients."""

    capabilities: ClassVar[frozenset[str] | None] = None
    """What the policy says that the model can do; `None` leaves it to the card."""

    settings: ClassVar[Settings | None] = None
    """Settings of requests that are about something else; by default short answers, where they are computed here."""

    honoured: ClassVar[frozenset[str]] = frozenset()
    """Settings that a provider without a backend honours, where its plans do not show it: `Plan.native` does if it
    compares, and differs with the setting. With a backend they are seen on the wire, and nowhere else."""

    finish_reasons: ClassVar[frozenset[FinishReason]] = frozenset({"stop", "length", "content_filter"})
    """The unified finish reasons for which the wire has a word; `tool_calls` is added where tools are declared."""

    usage_fields: ClassVar[frozenset[str]] = frozenset(
        {"input_tokens", "output_tokens", "cached_input_tokens", "reasoning_tokens"}
    )
    """The counts for which the wire has a field."""

    xfail: ClassVar[Mapping[str, str]] = {}
    """Rules known to be broken, each with the reason: `{"test_name": "why"}`, or `{"test_name[case]": "why"}`."""

    bench: ClassVar[Bench]

    def make(self) -> Provider:
        """A new provider object, not opened."""
        return self.provider()

    def backend(self) -> Backend | None:
        """What plays the provider's backend, not started; `None` for a provider that needs no network."""
        return None

    def recipient_fields(self, backend: Backend | None) -> Mapping[str, Any]:
        """More that the policy says of the recipients, by the names of `Recipient`'s fields; plain JSON values.

        It takes the place of what the kit says by itself, its `ring` and `url` too.
        """
        del backend
        return {}

    # ------------------------------------------------------------------ what the kit does with it
    @classmethod
    def setup_class(cls) -> None:
        """Starts the backend and sets up the bench."""
        author = cls()
        type.__setattr__(cls, "_kit_backend", author.backend())
        if cls._kit_backend is None and cls.provider.manifest.hosts:
            fail(f"the manifest of {cls.provider.__name__} names hosts: define backend(), so that it can be tested")
        if cls._kit_backend is not None:
            cls._kit_backend.__enter__()
        bench = new_bench(author, cls._kit_backend, author.recipient_fields(cls._kit_backend))
        type.__setattr__(cls, "bench", bench)

    _kit_backend: ClassVar[Backend | None] = None

    @classmethod
    def teardown_class(cls) -> None:
        """Closes the provider, then the backend."""
        bench: Bench | None = cls.__dict__.get("bench")
        try:
            if bench is not None:
                bench.close()
        finally:
            if cls._kit_backend is not None:
                cls._kit_backend.__exit__(None, None, None)

    @pytest.fixture(autouse=True)
    def _kit_rule(self, request: pytest.FixtureRequest) -> Iterator[None]:
        """A strict xfail where the author says so; a new provider after a rule that failed."""
        name: str = request.node.name
        reason = self.xfail.get(name) or self.xfail.get(name.partition("[")[0])
        if reason:
            request.applymarker(pytest.mark.xfail(reason=reason, strict=True))
        failed = request.session.testsfailed
        yield
        if request.session.testsfailed != failed or reason:
            self.bench.drop()


def new_bench(author: Subject, backend: Backend | None, fields: Mapping[str, Any]) -> Bench:
    """The bench of what `author` says; `fields` are those of its recipients."""
    settings = author.settings or (LOCAL_SETTINGS if backend is None else Settings())
    return Bench(
        author.make,
        recipients=recipients_for(
            author.provider.manifest.name,
            {"text": author.model, **author.models},
            None if backend is None else backend.url,
            capabilities=author.capabilities,
            options=author.recipient_options,
            fields=fields,
        ),
        backend=backend,
        options=author.options,
        settings=settings,
    )


__all__ = ["LOCAL_SETTINGS", "Subject", "needs_backend", "new_bench"]
