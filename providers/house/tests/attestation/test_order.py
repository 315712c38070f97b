"""The order of the checks: what everything else rests on comes first, and nothing after a check that failed is read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from providers.house.tests.attestation.support import (
    DIGEST,
    GOOD,
    RELEASE,
    SIP,
    Draft,
    Key,
    new_key,
    with_claims,
)

from ringfence_house.attestation.refusal import CHECKS, EvidenceRefused


def _nonsense(_key: Key, _data: bytes) -> bytes:
    return b"x" * 64


def _nothing(_: bytes) -> bytes:
    return b"{}"


OTHER_BUILD = {"id": RELEASE.id, "code": DIGEST["other"], "model": DIGEST["model"], "config": DIGEST["config"]}

FAULTS: dict[str, Callable[[Draft], Draft]] = {
    "form": lambda draft: replace(draft, encoded=_nothing),
    "type": lambda draft: replace(draft, type="none"),
    "endorsement": lambda draft: replace(draft, values={SIP: b""}),
    "binding": lambda draft: replace(draft, endorsed=new_key()),
    "signature": lambda draft: replace(draft, sign=_nonsense),
    "claims": lambda draft: replace(draft, claims={**draft.claims, "eat_profile": "none"}),
    "key": lambda draft: replace(draft, config=b""),
    "release": lambda draft: replace(draft, claims={**draft.claims, "rf_release": OTHER_BUILD}),
    "device": lambda draft: replace(draft, claims={**draft.claims, "ueid": "another"}),
    "model": lambda draft: draft,
}
"""One fault for each check; that of the model is what is asked for."""


@pytest.mark.parametrize("first", FAULTS)
def test_of_many_faults_the_first_in_the_order_of_the_protocol_is_found(first: str) -> None:
    names = list(FAULTS)
    draft = GOOD
    for name in names[names.index(first) :]:
        draft = FAULTS[name](draft)

    with pytest.raises(EvidenceRefused) as caught:
        draft.verify(model="another-model")

    assert caught.value.check == first


def test_every_check_of_one_node_has_its_place_here() -> None:
    assert (*FAULTS, "duplicate") == CHECKS


def test_a_fault_that_nobody_signed_is_one_of_the_signature() -> None:
    """Claims are not looked into before it is known who made them."""
    draft = replace(with_claims(exp=1), sign=_nonsense)

    with pytest.raises(EvidenceRefused) as caught:
        draft.verify()

    assert caught.value.check == "signature"
