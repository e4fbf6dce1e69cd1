"""Reading a job's events, and the figures of its steps."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.core.db import Database
from services.training_service.domain import Job

_AFTER = (
    "SELECT sequence, attempt, time, content FROM events "
    "WHERE tenant = %s AND job_id = %s AND sequence > %s ORDER BY sequence LIMIT %s"
)
_METRICS = "SELECT step, epoch, figures FROM metrics WHERE tenant = %s AND job_id = %s ORDER BY step"

_RECORD = text(
    "INSERT INTO metrics AS known (tenant, job_id, step, attempt, epoch, figures) "
    "SELECT :tenant, :job_id, step, :attempt, epoch, figures "
    "FROM jsonb_to_recordset(CAST(:steps AS jsonb)) AS told (step bigint, epoch float8, figures jsonb) "
    "ON CONFLICT (tenant, job_id, step) DO UPDATE SET attempt = excluded.attempt, epoch = excluded.epoch, "
    "figures = CASE WHEN known.attempt = excluded.attempt THEN known.figures || excluded.figures "
    "ELSE excluded.figures END"
)


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
    steps: dict[int, dict[str, Any]] = {}
    for item in measured:
        known = steps.get(item.step, {"figures": {}})["figures"]
        steps[item.step] = {"step": item.step, "epoch": item.epoch, "figures": known | dict(item.figures)}
    await tx.execute(
        _RECORD,
        {"tenant": job.tenant, "job_id": job.id, "attempt": job.attempt, "steps": json.dumps(list(steps.values()))},
    )
