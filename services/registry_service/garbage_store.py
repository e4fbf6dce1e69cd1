"""What nobody needs any more: deleted things after a week, content that nothing names after a day."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta

from sqlalchemy import Text, any_, exists, func, literal, not_, select, text
from sqlalchemy.dialects.postgresql import ARRAY, insert

from services.core import idempotency
from services.core.db import Database
from services.registry_service.model_store import KEPT_FOR
from services.registry_service.schema import (
    base_model_files,
    base_models,
    blobs,
    models,
    requests,
    spent_numbers,
    stray_objects,
    version_files,
    versions,
)

UNNAMED_FOR = timedelta(days=1)
"""How long content stays that nothing names: an import or a taking over may be about to name it."""


class GarbageStore:
    """Every method may run in several replicas at once."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def purge(self) -> int:
        """Removes what was deleted a week ago, and answered requests that old; how many models and versions."""
        async with self._database.transaction() as tx:
            old = func.clock_timestamp() - KEPT_FOR
            gone = models.delete().where(models.c.delete_time < old)
            spent = (await tx.execute(gone.returning(models.c.tenant, models.c.id, models.c.last_number))).all()
            if spent:
                numbers = [{"tenant": row.tenant, "model_id": row.id, "last_number": row.last_number} for row in spent]
                kept = insert(spent_numbers)
                await tx.execute(
                    kept.on_conflict_do_update(
                        index_elements=[spent_numbers.c.tenant, spent_numbers.c.model_id],
                        set_={"last_number": kept.excluded.last_number},
                    ),
                    numbers,
                )
            purged = await tx.execute(versions.delete().where(versions.c.delete_time < old))
            name = "baseModels/" + base_models.c.id
            standing = exists().where(versions.c.tenant == base_models.c.tenant, versions.c.base_model == name)
            based = await tx.execute(base_models.delete().where(base_models.c.delete_time < old, not_(standing)))
            await idempotency.forget(tx, requests)
            return len(spent) + int(purged.rowcount) + int(based.rowcount)

    async def forget_blobs(self) -> list[str]:
        """Removes blobs that nothing names; the keys of their objects, which are garbage once this returns."""
        unnamed = (
            blobs.c.create_time < func.clock_timestamp() - UNNAMED_FOR,
            not_(exists().where(base_model_files.c.sha256 == blobs.c.sha256)),
            not_(exists().where(version_files.c.sha256 == blobs.c.sha256)),
        )
        async with self._database.transaction() as tx:
            return list((await tx.execute(blobs.delete().where(*unnamed).returning(blobs.c.key))).scalars())

    async def strays(self, keys: Collection[str]) -> list[str]:
        """Which of the objects that lie below our prefix have been nobody's for a day.

        Their age is counted from when we first saw them so: a hard link has the age of its source.
        """
        async with self._database.transaction() as tx:
            known = set((await tx.execute(select(blobs.c.key))).scalars())
            stray = [key for key in keys if key not in known]
            still = any_(literal(stray, ARRAY(Text)))
            await tx.execute(stray_objects.delete().where(not_(stray_objects.c.key == still)))
            if stray:
                seen = insert(stray_objects).on_conflict_do_nothing()
                await tx.execute(seen, [{"key": key} for key in stray])
            old = stray_objects.c.seen_time < text("clock_timestamp() - interval '1 day'")
            return list((await tx.execute(select(stray_objects.c.key).where(old))).scalars())
