"""Versions of data sets and their files in the database."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, and_, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.core.db import Database
from services.core.errors import NotFound
from services.core.names import new_uid
from services.core.pages import Page
from services.data_service import dataset_store, reference_store
from services.data_service.domain import (
    ORIGINAL_FOLDER,
    Origin,
    Statistics,
    Template,
    TokenStatistics,
    Version,
    VersionFile,
)
from services.data_service.errors import NoVersion
from services.data_service.report import template_from_json
from services.data_service.schema import blobs, datasets, token_statistics, version_files, versions


class VersionStore:
    """Every method is one transaction. Deleted versions, and all of deleted data sets, are NotFound."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, tenant: str, dataset_id: str, number: int | None) -> Version:
        """One version; the newest when no number is given. Raises NoVersion where there is none."""
        statement = _alive().where(_of(tenant, dataset_id)).order_by(versions.c.number.desc()).limit(1)
        if number is not None:
            statement = statement.where(versions.c.number == number)
        async with self._database.transaction() as tx:
            row = (await tx.execute(statement)).mappings().one_or_none()
            if row is None:
                if number is None:
                    await dataset_store.check_alive(tx, tenant, dataset_id)
                    raise NoVersion(f"datasets/{dataset_id}")
                raise NotFound(_name(dataset_id, number))
            return (await _with_files(tx, [row]))[0]

    async def list(self, tenant: str, dataset_id: str, page: Page) -> tuple[list[Version], str]:
        """A page of versions, newest first, and the next page's token. Raises NotFound without the data set."""
        statement = _alive().where(_of(tenant, dataset_id))
        async with self._database.transaction() as tx:
            await dataset_store.lock(tx, tenant, dataset_id)
            found = await tx.execute(page.of(statement, versions.c.create_time, versions.c.uid))
            rows, token = page.split(found.mappings().all())
            return await _with_files(tx, rows), token

    async def token_statistics(
        self, tenant: str, dataset_id: str, number: int, base_model: str
    ) -> tuple[TokenStatistics, datetime]:
        """What was counted last, and when. Raises NotFound while nothing was."""
        table = token_statistics
        found = select(table.c.statistics, table.c.create_time).where(
            and_(table.c.tenant == tenant, table.c.dataset_id == dataset_id),
            and_(table.c.number == number, table.c.base_model == base_model),
        )
        async with self._database.transaction() as tx:
            row = (await tx.execute(found)).mappings().one_or_none()
        if row is None:
            raise NotFound(f"{_name(dataset_id, number)} counted with {base_model}")
        return TokenStatistics(**row["statistics"]), row["create_time"]

    async def delete(self, tenant: str, dataset_id: str, number: int, *, force: bool) -> None:
        """Hides a version; once more within seven days is the same. Its number is not used again.

        Raises NotFound, and DatasetReferenced unless forced.
        """
        async with self._database.transaction() as tx:
            await dataset_store.lock(tx, tenant, dataset_id)
            if not force:
                await reference_store.check_free(tx, tenant, dataset_id, number)
            done = await tx.execute(
                versions.update()
                .where(_of(tenant, dataset_id), versions.c.number == number)
                .values(delete_time=func.coalesce(versions.c.delete_time, func.clock_timestamp()))
            )
            if done.rowcount == 0:
                raise NotFound(_name(dataset_id, number))
            await reference_store.release(tx, tenant, dataset_id, number)
            await dataset_store.touch(tx, tenant, dataset_id)

    async def purge(self) -> int:
        """Removes versions that were deleted seven days ago; how many."""
        async with self._database.transaction() as tx:
            over = versions.c.delete_time < func.clock_timestamp() - dataset_store.DELETED_FOR
            return int((await tx.execute(versions.delete().where(over))).rowcount)


