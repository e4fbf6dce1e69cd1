"""How much a tenant may ask for at once. Checked where a job is stored, one job of a tenant at a time."""

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import Integer, case, cast, func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.training_service.domain import ENDED, Job, JobState
from services.training_service.errors import QuotaReached
from services.training_service.store.tables import JOBS

# One process trains on one GPU. A job that takes all of its worker counts as one until it has them.
_ASKED = cast(JOBS.c.spec["processes"].astext, Integer)
_PROCESSES = case((JOBS.c.processes > 0, JOBS.c.processes), (_ASKED > 0, _ASKED), else_=1)


@dataclass(frozen=True, kw_only=True)
class Quotas:
    """The most that one tenant may have; None: as much as it likes."""

    jobs: int | None = None
    """Jobs that have not ended."""
    queued_jobs: int | None = None
    """Jobs that wait."""
    gpus: int | None = None
    """GPUs that jobs which have not ended ask for or hold."""

    async def check(self, tx: AsyncConnection, job: Job) -> None:
        """Raises QuotaReached where this job would be one too many. Until the transaction ends, the tenant's other
        jobs wait with being checked, so that two of them never both take the last place."""
        if not any(limit is not None for limit in (self.jobs, self.queued_jobs, self.gpus)):
            return
        await tx.execute(text("SELECT pg_advisory_xact_lock(hashtext(:key))"), {"key": f"quota of {job.tenant}"})
        waiting = func.count().filter(JOBS.c.state == JobState.QUEUED)
        found = await tx.execute(
            select(func.count(), waiting, func.coalesce(func.sum(_PROCESSES), 0)).where(
                JOBS.c.tenant == job.tenant, JOBS.c.state.not_in(sorted(ENDED))
            )
        )
        for reached in self._reached(job, *found.one()):
            raise reached

    def _reached(self, job: Job, jobs: int, queued: int, gpus: int) -> Iterator[QuotaReached]:
        if self.jobs is not None and jobs + 1 > self.jobs:
            yield QuotaReached("jobs that have not ended", "未終了のジョブ数", limit=self.jobs, used=jobs, asked=1)
        if self.queued_jobs is not None and queued + 1 > self.queued_jobs:
            yield QuotaReached("jobs that wait", "待機中のジョブ数", limit=self.queued_jobs, used=queued, asked=1)
        asked = job.spec.processes or 1
        if self.gpus is not None and gpus + asked > self.gpus:
            yield QuotaReached("GPUs", "GPU 数", limit=self.gpus, used=gpus, asked=asked)
