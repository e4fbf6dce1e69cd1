"""Uploads and their parts in the database."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, NoReturn

from sqlalchemy import ColumnElement, RowMapping, and_, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.core import idempotency
from services.core.blobs import Blobs, StoredBlob
from services.core.db import Database
from services.core.errors import NotFound
from services.core.idempotency import RequestKey
from services.core.leases import database_time
from services.core.names import new_id, new_uid
from services.data_service.schema import blobs, requests, upload_parts, uploads
from services.data_service.upload import Part, Upload, UploadState
from services.data_service.upload_errors import UploadNotOpen, UploadSuperseded

CLOSING_FOR = timedelta(seconds=10)
"""Without a sign of life from whoever closes an upload, another process may."""
UNFINISHED_FOR = timedelta(days=1)
FINISHED_FOR = timedelta(days=7)


class UploadStore:
    """Every method is one transaction. Raises NotFound for an upload that the tenant does not have."""

    def __init__(self, database: Database, blobs_: Blobs) -> None:
        self._database = database
        self._blobs = blobs_

    async def create(self, tenant: str, filename: str, size_bytes: int, key: RequestKey) -> Upload:
        """A new upload, or the one that the same request made."""
        async with self._database.transaction() as tx:
            name = await idempotency.recall(tx, requests, key)
            if name is not None:
                return await _read(tx, tenant, name.removeprefix("uploads/"))
            made = uploads.insert().values(
                tenant=tenant,
                id=new_id(),
                uid=new_uid(),
                filename=filename,
                size_bytes=size_bytes,
                expire_time=func.clock_timestamp() + UNFINISHED_FOR,
            )
            upload = _upload((await tx.execute(made.returning(*uploads.c))).mappings().one())
            await idempotency.record(tx, requests, key, upload.name)
            return upload

    async def get(self, tenant: str, id_: str) -> Upload:
        """One upload."""
        async with self._database.transaction() as tx:
            return await _read(tx, tenant, id_)

    async def begin(self, tenant: str, id_: str) -> Upload:
        """Makes the caller the writer, and ends whoever wrote before. Raises UploadNotOpen."""
        async with self._database.transaction() as tx:
            return _upload(await _take(tx, await _locked(tx, tenant, id_), closing_until=None))

    async def begin_closing(self, tenant: str, id_: str) -> Upload | None:
        """Makes the caller the writer for CLOSING_FOR, to close it; None while another one does.

        Raises UploadNotOpen.
        """
        async with self._database.transaction() as tx:
            row = await _locked(tx, tenant, id_)
            if row["closing_until"] is not None and row["closing_until"] > await database_time(tx):
                return None
            return _upload(await _take(tx, row, closing_until=func.clock_timestamp() + CLOSING_FOR))

    async def keep_closing(self, upload: Upload) -> None:
        """Tells that the caller still closes it. Raises UploadSuperseded, UploadNotOpen."""
        async with self._database.transaction() as tx:
            await self._change(tx, upload, closing_until=func.clock_timestamp() + CLOSING_FOR)

    async def stop_closing(self, upload: Upload) -> None:
        """Lets another one close it. Raises UploadSuperseded, UploadNotOpen."""
        async with self._database.transaction() as tx:
            await self._change(tx, upload, closing_until=None)

    async def parts(self, upload: Upload) -> list[Part]:
        """What is stored, in order."""
        async with self._database.transaction() as tx:
            found = await tx.execute(
                select(upload_parts.c.offset_bytes, upload_parts.c.size_bytes, upload_parts.c.key)
                .where(_part_of(upload))
                .order_by(upload_parts.c.offset_bytes)
            )
            return [Part(**row) for row in found.mappings()]

    async def commit_part(self, upload: Upload, part: Part) -> Upload:
        """Moves the committed offset behind the part, which takes the place of what lay at its offset.

        Raises UploadSuperseded when another writer took over.
        """
        async with self._database.transaction() as tx:
            moved = await self._move(tx, upload, part.offset_bytes + part.size_bytes)
            await tx.execute(
                upload_parts.delete().where(_part_of(upload), upload_parts.c.offset_bytes >= part.offset_bytes)
            )
            await tx.execute(
                upload_parts.insert().values(
                    tenant=upload.tenant,
                    upload_id=upload.id,
                    offset_bytes=part.offset_bytes,
                    size_bytes=part.size_bytes,
                    key=part.key,
                )
            )
            return moved

    async def cut(self, upload: Upload, committed_bytes: int) -> Upload:
        """Moves the committed offset back to where the parts that are left end."""
        async with self._database.transaction() as tx:
            moved = await self._move(tx, upload, committed_bytes)
            await tx.execute(
                upload_parts.delete().where(_part_of(upload), upload_parts.c.offset_bytes >= committed_bytes)
            )
            return moved

    async def finalize(self, upload: Upload, blob: StoredBlob) -> Upload:
        """Makes the composed bytes the upload's content. Raises UploadSuperseded, UploadNotOpen."""
        async with self._database.transaction() as tx:
            stored = await self._blobs.register(blob, tx)
            done = await tx.execute(
                uploads.update()
                .where(_is(upload.tenant, upload.id), _is_open(), uploads.c.writer == upload.writer)
                .values(
                    state=UploadState.FINALIZED,
                    sha256=stored.sha256,
                    expire_time=func.clock_timestamp() + FINISHED_FOR,
                )
                .returning(*uploads.c)
            )
            row = done.mappings().one_or_none()
            if row is None:
                await _raise_not_open(tx, upload.tenant, upload.id)
            await tx.execute(upload_parts.delete().where(_part_of(upload)))
            return _upload(row)

    async def content(self, upload: Upload) -> StoredBlob:
        """The blob of a finalised upload."""
        async with self._database.transaction() as tx:
            row = (await tx.execute(select(blobs).where(blobs.c.sha256 == upload.sha256))).mappings().one()
            return StoredBlob(sha256=row["sha256"], size_bytes=row["size_bytes"], key=row["key"])

    async def expire(self) -> list[Upload]:
        """Ends open uploads whose time is over."""
        async with self._database.transaction() as tx:
            ended = await tx.execute(
                uploads.update()
                .where(_is_open(), uploads.c.expire_time < func.clock_timestamp())
                .values(state=UploadState.EXPIRED, writer=uploads.c.writer + 1)
                .returning(*uploads.c)
            )
            return [_upload(row) for row in ended.mappings()]

    async def forget(self) -> int:
        """Removes ended uploads a week after; how many."""
        over = func.clock_timestamp() - FINISHED_FOR
        finished = and_(uploads.c.state == UploadState.FINALIZED, uploads.c.expire_time < func.clock_timestamp())
        expired = and_(uploads.c.state == UploadState.EXPIRED, uploads.c.expire_time < over)
        async with self._database.transaction() as tx:
            return int((await tx.execute(uploads.delete().where(finished | expired))).rowcount)

    async def open_uids(self) -> set[str]:
        """The uids of uploads that take bytes."""
        async with self._database.transaction() as tx:
            return set((await tx.execute(select(uploads.c.uid).where(_is_open()))).scalars())

    async def _move(self, tx: AsyncConnection, upload: Upload, committed_bytes: int) -> Upload:
        until = func.clock_timestamp() + UNFINISHED_FOR
        return await self._change(tx, upload, committed_bytes=committed_bytes, expire_time=until)

    async def _change(self, tx: AsyncConnection, upload: Upload, **values: Any) -> Upload:
        changed = await tx.execute(
            uploads.update()
            .where(_is(upload.tenant, upload.id), _is_open(), uploads.c.writer == upload.writer)
            .values(**values)
            .returning(*uploads.c)
        )
        row = changed.mappings().one_or_none()
        if row is None:
            await _raise_not_open(tx, upload.tenant, upload.id)
        return _upload(row)


