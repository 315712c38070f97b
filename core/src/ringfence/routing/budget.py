"""Budgets as arithmetic: the most that a send can cost, what it did cost, and the period that it counts in.

Amounts are whole numbers: tokens, requests, or billionths of a US dollar. What cannot be known counts as the most.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal, TypeAlias, assert_never

from ringfence.privacy.material import request_texts, utf8_bytes
from ringfence.request import FilePart, ImagePart, ReasoningPart
from ringfence.response import Usage

if TYPE_CHECKING:
    from ringfence.policy.document import Budget
    from ringfence.provider import ModelCard
    from ringfence.recipient import Recipient
    from ringfence.request import Request

Unit: TypeAlias = Literal["USD", "tokens", "requests"]
Per: TypeAlias = Literal["hour", "day", "week", "month", "year", "total"]

MOST = 2**53
"""No amount is larger, so that sums of a few stay within 64 bits."""

_OF_A_UNIT = {"USD": 10**9, "tokens": 1, "requests": 1}

_TOKENS_OF_A_REQUEST = 1024
_TOKENS_OF_A_PIECE = 64
_TOKENS_OF_AN_ATTACHMENT = 65_536
"""What a vendor puts around a request, around each message and tool, and what a small picture can grow to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a send costs in each unit, `None` where it is not known."""

    usd: float | None
    tokens: int | None
    requests: int = 1

    def amount(self, unit: Unit) -> int | None:
        """The whole number of `unit`, rounded up; `None` where it is not known."""
        match unit:
            case "USD":
                return None if self.usd is None else min(math.ceil(self.usd * _OF_A_UNIT["USD"]), MOST)
            case "tokens":
                return None if self.tokens is None else min(self.tokens, MOST)
            case "requests":
                return self.requests
            case _:
                assert_never(unit)


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """An amount that one send takes of one budget of a policy in one period, of which `limit` is to be had."""

    policy: str
    budget: str
    unit: Unit
    period: str
    amount: int
    limit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """Room for one send to `recipient` in every budget over it. Only a `Ledger` makes one."""

    recipient: str
    charges: tuple[Charge, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetState:
    """How a budget stands: `spent` and `reserved` of `limit`, in `unit`, in the `period` that ends at `resets_at`.

    What is reserved is for sends under way, and for those whose process died: that counts as spent. `resets_at` is Unix
    time, `None` where the period never ends.
    """

    id: str
    of: tuple[str, ...]
    per: Per
    period: str
    spent: float
    reserved: float
    limit: float
    unit: Unit
    resets_at: float | None


def budgets_over(budgets: tuple[Budget, ...], recipient: Recipient) -> tuple[Budget, ...]:
    """The budgets that name `recipient` or its ring."""
    return tuple(one for one in budgets if recipient.name in one.of or recipient.ring in one.of)


def in_units(limit: float, unit: Unit) -> int:
    """An amount as a policy says it, in the whole numbers of the ledger."""
    return min(round(limit * _OF_A_UNIT[unit]), MOST)


def as_said(amount: int, unit: Unit) -> float:
    """An amount of the ledger as a policy would say it."""
    return amount / _OF_A_UNIT[unit]


def limit_of(budget: Budget) -> str:
    """The limit in words, such as `500 USD per month`."""
    often = "in all" if budget.per == "total" else f"per {budget.per}"
    return f"{budget.limit:.15g} {budget.unit} {often}"


# ------------------------------------------------------------------ the most that a send can cost
def most_usage(request: Request, card: ModelCard, *, ignored: bool = False) -> Usage:
    """The most tokens that `request` can take of the model of `card`. `ignored`: its own limit of output is not kept.

    A token is at least one byte of text. Around the text goes a constant for the request, for each message and tool,
    and for each attachment, whose bytes count too.
    """
    wanted = None if ignored else request.settings.max_output_tokens
    output = wanted or card.max_output_tokens or card.context_tokens
    return Usage(input_tokens=sum(_input_tokens(request)), output_tokens=0 if request.task == "embed" else output)


def _input_tokens(request: Request) -> Iterator[int]:
    yield _TOKENS_OF_A_REQUEST
    yield _TOKENS_OF_A_PIECE * (len(request.messages) + len(request.tools))
    for text in request_texts(request):
        yield utf8_bytes(text)
    for message in request.messages:
        for part in message.parts:
            if isinstance(part, ImagePart | FilePart):
                yield len(part.data) + _TOKENS_OF_AN_ATTACHMENT
            elif isinstance(part, ReasoningPart):
                yield utf8_bytes(part.state or "")


def known_tokens(usage: Usage, most: Usage) -> int | None:
    """The tokens of an answer, `None` where the backend left one of the counts out that `most` reckons with."""
    output = usage.output_tokens if most.output_tokens else usage.output_tokens or 0
    return None if usage.input_tokens is None or output is None else usage.input_tokens + output


# ------------------------------------------------------------------ periods
def period_of(per: Per, now: float) -> str:
    """The calendar period in UTC that `now` (Unix seconds) lies in, such as `2026-11` for a month."""
    at = datetime.fromtimestamp(now, UTC)
    match per:
        case "hour":
            return f"{at:%Y-%m-%dT%H}"
        case "day":
            return f"{at:%Y-%m-%d}"
        case "week":
            year, week, _ = at.isocalendar()
            return f"{year}-W{week:02}"
        case "month":
            return f"{at:%Y-%m}"
        case "year":
            return f"{at:%Y}"
        case "total":
            return "total"
        case _:
            assert_never(per)


def resets_at(per: Per, now: float) -> float | None:
    """When the period of `now` ends, in Unix seconds; `None` if never."""
    at = datetime.fromtimestamp(now, UTC)
    day = at.replace(hour=0, minute=0, second=0, microsecond=0)
    match per:
        case "hour":
            end = at.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
        case "day":
            end = day + timedelta(days=1)
        case "week":
            end = day + timedelta(days=7 - at.weekday())
        case "month":
            end = (day.replace(day=1) + timedelta(days=32)).replace(day=1)
        case "year":
            end = day.replace(year=at.year + 1, month=1, day=1)
        case "total":
            return None
        case _:
            assert_never(per)
    return end.timestamp()


__all__ = [
    "MOST",
    "BudgetState",
    "Charge",
    "Cost",
    "Reservation",
    "as_said",
    "budgets_over",
    "in_units",
    "known_tokens",
    "limit_of",
    "most_usage",
    "period_of",
    "resets_at",
]
