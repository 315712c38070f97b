"""Redaction at the real partner providers: asserted on the bytes that a server got."""

from __future__ import annotations

import pytest
from tests.partners.support import APIS, DEVICE, ONCE, Api, at, backend

from ringfence import AsyncAssistant, ConsentRequest
from ringfence.policy import read_policy
from ringfence.request import ToolCallPart
from ringfence.testing import PartnerServer, ScriptedProvider
from ringfence.testing.scenes import Scene

ANNA = "anna@example.com"

_POLICY = """
version: 1
name: partners-redacted
recipients:
  first: {first}
  near: {near}
labels: {{public: {{}}, contact: {{detect: [email]}}, health: {{declare: true}}, unclassified: {{}}}}
unknown: unclassified
clean: public
tools: {{invite: {{ring: device}}}}
flow:
  - {{id: device, allow: {{labels: "*", to: [device]}}}}
  - {{id: partner, allow: {{labels: [public], to: [partner]}}, consent: ask}}
  - {{id: pseudonym, allow: {{labels: [contact, health], to: [partner]}}, redact: pseudonym, consent: ask}}
route:
  - {{id: only, prefer: [first]}}
"""


@pytest.mark.parametrize("api", APIS)
async def test_no_byte_of_a_redacted_value_reaches_a_partner_over_a_whole_session(
    api: Api, server: PartnerServer
) -> None:
    handed: list[str] = []

    def invite(who: str) -> str:
        """Invites somebody."""
        handed.append(who)
        return f"invited {who}"

    asked: list[str] = []

    def person(question: ConsentRequest) -> bool:
        asked.append(question.preview)
        return True

    assistant = AsyncAssistant(
        read_policy(_POLICY.format(first=at(api, server), near=DEVICE)),
        providers={"scripted": ScriptedProvider()},
        audit=False,
        consent=person,
        retry=ONCE,
    )
    double = backend(api, server)
    double.play(
        Scene(
            text=(
                "I will write to [EMA",
                "IL-1-none] soon.",
            )
        )
    )
    async with assistant as it:
        session = it.session()
        first = await session.respond(f"Please greet {ANNA}.")
        assert first.text == "I will write to [EMAIL-1-none] soon."
        placeholder = asked[0].rpartition("Please greet ")[2].partition(".")[0]
        assert placeholder in double.seen()[-1].body.decode()
        seen = list(double.seen())

        double.play(Scene(text=("Done", "!")))
        await session.respond("And now?")
        seen += double.seen()

        call = ToolCallPart("call_1", "invite", '{"who": "nobody"}')
        double.play(Scene(text=(), tool_calls=(call,)), Scene(text=("Done",)))
        await session.respond("Invite her.", tools=[invite])
        seen += double.seen()
    assert handed == ["nobody"]
    assert len(seen) == 4
    assert all(ANNA.encode() not in one.body and "%40" not in one.path + one.query for one in seen)
    assert all(b"[EMAIL-1-" in one.body for one in seen)
