"""A queue on a table: work is claimed for a time, and every writer proves with its fence that it still holds it.

The table has the columns tenant, id, state, attempt, fence and lease_expires_at (and whatever else). Only the
database's clock decides.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, Table, and_, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.core.errors import NotFound, StaleFence


def _in(seconds: float) -> ColumnElement[datetime]:
    return func.clock_timestamp() + func.make_interval(0, 0, 0, 0, 0, 0, seconds)


async def database_time(tx: AsyncConnection) -> datetime:
    """What the database's clock says now."""
    now: datetime = (await tx.execute(select(func.clock_timestamp()))).scalar_one()
    return now


@dataclass(frozen=True, kw_only=True)
class LeaseQueue:
    """How one table is used as a queue."""

    table: Table
    waiting: Sequence[str]
    """States in which work can be claimed."""
    claimed: str
    """State that a claim sets."""
    held: Sequence[str]
    """States in which a lease is held, `claimed` among them."""
    ttl_s: float
    """How long a claim or a renewal lasts, in seconds."""

    async def claim(
        self, tx: AsyncConnection, *where: ColumnElement[bool], order_by: Sequence[ColumnElement[Any]] = ()
    ) -> RowMapping | None:
        """Takes the first waiting row that nobody else is taking: attempt + 1, fence + 1, a new lease.

        Returns the row as it is now, None when nothing waits.
        """
        table = self.table
        first = (
            select(table.c.tenant, table.c.id)
            .where(table.c.state.in_(self.waiting), *where)
            .order_by(*(order_by or (table.c.create_time, table.c.id)))
            .limit(1)
            .with_for_update(skip_locked=True)
            .cte("first")
        )
        taken = await tx.execute(
            table.update()
            .where(table.c.tenant == first.c.tenant, table.c.id == first.c.id)
            .values(
                state=self.claimed,
                attempt=table.c.attempt + 1,
                fence=table.c.fence + 1,
                lease_expires_at=_in(self.ttl_s),
            )
            .returning(*table.c)
        )
        return taken.mappings().one_or_none()

    async def renew(self, tx: AsyncConnection, *, tenant: str, id_: str, fence: int) -> RowMapping:
        """Extends the lease, also one that lapsed but was not taken by another. Raises StaleFence."""
        table = self.table
        renewed = await tx.execute(
            table.update()
            .where(self._row(tenant, id_), table.c.fence == fence, table.c.state.in_(self.held))
            .values(lease_expires_at=_in(self.ttl_s))
            .returning(*table.c)
        )
        row = renewed.mappings().one_or_none()
        if row is None:
            raise StaleFence(id_, fence=fence)
        return row

    async def check_fence(self, tx: AsyncConnection, *, tenant: str, id_: str, fence: int) -> RowMapping:
        """The row, locked until the transaction ends, so that what is written beside it is fenced.

        Raises StaleFence when another holds it or nobody does, NotFound when it is gone.
        """
        found = await tx.execute(select(self.table).where(self._row(tenant, id_)).with_for_update())
        row = found.mappings().one_or_none()
        if row is None:
            raise NotFound(id_)
        if row["fence"] != fence or row["state"] not in self.held:
            raise StaleFence(id_, fence=fence)
        return row

    async def expired(self, tx: AsyncConnection, *, serving_since: datetime, limit: int = 10) -> Sequence[RowMapping]:
        """Rows whose lease ran out, locked. None until one lease time after `serving_since` (database time), so
        that holders can renew after an outage of the service itself."""
        table = self.table
        found = await tx.execute(
            select(table)
            .where(
                table.c.state.in_(self.held),
                table.c.lease_expires_at < func.clock_timestamp(),
                func.clock_timestamp() > serving_since + func.make_interval(0, 0, 0, 0, 0, 0, self.ttl_s),
            )
            .order_by(table.c.lease_expires_at)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        return found.mappings().all()

    def _row(self, tenant: str, id_: str) -> ColumnElement[bool]:
        return and_(self.table.c.tenant == tenant, self.table.c.id == id_)
