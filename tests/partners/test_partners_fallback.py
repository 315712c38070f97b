"""Every refusal of both partners, streamed and whole: retried as `Retry` says, then what the policy declared."""

from __future__ import annotations

import time
from pathlib import Path
from typing import get_args

import pytest
from tests.core.support import drain, records
from tests.partners.support import APIS, DEVICE, LOCAL, QUICK, Api, Person, assistant, at, backend, policy_text

from ringfence import AsyncAssistant, Retry
from ringfence.errors import Denied, RateLimited, RingfenceError
from ringfence.response import Response, TextDelta
from ringfence.testing import PartnerServer, Scene, ScriptedProvider
from ringfence.testing.scenes import ErrorKind

KINDS: tuple[ErrorKind, ...] = get_args(ErrorKind)
RETRYABLE = {"rate_limited", "server", "overloaded"}
ERRORS: dict[str, dict[ErrorKind, str]] = {
    "openai": {
        "bad_request": "RequestRejected",
        "authentication": "AuthenticationFailed",
        "permission": "RequestRejected",
        "not_found": "Unavailable",
        "context_length": "ContextLengthExceeded",
        "rate_limited": "RateLimited",
        "server": "Overloaded",
        "overloaded": "Overloaded",
    },
    "gemini": {
        "bad_request": "RequestRejected",
        "authentication": "AuthenticationFailed",
        "permission": "AuthenticationFailed",
        "not_found": "Unavailable",
        "context_length": "RequestRejected",  # the API says it in words only
        "rate_limited": "RateLimited",
        "server": "Overloaded",
        "overloaded": "Overloaded",
    },
}


def error_name(api: Api, kind: ErrorKind) -> str:
    return ERRORS["gemini" if api == "gemini" else "openai"][kind]


async def ask(asked: AsyncAssistant, text: str, *, streamed: bool) -> Response[None]:
    if not streamed:
        return await asked.respond(text, labels=["public"])
    stream = asked.stream(text, labels=["public"])
    events, error = await drain(stream)
    if error is not None:
        raise error
    response = await stream.response()
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == response.text
    return response


@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize("to", ["partner", "device"])
@pytest.mark.parametrize("api", APIS)
async def test_a_refusal_ends_in_the_declared_fallback(
    server: PartnerServer, tmp_path: Path, api: Api, to: str, streamed: bool
) -> None:
    first, other = backend(api, server), backend("responses" if api == "gemini" else "gemini", server)
    second = at(other.api, server) if to == "partner" else DEVICE
    policy = policy_text({"first": at(api, server), "second": second}, fallback=["second"])
    faults: list[str] = []
    for kind in KINDS:
        first.play(Scene(error=kind))
        other.play(Scene(text=("From the", " other.")))
        person = Person()
        async with assistant(policy, tmp_path / kind, person=person) as asked:
            response = await ask(asked, "Hello there", streamed=streamed)
        tries = 2 if kind in RETRYABLE else 1
        attempts = [(one.recipient, one.error) for one in response.receipt.attempts]
        expected: list[tuple[str, str | None]] = [("first", error_name(api, kind))] * tries
        checks = {
            "text": response.text == ("From the other." if to == "partner" else LOCAL),
            "attempts": attempts == [*expected, ("second", None)],
            "phases": {one.phase for one in response.receipt.attempts[:-1]} == {"before_first_event"},
            "sent": len(first.seen()) == tries and len(other.seen()) == (to == "partner"),
            "questions": person.asked == (["first", "second"] if to == "partner" else ["first"]),
            "receipt": response.receipt.recipient == "second" and response.receipt.consented == (to == "partner"),
            "record": [one["recipient"] for one in records(tmp_path / kind)[-1]["attempts"]]
            == [name for name, _ in attempts],
        }
        faults += [f"{kind}: {name} {attempts} {person.asked}" for name, holds in checks.items() if not holds]
    assert faults == []


