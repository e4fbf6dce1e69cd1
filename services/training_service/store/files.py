"""Rows of what attempts wrote into the object store: announced first, so that nothing there is ever unknown."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import RowMapping, and_, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.training_service.domain import Job, StoredFile
from services.training_service.store.tables import FILES

# The next attempt may be reading a checkpoint that is just being dropped.
_READERS_DONE_AFTER_S = 3600.0


def _in(seconds: float) -> Any:
    return func.clock_timestamp() + func.make_interval(0, 0, 0, 0, 0, 0, seconds)


def _of(job: Job) -> Any:
    return and_(FILES.c.tenant == job.tenant, FILES.c.job_id == job.id)


async def announce(tx: AsyncConnection, job: Job, files: Sequence[StoredFile]) -> None:
    """Notes keys that the job's attempt will write."""
    rows = [
        {
            "key": file.key,
            "tenant": job.tenant,
            "job_id": job.id,
            "attempt": job.attempt,
            "path": file.path,
            "size_bytes": file.size_bytes,
            "sha256": file.sha256,
        }
        for file in files
    ]
    await tx.execute(insert(FILES), rows)


async def announced(tx: AsyncConnection, job: Job) -> dict[str, StoredFile]:
    """What the job's current attempt announced, by key."""
    found = await tx.execute(select(FILES).where(_of(job), FILES.c.attempt == job.attempt))
    return {row["key"]: stored_file(row) for row in found.mappings()}


async def keep_checkpoint(tx: AsyncConnection, job: Job, step: int, keys: Sequence[str]) -> None:
    """Makes announced files those of a checkpoint; other files of the same step become garbage."""
    await _discard(tx, _of(job), FILES.c.role == "CHECKPOINT", FILES.c.step == step, FILES.c.key.not_in(keys))
    kept = update(FILES).where(FILES.c.key.in_(keys)).values(role="CHECKPOINT", step=step, collect_after=None)
    await tx.execute(kept)


async def is_checkpoint(tx: AsyncConnection, job: Job, step: int, keys: Sequence[str]) -> bool:
    """Whether just these files were made the checkpoint of this step before."""
    of_it = select(func.count()).select_from(FILES).where(_of(job), FILES.c.key.in_(keys), FILES.c.step == step)
    return (await tx.execute(of_it)).scalar_one() == len(set(keys))


async def drop_checkpoint(tx: AsyncConnection, job: Job, step: int) -> None:
    """A checkpoint is no longer kept."""
    await _discard(tx, _of(job), FILES.c.role == "CHECKPOINT", FILES.c.step == step)


async def keep_result(tx: AsyncConnection, job: Job, keys: Sequence[str]) -> None:
    """Makes announced files those of the result."""
    await tx.execute(update(FILES).where(FILES.c.key.in_(keys)).values(role="RESULT", collect_after=None))


async def drop_result(tx: AsyncConnection, job: Job, *, after_s: float) -> None:
    """The registry has its own copy, or will never want one."""
    await _discard(tx, _of(job), FILES.c.role == "RESULT", after_s=after_s)


async def drop_leftovers(tx: AsyncConnection, job: Job, *, after_s: float) -> None:
    """What an attempt announced and never committed."""
    await _discard(tx, _of(job), FILES.c.role == "PREPARED", FILES.c.attempt <= job.attempt, after_s=after_s)


async def drop_all(tx: AsyncConnection, tenant: str, job_id: str) -> None:
    """Everything of a job that is purged."""
    await _discard(tx, FILES.c.tenant == tenant, FILES.c.job_id == job_id, after_s=0.0)


async def _discard(tx: AsyncConnection, *where: Any, after_s: float = _READERS_DONE_AFTER_S) -> None:
    still = FILES.c.collect_after.is_(None)
    await tx.execute(update(FILES).where(*where, still).values(collect_after=_in(after_s)))


async def of_checkpoint(tx: AsyncConnection, tenant: str, job_id: str, step: int) -> tuple[StoredFile, ...]:
    """The files of a checkpoint, by path."""
    statement = (
        select(FILES)
        .where(FILES.c.tenant == tenant, FILES.c.job_id == job_id, FILES.c.role == "CHECKPOINT")
        .where(FILES.c.step == step, FILES.c.collect_after.is_(None))
        .order_by(FILES.c.path)
    )
    return tuple(stored_file(row) for row in (await tx.execute(statement)).mappings())


async def announce_leftover(tx: AsyncConnection, job: Job, file: StoredFile, *, after_s: float) -> None:
    """Notes a key that the service itself writes; what comes to nothing is collected later."""
    await announce(tx, job, [file])
    await _discard(tx, FILES.c.key == file.key, after_s=after_s)


async def keep_events(tx: AsyncConnection, key: str) -> bool:
    """Makes an announced file that of the job's events; False where it is gone."""
    kept = update(FILES).where(FILES.c.key == key).values(role="EVENTS", collect_after=None)
    return (await tx.execute(kept)).rowcount == 1


async def key_of_events(tx: AsyncConnection, tenant: str, job_id: str) -> str | None:
    """The object with the job's events; None where they are rows."""
    found = await tx.execute(
        select(FILES.c.key).where(FILES.c.tenant == tenant, FILES.c.job_id == job_id, FILES.c.role == "EVENTS")
    )
    return found.scalar_one_or_none()


async def garbage(tx: AsyncConnection, limit: int) -> list[str]:
    """Keys whose objects may go now, locked."""
    statement = (
        select(FILES.c.key)
        .where(FILES.c.collect_after < func.clock_timestamp())
        .order_by(FILES.c.collect_after)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return list((await tx.execute(statement)).scalars())


async def forget(tx: AsyncConnection, keys: Sequence[str]) -> None:
    """Their objects are gone."""
    await tx.execute(delete(FILES).where(FILES.c.key.in_(keys)))


def stored_file(row: RowMapping) -> StoredFile:
    """A row as the domain sees it."""
    return StoredFile(path=row["path"], size_bytes=row["size_bytes"], sha256=row["sha256"], key=row["key"])
