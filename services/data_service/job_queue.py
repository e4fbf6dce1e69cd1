"""Data jobs in the database, as whoever works at them sees them: claimed with a lease, ended once."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func
from sqlalchemy.ext.asyncio import AsyncConnection

from services.core.blobs import Blobs, StoredBlob
from services.core.db import Database
from services.core.errors import DomainError
from services.core.leases import LeaseQueue, database_time
from services.data_service import version_store
from services.data_service.domain import INDEX_PATH, ORIGINAL_FOLDER, ROWS_PATH, DataJob, Failure, JobState
from services.data_service.job_store import is_job, read_job
from services.data_service.report import Report
from services.data_service.schema import data_jobs


@dataclass(frozen=True, kw_only=True)
class Results:
    """The files that a valid check wrote, as blobs of ours."""

    rows: StoredBlob
    index: StoredBlob


class JobQueue:
    """Every method is one transaction; those that end a job raise StaleFence when it is no longer the caller's."""

    def __init__(self, database: Database, blobs: Blobs, lease_seconds: float) -> None:
        self._database = database
        self._blobs = blobs
        self._leases = LeaseQueue(
            table=data_jobs,
            waiting=[JobState.QUEUED],
            claimed=JobState.RUNNING,
            held=[JobState.RUNNING],
            ttl_s=lease_seconds,
        )

    async def claim(self) -> DataJob | None:
        """The first waiting job, None when none waits."""
        async with self._database.transaction() as tx:
            row = await self._leases.claim(tx)
            if row is None:
                return None
            began = func.coalesce(data_jobs.c.start_time, func.clock_timestamp())
            await tx.execute(data_jobs.update().where(is_job(row["tenant"], row["id"])).values(start_time=began))
            return await read_job(tx, row["tenant"], row["id"])

    async def beat(self, job: DataJob, done_bytes: int, rows: int) -> None:
        """Renews the lease and tells how far it is. Raises StaleFence when it was cancelled or taken over."""
        async with self._database.transaction() as tx:
            await self._leases.renew(tx, tenant=job.tenant, id_=job.id, fence=job.fence)
            await _set(tx, job, done_bytes=done_bytes, rows=rows)

    async def succeed(self, job: DataJob, report: Report, results: Results) -> None:
        """Ends the job with the next version of its data set, in one transaction."""
        async with self._database.transaction() as tx:
            await self._leases.check_fence(tx, tenant=job.tenant, id_=job.id, fence=job.fence)
            # Registered again, so that none of them is collected before the version refers to it.
            files = {
                ROWS_PATH: await self._blobs.register(results.rows, tx),
                INDEX_PATH: await self._blobs.register(results.index, tx),
            }
            number = await version_store.add(
                tx,
                job.tenant,
                job.dataset_id,
                filename=job.filename,
                template=report.template,
                statistics=report.statistics,
                data_job=job.name,
                files={
                    f"{ORIGINAL_FOLDER}/{job.filename or 'data.jsonl'}": job.sha256,
                    **{path: blob.sha256 for path, blob in files.items()},
                },
            )
            await _end(tx, job, JobState.SUCCEEDED, report, version_number=number)

    async def fail(self, job: DataJob, error: DomainError, report: Report | None = None) -> None:
        """Ends the job without a version."""
        failure = Failure(reason=error.reason, en=error.text("en"), ja=error.text("ja"))
        async with self._database.transaction() as tx:
            await self._leases.check_fence(tx, tenant=job.tenant, id_=job.id, fence=job.fence)
            await _end(tx, job, JobState.FAILED, report, failure=asdict(failure))

    async def give_back(self, job: DataJob) -> None:
        """Lets the job wait again, for this process or another."""
        async with self._database.transaction() as tx:
            await self._leases.check_fence(tx, tenant=job.tenant, id_=job.id, fence=job.fence)
            await _set(tx, job, state=JobState.QUEUED, lease_expires_at=None)

    async def now(self) -> datetime:
        """What the database's clock says."""
        async with self._database.transaction() as tx:
            return await database_time(tx)

    async def take_back(self, serving_since: datetime) -> int:
        """Lets jobs wait again whose workers gave no sign of life; how many."""
        async with self._database.transaction() as tx:
            lapsed = await self._leases.expired(tx, serving_since=serving_since)
            for row in lapsed:
                waiting = {"state": JobState.QUEUED, "lease_expires_at": None}
                await tx.execute(data_jobs.update().where(is_job(row["tenant"], row["id"])).values(**waiting))
            return len(lapsed)


async def _set(tx: AsyncConnection, job: DataJob, **values: Any) -> None:
    await tx.execute(data_jobs.update().where(is_job(job.tenant, job.id)).values(**values))


async def _end(tx: AsyncConnection, job: DataJob, state: JobState, report: Report | None, **values: Any) -> None:
    seen = {} if report is None else {"report": report.to_json(), "rows": report.rows, "done_bytes": job.total_bytes}
    await _set(tx, job, state=state, lease_expires_at=None, end_time=func.clock_timestamp(), **seen, **values)
