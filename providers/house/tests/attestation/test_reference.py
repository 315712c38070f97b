"""What the evidence is held against: tiers, releases, the inventory, and how long a node may be used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from providers.house.tests.attestation.support import (
    APPLE,
    DAY,
    DEVICE,
    DIGEST,
    GOOD,
    NOW,
    RELEASE,
    VERIFIERS,
    Authority,
    Draft,
    der,
    reference,
    with_claims,
    with_values,
)

from ringfence_house.attestation.development import SoftwareDev
from ringfence_house.attestation.node import Tier
from ringfence_house.attestation.refusal import CHECKS, EvidenceRefused
from ringfence_house.attestation.report import Check, Examined, claimed, examine
from ringfence_house.attestation.verify import verify, verify_directory
from ringfence_house.releases.reference import Reference, Release

OTHER = DIGEST["other"]
CLAIM = {"id": RELEASE.id, **{part: DIGEST[part] for part in ("code", "model", "config")}}
BOTH = (SoftwareDev([der(APPLE.root)]), *VERIFIERS)


@pytest.mark.parametrize(
    ("draft", "at", "words"),
    [
        pytest.param(with_claims(rf_release={**CLAIM, "id": "2026.99"}), reference(), "not in the list", id="unknown"),
        pytest.param(with_claims(rf_release={**CLAIM, "code": OTHER}), reference(), "something else", id="other code"),
        pytest.param(
            with_claims(rf_release={**CLAIM, "model": OTHER}), reference(), "something else", id="other model"
        ),
        pytest.param(
            with_claims(rf_release={**CLAIM, "config": OTHER}), reference(), "something else", id="other config"
        ),
        pytest.param(
            GOOD, reference(release=replace(RELEASE, code=OTHER)), "something else", id="measurement not listed"
        ),
        pytest.param(GOOD, reference(release=replace(RELEASE, revoked=True)), "revoked", id="revoked"),
        pytest.param(
            GOOD, reference(release=replace(RELEASE, not_before=int(NOW) + 1)), "not allowed yet", id="not yet"
        ),
        pytest.param(GOOD, reference(release=replace(RELEASE, not_after=int(NOW))), "no more", id="no longer"),
        pytest.param(GOOD, reference(release=replace(RELEASE, min_os="15.2")), "needs macOS 15.2", id="os too old"),
        pytest.param(with_values(os=b"9.9"), reference(release=replace(RELEASE, min_os="14.2")), "14.2", id="os 9.9"),
        pytest.param(GOOD, reference(expires_at=NOW), "expired", id="the list has expired"),
    ],
)
def test_a_release_that_may_not_serve_now_is_refused(draft: Draft, at: Reference, words: str) -> None:
    with pytest.raises(EvidenceRefused, match=words) as caught:
        draft.verify(at=at)

    assert caught.value.check == "release"


@pytest.mark.parametrize("min_os", ["15.1", "15.1.0", "14.9.9", "15", None])
def test_a_system_as_new_as_the_release_needs_is_taken(min_os: str | None) -> None:
    assert GOOD.verify(at=reference(release=replace(RELEASE, min_os=min_os))).release.min_os == min_os


@pytest.mark.parametrize(
    ("at", "words"),
    [
        pytest.param(reference(device=replace(DEVICE, serial="C02OTHER0001")), "inventory", id="serial unknown"),
        pytest.param(reference(device=replace(DEVICE, revoked=True)), "revoked", id="serial revoked"),
        pytest.param(reference(device=replace(DEVICE, ueid="another")), "ueid", id="another ueid"),
    ],
)
def test_a_device_outside_the_fleet_is_refused(at: Reference, words: str) -> None:
    with pytest.raises(EvidenceRefused, match=words) as caught:
        GOOD.verify(at=at)

    assert caught.value.check == "device"


def test_a_node_of_another_model_is_not_the_one_asked_for() -> None:
    with pytest.raises(EvidenceRefused) as caught:
        GOOD.verify(model="house-small")

    assert caught.value.check == "model"


@pytest.mark.parametrize(
    ("kind", "min_tier", "words"),
    [
        ("software-dev", "apple-mda", "software-dev, and apple-mda is asked for"),
        ("apple-mda", "apple-mda+appattest", "apple-mda, and apple-mda.appattest is asked for"),
        ("apple-mda+appattest", "software-dev", "nothing here to verify"),
        ("none", "software-dev", "not known"),
        ("APPLE-MDA", "software-dev", "not known"),
    ],
)
def test_an_endorsement_of_the_wrong_type_is_refused(kind: str, min_tier: Tier, words: str) -> None:
    with pytest.raises(EvidenceRefused, match=words) as caught:
        Draft(type=kind).verify(verifiers=BOTH, min_tier=min_tier)

    assert caught.value.check == "type"


def test_development_evidence_needs_a_development_ca_in_the_trust_file() -> None:
    development = Draft(type="software-dev")

    assert development.verify(verifiers=BOTH, min_tier="software-dev").tier == "software-dev"
    with pytest.raises(EvidenceRefused, match="nothing here to verify"):
        development.verify(verifiers=VERIFIERS, min_tier="software-dev")


def test_a_development_node_may_say_that_it_can_be_debugged() -> None:
    draft = replace(with_claims(dbgstat="enabled"), type="software-dev")

    assert draft.verify(verifiers=BOTH, min_tier="software-dev").tier == "software-dev"


@pytest.mark.parametrize(
    ("draft", "at", "end"),
    [
        pytest.param(GOOD, reference(), NOW + 3600, id="the token"),
        pytest.param(Draft(leaf={"end": NOW + 100}), reference(), NOW + 100, id="the leaf"),
        pytest.param(Draft(leaf={"start": NOW - 8 * DAY + 50}), reference(), NOW + 50, id="the posture"),
        pytest.param(GOOD, reference(release=replace(RELEASE, not_after=int(NOW) + 9)), NOW + 9, id="the release"),
        pytest.param(GOOD, reference(expires_at=NOW + 7), NOW + 7, id="the repository"),
    ],
)
def test_a_node_may_be_used_until_the_first_of_its_proofs_ends(draft: Draft, at: Reference, end: float) -> None:
    assert draft.verify(at=at).expires_at == end


SECOND = "C02TEST00002"
SMALL = replace(RELEASE, id="small", model="house-small")


def _fleet(*releases: Release) -> Reference:
    return Reference(
        releases={release.id: release for release in (RELEASE, *releases)},
        devices={serial: replace(DEVICE, serial=serial) for serial in (DEVICE.serial, SECOND)},
        expires_at=NOW + DAY,
        version=9,
    )


def _directory(drafts: Sequence[Draft]) -> bytes:
    return b'{"nodes":[' + b",".join(draft.evidence() for draft in drafts) + b'],"v":1}'


def _verified(drafts: Sequence[Draft], model: str | None = None) -> tuple[list[str], list[str]]:
    found = verify_directory(_directory(drafts), _fleet(SMALL), VERIFIERS, min_tier="apple-mda", model=model, now=NOW)
    return [node.serial for node in found.nodes], [refusal.check for refusal in found.refused]


def test_two_devices_with_one_key_are_both_refused() -> None:
    other = replace(with_values(serial=SECOND.encode()), config=GOOD.config)

    assert _verified([GOOD, other]) == ([], ["duplicate", "duplicate"])


def test_a_double_is_refused_whichever_model_it_claims_to_serve() -> None:
    other = replace(
        with_values(serial=SECOND.encode()), config=GOOD.config, claims={"rf_release": {**CLAIM, "id": "small"}}
    )

    assert _verified([GOOD, other], RELEASE.model) == ([], ["duplicate", "duplicate"])


def test_one_device_twice_is_one_node_and_the_later_evidence_counts() -> None:
    later = Draft(config=GOOD.config, claims={"iat": int(NOW) + 5, "nbf": int(NOW) + 5, "exp": int(NOW) + 3605})

    found = verify_directory(
        _directory([GOOD, later, GOOD]), _fleet(), VERIFIERS, min_tier="apple-mda", model=None, now=NOW
    )

    assert [node.expires_at for node in found.nodes] == [NOW + 3605]
    assert found.refused == ()


def test_one_bad_node_does_not_cost_the_others() -> None:
    good_too = replace(Draft(), values=with_values(serial=SECOND.encode()).values)

    assert _verified([with_values(sip=b"\x02\x01\x01"), good_too]) == ([SECOND], ["endorsement"])


def test_nodes_of_other_models_are_left_out_without_a_refusal() -> None:
    small = replace(Draft(), claims={"rf_release": {**CLAIM, "id": "small"}})

    assert _verified([GOOD, small], "house-small") == ([DEVICE.serial], [])
    assert _verified([GOOD], "house-small") == ([], [])


def test_an_attackers_copy_of_a_kid_does_not_bring_the_node_down() -> None:
    """Evidence that fails on its own is no double: else anybody could have any node refused."""
    forged = Draft(config=GOOD.config, x5c=lambda values: (Authority().leaf(values), der(APPLE.issuer)))

    assert _verified([GOOD, forged]) == ([DEVICE.serial], ["endorsement"])


def _examined(*drafts: Draft) -> list[Examined]:
    evidence = [draft.evidence() for draft in drafts]
    return examine(evidence, _fleet(), VERIFIERS, min_tier="apple-mda", model=None, now=NOW)


def test_the_report_lists_every_check_in_order() -> None:
    (found,) = _examined(GOOD)

    assert tuple(check.name for check in found.checks) == CHECKS
    assert {check.verdict for check in found.checks} == {"passed"}
    assert found.node is not None


def test_the_report_shows_doubles() -> None:
    other = replace(with_values(serial=SECOND.encode()), config=GOOD.config)

    found = _examined(GOOD, other, Draft())

    assert [each.node is None for each in found] == [True, True, False]
    assert found[0].checks[-1] == Check(name="duplicate", verdict="failed", detail="another device offers the same key")


def test_what_is_claimed_can_be_shown_without_any_trust() -> None:
    stranger = Draft(type="unheard-of", x5c=lambda _: ())

    found = claimed(stranger.evidence(), NOW)

    assert (found.type, found.claims.release["id"], found.claims.ueid) == ("unheard-of", RELEASE.id, DEVICE.ueid)
    with pytest.raises(EvidenceRefused):
        claimed(Draft(config=b"").evidence(), NOW)


ONE_FAULT_EACH = [
    (Draft(encoded=lambda _: b"{}"), "form"),
    (Draft(type="none"), "type"),
    (with_values(sip=b""), "endorsement"),
    (Draft(endorsed=Draft.ak, values={"1.2.840.113635.100.8.11.1": b"x" * 32}), "binding"),
    (Draft(sign=lambda _key, _data: b"x" * 64), "signature"),
    (with_claims(eat_profile="none"), "claims"),
    (Draft(config=b""), "key"),
    (with_claims(rf_release={**CLAIM, "code": OTHER}), "release"),
    (with_claims(ueid="another"), "device"),
]


@pytest.mark.parametrize(("draft", "failed"), ONE_FAULT_EACH, ids=[failed for _, failed in ONE_FAULT_EACH])
def test_the_report_says_which_check_failed_and_what_was_not_reached(draft: Draft, failed: str) -> None:
    (found,) = _examined(draft)

    place = [str(name) for name in CHECKS].index(failed)
    assert found.node is None
    assert tuple(check.name for check in found.checks) == CHECKS
    assert [check.verdict for check in found.checks[:place]] == ["passed"] * place
    assert found.checks[place].verdict == "failed"
    assert {check.verdict for check in found.checks[place + 1 :]} == {"not reached"}


def test_a_refusal_holds_nothing_of_what_was_refused() -> None:
    draft = with_claims(rf_boot="SECRET-SECRET")

    with pytest.raises(EvidenceRefused) as caught:
        draft.verify()

    assert "SECRET" not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_every_byte_of_the_evidence_counts() -> None:
    """Any one byte exchanged, and nothing is verified."""
    evidence = GOOD.evidence()
    for place in range(0, len(evidence), 37):
        changed = evidence[:place] + bytes([evidence[place] ^ 1]) + evidence[place + 1 :]
        with pytest.raises(EvidenceRefused):
            verify(changed, reference(), VERIFIERS, min_tier="apple-mda", model=None, now=NOW)
