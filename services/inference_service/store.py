"""What shall be in memory, kept over restarts and seen by every replica."""

from __future__ import annotations

from sqlalchemy import Column, DateTime, MetaData, Table, Text, text
from sqlalchemy.dialects.postgresql import insert

from services.core.db import Database

_METADATA = MetaData()
_WANTED = Table(
    "wanted_models",
    _METADATA,
    Column("tenant", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("create_time", DateTime(timezone=True), nullable=False, server_default=text("clock_timestamp()")),
)


class WantedModels:
    """The models that LoadModel asked for and UnloadModel has not taken back."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, tenant: str, name: str) -> None:
        """Wants a model; wanting it twice changes nothing."""
        async with self._database.transaction() as tx:
            await tx.execute(insert(_WANTED).values(tenant=tenant, name=name).on_conflict_do_nothing())

    async def remove(self, tenant: str, name: str) -> bool:
        """Wants it no longer. False when it was not wanted."""
        async with self._database.transaction() as tx:
            done = await tx.execute(_WANTED.delete().where(_WANTED.c.tenant == tenant, _WANTED.c.name == name))
        return done.rowcount > 0

    async def all(self) -> set[tuple[str, str]]:
        """Every tenant and name."""
        rows = await self._database.fetch_all("SELECT tenant, name FROM wanted_models")
        return {(row["tenant"], row["name"]) for row in rows}
