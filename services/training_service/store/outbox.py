"""Rows of what the registry must still be told: written with the state that promises it, removed with its answer."""

from dataclasses import dataclass

from aift.registry.v1 import registry_pb2
from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.training_service.domain import Job
from services.training_service.store.tables import OUTBOX


@dataclass(frozen=True, kw_only=True)
class Letter:
    """A result that waits for the registry."""

    tenant: str
    job_id: str
    request: registry_pb2.CreateModelVersionRequest
    tries: int


async def post(tx: AsyncConnection, job: Job, request: registry_pb2.CreateModelVersionRequest) -> None:
    """Puts a result into the outbox."""
    row = {"tenant": job.tenant, "job_id": job.id, "payload": request.SerializeToString()}
    await tx.execute(insert(OUTBOX).values(row))


async def take(tx: AsyncConnection) -> Letter | None:
    """The next letter that is due, kept from others until the transaction ends, however it ends."""
    due = (
        select(OUTBOX)
        .where(OUTBOX.c.next_time <= func.clock_timestamp())
        .order_by(OUTBOX.c.next_time)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    row = (await tx.execute(due)).mappings().one_or_none()
    if row is None:
        return None
    return Letter(
        tenant=row["tenant"],
        job_id=row["job_id"],
        request=registry_pb2.CreateModelVersionRequest.FromString(row["payload"]),
        tries=row["tries"] + 1,
    )


async def put_off(tx: AsyncConnection, letter: Letter, *, seconds: float) -> None:
    """Tries again later."""
    later = func.clock_timestamp() + func.make_interval(0, 0, 0, 0, 0, 0, seconds)
    await tx.execute(
        update(OUTBOX)
        .where(OUTBOX.c.tenant == letter.tenant, OUTBOX.c.job_id == letter.job_id)
        .values(next_time=later, tries=letter.tries)
    )


async def remove(tx: AsyncConnection, letter: Letter) -> None:
    """Delivered, or refused for good."""
    await tx.execute(delete(OUTBOX).where(OUTBOX.c.tenant == letter.tenant, OUTBOX.c.job_id == letter.job_id))
