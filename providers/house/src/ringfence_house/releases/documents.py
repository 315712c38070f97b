"""The three signed documents: which releases may serve, on which machines, and the log of the releases.

A field that this version does not know is refused: one that narrows (such as a least version of the system) must
not pass unseen. A new field is a new version of the document.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from ringfence_house.releases.faults import Malformed
from ringfence_house.releases.log import Log, leaf_hash
from ringfence_house.releases.reference import Device, Release
from ringfence_house.releases.strict import Fields, array, canonical, number, parse, text

RELEASES_FILE: Final = "house-releases.json"
NODES_FILE: Final = "house-nodes.json"
LOG_FILE: Final = "house-log.json"
FILES: Final = (RELEASES_FILE, NODES_FILE, LOG_FILE)

MAX_RELEASES: Final = 1_000
"""Also of the log, which holds a proof for every earlier size."""
MAX_DEVICES: Final = 10_000
MAX_DOCUMENT_BYTES: Final = 4 * 2**20
_MAX_PATH: Final = 2 * MAX_RELEASES.bit_length()
_MAX_CAPABILITIES: Final = 32
_MAX_CONTEXT: Final = 2**31

ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""Of a release, and of a serial number: it goes into a header field and onto a command line."""
MODEL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}")
DIGEST: Final = re.compile(r"[0-9a-f]{64}")
UEID: Final = re.compile(r"[A-Za-z0-9_.:=-]{1,128}")
OS_VERSION: Final = re.compile(r"[0-9]{1,3}(\.[0-9]{1,3}){0,2}")
CAPABILITY: Final = re.compile(r"[a-z][a-z_]{0,31}")
_SIZE: Final = re.compile(r"[1-9][0-9]{0,3}")

