"""A conformance class for every broken provider. Not collected by itself: `test_it_bites` runs it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from types import new_class
from typing import ClassVar

from tests.kit.broken.heavy import Heavy
from tests.kit.broken.partner import reply
from tests.kit.broken.variants import CASES, TEXT_ONLY, DropsASetting
from tests.kit.broken.whole import Whole

from ringfence.errors import InvalidRequest
from ringfence.provider import ProviderContext
from ringfence.testing.kit import ProviderConformance, WireBackend
from ringfence.testing.scenes import Backend

CAUGHT: dict[type[Whole], str] = {**CASES, Heavy: "test_importing_it_is_light"}


DROPPED = "test_a_setting_is_never_dropped_silently"


def _backend(_: object) -> Backend:
    return WireBackend(reply)


def _fill(values: Mapping[str, object], body: dict[str, object]) -> None:
    body.update(values)


for _provider in CAUGHT:
    _name = f"Test{_provider.__name__}"
    _body: dict[str, object] = {
        "__module__": __name__,
        "provider": _provider,
        "model": "whole-1",
        "backend": _backend,
        "capabilities": frozenset({"text"}) if _provider in TEXT_ONLY else None,
    }
    globals()[_name] = new_class(_name, (ProviderConformance,), exec_body=partial(_fill, _body))


class TestKnownFault(ProviderConformance):
    """A rule that is broken in one case, and said to be."""

    provider = DropsASetting
    model = "whole-1"
    xfail: ClassVar[Mapping[str, str]] = {f"{DROPPED}[top_k]": "the wire has no word for it"}

    def backend(self) -> Backend:
        return WireBackend(reply)


class TestMendedFault(ProviderConformance):
    """A rule that is kept, and said to be broken."""

    provider = Whole
    model = "whole-1"
    xfail: ClassVar[Mapping[str, str]] = {DROPPED: "the wire had no word for it"}

    def backend(self) -> Backend:
        return WireBackend(reply)


class Choosy(Whole):
    """Correct, and not opened without its option."""

    async def open(self, context: ProviderContext) -> None:
        if dict(context.options) != {"place": "north"}:
            raise InvalidRequest("the option place is north")
        self.context = context


class TestWithOptions(ProviderConformance):
    """A provider that an app gives options."""

    provider = Choosy
    model = "whole-1"
    options: ClassVar[Mapping[str, object]] = {"place": "north"}

    def backend(self) -> Backend:
        return WireBackend(reply)
