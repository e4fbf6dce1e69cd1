"""Reading a job's events, and the figures of its steps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import case
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.core.db import Database
from services.training_service.domain import Job
from services.training_service.store.tables import METRICS

_AFTER = (
    "SELECT sequence, attempt, time, content FROM events "
    "WHERE tenant = %s AND job_id = %s AND sequence > %s ORDER BY sequence LIMIT %s"
)
_METRICS = "SELECT step, epoch, figures FROM metrics WHERE tenant = %s AND job_id = %s ORDER BY step"


@dataclass(frozen=True, kw_only=True)
class StepFigures:
    """What was measured at a step: of each figure the newest attempt's value."""

    step: int
    epoch: float
    figures: Mapping[str, float]


async def after(database: Database, tenant: str, job_id: str, sequence: int, *, limit: int) -> list[dict[str, Any]]:
    """Events with higher numbers, in order: sequence, attempt, time, content."""
    return await database.fetch_all(_AFTER, (tenant, job_id, sequence, limit))


async def steps(database: Database, tenant: str, job_id: str) -> list[StepFigures]:
    """The figures of all steps, ascending."""
    rows = await database.fetch_all(_METRICS, (tenant, job_id))
    return [StepFigures(step=row["step"], epoch=row["epoch"], figures=row["figures"]) for row in rows]


async def record_steps(tx: AsyncConnection, job: Job, measured: Sequence[StepFigures]) -> None:
    """Keeps figures of the job's current attempt. What the same attempt tells of a step is put together; what an
    older one told is replaced."""
    if not measured:
        return
    rows = [
        {
            "tenant": job.tenant,
            "job_id": job.id,
            "step": item.step,
            "attempt": job.attempt,
            "epoch": item.epoch,
            "figures": dict(item.figures),
        }
        for item in measured
    ]
    statement = insert(METRICS)
    new = statement.excluded
    same_attempt = METRICS.c.attempt == new.attempt
    merged = statement.on_conflict_do_update(
        index_elements=[METRICS.c.tenant, METRICS.c.job_id, METRICS.c.step],
        set_={
            "attempt": new.attempt,
            "epoch": new.epoch,
            "figures": case((same_attempt, METRICS.c.figures.op("||")(new.figures)), else_=new.figures),
        },
    )
    await tx.execute(merged, rows)
