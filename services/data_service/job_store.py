"""Data jobs in the database, as calls see them."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, and_, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.core import idempotency
from services.core.db import Database
from services.core.errors import NotFound
from services.core.idempotency import RequestKey
from services.core.names import new_id, new_uid
from services.core.pages import Page
from services.data_service import dataset_store
from services.data_service.data_job import DataJob, Failure, JobKind, JobOutcome, JobPhase, JobSpec, JobState
from services.data_service.errors import DataJobEnded, NoReport, ReportNotReady
from services.data_service.report import Report
from services.data_service.schema import data_jobs, requests, uploads
from services.data_service.upload import UploadState
from services.data_service.upload_errors import UploadNotFinalized

_COLUMNS = [column for column in data_jobs.c if column.name not in ("report", "lease_expires_at")]


class JobStore:
    """What calls ask of jobs. Every method is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(
        self,
        tenant: str,
        kind: JobKind,
        dataset_id: str,
        spec: JobSpec,
        key: RequestKey,
        *,
        upload_id: str = "",
        total_bytes: int = 0,
    ) -> DataJob:
        """A new job, or the one that the same request made. `total_bytes` is what a job without an upload will read.

        Raises NotFound, UploadNotFinalized; RecentlyDeleted when a new data set has the id of such a one.
        """
        async with self._database.transaction() as tx:
            name = await idempotency.recall(tx, requests, key)
            if name is not None:
                return await read_job(tx, tenant, name.removeprefix("dataJobs/"))
            if spec.new_dataset is None:
                await dataset_store.lock(tx, tenant, dataset_id)
            else:
                await dataset_store.check_not_deleted(tx, tenant, dataset_id)
            content = await _content(tx, tenant, upload_id) if upload_id else {"total_bytes": total_bytes}
            place = {"tenant": tenant, "id": new_id(), "uid": new_uid(), "dataset_id": dataset_id}
            await tx.execute(data_jobs.insert().values(**place, kind=kind, spec=asdict(spec), **content))
            await idempotency.record(tx, requests, key, f"dataJobs/{place['id']}")
            return await read_job(tx, tenant, place["id"])

    async def get(self, tenant: str, id_: str) -> DataJob:
        """One job. Raises NotFound."""
        async with self._database.transaction() as tx:
            return await read_job(tx, tenant, id_)

    async def list(self, tenant: str, dataset_id: str, page: Page) -> tuple[list[DataJob], str]:
        """A page of jobs, of one data set when it is given, newest first, and the next page's token."""
        statement = select(*_COLUMNS).where(data_jobs.c.tenant == tenant)
        if dataset_id:
            statement = statement.where(data_jobs.c.dataset_id == dataset_id)
        async with self._database.transaction() as tx:
            found = await tx.execute(page.of(statement, data_jobs.c.create_time, data_jobs.c.id))
            rows, token = page.split(found.mappings().all())
        return [_job(row) for row in rows], token

    async def report(self, tenant: str, id_: str) -> Report:
        """What a job found. Raises NotFound, ReportNotReady, NoReport."""
        statement = select(data_jobs.c.state, data_jobs.c.report).where(is_job(tenant, id_))
        async with self._database.transaction() as tx:
            row = (await tx.execute(statement)).mappings().one_or_none()
        if row is None:
            raise NotFound(f"dataJobs/{id_}")
        if row["report"] is None:
            error = ReportNotReady if row["state"] in (JobState.QUEUED, JobState.RUNNING) else NoReport
            raise error(f"dataJobs/{id_}", state=row["state"])
        return Report.from_json(row["report"])

    async def cancel(self, tenant: str, id_: str) -> DataJob:
        """Stops a job; its fence moves on, so that whoever works at it learns it at the next beat.

        Raises NotFound, DataJobEnded.
        """
        async with self._database.transaction() as tx:
            stopped = await tx.execute(
                data_jobs.update()
                .where(is_job(tenant, id_), data_jobs.c.state.in_([JobState.QUEUED, JobState.RUNNING]))
                .values(
                    state=JobState.CANCELLED,
                    fence=data_jobs.c.fence + 1,
                    lease_expires_at=None,
                    phase=JobPhase.WAITING,
                    end_time=func.clock_timestamp(),
                )
            )
            job = await read_job(tx, tenant, id_)
            if stopped.rowcount == 0 and job.state is not JobState.CANCELLED:
                raise DataJobEnded(job.name, state=job.state)
            return job


def is_job(tenant: str, id_: str) -> ColumnElement[bool]:
    """Selects one job."""
    return and_(data_jobs.c.tenant == tenant, data_jobs.c.id == id_)


async def read_job(tx: AsyncConnection, tenant: str, id_: str) -> DataJob:
    """One job. Raises NotFound."""
    row = (await tx.execute(select(*_COLUMNS).where(is_job(tenant, id_)))).mappings().one_or_none()
    if row is None:
        raise NotFound(f"dataJobs/{id_}")
    return _job(row)


async def _content(tx: AsyncConnection, tenant: str, upload_id: str) -> dict[str, Any]:
    """What a finalised upload holds; its row is kept until the transaction ends."""
    wanted = and_(uploads.c.tenant == tenant, uploads.c.id == upload_id)
    row = (await tx.execute(select(uploads).where(wanted).with_for_update(read=True))).mappings().one_or_none()
    if row is None:
        raise NotFound(f"uploads/{upload_id}")
    if row["state"] != UploadState.FINALIZED:
        raise UploadNotFinalized(f"uploads/{upload_id}", state=row["state"])
    return {
        "upload_id": upload_id,
        "filename": row["filename"],
        "sha256": row["sha256"],
        "total_bytes": row["committed_bytes"],
    }


def _job(row: RowMapping) -> DataJob:
    return DataJob(
        **{
            **row,
            "kind": JobKind(row["kind"]),
            "state": JobState(row["state"]),
            "phase": JobPhase(row["phase"]),
            "spec": JobSpec.from_json(row["spec"]),
            "outcome": JobOutcome() if row["outcome"] is None else JobOutcome.from_json(row["outcome"]),
            "version_number": row["version_number"] or 0,
            "failure": None if row["failure"] is None else Failure(**row["failure"]),
        }
    )
