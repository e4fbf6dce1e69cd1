"""The queue of imports: base models that are IMPORTING, held by lease and fence."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import RowMapping, func, or_
from sqlalchemy.ext.asyncio import AsyncConnection

from services.core.db import Database
from services.core.errors import NotFound
from services.core.leases import LeaseQueue
from services.registry_service import rows
from services.registry_service.base_model_store import is_base_model
from services.registry_service.domain import Failure, HubSource, Inspection, StoredFile, manifest_digest
from services.registry_service.progress import ImportProgress
from services.registry_service.schema import base_model_files, base_models

LEASE_S = 15.0
_IMPORTING = "IMPORTING"


@dataclass(frozen=True, kw_only=True)
class Claim:
    """An import that this process works on, until its fence is no longer the row's."""

    tenant: str
    id: str
    uid: str
    # How often the import has been begun.
    attempt: int
    fence: int
    source: HubSource | tuple[StoredFile, ...]


class ImportQueue:
    """Imports of all tenants. Every write of a holder is fenced."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._queue = LeaseQueue(
            table=base_models, waiting=[_IMPORTING], claimed=_IMPORTING, held=[_IMPORTING], ttl_s=LEASE_S
        )

    async def claim(self) -> Claim | None:
        """The oldest import that nobody works on, None when there is none."""
        free = or_(base_models.c.lease_expires_at.is_(None), base_models.c.lease_expires_at < func.clock_timestamp())
        async with self._database.transaction() as tx:
            row = await self._queue.claim(tx, free, base_models.c.delete_time.is_(None))
        return None if row is None else _claim(row)

    async def renew(self, claim: Claim, progress: ImportProgress) -> None:
        """Holds the lease and shows how far the import is. Raises StaleFence when it is another's, or deleted."""
        async with self._database.transaction() as tx:
            await self._fenced(tx, claim)
            await self._queue.renew(tx, tenant=claim.tenant, id_=claim.id, fence=claim.fence)
            await tx.execute(base_models.update().where(is_base_model(claim.tenant, claim.id)).values(_shown(progress)))

    async def release(self, claim: Claim, *, after_s: float) -> None:
        """Lets another attempt begin after a while. Raises StaleFence."""
        async with self._database.transaction() as tx:
            await self._fenced(tx, claim)
            changed = base_models.update().where(is_base_model(claim.tenant, claim.id))
            await tx.execute(changed.values(lease_expires_at=_soon(after_s)))

    async def finish(
        self, claim: Claim, files: Sequence[StoredFile], found: Inspection, progress: ImportProgress
    ) -> None:
        """Makes the model usable. Raises StaleFence."""
        values = {
            **_shown(progress),
            **_ended("READY"),
            "shape": asdict(found.shape),
            "licence": found.licence,
            "has_chat_template": found.has_chat_template,
            "recommended": dict(found.recommended),
            "digest": manifest_digest(files),
        }
        async with self._database.transaction() as tx:
            await self._fenced(tx, claim)
            await tx.execute(base_model_files.insert(), _file_rows(claim, files))
            await tx.execute(base_models.update().where(is_base_model(claim.tenant, claim.id)).values(values))

    async def fail(self, claim: Claim, failure: Failure, progress: ImportProgress) -> None:
        """Ends the import for good. Raises StaleFence."""
        async with self._database.transaction() as tx:
            await self._fenced(tx, claim)
            values = {**_shown(progress), **_ended("FAILED"), "failure": asdict(failure)}
            await tx.execute(base_models.update().where(is_base_model(claim.tenant, claim.id)).values(values))

    async def _fenced(self, tx: AsyncConnection, claim: Claim) -> None:
        row = await self._queue.check_fence(tx, tenant=claim.tenant, id_=claim.id, fence=claim.fence)
        if row["delete_time"] is not None or row["uid"] != claim.uid:
            raise NotFound(f"baseModels/{claim.id}")


def _soon(seconds: float) -> Any:
    return func.clock_timestamp() + func.make_interval(0, 0, 0, 0, 0, 0, seconds)


def _claim(row: RowMapping) -> Claim:
    source = row["source"]
    return Claim(
        tenant=row["tenant"],
        id=row["id"],
        uid=row["uid"],
        attempt=row["attempt"],
        fence=row["fence"],
        source=rows.files(source["files"]) if "files" in source else HubSource(**source),
    )


def _shown(progress: ImportProgress) -> dict[str, Any]:
    return {
        "done_bytes": progress.done_bytes,
        "total_bytes": progress.total_bytes,
        "hub_revision": progress.hub_revision,
        "update_time": func.clock_timestamp(),
    }


def _ended(state: str) -> dict[str, Any]:
    return {"state": state, "lease_expires_at": None, "etag": secrets.token_hex(8)}


def _file_rows(claim: Claim, files: Iterable[StoredFile]) -> list[dict[str, Any]]:
    return [
        {"tenant": claim.tenant, "base_model_id": claim.id, "path": file.path, "sha256": file.sha256} for file in files
    ]
