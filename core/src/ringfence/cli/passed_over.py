"""Why an answer did not come from a recipient that stood earlier in its plan."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ringfence.policy import Policy
    from ringfence.receipt import Receipt

_BECAUSE = {
    "ConsentRefused": "had no consent",
    "GateError": "was refused at the gate",
    "Unavailable": "was unavailable",
    "AuthenticationFailed": "refused the credential",
    "AttestationFailed": "did not prove what it is",
    "RateLimited": "takes no more requests for now",
    "ConnectFailed": "could not be connected to",
    "TimedOut": "took too long",
    "beaten": "was slower",
    "ContextLengthExceeded": "has too little context for the request",
}
_WORD = re.compile(r"(?<=[a-z])(?=[A-Z])")


def passed_over(receipt: Receipt, policy: Policy, *, told: Iterable[str] = ()) -> Iterator[str]:
    """A sentence for each recipient that was tried and did not answer, less those in `told`; none if none answered.

    Such as `server was unavailable (provider 'house' is not installed); answered by mlx`.
    """
    if receipt.outcome != "answered" or receipt.recipient is None:
        return
    # A retry ends as its last attempt did.
    last = {attempt.recipient: attempt for attempt in receipt.attempts}
    for name, attempt in last.items():
        if attempt.error is not None and name not in (receipt.recipient, *told):
            yield f"{name} {_why(name, attempt.error, attempt.reason, policy)}; answered by {receipt.recipient}"


def _why(name: str, error: str, reason: str | None, policy: Policy) -> str:
    if error == "GateError" and _needs_attesting(name, policy):
        return "has to be attested, which its provider cannot do"
    why = _BECAUSE.get(error, f"failed ({_WORD.sub(' ', error).lower()})")
    fault = _plugin_fault(policy.recipients[name].provider) if error == "Unavailable" else None
    if fault is None and error == "Unavailable" and reason is not None:
        fault = _key_fault(name, policy) or reason.replace("_", " ")
    return f"{why} ({fault})" if fault else why


def _key_fault(name: str, policy: Policy) -> str | None:
    """What is missing of the key of a recipient."""
    from ringfence import registry  # noqa: PLC0415

    recipient = policy.recipients[name]
    secret = recipient.credential(registry.manifest(recipient.provider).secret)
    return None if secret is None or secret.present() else f"the secret '{secret.source}' is not set"


def _needs_attesting(name: str, policy: Policy) -> bool:
    reached = policy.document.reached
    return any(rule.require.attested and name in reached(rule.to) for rule in policy.document.flow)


def _plugin_fault(provider: str) -> str | None:
    """What keeps the plugin from being used, as its manifest and the lock tell: a receipt holds no error's message."""
    from ringfence import registry  # noqa: PLC0415  (only a recipient that was unavailable needs it)
    from ringfence.errors import PluginError  # noqa: PLC0415
    from ringfence.lock import find_lock  # noqa: PLC0415

    try:
        registry.manifest(provider)
        registry.check_lock(provider, find_lock())
    except PluginError as error:
        return error.message
    return None


__all__ = ["passed_over"]
