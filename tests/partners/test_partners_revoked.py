"""A consent that is taken back: nothing arrives at the partner if the revocation returned before the last look."""

from __future__ import annotations

import random
import threading
import time
from pathlib import Path

import pytest
from tests.partners.support import APIS, Api, Person, assistant, at, backend, policy_text

from ringfence.errors import ConsentRefused
from ringfence.grant import Grant
from ringfence.privacy.consent_store import ConsentStore
from ringfence.recipient import Recipient
from ringfence.testing import PartnerServer, Scene

MONTH = "consent:\n  partner: {lasts: 30d}\n"


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RINGFENCE_STATE_DIR", str(tmp_path / "state"))
    return tmp_path / "state"


def rules(api: Api, server: PartnerServer) -> str:
    return policy_text({"first": at(api, server)}) + MONTH


@pytest.mark.parametrize("api", APIS)
async def test_what_is_taken_back_right_before_the_network_never_arrives(
    api: Api, server: PartnerServer, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend(api, server).play(Scene(text=("one",)))
    person = Person()
    async with assistant(rules(api, server), audit=False, person=person) as it:
        assert (await it.respond("hello", labels=["public"])).text == "one"
        assert len(backend(api, server).seen()) == 1
        original = Grant.claim

        def claim(self: Grant, recipient: Recipient) -> None:
            assert ConsentStore(state).revoke(recipient="first") == 1
            original(self, recipient)

        monkeypatch.setattr(Grant, "claim", claim)
        with pytest.raises(ConsentRefused, match="taken back") as caught:
            await it.respond("hello again", labels=["public"])
    assert len(backend(api, server).seen()) == 1
    assert person.asked == ["first"]
    assert caught.value.receipt is not None
    assert (caught.value.receipt.input_bytes, caught.value.receipt.outcome) == (0, "failed")


async def test_at_any_moment_of_a_request_a_revocation_that_came_first_holds(
    server: PartnerServer, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread takes the consent back at random; whether it had returned is noted as the grant is claimed."""
    api: Api = "chat"
    backend(api, server).play(Scene(text=("one",)))
    returned = threading.Event()
    original = Grant.claim
    before: list[bool] = []

    def claim(self: Grant, recipient: Recipient) -> None:
        before.append(returned.is_set())
        original(self, recipient)

    monkeypatch.setattr(Grant, "claim", claim)
    stored = ConsentStore(state)

    def revoke(after_s: float) -> None:
        time.sleep(after_s)
        stored.revoke(recipient="first")
        returned.set()

    outcomes: set[str] = set()
    answers: list[bool] = []
    person = Person(lambda _: answers[-1])
    async with assistant(rules(api, server), audit=False, person=person) as it:
        for round_ in range(40):
            returned.clear()
            answers.append(True)
            await it.respond("give", labels=["public"])
            seen = len(backend(api, server).seen())
            before.clear()
            thread = threading.Thread(target=revoke, args=(random.Random(round_).uniform(0, 0.006),))
            thread.start()
            sent = True
            answers.append(False)
            try:
                await it.respond("race", labels=["public"])
            except ConsentRefused:
                sent = False
            thread.join()
            arrived = len(backend(api, server).seen()) - seen
            assert arrived == int(sent)
            assert not (before and before[-1] and arrived), "sent after the revocation had returned"
            outcomes.add("sent" if sent else "refused")
    stored.close()
    assert outcomes <= {"sent", "refused"}
