"""Content that comes in: copied below our prefix inside the object store, verified, and only then a blob."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path

from sqlalchemy import func

from services.core.blobs import Blobs, StoredBlob
from services.core.db import Database
from services.core.errors import ContentMissing, DigestMismatch, Unavailable
from services.core.objects import CHUNK_BYTES, ObjectStore
from services.registry_service.domain import StoredFile
from services.registry_service.schema import blobs

Progress = Callable[[int], None]
"""Told the bytes that have come in since it was told last."""


def _unheard(size_bytes: int) -> None:
    del size_bytes


class Intake:
    """Makes blobs of ours from other services' objects and from local files."""

    def __init__(self, database: Database, store: ObjectStore, own: Blobs) -> None:
        self._database = database
        self._store = store
        self._own = own

    async def adopt(self, files: Iterable[StoredFile], progress: Progress = _unheard) -> tuple[StoredFile, ...]:
        """The same files as blobs of ours. What is here already is not copied again, so that a repeated call goes
        on where the one before stopped.

        Raises ContentMissing or DigestMismatch when an object is not what its file promises.
        """
        return tuple([await self._adopt(file, progress) for file in files])

    async def store(self, path: str, source: Path, sha256: str = "") -> StoredFile:
        """A local file as a blob. Raises DigestMismatch when it is not what `sha256` names (where it names one)."""
        blob = await self._own.put(_pieces(source), what=path, sha256=sha256 or None)
        return _file(path, blob)

    async def known(self, path: str, sha256: str) -> StoredFile | None:
        """The blob of a digest, kept from the sweeper for a day; None when it is not here."""
        blob = await self._touched(sha256) if sha256 else None
        return None if blob is None else _file(path, blob)

    async def hold(self, files: Iterable[StoredFile]) -> None:
        """Keeps blobs for another day, until something names them. Raises Unavailable when the sweeper was faster:
        taking them in once more mends it."""
        for file in files:
            if await self._touched(file.sha256) is None:
                raise Unavailable("content that was taken in before")

    async def _adopt(self, file: StoredFile, progress: Progress) -> StoredFile:
        known = await self.known(file.path, file.sha256)
        if known is None:
            return _file(file.path, await self._copy(file, progress))
        if known.size_bytes != file.size_bytes:
            raise DigestMismatch(file.path, expected=f"{file.size_bytes} bytes", actual=f"{known.size_bytes} bytes")
        progress(file.size_bytes)
        return known

    async def _copy(self, file: StoredFile, progress: Progress) -> StoredBlob:
        if await self._store.stat(file.key) != file.size_bytes:
            raise ContentMissing(file.path)
        key = self._own.new_key()
        await self._store.copy(file.key, key)
        try:
            await self._verify(key, file, progress)
        except BaseException:
            await self._store.delete(key)
            raise
        return await self._own.register(StoredBlob(sha256=file.sha256, size_bytes=file.size_bytes, key=key))

    async def _verify(self, key: str, file: StoredFile, progress: Progress) -> None:
        digest = hashlib.sha256()
        async for piece in self._store.open(key):
            await asyncio.to_thread(digest.update, piece)
            progress(len(piece))
        if digest.hexdigest() != file.sha256:
            raise DigestMismatch(file.path, expected=file.sha256, actual=digest.hexdigest())

    async def _touched(self, sha256: str) -> StoredBlob | None:
        """One statement, so that the sweeper sees the new time or we see that it was faster."""
        again = (
            blobs.update()
            .where(blobs.c.sha256 == sha256)
            .values(create_time=func.clock_timestamp())
            .returning(blobs.c.sha256, blobs.c.size_bytes, blobs.c.key)
        )
        async with self._database.transaction() as tx:
            row = (await tx.execute(again)).one_or_none()
        return None if row is None else StoredBlob(sha256=row.sha256, size_bytes=row.size_bytes, key=row.key)


def _file(path: str, blob: StoredBlob) -> StoredFile:
    return StoredFile(path=path, size_bytes=blob.size_bytes, sha256=blob.sha256, key=blob.key)


async def _pieces(source: Path) -> AsyncIterator[bytes]:
    with await asyncio.to_thread(source.open, "rb") as file:
        while piece := await asyncio.to_thread(file.read, CHUNK_BYTES):
            yield piece
