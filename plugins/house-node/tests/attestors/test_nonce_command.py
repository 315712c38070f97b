"""`nonce`: what an operator gives to the MDM server."""

from __future__ import annotations

import json
import plistlib

import pytest
from click.testing import CliRunner
from providers.house.tests.attestation.support import AK, freshness

from ringfence_house.attestation.development import FileKey
from ringfence_house.attestation.strict import from_base64
from ringfence_house_node.attestors.command import nonce
from ringfence_house_node.attestors.enclave import EnclaveKey


@pytest.fixture(autouse=True)
def _enclave(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(EnclaveKey, "open", lambda: FileKey(AK))


def _print(*words: str) -> str:
    result = CliRunner().invoke(nonce, [*words])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_the_nonce_is_the_digest_of_the_key_in_base64() -> None:
    assert from_base64(_print().strip()) == freshness(AK)
    assert from_base64(json.loads(_print("--json"))["DeviceAttestationNonce"]) == freshness(AK)


def test_the_whole_command_is_a_property_list() -> None:
    assert plistlib.loads(_print("--mdm-command").encode())["DeviceAttestationNonce"] == freshness(AK)
