"""Brings what an attempt made into the object store: hashed, announced, written."""

import asyncio
import hashlib
import logging
import os
import shutil
from collections.abc import AsyncIterator, Sequence
from http import HTTPStatus
from pathlib import Path
from urllib.parse import unquote, urlsplit

import aiohttp
import grpc
from aift.common.v1 import blob_pb2
from aift.training.v1 import worker_pb2

from services.core.disk import is_full
from services.training_service.agent.link import Link

log = logging.getLogger(__name__)

_CHUNK_BYTES = 1 << 20
_TRIES = 5
_AT_ONCE = 4
_FULL = frozenset({grpc.StatusCode.RESOURCE_EXHAUSTED})


class StoreFull(OSError):
    """The object store has no room."""

    def __init__(self) -> None:
        super().__init__("the object store is full")


async def upload(link: Link, folder: Path) -> list[worker_pb2.WrittenFile]:
    """Every file below a folder. Raises StoreFull, OSError or ClientError where the store stays full or away;
    Superseded or CutOff."""
    for attempt in range(1, _TRIES + 1):
        try:
            return await _upload(link, folder)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            if attempt == _TRIES or not folder.is_dir():
                if _tells_of_full_store(error):
                    raise StoreFull from error
                raise
            log.warning("writing to the object store failed, trying again: %s", error)
            await asyncio.sleep(0.5 * 2**attempt)
    raise AssertionError("unreachable")


async def _upload(link: Link, folder: Path) -> list[worker_pb2.WrittenFile]:
    entries = await asyncio.to_thread(_entries, folder)
    request = worker_pb2.PrepareFilesRequest(attempt=link.attempt, files=entries)
    try:
        targets = (await link.call(lambda stub: stub.PrepareFiles, request, refusals=_FULL)).targets
    except grpc.aio.AioRpcError as error:
        if error.code() in _FULL:
            raise StoreFull from error
        raise
    await _write_all(folder, targets)
    return [
        worker_pb2.WrittenFile(path=entry.path, size_bytes=entry.size_bytes, sha256=entry.sha256, key=target.key)
        for entry, target in zip(entries, targets, strict=True)
    ]


def _tells_of_full_store(error: Exception) -> bool:
    insufficient = isinstance(error, aiohttp.ClientResponseError) and error.status == HTTPStatus.INSUFFICIENT_STORAGE
    return insufficient or is_full(error)


def _entries(folder: Path) -> list[blob_pb2.FileEntry]:
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return [
        blob_pb2.FileEntry(
            path=path.relative_to(folder).as_posix(), size_bytes=path.stat().st_size, sha256=_sha256(path)
        )
        for path in paths
    ]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


async def _write_all(folder: Path, targets: Sequence[worker_pb2.FileTarget]) -> None:
    at_once = asyncio.Semaphore(_AT_ONCE)
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=300)
    async with aiohttp.ClientSession(timeout=timeout) as session:

        async def write(target: worker_pb2.FileTarget) -> None:
            async with at_once:
                await _write(session, folder / target.path, target.url)

        await asyncio.gather(*(write(target) for target in targets if target.url))


async def _write(session: aiohttp.ClientSession, source: Path, url: str) -> None:
    place = urlsplit(url)
    if place.scheme == "file":
        await asyncio.to_thread(_place, source, Path(unquote(place.path)))
        return
    headers = {"Content-Length": str(source.stat().st_size)}
    async with session.put(url, data=_chunks(source), headers=headers) as answer:
        answer.raise_for_status()


def _place(source: Path, target: Path) -> None:
    """Linked where that is possible: what an attempt made is never changed in place."""
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_name(f".{target.name}")
    beside.unlink(missing_ok=True)
    try:
        _link_or_copy(source, beside)
        beside.rename(target)
    except OSError:
        beside.unlink(missing_ok=True)  # on a full disk, half a file is in the way of all others
        raise


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
    with target.open("rb") as file:
        os.fsync(file.fileno())


async def _chunks(path: Path) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        while chunk := await asyncio.to_thread(file.read, _CHUNK_BYTES):
            yield chunk
