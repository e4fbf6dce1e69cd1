"""Where models come from and what became of data: edges in the database, followed in both directions."""

from __future__ import annotations

from sqlalchemy import text

from services.core.db import Database
from services.registry_service.domain import Edge
from services.registry_service.errors import LineageTooLarge

MAX_EDGES = 10_000

# UNION drops what was seen, so that the walk ends even if edges ever formed a ring. Versions that were deleted take
# no part.
_WALK = """
WITH RECURSIVE live AS NOT MATERIALIZED (
    SELECT e.source, e.target
    FROM lineage_edges e
    JOIN versions v USING (tenant, model_id, number)
    WHERE e.tenant = :tenant AND v.delete_time IS NULL
),
origins AS (
    SELECT source, target FROM live WHERE target = :name
    UNION
    SELECT l.source, l.target FROM live l JOIN origins o ON l.target = o.source
),
results AS (
    SELECT source, target FROM live WHERE source = :name
    UNION
    SELECT l.source, l.target FROM live l JOIN results r ON l.source = r.target
)
SELECT source, target FROM (TABLE origins UNION TABLE results) AS found ORDER BY source, target LIMIT :limit
"""


class LineageStore:
    """Lineage of all tenants."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def around(self, tenant: str, name: str) -> list[Edge]:
        """All edges that lead to or from a resource. Raises LineageTooLarge."""
        params = {"tenant": tenant, "name": name, "limit": MAX_EDGES + 1}
        async with self._database.transaction() as tx:
            found = (await tx.execute(text(_WALK), params)).all()
        if len(found) > MAX_EDGES:
            raise LineageTooLarge(resource=name, limit=MAX_EDGES)
        return [Edge(source=row.source, target=row.target) for row in found]
