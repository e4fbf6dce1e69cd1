"""What orchestrators ask over HTTP: /livez (the process), /readyz (its dependencies), /metrics.

A few lines of HTTP/1.1 of our own: a web framework would add 0.2 s to the start of each of five processes. One request
a connection, GET and HEAD, no bodies.
"""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from services.core.readiness import Readiness

_REQUEST_WITHIN_S = 5.0
_MAX_HEAD_BYTES = 16 << 10
_WORDS_OF_A_REQUEST = 3  # GET /path HTTP/1.1


@dataclass(frozen=True, kw_only=True)
class _Answer:
    status: HTTPStatus
    content_type: str
    body: bytes


def _text(status: HTTPStatus, words: str = "") -> _Answer:
    body = f"{words or status.phrase}\n".encode()
    return _Answer(status=status, content_type="text/plain; charset=utf-8", body=body)


class ProbeServer:
    """One small HTTP server beside gRPC."""

    def __init__(self, readiness: Readiness) -> None:
        self._readiness = readiness
        self._draining = False
        self._routes: dict[str, Callable[[], _Answer]] = {
            "/livez": lambda: _text(HTTPStatus.OK, "ok"),
            "/readyz": self._readyz,
            "/metrics": lambda: _Answer(status=HTTPStatus.OK, content_type=CONTENT_TYPE_LATEST, body=generate_latest()),
        }
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def start(self, host: str, port: int) -> int:
        """Listens; returns the port. Raises OSError."""
        self._server = await asyncio.start_server(self._accept, host, port, limit=_MAX_HEAD_BYTES)
        return int(self._server.sockets[0].getsockname()[1])

    def drain(self) -> None:
        """Answers "not ready" from now on, so that no new calls are sent here."""
        self._draining = True

    async def stop(self) -> None:
        """Stops listening and ends what is being asked."""
        if self._server is None:
            return
        self._server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        await self._server.wait_closed()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A task of our own, so that `stop` can end it.
        connection = asyncio.create_task(self._converse(reader, writer))
        self._connections.add(connection)
        connection.add_done_callback(self._connections.discard)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_REQUEST_WITHIN_S):
                method, answer = await self._ask(reader)
                writer.write(_message(answer, with_body=method != "HEAD"))
                await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            return  # whoever asked is gone, or never finished asking
        finally:
            writer.close()

    async def _ask(self, reader: asyncio.StreamReader) -> tuple[str, _Answer]:
        """The method and what is answered to it."""
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            return "", _text(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        words = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ")
        if len(words) != _WORDS_OF_A_REQUEST or not words[2].startswith("HTTP/1."):
            return "", _text(HTTPStatus.BAD_REQUEST)
        method, target, _ = words
        route = self._routes.get(target.partition("?")[0])
        if route is None:
            return method, _text(HTTPStatus.NOT_FOUND)
        if method not in ("GET", "HEAD"):
            return method, _text(HTTPStatus.METHOD_NOT_ALLOWED)
        return method, route()

    def _readyz(self) -> _Answer:
        ready = self._readiness.ready and not self._draining
        body = {"ready": ready, "draining": self._draining, "failing": self._readiness.failing}
        status = HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE
        return _Answer(status=status, content_type="application/json", body=json.dumps(body).encode())


def _message(answer: _Answer, *, with_body: bool) -> bytes:
    lines = [
        f"HTTP/1.1 {answer.status.value} {answer.status.phrase}",
        f"Content-Type: {answer.content_type}",
        f"Content-Length: {len(answer.body)}",
        *(["Allow: GET, HEAD"] if answer.status is HTTPStatus.METHOD_NOT_ALLOWED else []),
        "Connection: close",
    ]
    return "\r\n".join([*lines, "\r\n"]).encode() + (answer.body if with_body else b"")
