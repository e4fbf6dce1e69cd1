"""Models in the database: the names under which versions gather."""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, Select, and_, bindparam, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.core import idempotency
from services.core.db import Database
from services.core.errors import AlreadyExists, EtagMismatch, NotFound
from services.core.idempotency import RequestKey
from services.core.names import new_uid
from services.core.pages import Page
from services.registry_service import rows
from services.registry_service.domain import Model
from services.registry_service.errors import DeletedIdInUse
from services.registry_service.hot_reads import HotRead
from services.registry_service.schema import alias_changes, aliases, models, requests, spent_numbers, versions

KEPT_FOR = timedelta(days=7)
"""How long deleted things stay before they are purged."""


def _select() -> Select[Any]:
    newest = (
        select(func.coalesce(func.max(versions.c.number), 0))
        .where(
            versions.c.tenant == models.c.tenant,
            versions.c.model_id == models.c.id,
            versions.c.delete_time.is_(None),
        )
        .scalar_subquery()
    )
    return select(models, newest.label("latest_version")).where(models.c.delete_time.is_(None))


_BY_ID = HotRead(_select().where(models.c.tenant == bindparam("tenant"), models.c.id == bindparam("id")))
_ALIASES = HotRead(
    select(aliases).where(aliases.c.tenant == bindparam("tenant"), aliases.c.model_id == bindparam("id"))
)


