"""What `ringfence doctor` looks at. Each check says what it found and never raises; a broken part hides no other."""

from __future__ import annotations

import asyncio
import os
import platform
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ringfence import __version__, registry
from ringfence.cli.bring import opened
from ringfence.cli.checks_detectors import detectors
from ringfence.cli.checks_kept import audit, budgets, consents
from ringfence.cli.checks_policy import in_force, policy_state
from ringfence.cli.providers import provider_rows
from ringfence.errors import PluginError, RingfenceError
from ringfence.paths import cache_dir, state_dir
from ringfence.provider import Diagnoses, Finding, NotAvailable, Provider

if TYPE_CHECKING:
    from ringfence.policy import Policy
    from ringfence.recipient import Secret

_PATIENCE_S = 30.0
"""For one provider to open and to say how it stands."""


async def all_findings(policy_file: str | None) -> list[Finding]:
    """Everything, from the machine to the audit log."""
    findings = [*machine(), *paths()]
    policy, found = policy_state(policy_file)
    findings += [found, *in_force(policy)]
    findings += [finding async for finding in providers(policy)]
    findings += keys(policy)
    findings += [finding async for finding in detectors(policy)]
    return [*findings, *consents(), *budgets(policy), *audit()]


def machine() -> Iterator[Finding]:
    """The interpreter, the system, this package."""
    yield Finding(level="ok", subject="ringfence", detail=__version__)
    yield Finding(level="ok", subject="python", detail=f"{platform.python_version()} at {sys.executable}")
    yield Finding(
        level="ok", subject="platform", detail=f"{platform.system()} {platform.release()}, {platform.machine()}"
    )


def paths() -> Iterator[Finding]:
    """Where models and the record are kept, and whether that can be written."""
    for subject, folder, variable in (
        ("models", cache_dir(), "RINGFENCE_CACHE_DIR"),
        ("state", state_dir(), "RINGFENCE_STATE_DIR"),
    ):
        if _writable(folder):
            yield Finding(level="ok", subject=subject, detail=str(folder))
        else:
            yield Finding(
                level="fault",
                subject=subject,
                detail=f"{folder} cannot be written",
                way_out=f"name another folder in {variable}",
            )


def _writable(folder: Path) -> bool:
    """Whether `folder` can be written, or made; nothing is made here."""
    existing = next((path for path in (folder, *folder.parents) if path.exists()), None)
    return existing is not None and existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)


async def providers(policy: Policy | None) -> AsyncIterator[Finding]:
    """Every plugin, loaded and asked how it stands. One that is broken harms only its own line."""
    names = [row.name for row in provider_rows(policy)] if policy is not None else _installed_names()
    if not names:
        yield Finding(
            level="fault", subject="providers", detail="none is installed", way_out="pip install ringfence-mlx"
        )
    for name in names:
        subject = f"provider {name}"
        try:
            async with asyncio.timeout(_PATIENCE_S), opened(name) as provider:
                own = [finding async for finding in _attested(provider, policy)]
                own += list(await provider.diagnose()) if isinstance(provider, Diagnoses) else []
        except RingfenceError as error:
            yield Finding(level="fault", subject=subject, detail=error.message, way_out=error.way_out)
        except TimeoutError:
            yield Finding(
                level="fault",
                subject=subject,
                detail=f"it did not say how it stands within {_PATIENCE_S:.0f} s",
                way_out="upgrade it, or tell its author",
            )
        except Exception as error:  # noqa: BLE001  (a plugin may raise anything, and harms only itself)
            yield Finding(
                level="fault",
                subject=subject,
                detail=f"it raised {type(error).__name__} when it was asked how it stands",
                way_out="reinstall or upgrade it, or tell its author",
            )
        else:
            yield Finding(level="ok", subject=subject, detail=f"loads; {registry.manifest(name).summary}")
            for finding in own:
                yield Finding(
                    level=finding.level,
                    subject=f"{name} {finding.subject}",
                    detail=finding.detail,
                    way_out=finding.way_out,
                )


async def _attested(provider: Provider, policy: Policy | None) -> AsyncIterator[Finding]:
    """What is wrong with the recipients that have to prove what they are, before anybody is asked for a proof."""
    for recipient in policy.recipients.values() if policy is not None else ():
        if recipient.provider != provider.manifest.name or recipient.directory is None:
            continue
        if recipient.secret is not None and not recipient.secret.present():
            continue  # its key has a line of its own, with all that it is the key of
        found = await provider.availability(recipient)
        if isinstance(found, NotAvailable):
            yield Finding(
                level="fault", subject=f"recipient '{recipient.name}'", detail=found.detail, way_out=found.way_out
            )


def _installed_names() -> list[str]:
    return sorted({*(plugin.name for plugin in registry.installed()), *registry.duplicates()})


def keys(policy: Policy | None) -> Iterator[Finding]:
    """Where each key of the recipients is, and whether something is there; its value is not kept."""
    secrets = _secrets(policy)
    for source in dict.fromkeys(secret.source for secret in secrets.values()):
        names = [name for name, secret in secrets.items() if secret.source == source]
        secret = secrets[names[0]]
        subject, its, it_is = f"recipient {names[0]}", "its", "it is"
        if len(names) > 1:
            subject, its, it_is = f"recipients {', '.join(names)}", "their", "they are"
        if secret.present():
            yield Finding(level="ok", subject=subject, detail=f"{its} key is in '{source}'")
        else:
            yield Finding(
                level="warning",
                subject=subject,
                detail=f"{it_is} unavailable: {its} key should be in '{source}', and none is there",
                way_out=secret.way_out,
            )


def variables_of(policy_file: str | None) -> frozenset[str]:
    """The variables that hold the keys of the recipients of the policy in force."""
    policy, _ = policy_state(policy_file)
    sources = (secret.source for secret in _secrets(policy).values())
    return frozenset(source.removeprefix("env:") for source in sources if source.startswith("env:"))


def _secrets(policy: Policy | None) -> dict[str, Secret]:
    """By recipient."""
    found: dict[str, Secret] = {}
    for recipient in policy.recipients.values() if policy is not None else ():
        if recipient.ring == "device":
            continue
        try:
            usual = registry.manifest(recipient.provider).secret
        except PluginError:
            usual = None  # what is wrong with the plugin stands in a line of its own
        secret = recipient.credential(usual)
        if secret is not None:
            found[recipient.name] = secret
    return found


__all__ = ["all_findings", "variables_of"]
