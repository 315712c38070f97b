"""What an assistant is made of when it is made: the policy and its layers, the gate under it, and the audit log."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TypeAlias

from ringfence import registry
from ringfence.checks import require
from ringfence.errors import InvalidRequest
from ringfence.policy import Policy, builtin_policy
from ringfence.policy.faults import nearest, quoted
from ringfence.policy.layers.environment import layers_over, require_absolute
from ringfence.policy.loading import narrowed, read_file
from ringfence.policy.reload import PolicySource
from ringfence.privacy.audit import AuditLog
from ringfence.privacy.detection import DetectorSet
from ringfence.privacy.gate import Gate
from ringfence.privacy.labels import Labeller
from ringfence.provider import Provider
from ringfence.recipient import RINGS

PolicyLike: TypeAlias = Policy | str | os.PathLike[str]
Layers: TypeAlias = Iterable[str | os.PathLike[str]]


def find_policy(given: PolicyLike | None, layers: Layers = ()) -> Policy:
    """The policy in force: `given`, else the file `RINGFENCE_POLICY` names, else the built-in one; under its layers.

    The layers are `layers` and those of `RINGFENCE_LAYERS`.

    Raises:
        PolicyError: a named policy or layer cannot be used; the built-in one never stands in for it.
    """
    return find_source(given, layers).policy


def find_source(given: PolicyLike | PolicySource | None, layers: Layers = ()) -> PolicySource:
    """The same, with the files that it is made from.

    Raises:
        PolicyError: as above.
    """
    if isinstance(given, PolicySource):
        return given
    require(not isinstance(layers, str | bytes), "layers is a list of files", 'layers=["/…/managed.mobileconfig"]')
    over = layers_over(layers)
    if isinstance(given, Policy):
        return _under(given, over)
    require(
        given is None or isinstance(given, str | os.PathLike), "policy is a file or a Policy", 'policy="policy.yaml"'
    )
    if isinstance(given, str):
        # The text itself is never shown: a policy may hold what is nobody's business.
        require("\n" not in given and "\r" not in given, "policy= is a path, not its text", "read_policy(text)")
    named = os.environ.get("RINGFENCE_POLICY") if given is None else given
    if named is None:
        return _under(builtin_policy(), over)
    if given is None:
        require_absolute("RINGFENCE_POLICY", str(named), "/…/my.yaml")
    # Where the process goes later makes no other file of it.
    path, source = Path(named).absolute(), os.fspath(named)
    return PolicySource(lambda: read_file(path, layers=over, source=source))


def check_providers(given: Mapping[str, object], policy: Policy) -> None:
    """Refuses what is given for a provider that nobody knows, and the class of one in place of one.

    What is given for a provider that another policy names is kept: that policy may come into force later. So is a
    provider under its own name.

    Raises:
        InvalidRequest: neither a recipient of `policy` or of its shadow names it, nor is it installed.
    """
    own = {one.provider for each in (policy, policy.shadow) if each is not None for one in each.recipients.values()}
    for name, one in given.items():
        if isinstance(one, type) and issubclass(one, Provider):
            raise InvalidRequest(
                f"providers[{quoted(name)}] is the class {one.__name__}, not a provider made of it",
                way_out=f'make an instance: providers={{"{name}": {one.__name__}(…)}}',
            )
        if name in own or registry.is_known(name) or (isinstance(one, Provider) and one.manifest.name == name):
            continue
        known = sorted(own.union(registry.OURS, (plugin.name for plugin in registry.installed())))
        close = nearest(name, known)
        hint = f": did you mean '{close}'?" if close else ""
        raise InvalidRequest(f"there is no provider {quoted(name)}{hint}", way_out=f"one of {', '.join(known)}")


def check_recipients(names: frozenset[str], policy: Policy) -> None:
    """Refuses a name that no recipient of `policy` has.

    Raises:
        InvalidRequest: with the names there are; for a ring, with those on it.
    """
    known = policy.recipients
    for name in sorted(names.difference(known)):
        if name in RINGS:
            inside = [one.name for one in known.values() if one.ring == name]
            there = f"a recipient on it: {', '.join(inside)}" if inside else f"one of {', '.join(known)}"
            raise InvalidRequest(f"'{name}' is a ring, and no recipient of the policy", way_out=there)
        raise InvalidRequest(f"the policy has no recipient '{name}'", way_out=f"one of {', '.join(known)}")


def gate_for(policy: Policy, detectors: DetectorSet) -> Gate:
    """The gate under `policy`, with its shadow beside it."""
    labeller, beside = Labeller(policy, detectors), policy.shadow
    if beside is None:
        return Gate(policy, labeller)
    from ringfence.privacy.shadow import Shadow  # noqa: PLC0415  (few policies have one)

    return Gate(policy, labeller, Shadow(beside, Labeller(beside, detectors)))


def _under(policy: Policy, layers: tuple[Path, ...]) -> PolicySource:
    return PolicySource(lambda: narrowed(policy, layers)) if layers else PolicySource.fixed(policy)


def audit_log(audit: bool | str | os.PathLike[str]) -> AuditLog | None:  # noqa: FBT001  (the facade's own argument)
    """The log in a folder; `True` is the default folder, `False` none."""
    require(isinstance(audit, bool | str | os.PathLike), "audit is a folder, True or False", 'audit="audit"')
    if audit is False:
        return None
    if audit is True:
        from ringfence.paths import state_dir  # noqa: PLC0415  (looks the folder up only when it is used)

        return AuditLog(state_dir() / "audit")
    return AuditLog(Path(audit))


__all__ = [
    "Layers",
    "PolicyLike",
    "audit_log",
    "check_providers",
    "check_recipients",
    "find_policy",
    "find_source",
    "gate_for",
]