async def add(
    tx: AsyncConnection,
    tenant: str,
    dataset_id: str,
    *,
    filename: str,
    template: Template,
    statistics: Statistics,
    data_job: str,
    origin: Origin,
    files: dict[str, str],
) -> int:
    """Makes the next version of a data set in the caller's transaction; its number.

    Args:
        files: SHA-256 by path; the blobs are registered already.

    Raises:
        NotFound: the data set was deleted.
    """
    number = int((await dataset_store.lock(tx, tenant, dataset_id))["last_number"]) + 1
    await dataset_store.touch(tx, tenant, dataset_id, last_number=number)
    place = {"tenant": tenant, "dataset_id": dataset_id, "number": number}
    await tx.execute(
        versions.insert().values(
            **place,
            uid=new_uid(),
            filename=filename,
            template=asdict(template),
            statistics=asdict(statistics),
            data_job=data_job,
            **asdict(origin),
        )
    )
    rows = [{**place, "path": path, "sha256": sha256} for path, sha256 in files.items()]
    await tx.execute(version_files.insert(), rows)
    return number


async def set_token_statistics(
    tx: AsyncConnection, tenant: str, dataset_id: str, number: int, base_model: str, statistics: TokenStatistics
) -> None:
    """Keeps the lengths that were counted last. Raises NotFound when the version is gone."""
    row = await tx.execute(select(versions.c.uid).where(_of(tenant, dataset_id), versions.c.number == number))
    if row.one_or_none() is None:
        raise NotFound(_name(dataset_id, number))
    place = {"tenant": tenant, "dataset_id": dataset_id, "number": number, "base_model": base_model}
    values = {"statistics": asdict(statistics), "create_time": func.clock_timestamp()}
    fresh = insert(token_statistics).values(**place, **values)
    await tx.execute(fresh.on_conflict_do_update(index_elements=list(place), set_=values))


def _alive() -> Any:
    same = and_(datasets.c.tenant == versions.c.tenant, datasets.c.id == versions.c.dataset_id)
    alive = and_(versions.c.delete_time.is_(None), datasets.c.delete_time.is_(None))
    columns = [column for column in versions.c if column.name != "delete_time"]
    # `id` is what a page's token keeps beside the time.
    return select(*columns, versions.c.uid.label("id")).join(datasets, same).where(alive)


def _of(tenant: str, dataset_id: str) -> ColumnElement[bool]:
    return and_(versions.c.tenant == tenant, versions.c.dataset_id == dataset_id)


def _name(dataset_id: str, number: int) -> str:
    return f"datasets/{dataset_id}/versions/{number}"


async def _with_files(tx: AsyncConnection, rows: Iterable[RowMapping]) -> list[Version]:
    """The versions of one data set with their files."""
    rows = list(rows)
    if not rows:
        return []
    found = await tx.execute(
        select(version_files.c.number, version_files.c.path, blobs.c.size_bytes, blobs.c.sha256, blobs.c.key)
        .join(blobs, blobs.c.sha256 == version_files.c.sha256)
        .where(
            version_files.c.tenant == rows[0]["tenant"],
            version_files.c.dataset_id == rows[0]["dataset_id"],
            version_files.c.number.in_([row["number"] for row in rows]),
        )
        .order_by(version_files.c.path)
    )
    files: dict[int, list[VersionFile]] = {}
    for row in found.mappings():
        file = VersionFile(**{name: row[name] for name in ("path", "size_bytes", "sha256", "key")})
        files.setdefault(row["number"], []).append(file)
    return [_version(row, tuple(files.get(row["number"], ()))) for row in rows]


def _version(row: RowMapping, files: tuple[VersionFile, ...]) -> Version:
    original = next(file for file in files if file.path.startswith(f"{ORIGINAL_FOLDER}/"))
    return Version(
        tenant=row["tenant"],
        dataset_id=row["dataset_id"],
        number=row["number"],
        uid=row["uid"],
        sha256=original.sha256,
        size_bytes=original.size_bytes,
        filename=row["filename"],
        template=template_from_json(row["template"]),
        statistics=Statistics(**row["statistics"]),
        data_job=row["data_job"],
        origin=Origin(parent=row["parent"], recipe=row["recipe"], source=row["source"]),
        create_time=row["create_time"],
        files=files,
    )
