"""Versions in the database: made once, never changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, Select, and_, bindparam, func, literal_column, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.core import idempotency, names
from services.core.db import Database
from services.core.errors import NotFound, RequestIdReused
from services.core.idempotency import RequestKey
from services.core.names import new_uid
from services.core.pages import Page
from services.registry_service import model_store, rows
from services.registry_service.domain import (
    BaseModelState,
    NewVersion,
    Version,
    edges_of,
    manifest_digest,
    version_name,
)
from services.registry_service.errors import BaseModelChanged, BaseModelNotReady, NoVersionYet, VersionHasAliases
from services.registry_service.hot_reads import HotRead
from services.registry_service.schema import (
    aliases,
    base_models,
    files_of,
    lineage_edges,
    models,
    padded,
    requests,
    same_version,
    version_files,
    versions,
)

_PATTERN = "models/{m}/versions/{n}"
_LIVE = versions.c.delete_time.is_(None)
Card = Callable[[NewVersion, str], str]
"""Writes the model card of a version that gets this name."""


def _select() -> Select[Any]:
    """Versions, deleted ones too."""
    pointing = (
        select(func.coalesce(func.json_agg(aliases.c.alias), literal_column("'[]'::json")))
        .where(same_version(aliases, versions))
        .correlate(versions)
        .scalar_subquery()
    )
    listed = files_of(version_files, same_version(version_files, versions))
    return select(versions, listed.label("files"), pointing.label("aliases"))


def _hot() -> Select[Any]:
    """The versions of a model that are not deleted, for reads that are compiled once."""
    return _select().where(
        versions.c.tenant == bindparam("tenant"), versions.c.model_id == bindparam("model_id"), _LIVE
    )


_BY_NUMBER = HotRead(_hot().where(versions.c.number == bindparam("wanted_number")))
_NEWEST = HotRead(_hot().order_by(versions.c.number.desc()).limit(1))
_BY_ALIAS = HotRead(_hot().join(aliases, and_(same_version(aliases, versions), aliases.c.alias == bindparam("alias"))))


class VersionStore:
    """Versions of all tenants."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def of_job(self, tenant: str, training_job: str) -> Version | None:
        """The version that a job made, deleted or not; None when it made none."""
        async with self._database.transaction() as tx:
            return await _of_job(tx, tenant, training_job)

    async def of_request(self, key: RequestKey) -> Version | None:
        """The version that this request made before, None the first time. Raises RequestIdReused."""
        row = await self._database.fetch_one(
            "SELECT payload_sha256, resource FROM requests WHERE tenant = %s AND method = %s AND request_id = %s",
            (key.tenant, key.method, key.request_id),
        )
        if row is None or not key.request_id:
            return None
        if bytes(row["payload_sha256"]) != key.payload_sha256:
            raise RequestIdReused(key.request_id)
        async with self._database.transaction() as tx:
            return await _named(tx, key.tenant, row["resource"])

    async def take_over(
        self, tenant: str, model_id: str, display_name: str, version: NewVersion, card: Card
    ) -> Version:
        """The result of a training job as the next version; once per job, whatever was sent before.

        Raises NotFound or BaseModelChanged.
        """
        async with self._database.transaction() as tx:
            # Two calls for one job come one after the other, also when they name different models.
            lock = "SELECT pg_advisory_xact_lock(hashtextextended(:tenant || ' ' || :job, 0))"
            await tx.execute(text(lock), {"tenant": tenant, "job": version.training_job})
            made = await _of_job(tx, tenant, version.training_job)
            if made is not None:
                return made
            await _hold_base(tx, tenant, version)
            number = await model_store.open_for_version(tx, tenant, model_id, display_name, revive=True)
            return await _insert(tx, tenant, model_id, number, version, card)

    async def add(self, tenant: str, model_id: str, version: NewVersion, card: Card, key: RequestKey) -> Version:
        """An imported version. Raises NotFound, DeletedIdInUse or RequestIdReused."""
        async with self._database.transaction() as tx:
            name = await idempotency.recall(tx, requests, key)
            if name is not None:
                return await _named(tx, tenant, name)
            await _hold_base(tx, tenant, version)
            number = await model_store.open_for_version(tx, tenant, model_id, "", revive=False)
            made = await _insert(tx, tenant, model_id, number, version, card)
            await idempotency.record(tx, requests, key, made.name)
            return made

    async def get(self, tenant: str, model_id: str, number: int) -> Version:
        """By number. Raises NotFound."""
        row = await _BY_NUMBER.one(self._database, tenant=tenant, model_id=model_id, wanted_number=number)
        if row is None:
            raise NotFound(version_name(model_id, number))
        return rows.version(row)

    async def newest(self, tenant: str, model_id: str) -> Version:
        """The newest of a model. Raises NotFound or NoVersionYet."""
        row = await _NEWEST.one(self._database, tenant=tenant, model_id=model_id)
        if row is None:
            async with self._database.transaction() as tx:
                await _check_model(tx, tenant, model_id)
            raise NoVersionYet(model=f"models/{model_id}")
        return rows.version(row)

    async def aliased(self, tenant: str, model_id: str, alias: str) -> Version:
        """The one that an alias points to. Raises NotFound."""
        row = await _BY_ALIAS.one(self._database, tenant=tenant, model_id=model_id, alias=alias)
        if row is None:
            raise NotFound(f"models/{model_id}@{alias}")
        return rows.version(row)

    async def list(self, tenant: str, model_id: str, page: Page) -> list[Version]:
        """One page and one more, newest first. Raises NotFound."""
        statement = page.of(
            _select().where(_of_model(tenant, model_id), _LIVE), versions.c.create_time, padded(versions.c.number)
        )
        async with self._database.transaction() as tx:
            await _check_model(tx, tenant, model_id)
            return [rows.version(row) for row in (await tx.execute(statement)).mappings()]

    async def delete(self, tenant: str, model_id: str, number: int) -> None:
        """Softly; the number stays used. Raises NotFound or VersionHasAliases."""
        async with self._database.transaction() as tx:
            await model_store.locked(tx, tenant, model_id)
            version = await _one(tx, tenant, model_id, number)
            if version.aliases:
                raise VersionHasAliases(version=version.name, aliases=", ".join(version.aliases))
            gone = versions.update().where(_of_model(tenant, model_id), versions.c.number == number)
            await tx.execute(gone.values(delete_time=func.clock_timestamp()))
            await model_store.touch(tx, tenant, model_id)


