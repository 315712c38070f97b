"""Addresses of machines: IP, version 4 and 6, and MAC."""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import AddressValueError, IPv4Address, IPv6Address

from ringfence.privacy.detector import Hit
from ringfence_detectors.plain import PlainText
from ringfence_detectors.sharing import PlainDetector

_IPV4 = re.compile(r"(?<![A-Za-z0-9_.])(?:[0-9]{1,3}\.){3}[0-9]{1,3}(?![A-Za-z0-9_]|\.[0-9])")
_VERSION = re.compile(r"(?:version|release|v|版本号?)[ :=]{0,2}\Z", re.IGNORECASE)
_VERSION_CHARACTERS = 12
_SOME_OF_IPV6 = re.compile(r":[0-9A-Fa-f]{0,4}:")
_HEX_END = re.compile(r"[0-9A-Fa-f:]*\Z")
_HEX = re.compile(r"[0-9A-Fa-f:]+(?:\.[0-9]{1,3}){0,3}")
_SHORTEST_IPV6, _LONGEST_IPV6 = 6, 45  # Shorter ones are mostly pieces of programs, as [1::2] is.
_SOME_OF_MAC = re.compile(r"[:\-][0-9A-Fa-f]{2}[:\-][0-9A-Fa-f]{2}[:\-]|\.[0-9A-Fa-f]{4}\.")
_MAC = re.compile(
    r"(?<![A-Za-z0-9:\-.])(?:[0-9A-Fa-f]{2}([:\-])(?:[0-9A-Fa-f]{2}\1){4}[0-9A-Fa-f]{2}"
    r"|[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4})(?![A-Za-z0-9]|[:\-.][0-9A-Fa-f])"
)
_BEFORE_MIDDLE_OF_MAC = (2, 4)


class IpAddressDetector(PlainDetector):
    """Finds IP addresses (RFC 791, RFC 4291); not the loopback, the unspecified one and masks, which are nobody's."""

    def detect_prepared(self, plain: PlainText, /) -> Iterator[Hit]:
        """Every address, in order of start."""
        spans = [*_version_4(plain), *_version_6(plain.text)]
        done = 0
        for start, end in sorted(spans):
            if start >= done:
                done = end
                yield plain.hit(start, end)


def _version_4(plain: PlainText) -> Iterator[tuple[int, int]]:
    text = plain.text
    for spot in plain.spots:
        for match in _IPV4.finditer(text, spot.start, spot.end + 2):
            before = text[max(0, match.start() - _VERSION_CHARACTERS) : match.start()]
            if _is_somebodys(IPv4Address, match[0]) and not _VERSION.search(before):
                yield match.span()


def _version_6(text: str) -> Iterator[tuple[int, int]]:
    done = 0
    for match in _SOME_OF_IPV6.finditer(text):
        if match.start() < done:
            continue
        before = _HEX_END.search(text, max(done, match.start() - _LONGEST_IPV6), match.start())
        start = before.start() if before else match.start()
        run = _HEX.match(text, start)
        end = done = run.end() if run else match.end()
        written = text[start:end].removesuffix(":") if not text.startswith("::", end - 2) else text[start:end]
        joined = text[start - 1 : start].isalnum() or text[end : end + 1].isalnum()
        if not joined and any(character.isdigit() for character in written) and _is_somebodys(IPv6Address, written):
            yield start, start + len(written)


def _is_somebodys(address: type[IPv4Address | IPv6Address], written: str) -> bool:
    if not _SHORTEST_IPV6 <= len(written) <= _LONGEST_IPV6:
        return False
    try:
        value = address(written)
    except AddressValueError:
        return False
    return not (value.is_loopback or value.is_unspecified or written.startswith("255."))


class MacAddressDetector(PlainDetector):
    """Finds MAC addresses (IEEE 802) in pairs with colons or dashes, or in fours with dots."""

    def detect_prepared(self, plain: PlainText, /) -> Iterator[Hit]:
        """Every address, in order of start."""
        done = 0
        for middle in _SOME_OF_MAC.finditer(plain.text):
            for before in _BEFORE_MIDDLE_OF_MAC:
                match = _MAC.match(plain.text, max(done, middle.start() - before))
                if match:
                    done = match.end()
                    yield plain.hit(*match.span())
                    break


IP_ADDRESS = IpAddressDetector()
MAC_ADDRESS = MacAddressDetector()

__all__ = ["IP_ADDRESS", "MAC_ADDRESS", "IpAddressDetector", "MacAddressDetector"]
