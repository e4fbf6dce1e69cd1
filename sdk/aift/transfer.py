"""Bytes on their way: files that are read for an upload, files that are written by a download."""

import hashlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import grpc

from aift.connection import Patience, is_broken_stream
from aift.errors import AiftError
from aift.progress import OnProgress, Progress

CHUNK_BYTES = 512 * 1024


class HashedFile:
    """A file that is sent once from the start, but for repeats, and whose SHA-256 is taken on the way."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._hash = hashlib.sha256()
        self._hashed = 0
        self.position = 0

    def chunks(self, offset: int, size: int) -> Iterator[tuple[int, bytes]]:
        """(offset, bytes) pieces from `offset` up to `size`; ends early when the file became shorter."""
        self._hash_up_to(offset)
        self._file.seek(offset)
        self.position = offset
        while data := self._file.read(min(CHUNK_BYTES, size - self.position)):
            self._note(data)
            yield self.position, data
            self.position += len(data)

    def sha256(self, size: int) -> str:
        """The digest of the first `size` bytes."""
        self._hash_up_to(size)
        return self._hash.hexdigest()

    def _note(self, data: bytes) -> None:
        fresh = data[max(0, self._hashed - self.position) :]
        self._hash.update(fresh)
        self._hashed += len(fresh)

    def _hash_up_to(self, end: int) -> None:
        self._file.seek(self._hashed)
        while self._hashed < end and (data := self._file.read(min(CHUNK_BYTES, end - self._hashed))):
            self._hash.update(data)
            self._hashed += len(data)


def download(
    read_from: Callable[[int], Iterator[bytes]],
    target: Path,
    *,
    size_bytes: int,
    sha256: str,
    patience_s: float,
    on_progress: OnProgress,
) -> None:
    """Writes what `read_from(offset)` yields to `target`, going on after broken streams.

    The file appears under its name only when size and digest are right. Raises AiftError, DIGEST_MISMATCH among them.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.partial-{time.time_ns()}")
    digest = hashlib.sha256()
    patience = Patience(patience_s)
    done = 0
    try:
        with partial.open("wb") as file:
            while done < size_bytes:
                try:
                    for data in read_from(done):
                        file.write(data)
                        digest.update(data)
                        done += len(data)
                        patience.renew()
                        on_progress(Progress(stage="downloading", what=target.name, done=done, total=size_bytes))
                    break
                except AiftError as error:
                    patience.wait(error, is_broken_stream)
        if done != size_bytes or digest.hexdigest() != sha256:
            raise _mismatch(target)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def _mismatch(target: Path) -> AiftError:
    return AiftError(
        "DIGEST_MISMATCH",
        grpc.StatusCode.DATA_LOSS,
        f"{target.name} did not arrive as it is stored; nothing was written. Try again.",
        f"{target.name} が保存内容と一致しないため、書き込みませんでした。もう一度お試しください。",
    )