FORMS: Final = {
    ID: "1 to 64 letters, digits and . _ -, the first a letter or digit",
    MODEL: "1 to 128 letters, digits and . _ : / -, the first a letter or digit",
    DIGEST: "64 hex digits, as `ringfence-node measure` prints them",
    UEID: "1 to 128 letters, digits and . _ : = -",
    OS_VERSION: "up to three numbers with points between, such as 14.4",
    CAPABILITY: "1 to 32 of a to z and _, the first a letter",
}
"""What each form is, for whoever has to write one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inclusion:
    """Where a release stands in the log, and the path from there to the root."""

    index: int
    path: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LogHead:
    """The log at one size, with what proves it: of every listed release, and of every earlier size."""

    size: int
    root: bytes
    inclusion: Mapping[str, Inclusion]
    consistency: Mapping[int, tuple[bytes, ...]]


def entry(release: Release) -> bytes:
    """What the log holds of a release: all of it but `revoked`, in its one spelling."""
    facts = _release_fields(release)
    del facts["revoked"]
    return canonical({"id": release.id, **facts})


def encode_releases(releases: Mapping[str, Release]) -> bytes:
    """The document of the releases."""
    return canonical({"v": 1, "releases": {name: _release_fields(release) for name, release in releases.items()}})


def parse_releases(data: bytes) -> dict[str, Release]:
    """The releases by their ids.

    Raises:
        Malformed: it is not that document.
    """
    fields = _document(data, RELEASES_FILE)
    releases = {
        name: _release(name, value) for name, value in fields.each("releases", ID, most=MAX_RELEASES, called="an id")
    }
    fields.end()
    return releases


def encode_devices(devices: Mapping[str, Device]) -> bytes:
    """The document of the machines."""
    nodes = {name: {"ueid": device.ueid, "revoked": device.revoked} for name, device in devices.items()}
    return canonical({"v": 1, "nodes": nodes})


def parse_devices(data: bytes) -> dict[str, Device]:
    """The machines by their serial numbers.

    Raises:
        Malformed: it is not that document, or two machines have one ueid.
    """
    fields = _document(data, NODES_FILE)
    entries = fields.each("nodes", ID, most=MAX_DEVICES, called="a serial number")
    devices = {serial: _device(serial, value) for serial, value in entries}
    fields.end()
    if len({device.ueid for device in devices.values()}) != len(devices):
        raise Malformed(
            f"{NODES_FILE}: two machines have one ueid",
            way_out="one that no machine in `ringfence house inventory list` has, revoked or not",
        )
    return devices


def encode_log(entries: Sequence[bytes], releases: Mapping[str, Release]) -> bytes:
    """The document of the log over `entries`, which hold those of all `releases`."""
    leaves = [leaf_hash(one) for one in entries]
    at = {leaf: index for index, leaf in enumerate(leaves)}
    log = Log(leaves)
    indexes = {name: at[leaf_hash(entry(release))] for name, release in releases.items()}
    inclusion = {name: {"index": index, "path": _hex(log.inclusion(index))} for name, index in indexes.items()}
    consistency = {str(size): _hex(log.consistency(size)) for size in range(1, len(leaves))}
    head = {"size": len(leaves), "root": log.root().hex()}
    return canonical({"v": 1, **head, "inclusion": inclusion, "consistency": consistency})


def parse_log(data: bytes) -> LogHead:
    """The log's head and its proofs, not yet verified.

    Raises:
        Malformed: it is not that document.
    """
    fields = _document(data, LOG_FILE)
    head = LogHead(
        size=fields.number("size", most=MAX_RELEASES),
        root=bytes.fromhex(fields.text("root", DIGEST)),
        inclusion={name: _inclusion(value) for name, value in fields.each("inclusion", ID, most=MAX_RELEASES)},
        consistency={int(size): _path(value) for size, value in fields.each("consistency", _SIZE, most=MAX_RELEASES)},
    )
    fields.end()
    return head


def _document(data: bytes, name: str) -> Fields:
    fields = parse(data, name, most_bytes=MAX_DOCUMENT_BYTES)
    fields.number("v", least=1, most=1)
    return fields


def _release_fields(release: Release) -> dict[str, object]:
    return {
        "code": release.code,
        "model": release.model,
        "model_digest": release.model_digest,
        "config": release.config,
        "not_before": release.not_before,
        "not_after": release.not_after,
        "capabilities": sorted(release.capabilities),
        "context_tokens": release.context_tokens,
        "min_os": release.min_os,
        "revoked": release.revoked,
    }


def _release(name: str, value: object) -> Release:
    fields = Fields(value, f"{RELEASES_FILE}: a release")
    min_os = fields.take("min_os")
    release = Release(
        id=name,
        code=fields.text("code", DIGEST),
        model=fields.text("model", MODEL),
        model_digest=fields.text("model_digest", DIGEST),
        config=fields.text("config", DIGEST),
        not_before=fields.number("not_before"),
        not_after=fields.number("not_after"),
        capabilities=_capabilities(fields.array("capabilities", most=_MAX_CAPABILITIES)),
        context_tokens=fields.number("context_tokens", least=1, most=_MAX_CONTEXT),
        min_os=None if min_os is None else text(min_os, OS_VERSION, f"{RELEASES_FILE}: min_os"),
        revoked=fields.flag("revoked"),
    )
    fields.end()
    if release.not_before >= release.not_after:
        raise Malformed(
            f"{RELEASES_FILE}: a release ends before it begins", way_out="--until a day after that of --from"
        )
    return release


def _capabilities(values: Sequence[object]) -> frozenset[str]:
    names = [text(value, CAPABILITY, f"{RELEASES_FILE}: a capability") for value in values]
    if len(set(names)) != len(names):
        raise Malformed(f"{RELEASES_FILE}: a capability stands twice")
    return frozenset(names)


def _device(serial: str, value: object) -> Device:
    fields = Fields(value, f"{NODES_FILE}: a machine")
    device = Device(serial=serial, ueid=fields.text("ueid", UEID), revoked=fields.flag("revoked"))
    fields.end()
    return device


def _inclusion(value: object) -> Inclusion:
    fields = Fields(value, f"{LOG_FILE}: a proof")
    index = number(fields.take("index"), f"{LOG_FILE}: index", most=MAX_RELEASES)
    found = Inclusion(index=index, path=_path(fields.take("path")))
    fields.end()
    return found


def _path(value: object) -> tuple[bytes, ...]:
    steps = array(value, f"{LOG_FILE}: a proof", most=_MAX_PATH)
    return tuple(bytes.fromhex(text(step, DIGEST, f"{LOG_FILE}: a proof")) for step in steps)


def _hex(path: Sequence[bytes]) -> list[str]:
    return [step.hex() for step in path]


__all__ = [
    "FILES",
    "FORMS",
    "LOG_FILE",
    "MAX_DEVICES",
    "MAX_DOCUMENT_BYTES",
    "MAX_RELEASES",
    "NODES_FILE",
    "RELEASES_FILE",
    "Inclusion",
    "LogHead",
    "encode_devices",
    "encode_log",
    "encode_releases",
    "entry",
    "parse_devices",
    "parse_log",
    "parse_releases",
]
