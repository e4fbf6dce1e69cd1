"""https addresses over real sockets: which may be asked, where they may lead, and going on after a broken connection."""

from __future__ import annotations

import ipaddress
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest

from services.core.errors import DomainError
from services.data_service.sources.errors import SourceTooLarge, SourceUnreachable, UrlNotAllowed
from services.data_service.sources.public_addresses import is_public
from services.data_service.sources.url_source import AllowedHosts, UrlSource
from services.data_service.workspace import Workspace
from tests.integration.data.https_server import CONTENT, HttpsServer, Names

GOOD, OTHER = "good.test", "other.test"
PRIVATE = {
    "loopback.test": "127.0.0.1",
    "metadata.test": "169.254.169.254",
    "six.test": "::1",
    "ten.test": "10.1.2.3",
    "mapped.test": "::ffff:10.0.0.1",
    "ula.test": "fd00:ec2::254",
    "nat64.test": "64:ff9b::a00:1",
    "zero.test": "0.0.0.0",
    "cgnat.test": "100.64.0.1",
    "multicast.test": "224.0.0.1",
}


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[HttpsServer]:
    async with HttpsServer(tmp_path, (GOOD, OTHER)) as running:
        yield running


def source_of(server: HttpsServer, *, max_bytes: int = 1 << 30, allowed: tuple[str, ...] = (GOOD,)) -> UrlSource:
    hosts = AllowedHosts([f"{host}:{server.port}" for host in (*allowed, *PRIVATE)])
    return UrlSource(hosts, max_bytes, resolver=lambda: Names((GOOD, OTHER), PRIVATE), tls=server.trusted)


async def fetch(source: UrlSource, url: str) -> tuple[bytes, str, str]:
    space = cast("Workspace", type("Space", (), {"progress": None})())
    found = await source.fetch(url, space)
    return b"".join([piece async for piece in found.content]), found.filename, found.source


async def test_a_file_of_an_allowed_host(server: HttpsServer) -> None:
    url = f"https://{GOOD}:{server.port}/data.jsonl"
    assert await fetch(source_of(server), f"{url}?signature=secret") == (CONTENT, "data.jsonl", url)


async def test_a_redirect_to_an_allowed_host(server: HttpsServer) -> None:
    source = source_of(server, allowed=(GOOD, OTHER))
    target = f"https://{OTHER}:{server.port}/data.jsonl"
    assert (await fetch(source, f"https://{GOOD}:{server.port}/to?url={target}"))[0] == CONTENT


@pytest.mark.parametrize(
    "target",
    [
        "https://other.test:{port}/data.jsonl",
        "http://good.test:{port}/data.jsonl",
        "https://good.test/data.jsonl",
        "https://127.0.0.1:{port}/data.jsonl",
        "https://[::1]:{port}/data.jsonl",
        "https://good.test:{port}@evil.test/",
        "https://user:pass@good.test:{port}/data.jsonl",
        "file:///etc/passwd",
        *(f"https://{name}:{{port}}/data.jsonl" for name in PRIVATE),
    ],
)
async def test_what_may_not_be_asked_may_not_be_led_to(target: str, server: HttpsServer) -> None:
    url = target.format(port=server.port)
    source = source_of(server)
    for asked in (url, f"https://{GOOD}:{server.port}/to?url={url}"):
        with pytest.raises(UrlNotAllowed):
            await fetch(source, asked)


async def test_endless_redirects_end(server: HttpsServer) -> None:
    url = f"https://{GOOD}:{server.port}/to"
    loop = f"{url}?url={url}%3Furl%3D"
    with pytest.raises((SourceUnreachable, UrlNotAllowed)):
        await fetch(source_of(server), loop)


async def test_a_file_that_is_too_large(server: HttpsServer) -> None:
    with pytest.raises(SourceTooLarge):
        await fetch(source_of(server, max_bytes=1000), f"https://{GOOD}:{server.port}/data.jsonl")


async def test_it_goes_on_where_the_connection_broke(server: HttpsServer) -> None:
    server.breaks = 2
    assert (await fetch(source_of(server), f"https://{GOOD}:{server.port}/broken.jsonl"))[0] == CONTENT
    assert server.ranges == ["bytes=600000-", "bytes=1200000-"]


async def test_a_body_that_ends_too_early_is_no_file(server: HttpsServer) -> None:
    server.breaks, server.tag = 1, ""
    with pytest.raises(SourceUnreachable):
        await fetch(source_of(server), f"https://{GOOD}:{server.port}/broken.jsonl")


async def test_a_certificate_that_nobody_trusts(server: HttpsServer) -> None:
    hosts = AllowedHosts([f"{GOOD}:{server.port}"])
    source = UrlSource(hosts, 1 << 30, resolver=lambda: Names((GOOD,), {}))
    with pytest.raises(SourceUnreachable):
        await fetch(source, f"https://{GOOD}:{server.port}/data.jsonl")


@pytest.mark.parametrize(
    ("host", "allowed"),
    [("example.com", True), ("a.example.org", True), ("a.b.example.org", True), ("example.org", False)],
)
def test_allowed_hosts(host: str, allowed: bool) -> None:
    hosts = AllowedHosts(["Example.com", "*.example.org"])
    reached: Any = None
    try:
        hosts.check(f"https://{host}/x")
    except DomainError as error:
        reached = error
    assert (reached is None) is allowed


@pytest.mark.parametrize(
    ("address", "public"),
    [("8.8.8.8", True), ("2001:4860:4860::8888", True), ("2002:a00:1::", False), ("168.63.129.16", False)],
)
def test_public_addresses(address: str, public: bool) -> None:
    assert is_public(ipaddress.ip_address(address)) is public
