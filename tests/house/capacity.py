"""Two houses and a partner, all doubles on loopback, under one policy: own first, rented as overflow."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any, Self

from ringfence import AsyncAssistant, Retry
from ringfence.errors import RingfenceError
from ringfence.policy import Policy, read_policy
from ringfence.receipt import Receipt
from ringfence.testing import PartnerServer
from ringfence.testing.scenes import Scene
from ringfence_house.protocol.names import LOAD_FIELD
from ringfence_house.provider import HouseProvider
from ringfence_house.testing import HouseServer, Inside, Machine, Script

AT_ONCE = Retry(attempts=3, wait_s=0.0)
TEXT = "here"
PROMPT = "canary-5150 what may only the house know"

_POLICY = """\
version: 1
name: capacity
recipients:
  own:    {{ring: house, provider: house, model: some-model, directory: "{own}", trust: "{own_trust}",
           min_tier: software-dev, capacity: owned, retention: none}}
  rented: {{ring: house, provider: house, model: some-model, directory: "{rented}", trust: "{rented_trust}",
           min_tier: software-dev, capacity: rented, retention: none}}
  vendor: {{ring: partner, provider: openai, model: gpt-5.2, url: "{partner}"}}
labels:
  public: {{}}
  internal: {{declare: true}}
  owned-only: {{declare: true}}
  unclassified: {{}}
unknown: unclassified
flow:
  - id: houses
    allow: {{labels: "*", to: [house]}}
    require: {{attested: true, retention: none}}
  - id: owned-only
    deny: {{labels: [owned-only], to: [rented]}}
  - id: partner-public
    allow: {{labels: [public], to: [partner]}}
    consent: ask
route:
  - {{id: only, prefer: [own], {route}}}
{more}
"""
OVERFLOW = "overflow: {to: [rented], when_utilisation_over: 0.85}"


class Desk:
    """Two machines of one's own, one rented, and a partner. It counts what each of them got, and what left."""

    def __init__(self) -> None:
        self.own = HouseServer(machines=2)
        self.rented = HouseServer(machines=1)
        self.partner = PartnerServer(keyless=True)
        self.receipts: list[Receipt] = []

    def __enter__(self) -> Self:
        for server in (self.own, self.rented, self.partner):
            server.__enter__()
        return self

    def __exit__(self, *failure: object) -> None:
        for server in (self.own, self.rented, self.partner):
            server.__exit__(None, None, None)

    def begin(self) -> None:
        """Everybody is honest and idle, and nothing was asked."""
        self.own.script = idle(self.own.fleet.machines)
        self.rented.script = idle(self.rented.fleet.machines)
        self.partner.play(*[Scene()] * 9)
        for house in (self.own, self.rented):
            house.received.clear()
            for machine in house.fleet.machines:
                machine.renew()
        self.receipts.clear()

    def policy(self, route: str = OVERFLOW, *, own: str | None = None, more: str = "") -> Policy:
        """The policy in force; `own` is where the own house is said to be."""
        fields = {
            "own": own or self.own.url,
            "own_trust": self.own.fleet.trust,
            "rented": self.rented.url,
            "rented_trust": self.rented.fleet.trust,
            "partner": self.partner.url,
        }
        return read_policy(_POLICY.format(**fields, route=route, more=more))

    @property
    def posts(self) -> dict[str, int]:
        """How many requests each of them got."""
        return {
            "own": len(self.own.received),
            "rented": len(self.rented.received),
            "vendor": len(self.partner.seen()),
        }

    @property
    def sent(self) -> dict[str, int]:
        """How many each was sent, by the receipts: one for each grant that was spent."""
        counts = Counter(
            one.recipient
            for receipt in self.receipts
            for one in receipt.attempts
            if one.error is None or one.phase in ("before_first_event", "mid_stream")
        )
        return {name: counts[name] for name in self.posts}

    def where(self) -> list[str]:
        """The machines of the own house that were asked, in order, each by its serial number."""
        machines = (self.own.fleet.machine(one.headers["ringfence-node"]) for one in self.own.received)
        return [machine.serial for machine in machines if machine is not None]


class App:
    """An assistant at a desk; `asked` gives the recipient that answered, or the error."""

    def __init__(self, desk: Desk, policy: Policy | None = None, *, retry: Retry = AT_ONCE, **how: Any) -> None:
        self.desk = desk
        self.provider = HouseProvider()
        self.policy = policy or desk.policy()
        options: dict[str, Any] = {"audit": False, "consent": _yes, **how}
        self.assistant = AsyncAssistant(self.policy, providers={"house": self.provider}, retry=retry, **options)

    async def __aenter__(self) -> Self:
        await self.assistant.__aenter__()
        return self

    async def __aexit__(self, *failure: object) -> None:
        await self.assistant.close()

    async def asked(self, label: str = "internal") -> str:
        """Who answered.

        Raises:
            RingfenceError: nobody did. Nothing of the prompt is in it.
        """
        try:
            response = await self.assistant.respond(PROMPT, labels=[label])
        except RingfenceError as error:
            self._note(error.receipt, said=f"{error} {error.way_out}")
            raise
        self._note(response.receipt)
        return str(response.receipt.recipient)

    def _note(self, receipt: Receipt | None, said: str = "") -> None:
        assert "canary" not in f"{said} {receipt}"
        if receipt is not None:
            self.desk.receipts.append(receipt)

    def utilisation(self, name: str = "own") -> float | None:
        """What the provider says of a recipient."""
        return self.provider.utilisation(self.policy.recipients[name])


def _yes(_: object) -> bool:
    return True


def saying(load: str | None = None) -> Inside:
    """An answer; `load` is what the machine writes for how full it is."""
    chunks: list[dict[str, Any]] = [
        {"choices": [{"index": 0, "delta": {"content": TEXT}}]},
        {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
    ]
    fields = {"content-type": "text/event-stream"} | ({} if load is None else {LOAD_FIELD: load})
    events = [f"data: {json.dumps(one)}\n\n".encode() for one in chunks]
    return Inside(fields=fields, content=[*events, b"data: [DONE]\n\n"])


def full(retry_after: str = "0") -> Inside:
    """A refusal inside of the encryption, as a node gives it whose queue has no place."""
    error = {"message": "the node is full", "type": "server_error", "param": None, "code": "full"}
    fields = {"content-type": "application/json", "retry-after": retry_after, LOAD_FIELD: "1.00"}
    return Inside(status=503, fields=fields, content=[json.dumps({"error": error}).encode()])


def always(answer: Inside) -> Script:
    """All machines give this answer."""
    return Script(inside=lambda _, __: answer)


def idle(machines: Sequence[Machine]) -> Script:
    """All machines answer, and say that nothing else runs there."""
    return busy(dict.fromkeys((one.serial for one in machines), "0.00"))


def busy(loads: dict[str, str]) -> Script:
    """All machines answer, each with the load that is given for its serial number."""
    return Script(inside=lambda _, machine: saying(loads[machine.serial]))


@contextmanager
def one_post_a_grant(desk: Desk) -> Generator[None]:
    """Afterwards: what came over the wire is one request for each grant, no more and no less."""
    yield
    assert desk.posts == desk.sent
