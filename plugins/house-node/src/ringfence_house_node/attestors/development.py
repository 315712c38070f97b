"""A node that vouches for itself through a development CA. It proves nothing, and every client says so."""

from __future__ import annotations

import platform
import threading
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

from ringfence.errors import Unavailable
from ringfence_house.attestation.claims import ReleaseClaim
from ringfence_house.attestation.development import LEAF_LIFE_S, DevelopmentCa, FileKey
from ringfence_house.attestation.evidence import Evidence
from ringfence_house.attestation.issue import AttestationKey, issue_evidence
from ringfence_house.attestation.node import Tier
from ringfence_house.protocol.keyconfig import KeyConfig


class DevelopmentAttestor:
    """Endorses its own key, and again before the endorsement ends."""

    type: Tier = "software-dev"

    def __init__(
        self,
        ca: DevelopmentCa,
        key: AttestationKey,
        *,
        serial: str,
        ueid: str,
        os_version: str | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`serial` is 8 to 20 upper-case letters and digits; `os_version` is by default what this system says."""
        self.serial = serial
        self._ca = ca
        self._key = key
        self._ueid = ueid
        self._os_version = os_version or system_version()
        self._lock = threading.Lock()
        self._renew(clock())

    @classmethod
    def open(
        cls,
        ca_folder: Path,
        key_file: Path,
        *,
        serial: str,
        ueid: str,
        os_version: str | None = None,
        clock: Callable[[], float] = time.time,
    ) -> DevelopmentAttestor:
        """An attestor whose CA and key are kept in files, made now where there are none.

        Raises:
            Unavailable: a file cannot be read or written, or is damaged.
        """
        try:
            ca, key = DevelopmentCa.open(ca_folder, clock()), FileKey.open(key_file)
        except OSError as error:
            raise _unusable((error.strerror or "unknown reason").lower(), ca_folder) from None
        except ValueError as error:
            raise _unusable(str(error), ca_folder) from None
        return cls(ca, key, serial=serial, ueid=ueid, os_version=os_version, clock=clock)

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
        with self._lock:
            if self._ends_at - now < LEAF_LIFE_S / 2:
                self._renew(now)
            x5c = self._x5c
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
        return self._ends_at

    def _renew(self, now: float) -> None:
        udid = sha256(self.serial.encode()).hexdigest()[:32]
        self._x5c = self._ca.issue_leaf(
            self._key.spki(), serial=self.serial, udid=udid, os_version=self._os_version, now=now
        )
        self._ends_at = float(int(now) + LEAF_LIFE_S)


def system_version() -> str:
    """The version of macOS, or `0` where this is another system."""
    return platform.mac_ver()[0] or "0"


def _unusable(reason: str, folder: Path) -> Unavailable:
    return Unavailable(
        f"the development ca cannot be used: {reason}",
        reason="not_configured",
        way_out=f"give another folder than '{folder.name}', or remove it and begin anew",
    )


__all__ = ["DevelopmentAttestor", "system_version"]
