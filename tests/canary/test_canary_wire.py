"""Bytes on the wire: a canary in every kind of part of a request, under every kind of policy, at every vendor's API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import combinations, product

import pytest
from hypothesis import settings
from tests.canary.conftest import Recorder
from tests.canary.support import (
    APIS,
    KINDS,
    LABELS,
    OPEN,
    PLACES,
    SHUT,
    Api,
    Kind,
    canary,
    found_in,
    output_of,
    policy,
    redacting,
    request,
)

from ringfence import AsyncAssistant, Retry
from ringfence.errors import RingfenceError
from ringfence.policy import read_policy
from ringfence.request import Settings
from ringfence.testing import ScriptedProvider

REDACTIONS = ("remove", "mask", "pseudonym")
NEVER_SENT = {"fact", "tenant"}
"""What is the core's own."""

SENT: Mapping[Api, set[str]] = {
    "responses": set(PLACES) - NEVER_SENT - {"stop", "picture_name"},
    "chat": set(PLACES) - NEVER_SENT - {"picture_name", "reasoning", "reasoning_state"},
    "gemini": set(PLACES) - NEVER_SENT - {"picture_name", "text_file_name", "binary_file_name"},
}
"""The places of which each API has a field: what the search must find where everything is allowed."""


def provider_of(api: Api) -> str:
    return "gemini" if api == "gemini" else "openai"


@dataclass(kw_only=True)
class Outcome:
    """The places from which a canary got out, and those with which anything was sent."""

    leaked: set[str] = field(default_factory=set[str])
    sent: set[str] = field(default_factory=set[str])


async def asked(api: Api, flow: str, kinds: Sequence[Kind], wire: Recorder) -> Outcome:
    """What becomes of requests with a canary in one place each, under `flow`; the places take the kinds in turn."""
    rules = read_policy(policy(flow, wire.url, api=api))
    outcome = Outcome()
    async with AsyncAssistant(
        rules,
        providers={"scripted": ScriptedProvider("x")},
        audit=False,
        consent=lambda _: True,
        retry=Retry(attempts=1),
    ) as it:
        for number, place in enumerate(PLACES):
            kind = kinds[number % len(kinds)]
            values = {place: canary(kind, place)}
            declared = [LABELS[kind]] if kind == "declared" else []
            messages, options = request(values, declared, author=(provider_of(api), wire.url))
            wire.forget()
            with suppress(RingfenceError):
                await it.respond(messages, output=output_of(values), **options)
            if wire.sent():
                outcome.sent.add(place)
            if found_in(wire.sent(), values.values()):
                outcome.leaked.add(place)
    return outcome


@pytest.mark.parametrize("api", APIS)
async def test_where_everything_is_allowed_the_search_finds_what_is_sent(api: Api, wires: dict[str, Recorder]) -> None:
    """The other tests here can fail."""
    assert (await asked(api, OPEN, KINDS, wires[provider_of(api)])).leaked == SENT[api]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("api", APIS)
async def test_what_is_denied_opens_no_connection(api: Api, kind: Kind, wires: dict[str, Recorder]) -> None:
    outcome = await asked(api, SHUT, [kind], wires[provider_of(api)])
    # A fact and a tenant are no part of what is sent, so nothing is wrong with sending the rest.
    assert (outcome.leaked, outcome.sent) == (set(), NEVER_SENT)


WHOLE = [*product(APIS, REDACTIONS, KINDS)]
PAIRS = [one for one in WHOLE if (APIS.index(one[0]) + REDACTIONS.index(one[1]) + KINDS.index(one[2])) % 3 == 0]
"""Every pair of an API, a redaction and a kind."""


def test_a_third_of_the_table_has_every_pair() -> None:
    for one, other in combinations(range(3), 2):
        assert {(row[one], row[other]) for row in PAIRS} == {(row[one], row[other]) for row in WHOLE}


@pytest.mark.parametrize(("api", "how", "kind"), WHOLE if settings.get_current_profile_name() == "thorough" else PAIRS)
async def test_what_must_be_redacted_never_leaves_as_it_is(
    api: Api, how: str, kind: Kind, wires: dict[str, Recorder]
) -> None:
    outcome = await asked(api, redacting(how), [kind], wires[provider_of(api)])
    # An identifier pairs a call with its result: it is never rewritten, and only a detector can tell what is in it.
    assert outcome.leaked == ({"call_id"} if kind == "declared" else set())
    # Redaction does not only refuse. Of a part that is only declared nothing may be left to ask about.
    assert kind == "declared" or {"system", "user", "assistant", "result_text", "call_arguments"} <= outcome.sent


async def test_the_name_of_a_voice_is_labelled() -> None:
    settings = Settings(voice=canary("secret", "stop"))
    async with AsyncAssistant(read_policy(policy(OPEN, "http://127.0.0.1:9/v1")), audit=False) as it:
        assert "credentials" in it.explain("Good morning.", task="speak", settings=settings).labels
