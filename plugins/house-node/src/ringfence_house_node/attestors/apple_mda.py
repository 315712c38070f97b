"""A Mac that Apple vouches for: managed device attestation, delivered by the organisation's MDM server."""

from __future__ import annotations

import plistlib
import time
from base64 import b64encode
from collections.abc import Callable
from hmac import compare_digest
from pathlib import Path

from ringfence.errors import Unavailable
from ringfence_house.attestation.apple import AppleMda
from ringfence_house.attestation.claims import ReleaseClaim
from ringfence_house.attestation.endorsement import Endorsement, EndorsementVerifier
from ringfence_house.attestation.evidence import Evidence
from ringfence_house.attestation.issue import AttestationKey, freshness_of, issue_evidence
from ringfence_house.attestation.node import Tier
from ringfence_house.attestation.refusal import EvidenceRefused
from ringfence_house.protocol.keyconfig import KeyConfig
from ringfence_house_node.attestors.chain import ATTESTATION, read_chain


class AppleMdaAttestor:
    """Issues evidence with a key that Apple's chain in `chain_file` endorses.

    The file is read anew for each evidence, so that what the MDM server delivers every week counts at once. Nothing is
    issued that a client would refuse.
    """

    type: Tier = "apple-mda"

    def __init__(
        self,
        key: AttestationKey,
        chain_file: Path,
        *,
        ueid: str,
        verifier: EndorsementVerifier | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`verifier` is for tests, which have a root of their own.

        Raises:
            Unavailable: the chain is not there, or would not be believed; the words say what to ask the MDM server for.
        """
        self._key = key
        self._file = chain_file
        self._ueid = ueid
        self._verifier = verifier or AppleMda()
        self._clock = clock
        self.serial = self._endorsement(clock())[1].serial

    def issue(
        self,
        *,
        key_config: KeyConfig,
        release: ReleaseClaim,
        boot: str,
        now: float,
        life_s: int,
        nonce: str | None = None,
    ) -> Evidence:
        """See `Attestor`."""
        x5c, _ = self._endorsement(now)
        return issue_evidence(
            self._key,
            x5c,
            self.type,
            key_config=key_config,
            release=release,
            ueid=self._ueid,
            boot=boot,
            now=now,
            life_s=life_s,
            nonce=nonce,
        )

    def expires_at(self) -> float:
        """See `Attestor`."""
        return self._endorsement(self._clock())[1].expires_at

    def _endorsement(self, now: float) -> tuple[tuple[bytes, ...], Endorsement]:
        x5c = read_chain(self._file)
        try:
            endorsement = self._verifier.verify(x5c, now)
        except EvidenceRefused as refusal:
            raise self._useless(refusal.sentence) from None
        if not compare_digest(endorsement.freshness, freshness_of(self._key.spki())):
            raise self._useless("it is for another attestation key")
        return x5c, endorsement

    def _useless(self, sentence: str) -> Unavailable:
        return Unavailable(
            f"the chain '{self._file.name}' cannot be used: {sentence}",
            reason="not_configured",
            way_out=f"have the mdm server ask for {ATTESTATION} with DeviceAttestationNonce "
            f"{device_attestation_nonce(self._key)} (apple answers anew once in seven days)",
        )


def device_attestation_nonce(key: AttestationKey) -> str:
    """What an MDM server must send as `DeviceAttestationNonce` so that Apple endorses `key`: 32 bytes, in base64.

    Apple puts the nonce as it is into the leaf's freshness; it is a digest of the key, so the leaf speaks of the key.
    """
    return b64encode(freshness_of(key.spki())).decode("ascii")


def mdm_command(key: AttestationKey) -> bytes:
    """The command for the MDM server's queue, as an XML property list: `DeviceInformation` with that nonce."""
    command = {
        "RequestType": "DeviceInformation",
        "DeviceAttestationNonce": freshness_of(key.spki()),
        "Queries": [ATTESTATION],
    }
    return plistlib.dumps(command, sort_keys=False)


__all__ = ["AppleMdaAttestor", "device_attestation_nonce", "mdm_command"]
