"""Rows of committed checkpoints."""

from collections.abc import Sequence

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.training_service.domain import Checkpoint, Job
from services.training_service.store import files
from services.training_service.store.tables import CHECKPOINTS as ROWS


async def newest(tx: AsyncConnection, tenant: str, job_id: str) -> Checkpoint | None:
    """The checkpoint to go on from."""
    found = await _read(tx, tenant, job_id, limit=1)
    return found[0] if found else None


async def kept(tx: AsyncConnection, tenant: str, job_id: str) -> Sequence[Checkpoint]:
    """All that are kept, the highest step first."""
    return await _read(tx, tenant, job_id, limit=None)


async def commit(
    tx: AsyncConnection, job: Job, *, step: int, keys: Sequence[str], eval_loss: float | None, keep_last: int
) -> Checkpoint:
    """Makes a checkpoint of announced files visible and lets go of those that are neither among the last nor best."""
    await files.keep_checkpoint(tx, job, step, keys)
    values = {"attempt": job.attempt, "eval_loss": eval_loss, "create_time": func.clock_timestamp()}
    row = insert(ROWS).values(tenant=job.tenant, job_id=job.id, step=step, **values)
    await tx.execute(row.on_conflict_do_update(index_elements=[ROWS.c.tenant, ROWS.c.job_id, ROWS.c.step], set_=values))
    there = await kept(tx, job.tenant, job.id)
    for old in superseded(there, keep_last):
        await files.drop_checkpoint(tx, job, old.step)
        await tx.execute(
            delete(ROWS).where(ROWS.c.tenant == job.tenant, ROWS.c.job_id == job.id, ROWS.c.step == old.step)
        )
    return next(checkpoint for checkpoint in there if checkpoint.step == step)


def superseded(newest_first: Sequence[Checkpoint], keep_last: int) -> Sequence[Checkpoint]:
    """Those that are neither among the last `keep_last` nor the one with the lowest held-out loss."""
    measured = [checkpoint for checkpoint in newest_first if checkpoint.eval_loss is not None]
    best = min(measured, key=lambda checkpoint: checkpoint.eval_loss or 0.0, default=None)
    return [checkpoint for checkpoint in newest_first[keep_last:] if checkpoint is not best]


async def _read(tx: AsyncConnection, tenant: str, job_id: str, *, limit: int | None) -> list[Checkpoint]:
    statement = (
        select(ROWS).where(ROWS.c.tenant == tenant, ROWS.c.job_id == job_id).order_by(ROWS.c.step.desc()).limit(limit)
    )
    rows = (await tx.execute(statement)).mappings().all()
    return [
        Checkpoint(
            job_id=job_id,
            step=row["step"],
            attempt=row["attempt"],
            files=await files.of_checkpoint(tx, tenant, job_id, row["step"]),
            eval_loss=row["eval_loss"],
            create_time=row["create_time"],
        )
        for row in rows
    ]
