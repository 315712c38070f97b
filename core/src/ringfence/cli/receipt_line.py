"""A receipt in one line, and the hints that belong to an answer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ringfence.receipt import Receipt
    from ringfence.response import Response


def receipt_line(receipt: Receipt) -> str:
    """Such as `device · mlx/smollm2-135m-instruct · 141 in, 22 out · 3.1 s · rule device-any · policy built-in`."""
    return " · ".join(_parts(receipt))


def _parts(receipt: Receipt) -> Iterator[str]:
    if receipt.outcome != "answered":
        yield receipt.outcome
    if receipt.ring is not None:
        yield receipt.ring
    if receipt.recipient is not None:
        yield f"{receipt.recipient}/{receipt.model}" if receipt.model else receipt.recipient
    if receipt.attestation is not None:
        yield f"attested: {receipt.attestation}"
    tokens = [
        f"{count:,} {way}"
        for count, way in ((receipt.input_tokens, "in"), (receipt.output_tokens, "out"))
        if count is not None
    ]
    if tokens:
        yield ", ".join(tokens)
    if receipt.cost_usd:
        yield dollars(receipt.cost_usd)
    yield seconds(receipt.duration_s)
    if receipt.consented:
        yield "consented"
    if receipt.rules:
        yield f"rule{'s' if len(receipt.rules) > 1 else ''} {', '.join(receipt.rules)}"
    yield f"policy {receipt.policy}"


def dollars(cost_usd: float) -> str:
    """A price as people read it, never shown as nothing where it is something: `$0.0012`, `$1.50`, `< $0.0001`."""
    if cost_usd < 0.00005:  # noqa: PLR2004  (four places would show nothing)
        return "< $0.0001"
    return f"${cost_usd:.2f}" if cost_usd >= 1 else f"${cost_usd:.4f}"


def seconds(duration_s: float) -> str:
    """A duration as people read it: `3.1 s`, `2 min 05 s`."""
    if duration_s < 60:  # noqa: PLR2004  (a minute)
        return f"{duration_s:.1f} s"
    minutes, rest = divmod(round(duration_s), 60)
    return f"{minutes} min {rest:02} s"


def hints(response: Response[Any]) -> Iterator[str]:
    """What a person should know of an answer beside its text: joins, adjustments, a cut."""
    for join in response.joins:
        how = "began again" if join.how == "restart" else "went on"
        yield f"the stream from {join.broken} broke; it {how} at {join.recipient}"
    for adjustment in response.adjustments:
        yield f"{adjustment.setting} was {adjustment.action}: {adjustment.detail}"
    if response.finish_reason == "length":
        yield "the answer was cut at the length limit (try: a larger --max-tokens)"
    elif response.finish_reason not in ("stop", "tool_calls"):
        yield f"the answer ended with '{response.finish_reason}'"


__all__ = ["dollars", "hints", "receipt_line", "seconds"]