class ModelStore:
    """Models of all tenants."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, tenant: str, id_: str, display_name: str, description: str, key: RequestKey) -> Model:
        """An empty model. Raises AlreadyExists, DeletedIdInUse or RequestIdReused."""
        async with self._database.transaction() as tx:
            name = await idempotency.recall(tx, requests, key)
            if name is None:
                await add(tx, tenant, id_, display_name, description)
                await idempotency.record(tx, requests, key, f"models/{id_}")
            return await _one(tx, tenant, id_ if name is None else name.rpartition("/")[2])

    async def get(self, tenant: str, id_: str) -> Model:
        """Raises NotFound."""
        row = await _BY_ID.one(self._database, tenant=tenant, id=id_)
        if row is None:
            raise NotFound(f"models/{id_}")
        return rows.model(row, await _ALIASES.all(self._database, tenant=tenant, id=id_))

    async def list(self, tenant: str, page: Page) -> list[Model]:
        """One page and one more, newest first."""
        statement = page.of(_select().where(models.c.tenant == tenant), models.c.create_time, models.c.id)
        async with self._database.transaction() as tx:
            return await _with_aliases(tx, tenant, (await tx.execute(statement)).mappings().all())

    async def update(self, tenant: str, id_: str, changed: dict[str, str], etag: str, key: RequestKey) -> Model:
        """Changes what is given. Raises NotFound, EtagMismatch or RequestIdReused."""
        async with self._database.transaction() as tx:
            if await idempotency.recall(tx, requests, key) is None:
                row = await locked(tx, tenant, id_)
                if etag and etag != row["etag"]:
                    raise EtagMismatch(f"models/{id_}")
                await touch(tx, tenant, id_, **changed)
                await idempotency.record(tx, requests, key, f"models/{id_}")
            return await _one(tx, tenant, id_)

    async def delete(self, tenant: str, id_: str, principal: str) -> None:
        """Softly, with versions and aliases. Raises NotFound."""
        now = func.clock_timestamp()
        async with self._database.transaction() as tx:
            await locked(tx, tenant, id_)
            of_model = and_(versions.c.tenant == tenant, versions.c.model_id == id_, versions.c.delete_time.is_(None))
            await tx.execute(versions.update().where(of_model).values(delete_time=now))
            await _remove_aliases(tx, tenant, id_, principal)
            await touch(tx, tenant, id_, delete_time=now)


# --- Inside of transactions, for versions and aliases too ---------------------------------------------------------


async def locked(tx: AsyncConnection, tenant: str, id_: str) -> RowMapping:
    """The row of a model, held until the transaction ends. Raises NotFound."""
    found = await tx.execute(
        select(models).where(is_model(tenant, id_), models.c.delete_time.is_(None)).with_for_update()
    )
    row = found.mappings().one_or_none()
    if row is None:
        raise NotFound(f"models/{id_}")
    return row


async def touch(tx: AsyncConnection, tenant: str, id_: str, **values: Any) -> None:
    """Changes a model: what is given, its etag and its time."""
    changed = {"etag": secrets.token_hex(8), "update_time": func.clock_timestamp(), **values}
    await tx.execute(models.update().where(is_model(tenant, id_)).values(changed))


async def add(tx: AsyncConnection, tenant: str, id_: str, display_name: str, description: str = "") -> None:
    """A new model, whose numbers go on where an earlier one of the same id stopped.

    Raises AlreadyExists, or DeletedIdInUse while that one is not purged yet.
    """
    spent = select(spent_numbers.c.last_number).where(spent_numbers.c.tenant == tenant, spent_numbers.c.model_id == id_)
    values = {
        "tenant": tenant,
        "id": id_,
        "uid": new_uid(),
        "etag": secrets.token_hex(8),
        "display_name": display_name or id_,
        "description": description,
        "last_number": (await tx.execute(spent)).scalar() or 0,
    }
    from_there = await _insert_unless_there(tx, values)
    if from_there is not None:
        raise _taken(id_, from_there["delete_time"])


async def open_for_version(tx: AsyncConnection, tenant: str, id_: str, display_name: str, *, revive: bool) -> int:
    """Makes the model where it is missing, holds it, and returns the number of its next version.

    `revive` brings a deleted model back (without its old versions), so that no training was for nothing; otherwise
    its id is DeletedIdInUse.
    """
    row = await _any(tx, tenant, id_)
    if row is None:
        await add(tx, tenant, id_, display_name)
        row = await locked(tx, tenant, id_)
    if row["delete_time"] is not None and not revive:
        raise _taken(id_, row["delete_time"])
    number = int(row["last_number"]) + 1
    await touch(tx, tenant, id_, last_number=number, delete_time=None)
    return number


async def _any(tx: AsyncConnection, tenant: str, id_: str) -> RowMapping | None:
    """The row of a model, deleted or not, held until the transaction ends."""
    return (await tx.execute(select(models).where(is_model(tenant, id_)).with_for_update())).mappings().one_or_none()


async def _insert_unless_there(tx: AsyncConnection, values: dict[str, Any]) -> RowMapping | None:
    """Inserts; what is there already, when something is."""
    made = await tx.execute(insert(models).values(values).on_conflict_do_nothing().returning(models.c.id))
    return None if made.first() is not None else await _any(tx, values["tenant"], values["id"])


def _taken(id_: str, delete_time: datetime | None) -> Exception:
    if delete_time is None:
        return AlreadyExists(f"models/{id_}")
    free_at = (delete_time + KEPT_FOR).astimezone(UTC).isoformat(timespec="seconds")
    return DeletedIdInUse(resource=f"models/{id_}", free_at=free_at)


async def _remove_aliases(tx: AsyncConnection, tenant: str, id_: str, principal: str) -> None:
    gone = aliases.delete().where(aliases.c.tenant == tenant, aliases.c.model_id == id_).returning(aliases.c.alias)
    for name in sorted((await tx.execute(gone)).scalars()):
        change = {"tenant": tenant, "model_id": id_, "alias": name, "number": None, "principal": principal}
        await tx.execute(alias_changes.insert().values(change))


async def _one(tx: AsyncConnection, tenant: str, id_: str) -> Model:
    found = (await tx.execute(_select().where(is_model(tenant, id_)))).mappings().all()
    if not found:
        raise NotFound(f"models/{id_}")
    return (await _with_aliases(tx, tenant, found))[0]


async def _with_aliases(tx: AsyncConnection, tenant: str, found: Sequence[RowMapping]) -> list[Model]:
    named: defaultdict[str, list[RowMapping]] = defaultdict(list)
    wanted = select(aliases).where(aliases.c.tenant == tenant, aliases.c.model_id.in_([row["id"] for row in found]))
    for row in (await tx.execute(wanted)).mappings():
        named[row["model_id"]].append(row)
    return [rows.model(row, named[row["id"]]) for row in found]


def is_model(tenant: str, id_: str) -> ColumnElement[bool]:
    """Whether a row is this model's."""
    return and_(models.c.tenant == tenant, models.c.id == id_)
