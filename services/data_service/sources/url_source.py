"""Files at https addresses of allowed hosts. aiohttp is loaded by the first import."""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import unquote, urljoin, urlsplit

from services.core.objects import CHUNK_BYTES
from services.data_service.child import Progress
from services.data_service.sources.errors import SourceNotFound, SourceTooLarge, SourceUnreachable, UrlNotAllowed
from services.data_service.sources.source import Fetched, filename_of
from services.data_service.workspace import Workspace

if TYPE_CHECKING:
    import aiohttp
    from aiohttp.abc import AbstractResolver

SCHEME = "https:"
_HTTPS_PORT = 443
_MAX_REDIRECTS = 5
_ATTEMPTS = 5
_PAUSE_S = 0.5
_CONNECT_WITHIN_S = 15.0
_READ_WITHIN_S = 60.0
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_GONE = frozenset({401, 403, 404, 410})


@dataclass
class _Progress:
    """How far one file is, and what would make a continuation the same file."""

    done: int = 0
    validator: str = ""


class AllowedHosts:
    """Hosts that imports may ask: "example.com", "*.example.org" (every host below), either with ":port"."""

    def __init__(self, entries: Sequence[str]) -> None:
        self._entries = [_host_and_port(entry.strip().lower()) for entry in entries if entry.strip()]

    def check(self, url: str) -> None:
        """Raises UrlNotAllowed, naming why."""
        parts = urlsplit(url)
        host = (parts.hostname or "").rstrip(".")
        shown = host or url[:80]
        if parts.scheme != "https":
            raise UrlNotAllowed(
                host=shown,
                detail_en="only https is spoken; begin it with https://",
                detail_ja="https のみ利用できます（https:// で始めてください）",
            )
        if parts.username is not None or parts.password is not None:
            raise UrlNotAllowed(
                host=shown,
                detail_en="addresses with a user name or password are not kept; leave them out",
                detail_ja="ユーザー名やパスワードを含むアドレスは使えません（取り除いてください）",
            )
        if not host or _is_address(host):
            raise UrlNotAllowed(
                host=shown,
                detail_en="it names no host; hosts are asked by name, never by a numeric address",
                detail_ja="ホスト名がありません（数値のアドレスは使えません）",
            )
        if not self._has(host, _port(url)):
            raise UrlNotAllowed(
                host=shown,
                detail_en="it is not on the allow-list; an administrator allows hosts with AIFT_IMPORT_HOSTS",
                detail_ja="許可されたホストではありません（管理者が AIFT_IMPORT_HOSTS で許可できます）",
            )

    def _has(self, host: str, port: int) -> bool:
        return any(port == allowed and _matches(host, pattern) for pattern, allowed in self._entries)


class UrlSource:
    """Streams a file, follows redirects to allowed hosts, and goes on after a broken connection where the server can.

    `resolver` makes what names are looked up with; `tls` is what certificates are checked with (None: the system's).
    """

    def __init__(
        self,
        hosts: AllowedHosts,
        max_bytes: int,
        *,
        resolver: Callable[[], AbstractResolver] | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._hosts = hosts
        self._max_bytes = max_bytes
        self._resolver = resolver
        self._tls = tls

    def check(self, url: str) -> None:
        """Raises UrlNotAllowed for an address that may not be asked."""
        self._hosts.check(url)

    async def fetch(self, place: str, space: Workspace) -> Fetched:
        """The file; its source is the address without a query, which may hold a signature.

        Raises UrlNotAllowed at once; while the content is read also SourceUnreachable, SourceNotFound, SourceTooLarge.
        """
        self._hosts.check(place)
        shown = place.partition("?")[0].partition("#")[0]
        name = filename_of(unquote(urlsplit(place).path))
        return Fetched(filename=name, content=self._content(place, shown, space), source=shown)

    async def _content(self, url: str, shown: str, space: Workspace) -> AsyncIterator[bytes]:
        import aiohttp

        at = _Progress()
        for attempt in range(1, _ATTEMPTS + 1):
            before = at.done
            try:
                async for piece in self._rest(url, shown, at):
                    space.progress = Progress(at.done, 0)
                    yield piece
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                if attempt == _ATTEMPTS or (at.done and not at.validator):
                    raise SourceUnreachable(shown, str(error) or type(error).__name__) from error
                await asyncio.sleep(0 if at.done > before else _PAUSE_S * attempt)
            else:
                return

    async def _rest(self, url: str, shown: str, at: _Progress) -> AsyncIterator[bytes]:
        """The bytes from where we are."""
        async with self._session() as session:
            response = await self._follow(session, url, shown, at)
            try:
                self._check_size(response, shown, at)
                at.validator = _validator(response)
                async for piece in response.content.iter_chunked(CHUNK_BYTES):
                    at.done += len(piece)
                    if at.done > self._max_bytes:
                        raise SourceTooLarge(shown, limit=self._max_bytes)
                    yield piece
            finally:
                response.close()

    async def _follow(
        self, session: aiohttp.ClientSession, url: str, shown: str, at: _Progress
    ) -> aiohttp.ClientResponse:
        """The answer at the end of the redirects, each of which is checked like the first address."""
        headers = {"Accept-Encoding": "identity"}
        if at.done:
            headers |= {"Range": f"bytes={at.done}-", "If-Range": at.validator}
        for _ in range(_MAX_REDIRECTS + 1):
            self._hosts.check(url)
            response = await session.get(url, headers=headers, allow_redirects=False)
            if response.status not in _REDIRECTS:
                _check_status(response, shown, at)
                return response
            response.close()
            url = urljoin(url, response.headers.get("Location", ""))
        raise SourceUnreachable(shown, f"more than {_MAX_REDIRECTS} redirects")

    def _check_size(self, response: aiohttp.ClientResponse, shown: str, at: _Progress) -> None:
        if at.done + (response.content_length or 0) > self._max_bytes:
            raise SourceTooLarge(shown, limit=self._max_bytes)

    def _session(self) -> aiohttp.ClientSession:
        import aiohttp

        from services.data_service.sources.public_addresses import PublicResolver

        resolver = (self._resolver or PublicResolver)()
        connector = aiohttp.TCPConnector(
            resolver=resolver, use_dns_cache=False, force_close=True, ssl=True if self._tls is None else self._tls
        )
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_WITHIN_S, sock_read=_READ_WITHIN_S)
        return aiohttp.ClientSession(
            connector=connector, timeout=timeout, auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar()
        )


def _check_status(response: aiohttp.ClientResponse, shown: str, at: _Progress) -> None:
    """Whether the answer is what was asked for."""
    if response.status in _GONE:
        raise SourceNotFound(shown)
    if at.done:
        starts = response.headers.get("Content-Range", "").startswith(f"bytes {at.done}-")
        if response.status != HTTPStatus.PARTIAL_CONTENT or not starts:
            raise SourceUnreachable(shown, "the connection broke, and the server cannot go on where it did")
    elif response.status != HTTPStatus.OK:
        raise SourceUnreachable(shown, f"HTTP {response.status}")


def _validator(response: aiohttp.ClientResponse) -> str:
    """What tells that a continuation is of the same file; empty where nothing does."""
    tag = response.headers.get("ETag", "")
    return tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified", "")


def _host_and_port(entry: str) -> tuple[str, int]:
    host, _, port = entry.partition(":")
    return host, int(port) if port else _HTTPS_PORT


def _port(url: str) -> int:
    try:
        return urlsplit(url).port or _HTTPS_PORT
    except ValueError:
        return 0


def _matches(host: str, pattern: str) -> bool:
    return host.endswith(pattern[1:]) if pattern.startswith("*.") else host == pattern


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True
