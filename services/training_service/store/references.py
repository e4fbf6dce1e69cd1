"""What the data service must still be told: written with the job or its end, removed when it has answered."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import BigInteger, Boolean, Column, ColumnElement, Integer, Table, Text, delete, func, select, update
from sqlalchemy.dialects.postgresql import TIMESTAMP, insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.training_service.changes import OUTBOX_CHANNEL
from services.training_service.domain import Job
from services.training_service.store.tables import METADATA

# Longer than a call takes: a letter that is being delivered is left alone, also when it changes meanwhile.
_IN_DELIVERY_S = 60.0

LETTERS = Table(
    "reference_letters",
    METADATA,
    Column("tenant", Text, primary_key=True),
    Column("dataset_version", Text, primary_key=True),
    Column("job_id", Text, primary_key=True),
    Column("principal", Text),
    Column("held", Boolean),
    Column("edition", BigInteger),
    Column("tries", Integer),
    Column("next_time", TIMESTAMP(timezone=True)),
)


@dataclass(frozen=True, kw_only=True)
class ReferenceLetter:
    """A job depends on a version (`held`), or no longer does."""

    tenant: str
    dataset_version: str
    job_id: str
    principal: str
    held: bool
    edition: int
    tries: int


async def post(tx: AsyncConnection, job: Job, *, held: bool) -> None:
    """Has the data service told of all versions that a job names; what was to be told before is overtaken."""
    versions = {job.spec.dataset_version, job.spec.eval_dataset_version} - {""}
    for version in sorted(versions):
        fresh = insert(LETTERS).values(
            tenant=job.tenant, dataset_version=version, job_id=job.id, principal=job.principal, held=held
        )
        changed = {"held": held, "edition": LETTERS.c.edition + 1, "tries": 0}
        await tx.execute(fresh.on_conflict_do_update(index_elements=list(LETTERS.primary_key), set_=changed))
    await tx.execute(select(func.pg_notify(OUTBOX_CHANNEL, "")))


async def take(tx: AsyncConnection) -> ReferenceLetter | None:
    """The next letter that is due, kept from others for a minute."""
    due = (
        select(LETTERS)
        .where(LETTERS.c.next_time <= func.clock_timestamp())
        .order_by(LETTERS.c.next_time)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    row = (await tx.execute(due)).mappings().one_or_none()
    if row is None:
        return None
    values = {name: row[name] for name in row if name != "next_time"}
    letter = ReferenceLetter(**{**values, "tries": row["tries"] + 1})
    await put_off(tx, letter, seconds=_IN_DELIVERY_S)
    return letter


async def put_off(tx: AsyncConnection, letter: ReferenceLetter, *, seconds: float) -> None:
    """Tries again later."""
    later = func.clock_timestamp() + func.make_interval(0, 0, 0, 0, 0, 0, seconds)
    await tx.execute(update(LETTERS).where(*_is(letter)).values(next_time=later, tries=letter.tries))


async def remove(tx: AsyncConnection, letter: ReferenceLetter) -> None:
    """Delivered; one that changed meanwhile is due at once."""
    gone = await tx.execute(delete(LETTERS).where(*_is(letter), LETTERS.c.edition == letter.edition))
    if gone.rowcount == 0:
        await put_off(tx, letter, seconds=0)


def _is(letter: ReferenceLetter) -> tuple[ColumnElement[bool], ...]:
    return (
        LETTERS.c.tenant == letter.tenant,
        LETTERS.c.dataset_version == letter.dataset_version,
        LETTERS.c.job_id == letter.job_id,
    )