async def _locked(tx: AsyncConnection, tenant: str, id_: str) -> RowMapping:
    """The row of an open upload, kept from changing until the transaction ends. Raises NotFound, UploadNotOpen."""
    row = (await tx.execute(select(uploads).where(_is(tenant, id_)).with_for_update())).mappings().one_or_none()
    if row is None:
        raise NotFound(f"uploads/{id_}")
    state = UploadState(row["state"])
    if state is UploadState.OPEN and row["expire_time"] <= await database_time(tx):
        state = UploadState.EXPIRED  # but not swept yet
    if state is not UploadState.OPEN:
        raise UploadNotOpen(f"uploads/{id_}", state=state)
    return row


async def _take(tx: AsyncConnection, row: RowMapping, **values: Any) -> RowMapping:
    """Counts the writer up."""
    taken = uploads.update().where(_is(row["tenant"], row["id"])).values(writer=uploads.c.writer + 1, **values)
    return (await tx.execute(taken.returning(*uploads.c))).mappings().one()


def _is(tenant: str, id_: str) -> ColumnElement[bool]:
    return and_(uploads.c.tenant == tenant, uploads.c.id == id_)


def _is_open() -> ColumnElement[bool]:
    return uploads.c.state == UploadState.OPEN


def _part_of(upload: Upload) -> ColumnElement[bool]:
    return and_(upload_parts.c.tenant == upload.tenant, upload_parts.c.upload_id == upload.id)


async def _read(tx: AsyncConnection, tenant: str, id_: str) -> Upload:
    row = (await tx.execute(select(uploads).where(_is(tenant, id_)))).mappings().one_or_none()
    if row is None:
        raise NotFound(f"uploads/{id_}")
    return _upload(row)


async def _raise_not_open(tx: AsyncConnection, tenant: str, id_: str) -> NoReturn:
    upload = await _read(tx, tenant, id_)
    if upload.state is UploadState.OPEN:
        raise UploadSuperseded(upload.name)
    raise UploadNotOpen(upload.name, state=upload.state)


def _upload(row: RowMapping) -> Upload:
    columns = {name: value for name, value in row.items() if name != "closing_until"}
    return Upload(**{**columns, "state": UploadState(row["state"]), "sha256": row["sha256"] or ""})
