"""Endorsements by Apple: managed device attestation (MDA), under the one pinned root."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files

from cryptography import x509

from ringfence_house.attestation.chain import verify_chain
from ringfence_house.attestation.endorsement import Endorsement
from ringfence_house.attestation.node import Tier
from ringfence_house.attestation.posture import read_posture

ROOT_FILE = "Apple_Enterprise_Attestation_Root_CA.pem"


class AppleMda:
    """Verifies chains that end at Apple's Enterprise Attestation Root CA."""

    type: Tier = "apple-mda"

    def __init__(self, root: x509.Certificate | None = None) -> None:
        # INVARIANT: a root other than the pinned one comes from a caller in this process, as tests are; no setting,
        # file or variable leads here.
        self._root = apple_root() if root is None else root

    def verify(self, x5c: Sequence[bytes], now: float) -> Endorsement:
        """See `EndorsementVerifier`."""
        return read_posture(verify_chain(x5c, (self._root,), now), self.type, now)


def apple_root() -> x509.Certificate:
    """The root that is pinned, from this package's data."""
    return x509.load_pem_x509_certificate(files("ringfence_house.attestation").joinpath(ROOT_FILE).read_bytes())


__all__ = ["AppleMda", "apple_root"]