@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize("api", APIS)
async def test_without_a_fallback_the_error_is_the_partners(server: PartnerServer, api: Api, streamed: bool) -> None:
    policy = policy_text({"first": at(api, server), "local": DEVICE})
    device = ScriptedProvider()
    faults: list[str] = []
    async with assistant(policy, audit=False, device=device) as asked:
        for kind in KINDS:
            backend(api, server).play(Scene(error=kind))
            try:
                await ask(asked, "Hello there", streamed=streamed)
            except RingfenceError as error:
                if type(error).__name__ != error_name(api, kind) or getattr(error, "recipient", None) != "first":
                    faults.append(f"{kind}: {error!r}")
                if error.receipt is None or error.receipt.outcome != "failed":
                    faults.append(f"{kind}: receipt {error.receipt}")
            else:
                faults.append(f"{kind}: answered")
    assert faults == []
    assert device.requests == []


@pytest.mark.parametrize("kind", ["rate_limited", "overloaded", "server"])
@pytest.mark.parametrize("api", APIS)
async def test_retry_after_is_honoured(server: PartnerServer, api: Api, kind: ErrorKind) -> None:
    """Jitter alone would wait up to 5 s or nothing; the recipient's own word is 0.2 s."""
    backend(api, server).play(Scene(error=kind, retry_after_s=0.2), Scene(text=("late",)))
    retry = Retry(attempts=2, wait_s=0.0, max_wait_s=1.0)
    async with assistant(policy_text({"first": at(api, server)}), audit=False, retry=retry) as asked:
        began_s = time.perf_counter()
        response = await asked.respond("Hello", labels=["public"])
        took_s = time.perf_counter() - began_s
    assert response.text == "late"
    assert took_s >= 0.19
    assert [one.error for one in response.receipt.attempts] == [error_name(api, kind), None]


@pytest.mark.parametrize("api", APIS)
async def test_a_wait_beyond_the_most_is_not_waited_for(server: PartnerServer, api: Api) -> None:
    backend(api, server).play(Scene(error="rate_limited", retry_after_s=30))
    policy = policy_text({"first": at(api, server), "local": DEVICE}, fallback=["local"])
    async with assistant(policy, audit=False, retry=QUICK) as asked:
        response = await asked.respond("Hello", labels=["public"])
    assert response.text == LOCAL
    assert len(backend(api, server).seen()) == 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("api", APIS)
async def test_a_fallback_that_flow_refuses_is_never_asked(server: PartnerServer, api: Api, kind: ErrorKind) -> None:
    """The route names it, flow denies it for these labels: nobody is asked, and nothing is sent."""
    other = backend("responses" if api == "gemini" else "gemini", server)
    first = backend(api, server)
    first.play(Scene(error=kind))
    other.play(Scene())
    policy = policy_text({"first": at(api, server), "forbidden": at(other.api, server)}, fallback=["forbidden"])
    person = Person()
    async with assistant(policy, audit=False, person=person) as asked:
        with pytest.raises(RingfenceError) as raised:
            await asked.respond("Hello", labels=["work"])
    assert type(raised.value).__name__ == error_name(api, kind)
    assert other.seen() == ()
    assert person.asked == ["first"]


async def test_a_fallback_that_is_refused_consent_is_not_sent_to(server: PartnerServer) -> None:
    server.openai.play(Scene(error="rate_limited"))
    policy = policy_text({"first": at("responses", server), "second": at("gemini", server)}, fallback=["second"])
    person = Person(says=lambda question: question.recipient == "first")
    async with assistant(policy, audit=False, person=person) as asked:
        with pytest.raises(RateLimited):
            await asked.respond("Hello", labels=["public"])
    assert server.gemini.seen() == ()
    assert person.asked == ["first", "second"]


@pytest.mark.parametrize("api", APIS)
async def test_nothing_is_sent_when_the_answer_is_no(server: PartnerServer, api: Api) -> None:
    policy = policy_text({"first": at(api, server), "local": DEVICE}, prefer=["first", "local"])
    person = Person(says=lambda _: False)
    async with assistant(policy, audit=False, person=person) as asked:
        response = await asked.respond("Hello", labels=["public"])
    assert response.receipt.recipient == "local"
    assert backend(api, server).seen() == ()
    assert person.asked == ["first"]


async def test_to_never_adds_a_recipient(server: PartnerServer) -> None:
    policy = policy_text(
        {"first": at("gemini", server), "forbidden": at("responses", server)}, prefer=["first", "forbidden"]
    )
    async with assistant(policy, audit=False) as asked:
        with pytest.raises(Denied):
            await asked.respond("Hello", labels=["work"], to="forbidden")
    assert server.openai.seen() == ()
    assert server.gemini.seen() == ()
