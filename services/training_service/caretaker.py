"""What nobody asks for and somebody must do: lost attempts end, garbage goes, deleted jobs are purged."""

import logging
from datetime import UTC, datetime, timedelta

from sqlalchemy import delete, func, select

from services.core import idempotency
from services.core.db import Database
from services.core.errors import Unavailable
from services.core.leases import database_time
from services.core.objects import ObjectStore
from services.training_service.attempts import Attempts
from services.training_service.store import files
from services.training_service.store.tables import JOBS, REQUESTS

log = logging.getLogger(__name__)

_GARBAGE_AT_ONCE = 100


class Caretaker:
    """The service's housekeeping. Every piece of it may run in several processes at once."""

    def __init__(self, database: Database, attempts: Attempts, store: ObjectStore, *, purge_after: timedelta) -> None:
        self._database = database
        self._attempts = attempts
        self._store = store
        self._purge_after = purge_after
        # Both by the database's clock.
        self._serving_since = datetime.max.replace(tzinfo=UTC)
        self._looked_last: datetime | None = None

    async def end_lost_attempts(self) -> bool:
        """Takes jobs back whose lease ran out. Not before agents have had a whole lease time to renew since this
        process or its database came back, or since both went on after they had stood still."""
        try:
            async with self._database.transaction() as tx:
                now = await database_time(tx)
            ended = await self._attempts.sweep(serving_since=self._since(now), asked=now)
        except Unavailable:
            self._looked_last = None
            raise
        if ended:
            log.warning("attempts lost", extra={"count": ended})
        return ended > 0

    def _since(self, now: datetime) -> datetime:
        """Since when the service has taken heartbeats without a break."""
        last, self._looked_last = self._looked_last, now
        if last is None or now - last > self._attempts.standstill:
            self._serving_since = now
        return self._serving_since

    async def collect_garbage(self) -> bool:
        """Removes objects that nobody refers to any more; True when there may be more of them."""
        async with self._database.transaction() as tx:
            keys = await files.garbage(tx, _GARBAGE_AT_ONCE)
            for key in keys:
                await self._store.delete(key)
            await files.forget(tx, keys)
        return len(keys) == _GARBAGE_AT_ONCE

    async def purge(self) -> bool:
        """Removes jobs that were deleted long ago, their files, and old request ids."""
        old = JOBS.c.delete_time < func.clock_timestamp() - self._purge_after
        async with self._database.transaction() as tx:
            found = await tx.execute(select(JOBS.c.tenant, JOBS.c.id).where(old).limit(_GARBAGE_AT_ONCE))
            for tenant, job_id in found:
                await files.drop_all(tx, tenant, job_id)
                await tx.execute(delete(JOBS).where(JOBS.c.tenant == tenant, JOBS.c.id == job_id))
            await idempotency.forget(tx, REQUESTS)
        return False
