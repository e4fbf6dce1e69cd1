"""Events of jobs that ended long ago: one compressed object a job, which is read where the rows were.

The object is announced in the table of files before it is written and takes the rows' place in one transaction, so
that whoever is killed in between leaves the rows as they were and an object that is collected.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import math
import zlib
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta

from aift.training.v1 import training_pb2 as pb
from sqlalchemy import delete, exists, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.core import names
from services.core.db import Database
from services.core.errors import Unavailable
from services.core.objects import ObjectStore
from services.training_service import job_events
from services.training_service.domain import Job, StoredFile
from services.training_service.store import files
from services.training_service.store.events import StepFigures
from services.training_service.store.jobs import job_of
from services.training_service.store.tables import EVENTS, JOBS, METRICS

_PATH = "events.gz"
_LENGTH_BYTES = 4
_WRITTEN_WITHIN_S = 3600.0


class Archive:
    """Moves events out of the database, and reads those that were moved."""

    def __init__(self, database: Database, store: ObjectStore, *, after: timedelta) -> None:
        self._database = database
        self._store = store
        self._after = after

    async def move_one(self) -> bool:
        """Moves the events of one job that ended long enough ago; False when there is none. Safe in several
        processes at once."""
        async with self._database.transaction() as tx:
            job = await self._next(tx)
            if job is None:
                return False
            key = f"training/{job.id}/{names.new_id()}"
            content = await asyncio.to_thread(_compressed, await _rows(tx, job))
            file = StoredFile(path=_PATH, size_bytes=len(content), sha256=hashlib.sha256(content).hexdigest(), key=key)
            async with self._database.transaction() as announcing:
                await files.announce_leftover(announcing, job, file, after_s=_WRITTEN_WITHIN_S)
            await self._store.put(key, content)
            if not await files.keep_events(tx, key):
                raise Unavailable("object store", retry_after_s=1)  # it took so long that the object was collected
            for table in (EVENTS, METRICS):
                await tx.execute(delete(table).where(table.c.tenant == job.tenant, table.c.job_id == job.id))
        return True

    async def _next(self, tx: AsyncConnection) -> Job | None:
        """A job with rows of events, locked."""
        has_rows = exists().where(EVENTS.c.tenant == JOBS.c.tenant, EVENTS.c.job_id == JOBS.c.id)
        old = JOBS.c.end_time < func.clock_timestamp() - self._after
        statement = select(JOBS).where(old, has_rows).order_by(JOBS.c.end_time).limit(1)
        row = (await tx.execute(statement.with_for_update(skip_locked=True))).mappings().one_or_none()
        return None if row is None else job_of(row)

    async def read(self, tenant: str, job_id: str, after: int) -> AsyncIterator[pb.TrainingEvent]:
        """Moved events with numbers above `after`, in order; none where the job's events are rows."""
        async with self._database.transaction() as tx:
            key = await files.key_of_events(tx, tenant, job_id)
        if key is None:
            return
        async for message in _messages(self._store.open(key)):
            event = pb.TrainingEvent.FromString(message)
            if event.sequence > after:
                yield event

    async def steps(self, tenant: str, job_id: str) -> Sequence[StepFigures]:
        """The figures of all steps, ascending: of each step what its newest attempt told."""
        newest: dict[int, tuple[int, StepFigures]] = {}
        async for event in self.read(tenant, job_id, 0):
            if not event.HasField("metric"):
                continue
            figures = {name: value for name, value in event.metric.values.items() if math.isfinite(value)}
            attempt, before = newest.get(event.metric.step, (0, None))
            if before is not None and attempt == event.attempt:
                figures = {**before.figures, **figures}
            step = StepFigures(step=event.metric.step, epoch=event.metric.epoch, figures=figures)
            newest[step.step] = (event.attempt, step)
        return [newest[step][1] for step in sorted(newest)]


async def _rows(tx: AsyncConnection, job: Job) -> Sequence[pb.TrainingEvent]:
    columns = (EVENTS.c.sequence, EVENTS.c.attempt, EVENTS.c.time, EVENTS.c.content)
    of_job = select(*columns).where(EVENTS.c.tenant == job.tenant, EVENTS.c.job_id == job.id)
    rows = (await tx.execute(of_job.order_by(EVENTS.c.sequence))).mappings()
    return [job_events.event(**row) for row in rows]


def _compressed(told: Sequence[pb.TrainingEvent]) -> bytes:
    """Each event after its length, four bytes."""
    messages = [event.SerializeToString() for event in told]
    return gzip.compress(b"".join(len(one).to_bytes(_LENGTH_BYTES, "big") + one for one in messages))


async def _messages(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """What `_compressed` put together, a piece of the object at a time."""
    unpacking, waiting = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16), b""
    async for piece in pieces:
        waiting += unpacking.decompress(piece)
        start = 0
        while (end := start + _LENGTH_BYTES) <= len(waiting):
            length = int.from_bytes(waiting[start:end], "big")
            if end + length > len(waiting):
                break
            yield waiting[end : end + length]
            start = end + length
        waiting = waiting[start:]
