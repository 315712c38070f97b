"""What `ringfence doctor` says of the detectors: those that are installed, and those that the policy asks for."""

from __future__ import annotations

from collections.abc import AsyncIterator, Container, Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING

from ringfence.cli.trial import Died, Hung, tried
from ringfence.privacy.detection import ENTRY_POINT_GROUP, Failure
from ringfence.provider import Finding

if TYPE_CHECKING:
    from ringfence.policy import Policy


async def detectors(policy: Policy | None) -> AsyncIterator[Finding]:
    """Every detector that is installed, tried on a sample, or that the policy asks for."""
    wanted = policy.detect_kinds if policy is not None else frozenset[str]()
    plugins = installed()
    broken = await tried(sorted(plugins))
    if works := _by_plugin(plugins, broken):
        yield Finding(level="ok", subject="detectors", detail=works)
    for kind, fault in sorted(broken.items()):
        yield _broken(kind, fault, " and ".join(sorted(plugins[kind])) or "the plugin that brings it")
    for kind in sorted(wanted - plugins.keys()):
        yield _missing(kind, plugins)


def installed() -> dict[str, set[str]]:
    """The distributions that bring each kind."""
    from importlib.metadata import entry_points  # noqa: PLC0415  (costs tens of ms)

    found: dict[str, set[str]] = {}
    for entry in entry_points(group=ENTRY_POINT_GROUP):
        found.setdefault(entry.name, set()).update([entry.dist.name] if entry.dist is not None else [])
    return found


def _by_plugin(plugins: Mapping[str, AbstractSet[str]], broken: Container[str]) -> str:
    """The kinds that work, by the distribution that brings them."""
    kinds: dict[str, list[str]] = {}
    for kind, names in sorted(plugins.items()):
        for name in names if kind not in broken else ():
            kinds.setdefault(name, []).append(kind)
    return "; ".join(f"{plugin}: {', '.join(names)}" for plugin, names in sorted(kinds.items()))


def _broken(kind: str, fault: Failure | Hung | Died, plugin: str) -> Finding:
    way_out = f"upgrade or remove {plugin}, or take '{kind}' out of detect: in the policy"
    match fault:
        case Hung(after_s=after_s):
            detail = f"it did not come back from a short sample within {after_s:.0f} s, and would hold up every request"
        case Died(how=how):
            detail = f"it ended its process on a short sample ({how}), and would end every app that uses it"
        case _:
            on = " on a short sample" if fault.how == "failed" else ""
            detail = f"it {fault}{on}; what it should scan is labelled as unknown"
            way_out = _mending(fault)
    return Finding(level="fault", subject=f"detector {kind}", detail=detail, way_out=way_out)


def _missing(kind: str, known: Iterable[str]) -> Finding:
    from ringfence.policy.warnings.machine import bringing, misspelt  # noqa: PLC0415

    found, meant = bringing(kind), misspelt(kind, frozenset(known))
    missing = "the policy asks for it, and it is not installed" + (f" ({found.package})" if found else "")
    otherwise = f"write '{meant}' in the policy" if meant else "install the plugin that brings it"
    return Finding(
        level="fault",
        subject=f"detector {kind}",
        detail=f"{missing}; what it should scan is labelled as unknown",
        way_out=found.install if found else otherwise,
    )


def _mending(failure: Failure) -> str:
    if failure.error == "PluginLocked":
        return "ringfence providers lock, if you trust the plugin as it is now"
    return "reinstall the plugin that brings it, or the model that it needs (its README)"


__all__ = ["detectors"]
