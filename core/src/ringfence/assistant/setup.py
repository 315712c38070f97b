"""What an assistant is made of when it is made: the policy in force and the audit log."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TypeAlias

from ringfence.checks import require
from ringfence.errors import PolicyNotReadable
from ringfence.policy import Policy, builtin_policy, load_policy
from ringfence.privacy.audit import AuditLog

PolicyLike: TypeAlias = Policy | str | os.PathLike[str]


def find_policy(given: PolicyLike | None) -> Policy:
    """The policy in force: `given`, else the file `RINGFENCE_POLICY` names, else the built-in one.

    Raises:
        PolicyError: a named policy cannot be used; the built-in one never stands in for it.
    """
    if isinstance(given, Policy):
        return given
    require(
        given is None or isinstance(given, str | os.PathLike), "policy is a file or a Policy", 'policy="policy.yaml"'
    )
    if given is None:
        named = os.environ.get("RINGFENCE_POLICY")
        return builtin_policy() if named is None else _named_by_environment(named)
    return load_policy(Path(given))


def audit_log(audit: bool | str | os.PathLike[str]) -> AuditLog | None:  # noqa: FBT001  (the facade's own argument)
    """The log in a folder; `True` is the default folder, `False` none."""
    require(isinstance(audit, bool | str | os.PathLike), "audit is a folder, True or False", 'audit="audit"')
    if audit is False:
        return None
    if audit is True:
        from ringfence.paths import state_dir  # noqa: PLC0415  (looks the folder up only when it is used)

        return AuditLog(state_dir() / "audit")
    return AuditLog(Path(audit))


def _named_by_environment(named: str) -> Policy:
    path = Path(named)
    if not path.is_absolute():
        # INVARIANT: the working directory never chooses the policy; a hostile checkout would.
        raise PolicyNotReadable(
            "RINGFENCE_POLICY is not an absolute path", way_out="export RINGFENCE_POLICY=/…/my.yaml"
        )
    return load_policy(path)


__all__ = ["PolicyLike", "audit_log", "find_policy"]
