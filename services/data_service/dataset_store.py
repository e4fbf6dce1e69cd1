"""Data sets in the database."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, and_, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.core import idempotency
from services.core.db import Database
from services.core.errors import AlreadyExists, EtagMismatch, NotFound
from services.core.idempotency import RequestKey
from services.core.names import new_id, new_uid
from services.core.pages import Page
from services.data_service import reference_store
from services.data_service.dataset_reads import DatasetReads
from services.data_service.domain import Dataset
from services.data_service.errors import RecentlyDeleted
from services.data_service.schema import datasets, requests, versions

DELETED_FOR = timedelta(days=7)
"""How long a deleted id stays taken, and deleted rows stay."""

_latest = (
    select(func.coalesce(func.max(versions.c.number), 0))
    .where(
        versions.c.tenant == datasets.c.tenant,
        versions.c.dataset_id == datasets.c.id,
        versions.c.delete_time.is_(None),
    )
    .scalar_subquery()
    .label("latest_version")
)
_COLUMNS = (*(column for column in datasets.c if column.name not in ("last_number", "delete_time")), _latest)


class DatasetStore:
    """Every method is one transaction. Deleted data sets are NotFound."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._reads = DatasetReads(database)

    async def create(self, tenant: str, id_: str, display_name: str, description: str, key: RequestKey) -> Dataset:
        """A new data set (an id is made when `id_` is empty), or the one that the same request made.

        Raises AlreadyExists, and RecentlyDeleted for an id that was deleted less than seven days ago.
        """
        async with self._database.transaction() as tx:
            name = await idempotency.recall(tx, requests, key)
            if name is not None:
                return await _read(tx, tenant, name.removeprefix("datasets/"))
            id_ = id_ or new_id()
            made = insert(datasets).values(
                tenant=tenant,
                id=id_,
                uid=new_uid(),
                etag=new_id(),
                display_name=display_name,
                description=description,
            )
            fresh = await tx.execute(made.on_conflict_do_nothing().returning(datasets.c.id))
            if fresh.one_or_none() is None:
                await check_not_deleted(tx, tenant, id_)
                raise AlreadyExists(f"datasets/{id_}")
            await idempotency.record(tx, requests, key, f"datasets/{id_}")
            return await _read(tx, tenant, id_)

    async def get(self, tenant: str, id_: str) -> Dataset:
        """One data set."""
        return await self._reads.get(tenant, id_)

    async def list(self, tenant: str, page: Page) -> tuple[list[Dataset], str]:
        """A page of data sets, newest first, and the next page's token."""
        statement = select(*_COLUMNS).where(datasets.c.tenant == tenant, datasets.c.delete_time.is_(None))
        async with self._database.transaction() as tx:
            found = await tx.execute(page.of(statement, datasets.c.create_time, datasets.c.id))
            rows, token = page.split(found.mappings().all())
        return [Dataset(**row) for row in rows], token

    async def update(self, tenant: str, id_: str, values: dict[str, str], etag: str, key: RequestKey) -> Dataset:
        """Changes some columns. Raises EtagMismatch when `etag` is given and not the current one."""
        async with self._database.transaction() as tx:
            if await idempotency.recall(tx, requests, key) is not None:
                return await _read(tx, tenant, id_)
            current = await lock(tx, tenant, id_)
            if etag and etag != current["etag"]:
                raise EtagMismatch(f"datasets/{id_}")
            await touch(tx, tenant, id_, **values)
            await idempotency.record(tx, requests, key, f"datasets/{id_}")
            return await _read(tx, tenant, id_)

    async def delete(self, tenant: str, id_: str, *, force: bool) -> None:
        """Hides a data set and its versions; once more within seven days is the same.

        Raises NotFound, and DatasetReferenced unless forced.
        """
        async with self._database.transaction() as tx:
            if not force:
                await reference_store.check_free(tx, tenant, id_)
            gone = func.coalesce(datasets.c.delete_time, func.clock_timestamp())
            done = await tx.execute(datasets.update().where(_is(tenant, id_)).values(delete_time=gone))
            if done.rowcount == 0:
                raise NotFound(f"datasets/{id_}")
            await reference_store.release(tx, tenant, id_)

    async def purge(self) -> int:
        """Removes data sets that were deleted seven days ago, with their versions; how many."""
        async with self._database.transaction() as tx:
            over = datasets.c.delete_time < func.clock_timestamp() - DELETED_FOR
            return int((await tx.execute(datasets.delete().where(over))).rowcount)


async def lock(tx: AsyncConnection, tenant: str, id_: str) -> RowMapping:
    """The row of a data set, kept from changing until the transaction ends. Raises NotFound."""
    statement = select(datasets).where(_is(tenant, id_), datasets.c.delete_time.is_(None)).with_for_update()
    row = (await tx.execute(statement)).mappings().one_or_none()
    if row is None:
        raise NotFound(f"datasets/{id_}")
    return row


async def check_alive(tx: AsyncConnection, tenant: str, id_: str) -> None:
    """Raises NotFound where the data set does not exist or was deleted."""
    alive = select(datasets.c.id).where(_is(tenant, id_), datasets.c.delete_time.is_(None))
    if (await tx.execute(alive)).one_or_none() is None:
        raise NotFound(f"datasets/{id_}")


async def check_not_deleted(tx: AsyncConnection, tenant: str, id_: str) -> None:
    """Raises RecentlyDeleted for an id that is not free again: it was deleted less than seven days ago."""
    gone = select(datasets.c.id).where(_is(tenant, id_), datasets.c.delete_time.is_not(None))
    if (await tx.execute(gone)).one_or_none() is not None:
        raise RecentlyDeleted(f"datasets/{id_}")


async def ensure(tx: AsyncConnection, tenant: str, id_: str, *, display_name: str = "", description: str = "") -> None:
    """Makes a data set where it is missing. Raises NotFound when it was deleted less than seven days ago."""
    made = insert(datasets).values(
        tenant=tenant,
        id=id_,
        uid=new_uid(),
        etag=new_id(),
        display_name=display_name,
        description=description,
    )
    await tx.execute(made.on_conflict_do_nothing())
    await lock(tx, tenant, id_)


async def touch(tx: AsyncConnection, tenant: str, id_: str, **values: Any) -> None:
    """Changes a data set's row, with a new etag and update time."""
    await tx.execute(
        datasets.update().where(_is(tenant, id_)).values(**values, etag=new_id(), update_time=func.clock_timestamp())
    )


def _is(tenant: str, id_: str) -> ColumnElement[bool]:
    return and_(datasets.c.tenant == tenant, datasets.c.id == id_)


async def _read(tx: AsyncConnection, tenant: str, id_: str) -> Dataset:
    statement = select(*_COLUMNS).where(_is(tenant, id_), datasets.c.delete_time.is_(None))
    row = (await tx.execute(statement)).mappings().one_or_none()
    if row is None:
        raise NotFound(f"datasets/{id_}")
    return Dataset(**row)
