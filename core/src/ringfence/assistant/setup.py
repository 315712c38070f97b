"""What an assistant is made of when it is made: the policy and its layers, the gate under it, and the audit log."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TypeAlias

from ringfence.checks import require
from ringfence.policy import Policy, builtin_policy
from ringfence.policy.layers.environment import layers_over, require_absolute
from ringfence.policy.loading import narrowed, read_file
from ringfence.policy.reload import PolicySource
from ringfence.privacy.audit import AuditLog
from ringfence.privacy.detection import DetectorSet
from ringfence.privacy.gate import Gate
from ringfence.privacy.labels import Labeller

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


__all__ = ["Layers", "PolicyLike", "audit_log", "find_policy", "find_source", "gate_for"]
