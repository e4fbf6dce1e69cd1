"""Aliases in the database, with a history that is only ever added to."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, and_, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.core import idempotency
from services.core.db import Database
from services.core.errors import NotFound
from services.core.idempotency import RequestKey
from services.core.pages import Page
from services.registry_service import model_store, rows
from services.registry_service.domain import Alias, AliasChange, version_name
from services.registry_service.schema import alias_changes, aliases, padded, requests, versions


@dataclass(frozen=True, kw_only=True)
class PlacedChange:
    """A move of an alias and its place in the history."""

    id: int
    create_time: datetime
    change: AliasChange


class AliasStore:
    """Aliases of all tenants."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def set(self, tenant: str, model_id: str, alias: str, number: int, principal: str, key: RequestKey) -> Alias:
        """Points an alias to a version. Pointing it to where it points already adds nothing to its history.

        Raises NotFound or RequestIdReused.
        """
        async with self._database.transaction() as tx:
            name = await idempotency.recall(tx, requests, key)
            if name is None:
                await model_store.locked(tx, tenant, model_id)
                await _check_version(tx, tenant, model_id, number)
                if await _number(tx, tenant, model_id, alias) != number:
                    await _move(tx, tenant, model_id, alias, number)
                    await _append(tx, tenant, model_id, alias, number, principal)
                await idempotency.record(tx, requests, key, f"models/{model_id}@{alias}")
            return await _one(tx, tenant, model_id, alias)

    async def delete(self, tenant: str, model_id: str, alias: str, principal: str) -> None:
        """Removes an alias; its history stays. Raises NotFound."""
        async with self._database.transaction() as tx:
            await model_store.locked(tx, tenant, model_id)
            done = await tx.execute(aliases.delete().where(_is(tenant, model_id, alias)))
            if done.rowcount == 0:
                raise NotFound(f"models/{model_id}@{alias}")
            await _append(tx, tenant, model_id, alias, None, principal)
            await model_store.touch(tx, tenant, model_id)

    async def history(self, tenant: str, model_id: str, alias: str, page: Page) -> list[PlacedChange]:
        """One page and one more, newest first. Raises NotFound when there never was such an alias."""
        changes = alias_changes.c
        of_alias = and_(changes.tenant == tenant, changes.model_id == model_id, changes.alias == alias)
        statement = page.of(select(alias_changes).where(of_alias), changes.create_time, padded(changes.id))
        async with self._database.transaction() as tx:
            found = (await tx.execute(statement)).mappings().all()
            if not found and page.after is None:
                raise NotFound(f"models/{model_id}@{alias}")
        return [
            PlacedChange(
                id=row["id"],
                create_time=row["create_time"],
                change=AliasChange(
                    version=None if row["number"] is None else version_name(model_id, row["number"]),
                    principal=row["principal"],
                    time=row["create_time"],
                ),
            )
            for row in found
        ]


async def _check_version(tx: AsyncConnection, tenant: str, model_id: str, number: int) -> None:
    there = select(versions.c.number).where(
        versions.c.tenant == tenant,
        versions.c.model_id == model_id,
        versions.c.number == number,
        versions.c.delete_time.is_(None),
    )
    if (await tx.execute(there)).one_or_none() is None:
        raise NotFound(version_name(model_id, number))


async def _number(tx: AsyncConnection, tenant: str, model_id: str, alias: str) -> int | None:
    number: int | None = (await tx.execute(select(aliases.c.number).where(_is(tenant, model_id, alias)))).scalar()
    return number


async def _move(tx: AsyncConnection, tenant: str, model_id: str, alias: str, number: int) -> None:
    values = {"tenant": tenant, "model_id": model_id, "alias": alias, "number": number}
    moved = insert(aliases).values(values)
    await tx.execute(
        moved.on_conflict_do_update(
            index_elements=[aliases.c.tenant, aliases.c.model_id, aliases.c.alias],
            set_={"number": number, "update_time": func.clock_timestamp()},
        )
    )
    await model_store.touch(tx, tenant, model_id)


async def _append(
    tx: AsyncConnection, tenant: str, model_id: str, alias: str, number: int | None, principal: str
) -> None:
    values = {"tenant": tenant, "model_id": model_id, "alias": alias, "number": number, "principal": principal}
    await tx.execute(alias_changes.insert().values(values))


async def _one(tx: AsyncConnection, tenant: str, model_id: str, alias: str) -> Alias:
    row = (await tx.execute(select(aliases).where(_is(tenant, model_id, alias)))).mappings().one_or_none()
    if row is None:
        raise NotFound(f"models/{model_id}@{alias}")
    return rows.alias(row)


def _is(tenant: str, model_id: str, alias: str) -> ColumnElement[bool]:
    return and_(aliases.c.tenant == tenant, aliases.c.model_id == model_id, aliases.c.alias == alias)
