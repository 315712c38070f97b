"""A name that the plugin finds, from the app to a partner and back."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest

from ringfence import AsyncAssistant, Policy
from ringfence.errors import Denied
from ringfence.grant import Grant
from ringfence.policy import read_policy
from ringfence.provider import Plan
from ringfence.response import ProviderEvent
from ringfence.testing import ScriptedProvider, text_events
from ringfence_detector_ner import model

_POLICY = """
version: 1
name: names
recipients:
  far: {ring: partner, provider: far, model: m}
labels:
  public: {}
  identity: {detect: [person_name, street_address]}
  unclassified: {}
unknown: unclassified
clean: public
flow:
  - {id: public, allow: {labels: [public], to: [partner]}, consent: ask}
  - {id: identity, allow: {labels: [identity], to: [partner]}, redact: pseudonym, consent: ask}
route:
  - {id: only, prefer: [far]}
"""


class Echo(ScriptedProvider):
    """Says what it was told."""

    async def run(self, plan: Plan[object], grant: Grant) -> AsyncGenerator[ProviderEvent, None]:
        grant.spend(plan.request)
        self.requests.append(plan.request)
        for event in text_events(plan.request.messages[-1].text):
            yield event


def _policy() -> Policy:
    return read_policy(_POLICY)


async def test_a_name_goes_out_as_a_pseudonym_and_comes_back_as_the_name() -> None:
    far = Echo()
    async with AsyncAssistant(_policy(), providers={"far": far}, audit=False, consent=lambda _: True) as assistant:
        response = await assistant.respond("Write to Siobhan O'Brien at 12 Baker Street, Springfield.")
    (request,) = far.requests
    sent = request.messages[-1].text
    assert sent.startswith("Write to ")
    for word in ("Siobhan", "Brien", "Baker", "Springfield"):
        assert word not in sent
    assert response.text == "Write to Siobhan O'Brien at 12 Baker Street, Springfield."
    assert set(response.receipt.redactions) == {"identity"}


async def test_a_question_without_a_name_goes_out_as_it_is() -> None:
    far = Echo()
    async with AsyncAssistant(_policy(), providers={"far": far}, audit=False, consent=lambda _: True) as assistant:
        await assistant.respond("How tall is Mount Fuji?")
    assert far.requests[0].messages[-1].text == "How tall is Mount Fuji?"


async def test_without_the_model_nothing_goes_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise model.ModelMissing

    monkeypatch.setattr(model, "_loaded", [])
    monkeypatch.setattr(model, "_folder", missing)
    far = Echo()
    async with AsyncAssistant(_policy(), providers={"far": far}, audit=False, consent=lambda _: True) as assistant:
        with pytest.raises(Denied) as refused:
            await assistant.respond("How tall is Mount Fuji?")
    assert "unclassified" in refused.value.decision.labels
    assert far.requests == []
