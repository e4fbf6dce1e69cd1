"""Base models in the database."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, Select, and_, bindparam, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.core import idempotency
from services.core.db import Database
from services.core.errors import AlreadyExists, NotFound
from services.core.idempotency import RequestKey
from services.core.names import new_uid
from services.core.pages import Page
from services.registry_service import rows
from services.registry_service.domain import BaseModel, HubSource, StoredFile
from services.registry_service.errors import BaseModelInUse
from services.registry_service.hot_reads import HotRead
from services.registry_service.hub_names import canonical
from services.registry_service.schema import base_model_files, base_models, files_of, requests, versions

_SHOWN_VERSIONS = 5
_LIVE = base_models.c.delete_time.is_(None)


def _select() -> Select[Any]:
    of_model = and_(
        base_model_files.c.tenant == base_models.c.tenant, base_model_files.c.base_model_id == base_models.c.id
    )
    return select(base_models, files_of(base_model_files, of_model).label("files"))


def _by_reference() -> Select[Any]:
    """By id, or by Hub id; what can be used and is newest comes first."""
    same_id = base_models.c.id == bindparam("reference")
    same_hub_id = and_(base_models.c.hub_id != "", func.lower(base_models.c.hub_id) == bindparam("hub_id"))
    best_first = (
        _LIVE.desc(),
        same_id.desc(),
        (base_models.c.state == "READY").desc(),
        base_models.c.create_time.desc(),
    )
    wanted = _select().where(base_models.c.tenant == bindparam("tenant"), or_(same_id, same_hub_id))
    return wanted.order_by(*best_first).limit(1)


_ANY_BY_REFERENCE = HotRead(_by_reference())
_BY_REFERENCE = HotRead(_by_reference().where(_LIVE))


class BaseModelStore:
    """Base models of all tenants."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(
        self,
        tenant: str,
        id_: str,
        display_name: str,
        source: HubSource | Sequence[StoredFile],
        key: RequestKey,
    ) -> BaseModel:
        """A base model whose import waits to be begun. One that FAILED or was deleted makes room for it.

        Raises AlreadyExists or RequestIdReused.
        """
        async with self._database.transaction() as tx:
            name = await idempotency.recall(tx, requests, key)
            if name is None:
                await self._make_room(tx, tenant, id_)
                await tx.execute(base_models.insert().values(_new(tenant, id_, display_name, source)))
                await idempotency.record(tx, requests, key, f"baseModels/{id_}")
            return await self._one(tx, tenant, id_ if name is None else name.rpartition("/")[2])

    async def get(self, tenant: str, reference: str, *, even_deleted: bool = False) -> BaseModel:
        """By id, Hub id or short name; of several with one Hub id the newest that can be used. Raises NotFound."""
        read = _ANY_BY_REFERENCE if even_deleted else _BY_REFERENCE
        row = await read.one(self._database, tenant=tenant, reference=reference, hub_id=canonical(reference).lower())
        if row is None:
            raise NotFound(f"baseModels/{reference}")
        return rows.base_model(row)

    async def list(self, tenant: str, page: Page) -> list[BaseModel]:
        """One page and one more, newest first."""
        statement = page.of(
            _select().where(base_models.c.tenant == tenant, _LIVE), base_models.c.create_time, base_models.c.id
        )
        async with self._database.transaction() as tx:
            return [rows.base_model(row) for row in (await tx.execute(statement)).mappings()]

    async def delete(self, tenant: str, id_: str) -> None:
        """Softly; a running import ends. Raises NotFound or BaseModelInUse."""
        async with self._database.transaction() as tx:
            if await self._locked(tx, tenant, id_, _LIVE) is None:
                raise NotFound(f"baseModels/{id_}")
            await self._check_unused(tx, tenant, f"baseModels/{id_}")
            changed = {"delete_time": func.clock_timestamp(), "update_time": func.clock_timestamp()}
            await tx.execute(base_models.update().where(is_base_model(tenant, id_)).values(changed))

    async def _one(self, tx: AsyncConnection, tenant: str, id_: str) -> BaseModel:
        row = (await tx.execute(_select().where(is_base_model(tenant, id_), _LIVE))).mappings().one_or_none()
        if row is None:
            raise NotFound(f"baseModels/{id_}")
        return rows.base_model(row)

    async def _locked(self, tx: AsyncConnection, tenant: str, id_: str, *where: Any) -> RowMapping | None:
        found = await tx.execute(select(base_models).where(is_base_model(tenant, id_), *where).with_for_update())
        return found.mappings().one_or_none()

    async def _make_room(self, tx: AsyncConnection, tenant: str, id_: str) -> None:
        row = await self._locked(tx, tenant, id_)
        if row is None:
            return
        if row["delete_time"] is None and row["state"] != "FAILED":
            raise AlreadyExists(f"baseModels/{id_}")
        await tx.execute(base_models.delete().where(is_base_model(tenant, id_)))

    async def _check_unused(self, tx: AsyncConnection, tenant: str, name: str) -> None:
        standing = (versions.c.tenant == tenant, versions.c.base_model == name, versions.c.delete_time.is_(None))
        count = (await tx.execute(select(func.count()).select_from(versions).where(*standing))).scalar_one()
        if count:
            some = select(versions.c.model_id, versions.c.number).where(*standing).limit(_SHOWN_VERSIONS)
            named = [f"models/{row.model_id}/versions/{row.number}" for row in await tx.execute(some)]
            raise BaseModelInUse(base_model=name, count=count, versions=", ".join(named))


def is_base_model(tenant: str, id_: str) -> ColumnElement[bool]:
    """Whether a row is this base model's."""
    return and_(base_models.c.tenant == tenant, base_models.c.id == id_)


def _new(tenant: str, id_: str, display_name: str, source: HubSource | Sequence[StoredFile]) -> Mapping[str, Any]:
    values = {
        "tenant": tenant,
        "id": id_,
        "uid": new_uid(),
        "etag": secrets.token_hex(8),
        "display_name": display_name or id_,
        "hub_id": "",
        "hub_revision": "",
    }
    if isinstance(source, HubSource):
        return {**values, "hub_id": source.hub_id, "source": asdict(source)}
    total_bytes = sum(file.size_bytes for file in source)
    return {**values, "source": {"files": [rows.file_json(file) for file in source]}, "total_bytes": total_bytes}