# --- Inside of transactions ---------------------------------------------------------------------------------------


async def _insert(
    tx: AsyncConnection, tenant: str, model_id: str, number: int, version: NewVersion, card: Card
) -> Version:
    name = version_name(model_id, number)
    of_version = {"tenant": tenant, "model_id": model_id, "number": number}
    await tx.execute(
        versions.insert().values(**of_version, **_values(version), card=version.card or card(version, name))
    )
    files = [{**of_version, "path": file.path, "sha256": file.sha256} for file in version.files]
    await tx.execute(version_files.insert(), files)
    edges = [{**of_version, "source": edge.source, "target": edge.target} for edge in edges_of(version, name)]
    if edges:
        await tx.execute(lineage_edges.insert(), edges)
    return await _one(tx, tenant, model_id, number)


def _values(version: NewVersion) -> dict[str, Any]:
    return {
        "uid": new_uid(),
        "kind": version.kind.value,
        "base_model": version.base_model,
        "base_model_digest": version.base_model_digest,
        "dataset_version": version.dataset_version,
        "training_job": version.training_job,
        "template_json": version.template_json,
        "metrics": rows.metrics_json(version.metrics),
        "hyperparameters": dict(version.hyperparameters),
        "digest": manifest_digest(version.files),
        "licence": version.licence,
    }


async def _hold_base(tx: AsyncConnection, tenant: str, version: NewVersion) -> None:
    """Keeps the base model from being deleted beside us. One that was deleted while the job ran comes back: had the
    version been there a little earlier, it could not have been deleted.

    Raises NotFound, BaseModelNotReady or BaseModelChanged.
    """
    if not version.base_model:
        return
    id_ = names.parse("baseModels/{b}", version.base_model)["b"]
    here = and_(base_models.c.tenant == tenant, base_models.c.id == id_)
    row = (await tx.execute(select(base_models).where(here).with_for_update())).mappings().one_or_none()
    if row is None:
        raise NotFound(version.base_model)
    if row["state"] != BaseModelState.READY:
        raise BaseModelNotReady(base_model=version.base_model, state=row["state"])
    if row["digest"] != version.base_model_digest:
        raise BaseModelChanged(base_model=version.base_model, actual=row["digest"], expected=version.base_model_digest)
    if row["delete_time"] is not None:
        await tx.execute(base_models.update().where(here).values(delete_time=None))


async def _of_job(tx: AsyncConnection, tenant: str, training_job: str) -> Version | None:
    wanted = _select().where(versions.c.tenant == tenant, versions.c.training_job == training_job)
    row = (await tx.execute(wanted)).mappings().one_or_none()
    return None if row is None else rows.version(row)


async def _named(tx: AsyncConnection, tenant: str, name: str) -> Version:
    ids = names.parse(_PATTERN, name)
    return await _one(tx, tenant, ids["m"], int(ids["n"]))


async def _one(tx: AsyncConnection, tenant: str, model_id: str, number: int) -> Version:
    wanted = _select().where(_of_model(tenant, model_id), versions.c.number == number, _LIVE)
    row: RowMapping | None = (await tx.execute(wanted)).mappings().one_or_none()
    if row is None:
        raise NotFound(version_name(model_id, number))
    return rows.version(row)


async def _check_model(tx: AsyncConnection, tenant: str, model_id: str) -> None:
    there = select(models.c.id).where(model_store.is_model(tenant, model_id), models.c.delete_time.is_(None))
    if (await tx.execute(there)).one_or_none() is None:
        raise NotFound(f"models/{model_id}")


def _of_model(tenant: str, model_id: str) -> ColumnElement[bool]:
    return and_(versions.c.tenant == tenant, versions.c.model_id == model_id)
