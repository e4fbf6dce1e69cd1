"""Folders of files by digest on local disk, fetched from URLs, verified on their way in, shared by processes."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from services.core.disk import is_full
from services.core.folder_lock import FolderLock, partial_of

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
    """Folders under one root, named by the digest of the whole; a folder is there only when it is whole.

    What was fetched is in use until `release`, or until this object or this process is gone: nobody removes it meanwhile.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._held: dict[str, FolderLock] = {}

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
        self._root.mkdir(parents=True, exist_ok=True)
        lock = FolderLock(folder)
        try:
            await lock.use(lambda: self._fill(folder, files, progress))
        except BaseException:
            lock.close()
            raise
        self._keep(folder, lock)
        return folder

    def use(self, digest: str) -> bool:
        """Whether the folder is there; it is in use then."""
        folder = self._root / digest
        if not folder.is_dir():
            return False
        lock = FolderLock(folder)
        if not lock.share():
            lock.close()
            return False
        self._keep(folder, lock)
        return True

    def missing_bytes(self, digest: str, files: Sequence[RemoteFile]) -> int:
        """How much of the disk a fetch of a folder that is not there would take."""
        partial = partial_of(self._root / digest)
        return sum(_missing_bytes(file, _inside(partial, file.path), self._root) for file in files)

    def release(self, digest: str) -> None:
        """Says that a folder is no longer in use here."""
        lock = self._held.pop(digest, None)
        if lock is not None:
            with suppress(FileNotFoundError):
                os.utime(self._root / digest)
            lock.close()

    def _keep(self, folder: Path, lock: FolderLock) -> None:
        os.utime(folder)
        if self._held.setdefault(folder.name, lock) is not lock:
            lock.close()

    async def _fill(self, folder: Path, files: Sequence[RemoteFile], progress: Callable[[int], None]) -> None:
        partial = partial_of(folder)
        done = 0
        for file in files:

            def told(size: int, before: int = done) -> None:
                progress(before + size)

            try:
                await _fetch_file(file, _inside(partial, file.path), told)
            except OSError as error:
                if is_full(error):  # what is there keeps others from going on, and may not be asked for again
                    shutil.rmtree(partial, ignore_errors=True)
                raise
            done += file.size_bytes
        partial.mkdir(parents=True, exist_ok=True)
        partial.rename(folder)


def _inside(root: Path, path: str) -> Path:
    relative = PurePosixPath(path)
    if relative.is_absolute() or ".." in relative.parts or "\0" in path or not relative.parts:
        raise ValueError(f"not a relative path: {path!r}")
    return root / relative


def _missing_bytes(file: RemoteFile, target: Path, root: Path) -> int:
    url = urlsplit(file.url)
    with suppress(OSError):
        if url.scheme == "file" and Path(unquote(url.path)).stat().st_dev == _existing(root).stat().st_dev:
            return 0  # linked
        return max(0, file.size_bytes - target.stat().st_size)
    return file.size_bytes


def _existing(folder: Path) -> Path:
    return next(place for place in (folder, *folder.parents) if place.exists())


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
