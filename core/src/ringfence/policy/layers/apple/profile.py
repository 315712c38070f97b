"""The bytes of a device profile → the payloads in it that speak of intelligence. Nothing is run or looked up."""

from __future__ import annotations

import codecs
import json
import plistlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

from ringfence.policy.faults import quoted
from ringfence.policy.layers.apple.settings import NO_BEARING, RESTRICTIONS, SETTINGS, WORKSPACES
from ringfence.policy.source import MAX_BYTES

_TYPES: Final = frozenset({*NO_BEARING, RESTRICTIONS})
_MCX: Final = "com.apple.ManagedClient.preferences"
_SIGNED: Final = (b"0\x80", b"0\x81", b"0\x82", b"0\x83", b"0\x84", b"-----BEGIN PKCS7", b"-----BEGIN CMS")
"""How a signed profile begins: DER of a sequence (RFC 5652), or the same as text."""


class NotAProfile(Exception):
    """Why the file is no profile that can be used: the rest of a sentence that begins with its name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Payload:
    """One payload: its type, and its keys as they were written."""

    type: str
    keys: Mapping[str, object]


def read_payloads(data: bytes, shown: str) -> tuple[Payload, ...]:
    """The payloads in `data`, at least one; those of other types are left out.

    Raises:
        NotAProfile: it cannot be read, is signed or encrypted, or says nothing of intelligence.
    """
    if len(data) > MAX_BYTES:
        raise NotAProfile(f"is larger than {MAX_BYTES:,} bytes")
    if data.startswith(_SIGNED):
        command = f"security cms -D -i {Path(shown).name} -o extracted.mobileconfig"
        raise NotAProfile(f"is signed. Extract what was signed, and name the file that it makes: {command}")
    content = _json(data) if data.removeprefix(codecs.BOM_UTF8).lstrip()[:1] in (b"{", b"[") else _plist(data)
    found = tuple(one for item in _listed(content) for one in _payloads(item))
    if not found:
        raise NotAProfile(f"holds no payload of {RESTRICTIONS} and no declaration about intelligence or Siri")
    return found


class _Once(dict[str, object]):
    """A dictionary that takes each key once: the second of two would win unseen."""

    def __setitem__(self, key: str, value: object) -> None:
        if key in self:
            raise NotAProfile(f"has the key {quoted(str(key))} twice")
        super().__setitem__(key, value)


def _json(data: bytes) -> object:
    def once(pairs: list[tuple[str, object]]) -> _Once:
        found = _Once()
        for key, value in pairs:
            found[key] = value
        return found

    try:
        return json.loads(data.decode("utf-8-sig"), object_pairs_hook=once)
    except (ValueError, RecursionError):
        raise NotAProfile("is not valid JSON") from None


def _plist(data: bytes) -> object:
    try:
        return cast("object", plistlib.loads(data, dict_type=_Once))
    except NotAProfile:
        raise
    except Exception:  # noqa: BLE001  INVARIANT: whatever the parser trips over is a fault of the file, never a profile.
        raise NotAProfile("is not a property list") from None


def _listed(content: object) -> list[object]:
    return cast("list[object]", content) if isinstance(content, list) else [content]


def _payloads(item: object) -> Iterator[Payload]:
    """The payloads in a declaration, a configuration profile or the bare restrictions of a managed device."""
    if not isinstance(item, Mapping):
        return
    keys = cast("Mapping[str, object]", item)
    if "EncryptedPayloadContent" in keys:
        raise NotAProfile("is encrypted for one device. Name the profile that it was made from")
    kind = keys.get("Type", keys.get("PayloadType"))
    if "Type" in keys and kind in _TYPES:
        yield Payload(type=str(kind), keys=_dictionary(keys.get("Payload", {}), "Payload"))
    elif kind == _MCX:
        yield from _managed(keys)
    elif kind in _TYPES:
        yield Payload(type=str(kind), keys=keys)
    elif "PayloadContent" in keys:
        for inner in _listed(keys["PayloadContent"]):
            yield from _payloads(inner)
    elif kind is None and any(key in _OWN_RESTRICTIONS for key in keys):
        yield Payload(type=RESTRICTIONS, keys=keys)


def _managed(keys: Mapping[str, object]) -> Iterator[Payload]:
    """Settings that macOS forces on an app: by domain, as a list of dictionaries."""
    domains = _dictionary(keys.get("PayloadContent", {}), "PayloadContent")
    for kind in sorted(_TYPES & domains.keys()):
        for forced in _listed(_dictionary(domains[kind], kind).get("Forced", [])):
            settings = _dictionary(forced, "Forced").get("mcx_preference_settings", {})
            yield Payload(type=kind, keys=_dictionary(settings, "mcx_preference_settings"))


def _dictionary(value: object, name: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise NotAProfile(f"has a {name} that is no dictionary")
    return cast("Mapping[str, Any]", value)


_OWN_RESTRICTIONS: Final = frozenset(
    {*(setting.keys[RESTRICTIONS] for setting in SETTINGS if RESTRICTIONS in setting.keys), WORKSPACES[RESTRICTIONS]}
)
