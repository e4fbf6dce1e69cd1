"""The small HTTP server for probes, spoken to as clients of all kinds speak, over real sockets."""

import asyncio
import http.client
import json
from collections.abc import AsyncIterator

import pytest

from services.core.errors import Unavailable
from services.core.probes import ProbeServer
from services.core.readiness import Readiness


class Probed:
    """A server, its port, and what its one dependency says."""

    def __init__(self) -> None:
        self.well = True
        self.readiness = Readiness({"database": self._check}, self._changed)
        self.server = ProbeServer(self.readiness)
        self.port = 0

    async def _check(self) -> None:
        if not self.well:
            raise Unavailable("database")

    async def _changed(self, ready: bool) -> None:
        del ready

    async def say(self, request: bytes) -> bytes:
        """Everything that is answered to these bytes."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(request)
        answer = await reader.read()
        writer.close()
        return answer


@pytest.fixture
async def probed() -> AsyncIterator[Probed]:
    probed = Probed()
    await probed.readiness.look()
    probed.port = await probed.server.start("127.0.0.1", 0)
    yield probed
    await probed.server.stop()


def _get(port: int, path: str, method: str = "GET") -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    connection.request(method, path)
    answer = connection.getresponse()
    told = answer.status, dict(answer.getheaders()), answer.read()
    connection.close()
    return told


async def test_an_http_client_reads_every_page(probed: Probed) -> None:
    status, headers, body = await asyncio.to_thread(_get, probed.port, "/livez")
    assert (status, body) == (200, b"ok\n")
    assert headers["Content-Type"].startswith("text/plain")
    status, headers, body = await asyncio.to_thread(_get, probed.port, "/readyz?verbose=1")
    assert (status, headers["Content-Type"]) == (200, "application/json")
    assert json.loads(body) == {"ready": True, "draining": False, "failing": {}}
    status, headers, body = await asyncio.to_thread(_get, probed.port, "/metrics")
    assert status == 200
    assert headers["Content-Type"].startswith("text/plain; version=")
    assert b"python_info" in body


async def test_not_ready_and_draining_are_503(probed: Probed) -> None:
    probed.well = False
    await probed.readiness.look()
    status, _, body = await asyncio.to_thread(_get, probed.port, "/readyz")
    assert status == 503
    assert "database" in json.loads(body)["failing"]
    probed.well = True
    await probed.readiness.look()
    probed.server.drain()
    status, _, body = await asyncio.to_thread(_get, probed.port, "/readyz")
    assert (status, json.loads(body)["draining"]) == (503, True)


async def test_head_has_the_length_but_no_body(probed: Probed) -> None:
    answer = await probed.say(b"HEAD /livez HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"Content-Length: 3\r\n" in answer
    assert answer.endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GET /nothing HTTP/1.1\r\n\r\n", b"404"),
        (b"POST /livez HTTP/1.1\r\nContent-Length: 0\r\n\r\n", b"405"),
        (b"GET /livez\r\n\r\n", b"400"),
        (b"GET /livez SMTP/1.0\r\n\r\n", b"400"),
        (b"\xff\xfe\x00\r\n\r\n", b"400"),
        (b"GET /livez HTTP/1.1\r\nX: " + b"a" * 20_000 + b"\r\n\r\n", b"431"),
    ],
)
async def test_what_is_not_served_is_said(probed: Probed, request_bytes: bytes, status: bytes) -> None:
    answer = await probed.say(request_bytes)
    assert answer.split(b" ")[:2] == [b"HTTP/1.1", status]


async def test_who_never_finishes_asking_is_let_go(probed: Probed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.core.probes._REQUEST_WITHIN_S", 0.2)
    assert await probed.say(b"GET /livez HTTP/1.1\r\n") == b""
    assert (await asyncio.to_thread(_get, probed.port, "/livez"))[0] == 200


async def test_stopping_does_not_wait_for_who_is_silent(probed: Probed) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", probed.port)
    await asyncio.sleep(0.05)
    async with asyncio.timeout(30):
        await probed.server.stop()
    writer.close()
