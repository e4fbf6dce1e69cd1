"""An object store in a folder of this machine: whole files, renamed into place."""

import asyncio
import errno
import hashlib
import os
import shutil
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, ParamSpec, TypeVar

from services.core.disk import is_full
from services.core.errors import ContentMissing, DiskFull, Unavailable
from services.core.objects.store import CHUNK_BYTES, Content, StoredObject, Written, check_key

P = ParamSpec("P")
T = TypeVar("T")
_WORK = ".incoming"  # no key can name it
_NOT_IN_KERNEL = (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM)


class DirectoryStore:
    """Objects as files below `root`. Copies are hard links: objects are never changed in place."""

    def __init__(self, root: Path) -> None:
        self._root = root.absolute()

    async def put(self, key: str, content: Content) -> Written:
        """Stores bytes or a stream; hashing and writing run beside the reading of the next piece."""
        file = await _in_thread(self._begin)
        try:
            written = await _write(file, content)
            await _in_thread(self._publish, file, key)
        except BaseException:
            # Also when cancelled: what was written so far must not stay behind.
            _discard(file)
            raise
        return written

    async def put_part(self, key: str, pieces: Sequence[bytes]) -> None:
        """Leaves the part to the page cache: what is composed of it is forced to disk."""
        await _in_thread(self._put_part, key, pieces)

    async def open(self, key: str, offset: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """Reads a range in pieces of 1 MiB."""
        file = await _in_thread(self._open, key, offset)
        try:
            left = length
            while left is None or left > 0:
                piece = await _in_thread(file.read, CHUNK_BYTES if left is None else min(left, CHUNK_BYTES))
                if not piece:
                    return
                left = None if left is None else left - len(piece)
                yield piece
        finally:
            file.close()

    async def stat(self, key: str) -> int | None:
        """Size in bytes, None when absent."""
        path = self._path(key)
        return await _in_thread(lambda: path.stat().st_size if path.is_file() else None)

    async def copy(self, source: str, target: str) -> None:
        """A hard link; a copy of the bytes where the file system has none."""
        await _in_thread(self._copy, source, target)

    async def compose(self, parts: Sequence[str], target: str) -> None:
        """Joins files; a single one is linked."""
        await _in_thread(self._compose, parts, target)

    async def delete(self, key: str) -> None:
        """Removes the file and folders that it leaves empty."""
        await _in_thread(self._delete, self._path(key))

    async def list(self, prefix: str) -> AsyncIterator[StoredObject]:
        """Files whose key starts with `prefix`."""
        for found in await _in_thread(self._list, prefix):
            yield found

    async def read_url(self, key: str, ttl_s: float) -> str:
        """A file: URL."""
        del ttl_s
        return self._path(key).as_uri()

    async def write_url(self, key: str, ttl_s: float) -> str:
        """A file: URL in a folder that exists."""
        del ttl_s
        path = self._path(key)
        await _in_thread(lambda: path.parent.mkdir(parents=True, exist_ok=True))
        return path.as_uri()

    async def check(self) -> None:
        """Whether a file can be written; makes the folder."""
        await _in_thread(lambda: _discard(self._begin()))

    def _path(self, key: str) -> Path:
        return self._root / check_key(key)

    def _begin(self) -> BinaryIO:
        # For us alone, also where the state directory lets others through to the database's socket.
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        work = self._root / _WORK
        work.mkdir(exist_ok=True)
        return (work / os.urandom(12).hex()).open("xb")

    def _put_part(self, key: str, pieces: Sequence[bytes]) -> None:
        target = self._path(key)
        file = self._begin()
        try:
            with file:
                file.writelines(pieces)
            _move(Path(file.name), target)
        except BaseException:
            _discard(file)
            raise

    def _publish(self, file: BinaryIO, key: str) -> None:
        file.flush()
        os.fsync(file.fileno())
        file.close()
        _move(Path(file.name), self._path(key))
        _sync_folder(self._path(key).parent)

    def _open(self, key: str, offset: int) -> BinaryIO:
        try:
            file = self._path(key).open("rb", buffering=0)
        except FileNotFoundError:
            raise ContentMissing(key) from None
        file.seek(offset)
        return file

    def _copy(self, source: str, target: str) -> None:
        fresh = self._root / _WORK / os.urandom(12).hex()
        fresh.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(self._path(source), fresh)
        except FileNotFoundError:
            raise ContentMissing(source) from None
        except OSError:
            shutil.copyfile(self._path(source), fresh)
        # Renaming one link over another of the same file does nothing and leaves both.
        _move(fresh, self._path(target))
        _sync_folder(self._path(target).parent)
        fresh.unlink(missing_ok=True)

    def _compose(self, parts: Sequence[str], target: str) -> None:
        if len(parts) == 1:
            return self._copy(parts[0], target)
        file = self._begin()
        try:
            for part in parts:
                with self._open(part, 0) as source:
                    _append(source, file)
            self._publish(file, target)
        except BaseException:
            _discard(file)
            raise
        return None

    def _delete(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        path.with_name(f".{path.name}").unlink(missing_ok=True)
        for folder in path.parents:
            if folder == self._root:
                return
            try:
                folder.rmdir()
            except OSError:
                return

    def _list(self, prefix: str) -> Sequence[StoredObject]:
        folder = self._root / prefix.rpartition("/")[0]
        found = []
        for path in folder.rglob("*") if folder.is_dir() else ():
            key = path.relative_to(self._root).as_posix()
            if key.startswith(prefix) and not key.startswith(_WORK) and path.is_file():
                with suppress(FileNotFoundError):
                    status = path.stat()
                    found.append(StoredObject(key, status.st_size, datetime.fromtimestamp(status.st_mtime, UTC)))
        return sorted(found, key=lambda one: one.key)


async def _write(file: BinaryIO, content: Content) -> Written:
    digest, size = hashlib.sha256(), 0

    def take(piece: bytes) -> None:
        digest.update(piece)
        file.write(piece)

    if isinstance(content, bytes):
        await _in_thread(take, content)
        return Written(len(content), digest.hexdigest())
    running: asyncio.Task[None] | None = None
    try:
        async for piece in content:
            if running is not None:
                await running
            running = asyncio.create_task(_in_thread(take, piece))
            size += len(piece)
    finally:
        # Also when cancelled: the thread must be done with the file before it is closed.
        if running is not None:
            await running
    return Written(size, digest.hexdigest())


def _append(source: BinaryIO, file: BinaryIO) -> None:
    """Copies within the kernel, or shares the blocks, where the file system can."""
    if hasattr(os, "copy_file_range"):
        try:
            while os.copy_file_range(source.fileno(), file.fileno(), 8 * CHUNK_BYTES):
                pass
        except OSError as error:
            if error.errno not in _NOT_IN_KERNEL:
                raise
    # The rest, from where the kernel stopped: nothing, or all of it.
    shutil.copyfileobj(source, file, CHUNK_BYTES)
    file.flush()  # the kernel writes behind what is written, not behind what is held back


def _discard(file: BinaryIO) -> None:
    file.close()
    Path(file.name).unlink(missing_ok=True)


def _move(source: Path, target: Path) -> None:
    """Renames into a folder that is made when missing; a delete may take it away again in between."""
    for left in reversed(range(100)):
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            source.replace(target)
            break
        except (FileNotFoundError, FileExistsError):  # also mkdir sees its parent, or what it found, go
            if not left or not source.exists():
                raise


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


async def _in_thread(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Runs a blocking call beside the loop; a full or broken disk becomes a domain error."""
    try:
        return await asyncio.to_thread(call, *args, **kwargs)
    except OSError as error:
        if is_full(error):
            raise DiskFull from error
        raise Unavailable("object store") from error
