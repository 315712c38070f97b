"""The sections `budgets:` and `audit:`: the most that may be spent, and how long the record of it is kept."""

from __future__ import annotations

import re
from typing import Final, Literal, cast

from ringfence.policy import fields
from ringfence.policy.document import AuditRule, Budget
from ringfence.policy.durations import DAY_S
from ringfence.policy.faults import Faults, did_you_mean, quoted
from ringfence.policy.keys import AUDIT, BUDGET, PERIODS, UNITS
from ringfence.policy.place import Position
from ringfence.policy.prices import has_list_price, missing_price
from ringfence.policy.read_conditions import Declared
from ringfence.policy.read_rules import read_places, rule_nodes
from ringfence.policy.tree import Entry, ListNode, Node, Scalar, kind
from ringfence.recipient import RINGS, Recipient

_LIMIT: Final = re.compile(r"([0-9]{1,15})(\.[0-9]{1,2})? +(\w+)")
_MOST: Final = 1 << 53
_LONGEST_S: Final = 36_500 * DAY_S
_EXAMPLES: Final = '"500 USD", "1000000 tokens" or "200 requests"'


def read_budgets(written: Entry | None, declared: Declared, faults: Faults) -> tuple[Budget, ...]:
    """The budgets that can be read; the others are faults."""
    nodes = () if written is None else rule_nodes(written.value, "budgets", faults)
    found = [_budget(node, f"budgets[{index}]", declared, faults) for index, node in enumerate(nodes)]
    return tuple(budget for budget in found if budget is not None)


def _budget(node: Node, where: str, declared: Declared, faults: Faults) -> Budget | None:
    before = len(faults.found)
    found = fields.entries(node, where, BUDGET, faults)
    if found is None:
        return None
    budget_id = fields.name(found["id"].value, f"{where}.id", faults) if "id" in found else None
    of = read_of(found["of"].value, f"{where}.of", declared, faults) if "of" in found else None
    limit = _limit(found["limit"].value, f"{where}.limit", faults) if "limit" in found else None
    per = fields.choice(found["per"].value, f"{where}.per", PERIODS, faults) if "per" in found else None
    if "when_spent" in found:
        fields.choice(found["when_spent"].value, f"{where}.when_spent", ("deny",), faults)
    if limit is not None and limit[1] == "USD" and of is not None:
        _check_prices(budget_id or where, of, declared, found["of"].value.at, faults)
    if len(faults.found) > before or budget_id is None or of is None or limit is None:
        return None
    return Budget(
        id=budget_id,
        of=of,
        limit=limit[0],
        unit=cast("Literal['USD', 'tokens', 'requests']", limit[1]),
        per=cast("Literal['hour', 'day', 'week', 'month', 'year', 'total']", per),
        at=node.at,
    )


def read_of(node: Node, where: str, declared: Declared, faults: Faults) -> frozenset[str] | None:
    """The rings and recipients of a list, or the one that stands alone."""
    alone = isinstance(node, Scalar) and isinstance(node.value, str)
    return read_places(ListNode(items=(node,), at=node.at) if alone else node, where, declared, faults)


def _limit(node: Node, where: str, faults: Faults) -> tuple[float, str] | None:
    """The amount and its unit."""
    written = node.value if isinstance(node, Scalar) else None
    found = _LIMIT.fullmatch(written.strip()) if isinstance(written, str) else None
    if found is None:
        shown = quoted(written) if isinstance(written, str) else kind(node)
        faults.add(node.at, f"{where} must be an amount and what is counted, such as {_EXAMPLES}, not {shown}.")
        return None
    if found[3] not in UNITS:
        says = f"{where} counts {quoted(found[3])}: write USD, tokens or requests"
        faults.add(node.at, f"{says}.{did_you_mean(found[3], UNITS)}")
        return None
    amount = float(found[1] + (found[2] or ""))
    if found[2] and found[3] != "USD":
        faults.add(node.at, f"{where} counts {found[3]}: write a whole number.")
    elif not 0 < amount <= _MOST:
        faults.add(node.at, f"{where} must be more than nothing. To refuse a recipient, write a deny under flow:.")
    else:
        return amount, found[3]
    return None


def _check_prices(budget: str, of: frozenset[str], declared: Declared, at: Position, faults: Faults) -> None:
    """Notes a fault for what a budget of money is over and has no known price there."""
    says = f"budget {quoted(budget)} is in USD, and"
    count = "Count tokens or requests, or take it out of of:."
    recipients = [one for one in (declared.recipients or {}).values() if one is not None]
    named = {name: name for name in of if name in RINGS} | {
        one.name: one.ring for one in recipients if one.name in of or one.ring in of
    }
    for name in sorted(name for name, ring in named.items() if ring == "device" and name in of):
        faults.add(at, f"{says} {quoted(name)} costs nothing: it is on the device. Take it out of of:.")
    for name in sorted(name for name, ring in named.items() if ring == "house" and name in of):
        faults.add(at, f"{says} no price is known for {quoted(name)}, which is the house's own. {count}")
    for one in recipients:
        said = missing_price(one) if one.name in named and one.ring == "partner" else None
        if said is not None:
            faults.add(at, f"{says} {_unpriced(one, said.why, count)}")


def _unpriced(recipient: Recipient, why: str | None, count: str) -> str:
    name, model = quoted(recipient.name), recipient.model[:60]
    if why is None and recipient.url and has_list_price(recipient):
        holds = f"the list price of {model} does not hold at the url: that this file gives recipient {name}"
        return f"{holds}. Count requests or tokens, or remove url:."
    because = "" if why is None else f": {why}"
    return f"no price is known for recipient {name} (model {model}){because}. {count}"


def read_audit(written: Entry | None, faults: Faults) -> AuditRule:
    """What is kept of a request, and for how long."""
    found = None if written is None else fields.entries(written.value, "audit", AUDIT, faults)
    if not found:
        return AuditRule()
    if "content" in found:
        _check_content(found["content"].value, faults)
    return AuditRule(keep_s=_keep(found["keep"].value, faults) if "keep" in found else None)


def _check_content(node: Node, faults: Faults) -> None:
    written = fields.text(node, "audit.content", faults)
    if written is not None and written != "none":
        says = "can only be none: what people write is never in the record"
        faults.add(node.at, f"audit.content {says}, not {quoted(written)}.{did_you_mean(written, ('none',))}")


def _keep(node: Node, faults: Faults) -> int | None:
    bounds = "more than nothing and at most a hundred years, 36500d"
    return fields.duration(node, "audit.keep", faults, example="400d", longest_s=_LONGEST_S, bounds=bounds)
