"""The section `recipients:` → recipients: where bytes can go, and what the operator says of each place."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import cast

from ringfence.errors import PolicyNotReadable
from ringfence.policy import fields
from ringfence.policy.addresses import NotAnAddress, address, is_open
from ringfence.policy.faults import Faults, quoted
from ringfence.policy.keys import BEYOND_THE_DEVICE, CAPABILITIES, CAPACITIES, OF_A_HOUSE, RECIPIENT
from ringfence.policy.source import MAX_BYTES, read_bytes
from ringfence.policy.tree import Entry, ListNode, MapNode, Node, Scalar
from ringfence.recipient import RINGS, Capacity, Recipient, Ring, Secret
from ringfence.request import JsonValue

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NOT_ON_THE_DEVICE = {
    "url": "A server on localhost is house or partner.",
    "secret": "Nothing on the device asks for a key.",
}
_A_HOUSE = "Only a recipient of the house has one."
_SECRET = "must be env:NAME or file:PATH, where the key is. A secret written into the file does not load."  # noqa: S105


class RecipientReader:
    """Reads the recipients; `folder` is where the file stands, `None` where a path can be relative to nothing."""

    def __init__(self, faults: Faults, *, folder: Path | None) -> None:
        self._faults = faults
        self._folder = folder

    def read(self, written: Entry | None) -> Mapping[str, Recipient | None] | None:
        """The recipients by name, `None` for each that cannot be read; `None` where there is no such section."""
        section = fields.declarations(written, "recipients", self._faults)
        if section is None:
            return None
        if not section.entries:
            self._faults.add(section.at, "recipients is empty, so nothing could be asked. Declare at least one.")
        return {entry.key: self._recipient(entry) for entry in section.entries}

    def _recipient(self, entry: Entry) -> Recipient | None:
        where = f"recipients.{entry.key}"
        name = fields.checked_name(entry.key, entry.at, "recipients", self._faults)
        if name in RINGS:
            self._faults.add(entry.at, f"a recipient cannot be named {quoted(entry.key)}: that is a ring.")
        found = fields.entries(self._within_its_ring(entry), where, RECIPIENT, self._faults)
        if found is None or name is None:
            return None
        read = {key: value.value for key, value in found.items()}
        ring = fields.choice(read["ring"], f"{where}.ring", RINGS, self._faults) if "ring" in read else None
        model = fields.text(read["model"], f"{where}.model", self._faults) if "model" in read else None
        provider, region, retention, min_tier = (
            self._name(read, key, where) for key in ("provider", "region", "retention", "min_tier")
        )
        capacity = (
            fields.choice(read["capacity"], f"{where}.capacity", CAPACITIES, self._faults)
            if "capacity" in read
            else None
        )
        directory = self._directory(read["directory"], f"{where}.directory") if "directory" in read else None
        trust, trust_digest = self._trust(read["trust"], f"{where}.trust") if "trust" in read else (None, None)
        url = self._url(read["url"], f"{where}.url", ring) if "url" in read else None
        secret = self._secret(read["secret"], f"{where}.secret") if "secret" in read else None
        capabilities = self._capabilities(read["capabilities"], where) if "capabilities" in read else None
        options = self._options(read.get("options"), f"{where}.options")
        if ring is None or provider is None or model is None:
            return None
        return Recipient(
            name=name,
            ring=cast("Ring", ring),
            provider=provider,
            model=model,
            url=url,
            secret=secret,
            region=region,
            retention=retention,
            capabilities=capabilities,
            capacity=cast("Capacity", capacity or "owned"),
            directory=directory,
            trust=trust,
            trust_digest=trust_digest,
            min_tier=min_tier,
            options=options,
        )

    def _name(self, read: Mapping[str, Node], key: str, where: str) -> str | None:
        return fields.name(read[key], f"{where}.{key}", self._faults) if key in read else None

    def _within_its_ring(self, entry: Entry) -> Node:
        """The recipient's keys, less those that one on its ring cannot have, which are faults of their own."""
        node = entry.value
        if not isinstance(node, MapNode):
            return node
        ring = next(
            (key.value.value for key in node.entries if key.key == "ring" and isinstance(key.value, Scalar)), None
        )
        excluded = {"device": BEYOND_THE_DEVICE, "partner": OF_A_HOUSE}.get(str(ring), ())
        place = "on the device" if ring == "device" else "a partner"
        for key in node.entries:
            if key.key in excluded:
                says = f"recipient {quoted(entry.key)} is {place}: it takes no {key.key}."
                self._faults.add(key.at, f"{says} {_NOT_ON_THE_DEVICE.get(key.key, _A_HOUSE)}")
        return MapNode(entries=tuple(key for key in node.entries if key.key not in excluded), at=node.at)

    def _url(self, node: Node, where: str, ring: str | None) -> str | None:
        found = self._address(node, where)
        if found is not None and ring == "partner" and is_open(found):
            says = "would send what a partner gets unencrypted. Write https://; http:// is for localhost."
            self._faults.add(node.at, f"{where} {says}")
        return found

    def _directory(self, node: Node, where: str) -> str | None:
        found = self._address(node, where)
        if found is not None and is_open(found):
            says = "would be read over a way that anybody can change. Write https://; http:// is for localhost."
            self._faults.add(node.at, f"{where} {says}")
        return found

    def _address(self, node: Node, where: str) -> str | None:
        written = fields.text(node, where, self._faults)
        # INVARIANT: no fault repeats the URL, which may hold a key.
        try:
            return None if written is None else address(written)
        except NotAnAddress as error:
            self._faults.add(node.at, f"{where} {error}.")
        return None

    def _trust(self, node: Node, where: str) -> tuple[str | None, str | None]:
        """The name of the file as it is written, and the SHA-256 of what it holds now."""
        written = fields.file_name(node, where, self._faults, in_a_file=self._folder is not None)
        if written is None:
            return None, None
        from hashlib import sha256  # noqa: PLC0415  (only for a file that names one)

        path, data = (self._folder or Path()) / written, b""
        try:
            # What waits for a writer, such as a pipe, is not opened.
            is_there = path.is_file()
            data = read_bytes(path) if is_there else b""
        except (PolicyNotReadable, OSError, ValueError):
            is_there = True
        if not data or len(data) > MAX_BYTES:
            what = f"empty, larger than {MAX_BYTES:,} bytes, or may not be read" if is_there else "not there"
            self._faults.add(node.at, f"{where} names the file {quoted(written)}, which is {what}.")
            return None, None
        return written, f"sha256:{sha256(data).hexdigest()}"

    def _secret(self, node: Node, where: str) -> Secret | None:
        written = fields.text(node, where, self._faults)
        if written is None:
            return None
        kind, _, name = written.partition(":")
        # INVARIANT: no fault repeats what stands here, which may be a key.
        if kind == "env" and _VARIABLE.fullmatch(name):
            return Secret(written)
        if kind != "file" or not name:
            self._faults.add(node.at, f"{where} {_SECRET}")
        elif fields.is_usable_path(name, node.at, where, self._faults, in_a_file=self._folder is not None):
            return Secret(written)
        return None

    def _capabilities(self, node: Node, where: str) -> frozenset[str]:
        found = fields.names(node, f"{where}.capabilities", self._faults, "[text, tools]")
        for name, at in found or ():
            fields.one_of(name, at, f"{where}.capabilities", CAPABILITIES, self._faults)
        return frozenset(name for name, _ in found or ())

    def _options(self, node: Node | None, where: str) -> Mapping[str, JsonValue]:
        found = None if node is None else fields.mapping(node, where, self._faults)
        return {} if found is None else {entry.key: self._plain(entry.value, where) for entry in found.entries}

    def _plain(self, node: Node, where: str) -> JsonValue:
        """`node` as it is given; nesting and size are those of the file, which are bounded."""
        match node:
            case MapNode():
                return {entry.key: self._plain(entry.value, where) for entry in node.entries}
            case ListNode():
                return [self._plain(item, where) for item in node.items]
            case Scalar(value=bool() | str() | None):
                return node.value
            case Scalar():
                return fields.number(node, f"a number in {where}", self._faults, whole=False)


def anchored(recipient: Recipient, folder: Path) -> Recipient:
    """`recipient` with the whole path of every file that it names; a relative one lies under `folder`."""
    kind, _, name = recipient.secret.source.partition(":") if recipient.secret else ("", "", "")
    if kind == "file":
        recipient = replace(recipient, secret=Secret(f"file:{folder / name}"))
    return replace(recipient, trust=str(folder / recipient.trust)) if recipient.trust else recipient
