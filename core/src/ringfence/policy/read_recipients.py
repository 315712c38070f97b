"""The section `recipients:` → recipients: where bytes can go, and what the operator says of each place."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path, PurePath
from typing import cast

from ringfence.policy import fields
from ringfence.policy.addresses import NotAnAddress, address, is_open
from ringfence.policy.faults import Faults, quoted
from ringfence.policy.keys import CAPABILITIES, RECIPIENT
from ringfence.policy.tree import Entry, ListNode, MapNode, Node, Scalar
from ringfence.recipient import RINGS, Recipient, Ring, Secret
from ringfence.request import JsonValue

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SECRET = "must be env:NAME or file:PATH, where the key is. A secret written into the file does not load."  # noqa: S105


class RecipientReader:
    """Reads the recipients; `in_a_file` says whether there is a folder that a path can be relative to."""

    def __init__(self, faults: Faults, *, in_a_file: bool) -> None:
        self._faults = faults
        self._in_a_file = in_a_file

    def read(self, written: Entry | None) -> Mapping[str, Recipient | None] | None:
        """The recipients by name, `None` for each that cannot be read; `None` where there is no such section."""
        section = None if written is None else fields.mapping(written.value, "recipients", self._faults)
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
        found = fields.entries(self._without_the_network(entry), where, RECIPIENT, self._faults)
        if found is None or name is None:
            return None
        read = {key: value.value for key, value in found.items()}
        ring = fields.choice(read["ring"], f"{where}.ring", RINGS, self._faults) if "ring" in read else None
        model = fields.text(read["model"], f"{where}.model", self._faults) if "model" in read else None
        provider, region, retention = (self._name(read, key, where) for key in ("provider", "region", "retention"))
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
            options=options,
        )

    def _name(self, read: Mapping[str, Node], key: str, where: str) -> str | None:
        return fields.name(read[key], f"{where}.{key}", self._faults) if key in read else None

    def _without_the_network(self, entry: Entry) -> Node:
        """The recipient's keys, less those that one on the device cannot have, which are faults of their own."""
        node = entry.value
        if not isinstance(node, MapNode):
            return node
        keys = {key.key: key for key in node.entries}
        ring = keys["ring"].value if "ring" in keys else None
        if not (isinstance(ring, Scalar) and ring.value == "device"):
            return node
        for key, way_out in (
            ("url", "A server on localhost is house or partner."),
            ("secret", "Nothing on the device asks for a key."),
        ):
            if key in keys:
                says = f"recipient {quoted(entry.key)} is on the device: it takes no {key}. {way_out}"
                self._faults.add(keys[key].at, says)
        return MapNode(entries=tuple(key for key in node.entries if key.key not in ("url", "secret")), at=node.at)

    def _url(self, node: Node, where: str, ring: str | None) -> str | None:
        written = fields.text(node, where, self._faults)
        if written is None:
            return None
        # INVARIANT: no fault repeats the URL, which may hold a key.
        try:
            found = address(written)
        except NotAnAddress as error:
            self._faults.add(node.at, f"{where} {error}.")
            return None
        if ring == "partner" and is_open(found):
            says = "would send what a partner gets unencrypted. Write https://; http:// is for localhost."
            self._faults.add(node.at, f"{where} {says}")
        return found

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
        elif name.startswith("~"):
            self._faults.add(node.at, f"{where} begins with ~. Write the whole path, or one relative to this file.")
        elif not self._in_a_file and not PurePath(name).is_absolute():
            self._faults.add(node.at, f"{where} is relative, and this policy stands in no file. Write the whole path.")
        else:
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
    """`recipient` with the file of its secret named by its whole path; a relative one lies under `folder`."""
    kind, _, name = recipient.secret.source.partition(":") if recipient.secret else ("", "", "")
    return replace(recipient, secret=Secret(f"file:{folder / name}")) if kind == "file" else recipient
