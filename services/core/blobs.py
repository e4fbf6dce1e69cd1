"""Content named by its SHA-256: written once under a random key, visible only when whole."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import BigInteger, Column, DateTime, MetaData, Table, Text, func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.core.db import Database
from services.core.errors import ContentMissing, DigestMismatch
from services.core.names import new_id
from services.core.objects import Content, ObjectStore


def blobs_table(metadata: MetaData) -> Table:
    """The table of a service's blobs. Its migration makes the same columns."""
    return Table(
        "blobs",
        metadata,
        Column("sha256", Text, primary_key=True),
        Column("key", Text, nullable=False, unique=True),
        Column("size_bytes", BigInteger, nullable=False),
        Column("create_time", DateTime(timezone=True), nullable=False, server_default=text("clock_timestamp()")),
    )


@dataclass(frozen=True, kw_only=True)
class StoredBlob:
    """Content that is there, whole."""

    sha256: str
    size_bytes: int
    key: str


class Blobs:
    """One service's blobs, below its prefix ("data") of the shared store."""

    def __init__(self, database: Database, table: Table, store: ObjectStore, prefix: str) -> None:
        self._database = database
        self._table = table
        self._store = store
        self._prefix = prefix

    def new_key(self) -> str:
        """A random key under the prefix, for content that is not a blob yet."""
        name = new_id()
        return f"{self._prefix}/blobs/{name[:2]}/{name}"

    async def put(self, content: Content, *, what: str = "content", sha256: str | None = None) -> StoredBlob:
        """Stores content. Raises DigestMismatch when it is not what `sha256` names; then nothing stays."""
        key = self.new_key()
        written = await self._store.put(key, content)
        if sha256 is not None and written.sha256 != sha256:
            await self._store.delete(key)
            raise DigestMismatch(what, expected=sha256, actual=written.sha256)
        return await self.register(StoredBlob(sha256=written.sha256, size_bytes=written.size_bytes, key=key))

    async def adopt(self, source: StoredBlob) -> StoredBlob:
        """Copies another service's content under our prefix, without the bytes passing through us.

        Raises ContentMissing when the object is not there or has another length.
        """
        known = await self.find(source.sha256)
        if known is not None:
            return await self.register(known)
        if await self._store.stat(source.key) != source.size_bytes:
            raise ContentMissing(source.sha256)
        key = self.new_key()
        await self._store.copy(source.key, key)
        return await self.register(StoredBlob(sha256=source.sha256, size_bytes=source.size_bytes, key=key))

    async def register(self, blob: StoredBlob, tx: AsyncConnection | None = None) -> StoredBlob:
        """Makes an object of ours visible as a blob. Content that is there already stays, the new object goes.

        The caller's `tx` is used when given. A blob that is met again counts as new for garbage collection.
        """
        if tx is None:
            async with self._database.transaction() as own:
                return await self.register(blob, own)
        table = self._table
        statement = insert(table).values(sha256=blob.sha256, key=blob.key, size_bytes=blob.size_bytes)
        again = statement.on_conflict_do_update(
            index_elements=[table.c.sha256], set_={"create_time": func.clock_timestamp()}
        )
        row = (await tx.execute(again.returning(table.c.sha256, table.c.key, table.c.size_bytes))).one()
        if row.key != blob.key:
            await self._store.delete(blob.key)
        return StoredBlob(sha256=row.sha256, size_bytes=row.size_bytes, key=row.key)

    async def find(self, sha256: str) -> StoredBlob | None:
        """The blob of a digest, None when it is not here."""
        async with self._database.transaction() as tx:
            row = (await tx.execute(select(self._table).where(self._table.c.sha256 == sha256))).one_or_none()
        return None if row is None else StoredBlob(sha256=row.sha256, size_bytes=row.size_bytes, key=row.key)

    def open(self, blob: StoredBlob, offset: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """Reads a range of a blob in pieces of at most 1 MiB."""
        return self._store.open(blob.key, offset, length)

    async def collect(self, tx: AsyncConnection, *, unused_before: datetime, used: "set[str]") -> int:
        """Removes blobs older than `unused_before` whose digest is not in `used`; how many."""
        table = self._table
        found = await tx.execute(select(table).where(table.c.create_time < unused_before).with_for_update())
        garbage = [row for row in found if row.sha256 not in used]
        for row in garbage:
            await tx.execute(table.delete().where(table.c.sha256 == row.sha256))
            await self._store.delete(row.key)
        return len(garbage)
