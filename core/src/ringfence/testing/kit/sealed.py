"""What an author may say in a conformance class, and what no author can change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

HOOKS = frozenset(
    {
        "provider",
        "model",
        "models",
        "options",
        "recipient_options",
        "capabilities",
        "settings",
        "honoured",
        "finish_reasons",
        "usage_fields",
        "xfail",
        "make",
        "backend",
        "recipient_fields",
    }
)
"""What a conformance class of a provider may define beside tests of its own."""

DETECTOR_HOOKS = frozenset({"detector", "kind", "finds", "passes_over", "xfail"})
"""The same of a detector."""

_HOOKS = HOOKS | DETECTOR_HOOKS

# What Python and pytest set on every class.
_ORDINARY = frozenset({"__module__", "__qualname__", "__doc__", "__annotations__", "__firstlineno__", "__classcell__"})
_WAY_OUT = 'say xfail = {"test_name": "reason"} in the class'


class Sealed(type):
    """A class whose tests cannot be replaced, skipped or marked from outside.

    INVARIANT: every rule runs as it is written, or is listed in `xfail` with a reason.
    """

    def __setattr__(cls, name: str, value: object) -> None:
        """Refuses what would change a rule; pytest's own marks of the whole class among it."""
        if name == "pytestmark" or (name not in _HOOKS and is_rule(name, cls)):
            raise TypeError(f"{cls.__name__}.{name} cannot be changed: {_WAY_OUT}")
        super().__setattr__(name, value)


def is_rule(name: str, cls: type) -> bool:
    """Whether `name` is a test of the kit, or what its tests stand on."""
    base = _kit(cls)
    return base is not None and not name.startswith("__") and hasattr(base, name) and name not in _HOOKS


def _kit(cls: type) -> type | None:
    """The kit's own class among the ancestors of `cls`."""
    return next((one for one in cls.__mro__[1:] if one.__dict__.get("_kit_is_the_base") is True), None)


def rules_of(kit: type) -> dict[str, str]:
    """Every rule of a kit by the name of its test: what holds, in a sentence."""
    found = {name: getattr(kit, name) for name in dir(kit) if name.startswith("test_")}
    return {name: (rule.__doc__ or "").strip().partition("\n")[0] for name, rule in found.items()}


def group_of(name: str, kit: type) -> tuple[str, str]:
    """What a rule is about: in a word, the module that it stands in, and in a sentence, that of its class."""
    owner = next(one for one in kit.__mro__ if name in one.__dict__)
    word = owner.__module__.rpartition(".")[2].removeprefix("detector_")
    return word, (owner.__doc__ or "").strip().partition("\n")[0]


def check(cls: type, base: type) -> None:
    """Checks a subclass of `base` while it is made.

    Raises:
        TypeError: it changes a rule, skips, or expects failures that it does not explain.
    """
    for name in sorted(set(dir(base)) - _HOOKS - _ORDINARY):
        if name.startswith("__") and name != "__test__":
            continue
        owner = next(one for one in cls.__mro__ if name in one.__dict__)
        if not issubclass(base, owner):
            raise TypeError(f"{cls.__name__} replaces {name}, which is the kit's: {_WAY_OUT}")
    for one in cls.__mro__:
        if "pytestmark" in one.__dict__ or ("__test__" in one.__dict__ and not issubclass(base, one)):
            raise TypeError(f"{cls.__name__} cannot mark or hide the kit's tests: {_WAY_OUT}")
    _check_expected(cls, cast("object", cls.__dict__.get("xfail", {})))


def _check_expected(cls: type, expected: object) -> None:
    if not isinstance(expected, Mapping):
        raise TypeError(f"{cls.__name__}.xfail maps names of tests to reasons")
    reasons: Mapping[object, object] = cast("Any", expected)
    for name, reason in reasons.items():
        if not isinstance(name, str) or not hasattr(cls, name.partition("[")[0]):
            raise TypeError(f"{cls.__name__}.xfail names {name}, and there is no such test")
        if not isinstance(reason, str) or not reason.strip():
            raise TypeError(f"{cls.__name__}.xfail gives no reason for {name}")


__all__ = ["DETECTOR_HOOKS", "HOOKS", "Sealed", "check", "group_of", "is_rule", "rules_of"]
