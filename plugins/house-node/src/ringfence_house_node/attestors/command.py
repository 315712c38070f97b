"""`ringfence-node nonce`: what the MDM server must ask Apple with, so that Apple vouches for this Mac."""

from __future__ import annotations

import click

from ringfence.cli import terminal
from ringfence.cli.options import json_option


@click.command()
@click.option("--mdm-command", is_flag=True, help="The whole command for the MDM server, as a property list.")
@json_option()
def nonce(*, mdm_command: bool, as_json: bool) -> None:
    """Prints the DeviceAttestationNonce for this Mac's attestation key; makes the key where there is none.

    Store what the MDM server receives as DevicePropertiesAttestation in a file, for `serve --chain FILE`.
    """
    from ringfence_house_node.attestors import apple_mda  # noqa: PLC0415  (0.1 s; `--help` waits for none of it)
    from ringfence_house_node.attestors.enclave import EnclaveKey  # noqa: PLC0415

    key = EnclaveKey.open()
    if as_json:
        terminal.write_json({"DeviceAttestationNonce": apple_mda.device_attestation_nonce(key)})
    elif mdm_command:
        terminal.write(apple_mda.mdm_command(key).decode("utf-8"))
    else:
        terminal.write(f"{apple_mda.device_attestation_nonce(key)}\n")


__all__ = ["nonce"]
