"""The `url` of a recipient: what can be one, written in one way."""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from urllib.parse import SplitResult, urlsplit

_PORTS = {"http": 80, "https": 443}
# RFC 3986, less what no base URL needs; a backslash or a blank is read in two ways by two parsers.
_CHARACTERS = re.compile(r"[A-Za-z0-9._~:/\[\]@!$&'()*+,;=%?#-]+")
_AUTHORITY = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[^\[\]:]+)(?::[0-9]*)?")
_HOST_NAME = re.compile(r"(?=.{1,253}$)[a-z0-9_](?:[a-z0-9_-]{0,62})(?:\.[a-z0-9_][a-z0-9_-]{0,62})*")

_FORM = "must be an http or https URL such as https://models.example.org/v1"


class NotAnAddress(Exception):
    """The text cannot be the `url` of a recipient; the message says what is wrong and repeats nothing of it."""


def address(written: str) -> str:
    """`written` in one way: scheme and host in lower case, no usual port, no slash at the end.

    Raises:
        NotAnAddress: it is no http(s) URL with a host, or holds a user, a query or a fragment.
    """
    try:
        parts = urlsplit(written)
        port = parts.port
    except ValueError:
        raise NotAnAddress(_FORM) from None
    if "@" in parts.netloc:
        raise NotAnAddress("holds a user or a password. Take it out, and say under secret: where the key is")
    if "?" in written or "#" in written:
        raise NotAnAddress("ends with its path. Take the query or fragment out")
    if not _CHARACTERS.fullmatch(written) or not _AUTHORITY.fullmatch(parts.netloc):
        raise NotAnAddress(_FORM)
    if parts.scheme not in _PORTS or port == 0:
        raise NotAnAddress(_FORM)
    shown_port = "" if port in (None, _PORTS[parts.scheme]) else f":{port}"
    return f"{parts.scheme}://{_host(parts)}{shown_port}{parts.path.rstrip('/')}"


def is_open(url: str) -> bool:
    """Whether what is sent to `url` can be read on the way: no TLS, and a way there is."""
    return url.startswith("http:") and not _is_loopback(urlsplit(url).hostname or "")


def _host(parts: SplitResult) -> str:
    host = parts.hostname or ""
    if ":" in host:
        try:
            return f"[{IPv6Address(host)}]"
        except AddressValueError:
            raise NotAnAddress(_FORM) from None
    if _HOST_NAME.fullmatch(host) is None:
        raise NotAnAddress(_FORM)
    return host


def _is_loopback(host: str) -> bool:
    """`localhost`, 127.0.0.0/8 and ::1, written out; no name is looked up."""
    if host == "localhost":
        return True
    kind = IPv6Address if ":" in host else IPv4Address
    try:
        return kind(host).is_loopback
    except AddressValueError:
        return False
