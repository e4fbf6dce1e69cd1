"""Files from the browser to the data service, in pieces: they pass through this process, never through its memory."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import wraps
from http import HTTPStatus

from aift import AiftError, Client
from aift.data.v1 import data_pb2
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from frontend.refusals import refusal, refused
from frontend.visitors import comes_from_our_page, request_client

PIECE_BYTES = 512 * 1024
"""What one message to the service holds at most, and what is in memory of a file at a time."""
_MAX_JSON_BYTES = 8192

Handler = Callable[[Request, Client], Awaitable[Response]]


def routes() -> list[Route]:
    """Begin, ask, write at an offset, close: the calls of DataService for a browser."""
    return [
        Route("/uploads", _for_visitors(begin), methods=["POST"]),
        Route("/uploads/{upload}", _for_visitors(state), methods=["GET"]),
        Route("/uploads/{upload}", _for_visitors(write), methods=["PUT"]),
        Route("/uploads/{upload}/finalize", _for_visitors(close), methods=["POST"]),
    ]


def _for_visitors(handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    @wraps(handler)
    async def handle(request: Request) -> Response:
        if not comes_from_our_page(request):
            ja, en = "このページからの要求ではありません。", "This request does not come from our page."
            return refused(HTTPStatus.FORBIDDEN, "OTHER_SITE", ja, en)
        client = request_client(request)
        if client is None:
            return refused(HTTPStatus.UNAUTHORIZED, "SIGN_IN", "サインインしてください。", "Sign in first.")
        try:
            return await handler(request, client)
        except AiftError as error:
            return refusal(error)

    return handle


async def begin(request: Request, client: Client) -> Response:
    """{"filename": …, "size_bytes": …} → the upload."""
    body = bytearray()
    async for data in request.stream():
        body += data
        if len(body) > _MAX_JSON_BYTES:
            return _unreadable()
    try:
        asked = json.loads(body)
        filename, size = str(asked["filename"]), int(asked["size_bytes"])
    except (ValueError, KeyError, TypeError):
        return _unreadable()
    return _told(await run_in_threadpool(client.uploads.create, filename, size))


async def state(request: Request, client: Client) -> Response:
    """How much of the upload is safe."""
    return _told(await run_in_threadpool(client.uploads.get, _name(request)))


async def write(request: Request, client: Client) -> Response:
    """Appends the body at ?offset=."""
    try:
        offset = int(request.query_params["offset"])
    except (ValueError, KeyError):
        return _unreadable()
    pieces = _in_calling_thread(request.stream(), offset, asyncio.get_running_loop())
    return _told(await run_in_threadpool(client.uploads.write, _name(request), pieces))


async def close(request: Request, client: Client) -> Response:
    """Makes the bytes a file."""
    return _told(await run_in_threadpool(client.uploads.finalize, _name(request)))


async def joined(stream: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same bytes in pieces of PIECE_BYTES, the last one shorter; the server's own are small."""
    held = bytearray()
    async for data in stream:
        held += data
        while len(held) >= PIECE_BYTES:
            yield bytes(held[:PIECE_BYTES])
            del held[:PIECE_BYTES]
    if held:
        yield bytes(held)


def _in_calling_thread(
    stream: AsyncIterator[bytes], offset: int, loop: asyncio.AbstractEventLoop
) -> Iterator[tuple[int, bytes]]:
    # A browser that goes away raises here, which ends the call: only whole pieces are kept, the rest is sent again.
    pieces = joined(stream)

    async def following() -> bytes:
        return await anext(pieces, b"")

    while data := asyncio.run_coroutine_threadsafe(following(), loop).result():
        yield offset, data
        offset += len(data)


def _name(request: Request) -> str:
    return f"uploads/{request.path_params['upload']}"


def _told(upload: data_pb2.Upload) -> JSONResponse:
    return JSONResponse(
        {
            "name": upload.name,
            "filename": upload.filename,
            "size_bytes": upload.size_bytes,
            "committed_bytes": upload.committed_bytes,
            "open": upload.state == data_pb2.UPLOAD_STATE_OPEN,
            "finalized": upload.state == data_pb2.UPLOAD_STATE_FINALIZED,
        }
    )


def _unreadable() -> JSONResponse:
    return refused(HTTPStatus.BAD_REQUEST, "UNREADABLE", "要求を読み取れません。", "The request cannot be read.")
