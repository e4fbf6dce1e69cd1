"""Data jobs in the database, as whoever works at them sees them: claimed with a lease, ended once."""

from __future__ import annotations

from dataclasses import asdict, replace
from datetime import datetime
from typing import Any

from sqlalchemy import func
from sqlalchemy.ext.asyncio import AsyncConnection

from services.core.blobs import Blobs, StoredBlob
from services.core.db import Database
from services.core.errors import DomainError
from services.core.leases import LeaseQueue, database_time
from services.data_service import dataset_store, reference_store, version_store
from services.data_service.checking import Made, NewVersion
from services.data_service.child import Progress
from services.data_service.data_job import DataJob, Failure, JobOutcome, JobPhase, JobState
from services.data_service.domain import ORIGINAL_FOLDER, Origin, TokenStatistics
from services.data_service.job_store import is_job, read_job
from services.data_service.report import Report
from services.data_service.schema import data_jobs


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

    async def beat(self, job: DataJob, phase: JobPhase, progress: Progress) -> None:
        """Renews the lease and tells how far it is. Raises StaleFence when it was cancelled or taken over."""
        async with self._database.transaction() as tx:
            await self._leases.renew(tx, tenant=job.tenant, id_=job.id, fence=job.fence)
            await _set(tx, job, phase=phase, done_bytes=progress.done_bytes, rows=progress.rows)

    async def fetched(self, job: DataJob, filename: str, content: StoredBlob, source: str) -> DataJob:
        """Notes what an import brought in, so that it is not fetched again; `source` now says exactly what it was."""
        async with self._database.transaction() as tx:
            await self._leases.check_fence(tx, tenant=job.tenant, id_=job.id, fence=job.fence)
            blob = await self._blobs.register(content, tx)
            spec = asdict(replace(job.spec, source=source))
            await _set(tx, job, filename=filename, sha256=blob.sha256, total_bytes=blob.size_bytes, spec=spec)
            return await read_job(tx, job.tenant, job.id)

    async def succeed(self, job: DataJob, made: Made) -> None:
        """Ends the job with the next version of its data set, in one transaction. Raises NotFound without the set."""
        async with self._database.transaction() as tx:
            await self._leases.check_fence(tx, tenant=job.tenant, id_=job.id, fence=job.fence)
            if job.spec.new_dataset is not None:
                await dataset_store.ensure(tx, job.tenant, job.dataset_id, display_name=job.spec.new_dataset)
            number = await self._add(tx, job, made.version)
            held_out = {}
            for name, version in (("validation_version", made.validation), ("test_version", made.test)):
                if version is not None:
                    why = f"Held out of datasets/{job.dataset_id}"
                    await dataset_store.ensure(tx, job.tenant, version.dataset_id, description=why)
                    added = await self._add(tx, job, version)
                    held_out[name] = f"datasets/{version.dataset_id}/versions/{added}"
            outcome = asdict(JobOutcome(**held_out, steps=made.steps))
            await _end(tx, job, JobState.SUCCEEDED, made.version.report, version_number=number, outcome=outcome)

    async def counted(self, job: DataJob, statistics: TokenStatistics) -> None:
        """Ends a job that counted tokens. Raises NotFound when the version was deleted meanwhile."""
        _, _, number = job.spec.source_version.rpartition("/")
        async with self._database.transaction() as tx:
            await self._leases.check_fence(tx, tenant=job.tenant, id_=job.id, fence=job.fence)
            await version_store.set_token_statistics(
                tx, job.tenant, job.dataset_id, int(number), job.spec.base_model, statistics
            )
            await _end(tx, job, JobState.SUCCEEDED, None, version_number=int(number), rows=statistics.rows)

    async def fail(self, job: DataJob, error: DomainError, report: Report | None = None) -> None:
        """Ends the job without a version."""
        failure = Failure(reason=error.reason, en=error.text("en"), ja=error.text("ja"))
        async with self._database.transaction() as tx:
            await self._leases.check_fence(tx, tenant=job.tenant, id_=job.id, fence=job.fence)
            await _end(tx, job, JobState.FAILED, report, failure=asdict(failure))

    async def _add(self, tx: AsyncConnection, job: DataJob, new: NewVersion) -> int:
        # Registered again, so that none of them is collected before the version refers to it.
        original = await self._blobs.register(new.original, tx)
        files = {path: (await self._blobs.register(blob, tx)).sha256 for path, blob in new.files.items()}
        number = await version_store.add(
            tx,
            job.tenant,
            new.dataset_id,
            filename=new.filename,
            template=new.report.template,
            statistics=new.report.statistics,
            data_job=job.name,
            origin=Origin(parent=new.parent, recipe=new.recipe, source=new.source),
            files={f"{ORIGINAL_FOLDER}/{new.filename or 'data.jsonl'}": original.sha256, **files},
        )
        if new.parent:
            referrer = f"datasets/{new.dataset_id}/versions/{number}"
            await reference_store.add(tx, job.tenant, new.parent, referrer)
        return number

    async def give_back(self, job: DataJob) -> None:
        """Lets the job wait again, for this process or another."""
        async with self._database.transaction() as tx:
            await self._leases.check_fence(tx, tenant=job.tenant, id_=job.id, fence=job.fence)
            await _set(tx, job, state=JobState.QUEUED, phase=JobPhase.WAITING, lease_expires_at=None)

    async def now(self) -> datetime:
        """What the database's clock says."""
        async with self._database.transaction() as tx:
            return await database_time(tx)

    async def take_back(self, serving_since: datetime) -> int:
        """Lets jobs wait again whose workers gave no sign of life; how many."""
        async with self._database.transaction() as tx:
            lapsed = await self._leases.expired(tx, serving_since=serving_since)
            for row in lapsed:
                waiting = {"state": JobState.QUEUED, "lease_expires_at": None, "phase": JobPhase.WAITING}
                await tx.execute(data_jobs.update().where(is_job(row["tenant"], row["id"])).values(**waiting))
            return len(lapsed)


async def _set(tx: AsyncConnection, job: DataJob, **values: Any) -> None:
    await tx.execute(data_jobs.update().where(is_job(job.tenant, job.id)).values(**values))


async def _end(tx: AsyncConnection, job: DataJob, state: JobState, report: Report | None, **values: Any) -> None:
    seen = (
        {}
        if report is None
        else {"report": report.to_json(), "rows": report.rows, "done_bytes": data_jobs.c.total_bytes}
    )
    ended = {"phase": JobPhase.WAITING, "lease_expires_at": None, "end_time": func.clock_timestamp()}
    await _set(tx, job, state=state, **ended, **seen, **values)
