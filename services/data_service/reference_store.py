"""What depends on versions, as those who depend on them told us."""

from __future__ import annotations

from sqlalchemy import ColumnElement, and_, func, literal, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.core.db import Database
from services.core.errors import NotFound
from services.core.pages import Page
from services.data_service.domain import Reference, version_of
from services.data_service.errors import DatasetReferenced
from services.data_service.schema import version_references, versions

_SHOWN = 5


class ReferenceStore:
    """Every method is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, tenant: str, version: str, referrer: str) -> None:
        """Notes a reference; once more is the same. Raises NotFound without the version."""
        async with self._database.transaction() as tx:
            await add(tx, tenant, version, referrer)

    async def remove(self, tenant: str, version: str, referrer: str) -> None:
        """Forgets a reference; an unknown one is no error."""
        table = version_references
        async with self._database.transaction() as tx:
            await tx.execute(table.delete().where(_to(tenant, *version_of(version)), table.c.referrer == referrer))

    async def list(self, tenant: str, dataset_id: str, number: int | None, page: Page) -> tuple[list[Reference], str]:
        """A page of references, newest first, and the next page's token."""
        table = version_references
        columns = (table.c.dataset_id, table.c.number, table.c.referrer, table.c.create_time)
        # `id` is what a page's token keeps beside the time.
        id_ = func.concat(table.c.number, literal(" "), table.c.referrer)
        statement = select(*columns, id_.label("id")).where(_to(tenant, dataset_id, number))
        async with self._database.transaction() as tx:
            found = await tx.execute(page.of(statement, table.c.create_time, id_))
            rows, token = page.split(found.mappings().all())
        return [Reference(**{column.name: row[column.name] for column in columns}) for row in rows], token


async def add(tx: AsyncConnection, tenant: str, version: str, referrer: str) -> None:
    """Notes a reference in the caller's transaction. Raises NotFound without the version."""
    dataset_id, number = version_of(version)
    alive = select(versions.c.uid).where(
        and_(versions.c.tenant == tenant, versions.c.dataset_id == dataset_id),
        and_(versions.c.number == number, versions.c.delete_time.is_(None)),
    )
    if (await tx.execute(alive.with_for_update(read=True))).one_or_none() is None:
        raise NotFound(version)
    place = {"tenant": tenant, "dataset_id": dataset_id, "number": number, "referrer": referrer}
    await tx.execute(insert(version_references).values(**place).on_conflict_do_nothing())


async def release(tx: AsyncConnection, tenant: str, dataset_id: str, number: int | None = None) -> None:
    """Forgets what a deleted version, or all versions of a deleted data set, depended on."""
    own = f"datasets/{dataset_id}/versions/"
    referrer = version_references.c.referrer
    by = referrer.startswith(own, autoescape=True) if number is None else referrer == f"{own}{number}"
    await tx.execute(version_references.delete().where(version_references.c.tenant == tenant, by))


async def check_free(tx: AsyncConnection, tenant: str, dataset_id: str, number: int | None = None) -> None:
    """Raises DatasetReferenced when something else depends on the version, or on one of the data set's."""
    table = version_references
    within = table.c.referrer.startswith(f"datasets/{dataset_id}/versions/", autoescape=True)
    statement = select(table.c.referrer).where(_to(tenant, dataset_id, number)).order_by(table.c.create_time)
    found = (await tx.execute(statement if number is not None else statement.where(~within))).scalars().all()
    if found:
        name = f"datasets/{dataset_id}" + ("" if number is None else f"/versions/{number}")
        raise DatasetReferenced(name, referrers=found[:_SHOWN], count=len(found))


def _to(tenant: str, dataset_id: str, number: int | None) -> ColumnElement[bool]:
    table = version_references
    within = and_(table.c.tenant == tenant, table.c.dataset_id == dataset_id)
    return within if number is None else and_(within, table.c.number == number)
