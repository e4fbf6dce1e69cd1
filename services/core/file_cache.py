"""Folders of files by digest on local disk, fetched from URLs, verified on their way in, shared by processes."""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import shutil
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    import aiohttp  # loaded by the first download: most processes that can fetch never do

_CHUNK_BYTES = 1 << 20
_ATTEMPTS = 5


@dataclass(frozen=True, kw_only=True)
class RemoteFile:
    """One file of a folder: relative path, length in bytes, SHA-256 in hexadecimal, http(s): or file: URL."""

    path: str
    size_bytes: int
    sha256: str
    url: str


class DigestMismatch(Exception):
    """The bytes that arrived are not those that were promised."""


class FetchFailed(OSError):
    """An address gave no bytes. `status` is what HTTP answered, None where there was no answer."""

    def __init__(self, url: str, reason: str, status: int | None = None) -> None:
        # Without the query: a signature lets anyone in.
        super().__init__(f"{url.partition('?')[0]}: {reason}")
        self.status = status


class FileCache:
    """Folders under one root, named by the digest of the whole; a folder is there only when it is whole."""

    def __init__(self, root: Path) -> None:
        self._root = root

    async def fetch(
        self, digest: str, files: Sequence[RemoteFile], progress: Callable[[int], None] = lambda done: None
    ) -> Path:
        """The folder of a digest, fetched now where it is missing.

        Args:
            digest: names the whole; letters and digits only.
            files: what it consists of.
            progress: told the bytes that are there so far.

        Raises:
            DigestMismatch: a file's content is not the promised one.
            FetchFailed, OSError: the bytes could not be had after several tries.
        """
        if not digest.isalnum():
            raise ValueError(f"not a digest: {digest!r}")
        folder = self._root / digest
        if folder.is_dir():
            return folder
        async with self._lock(digest):
            if not folder.is_dir():
                await self._fill(folder, files, progress)
        return folder

    async def _fill(self, folder: Path, files: Sequence[RemoteFile], progress: Callable[[int], None]) -> None:
        partial = folder.with_name(f".partial-{folder.name}")
        done = 0
        for file in files:

            def told(size: int, before: int = done) -> None:
                progress(before + size)

            await _fetch_file(file, _inside(partial, file.path), told)
            done += file.size_bytes
        partial.mkdir(parents=True, exist_ok=True)
        partial.rename(folder)

    @asynccontextmanager
    async def _lock(self, digest: str) -> AsyncIterator[None]:
        """One process fills a folder; the others wait for it."""
        self._root.mkdir(parents=True, exist_ok=True)
        with (self._root / f".{digest}.lock").open("w") as lock:
            await asyncio.to_thread(fcntl.flock, lock, fcntl.LOCK_EX)
            yield


def _inside(root: Path, path: str) -> Path:
    relative = PurePosixPath(path)
    if relative.is_absolute() or ".." in relative.parts or "\0" in path or not relative.parts:
        raise ValueError(f"not a relative path: {path!r}")
    return root / relative


async def _fetch_file(file: RemoteFile, target: Path, progress: Callable[[int], None]) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    url = urlsplit(file.url)
    if url.scheme == "file":
        await asyncio.to_thread(_link_or_copy, Path(unquote(url.path)), target)
    elif url.scheme in ("http", "https"):
        await _download(file, target, progress)
    else:
        raise ValueError(f"cannot fetch from {url.scheme!r}: only file:, http: and https:")
    found = await asyncio.to_thread(_sha256, target)
    if found != file.sha256:
        target.unlink()
        raise DigestMismatch(f"{file.path}: sha256 is {found}, expected {file.sha256}")
    progress(file.size_bytes)


def _link_or_copy(source: Path, target: Path) -> None:
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without hard links
        shutil.copyfile(source, target)


async def _download(file: RemoteFile, target: Path, progress: Callable[[int], None]) -> None:
    """Goes on from what is there after a broken connection, also one of an earlier process."""
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            await _download_rest(file, target, progress)
        except FetchFailed:
            if attempt == _ATTEMPTS:
                raise
            await asyncio.sleep(0.2 * 2**attempt)
        else:
            return


async def _download_rest(file: RemoteFile, target: Path, progress: Callable[[int], None]) -> None:
    import aiohttp

    start = target.stat().st_size if target.exists() else 0
    if start >= file.size_bytes > 0:
        return
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=60)
    headers = {"Range": f"bytes={start}-"} if start else {}
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(file.url, headers=headers) as response,
        ):
            response.raise_for_status()
            await _keep(response, target, start, progress)
    except aiohttp.ClientResponseError as error:
        raise FetchFailed(file.url, error.message, error.status) from error
    except (aiohttp.ClientError, TimeoutError) as error:
        raise FetchFailed(file.url, str(error) or type(error).__name__) from error


async def _keep(response: aiohttp.ClientResponse, target: Path, start: int, progress: Callable[[int], None]) -> None:
    append = response.status == HTTPStatus.PARTIAL_CONTENT
    done = start if append else 0
    with target.open("ab" if append else "wb") as out:
        async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
            await asyncio.to_thread(out.write, chunk)
            done += len(chunk)
            progress(done)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    for chunk in _chunks(path):
        digest.update(chunk)
    return digest.hexdigest()


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            yield chunk
