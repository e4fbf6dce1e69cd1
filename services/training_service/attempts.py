"""Attempts of jobs: claimed, kept by heartbeat, ended by their agent or lost. Every write is fenced."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from aift.training.v1 import training_pb2 as pb
from sqlalchemy import func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.core.db import Database
from services.core.leases import LeaseQueue, database_time
from services.training_service.domain import LEASED, Failure, Job, JobState, Outcome
from services.training_service.job_events import NewEvent, recovery, state_changed
from services.training_service.lifecycle import RetryPolicy, Verdict, after_attempt
from services.training_service.store import checkpoints, files
from services.training_service.store.jobs import Jobs, job_of
from services.training_service.store.requirements import READY, met_by
from services.training_service.store.tables import ATTEMPTS, JOBS

LOST = Failure(
    reason="WORKER_LOST",
    en="The worker or its connection was lost.",
    ja="ワーカーまたはワーカーとの接続が失われました。",
)
_FAILURES = (Outcome.INFRASTRUCTURE_FAILURE, Outcome.OUT_OF_MEMORY)


@dataclass(frozen=True, kw_only=True)
class Hold:
    """What an agent's token says that it holds."""

    tenant: str
    job_id: str
    attempt: int
    fence: int


class _MustWait(Exception):
    """The job whose turn it is needs more GPUs than are free; nobody passes it by."""


class Attempts:
    """Gives jobs to workers and takes them back."""

    def __init__(
        self, database: Database, jobs: Jobs, *, lease_s: float, policy: RetryPolicy, leftovers_after_s: float
    ) -> None:
        self._database = database
        self._jobs = jobs
        self._policy = policy
        self._leftovers_after_s = leftovers_after_s
        self._leases = LeaseQueue(
            table=JOBS,
            waiting=[JobState.QUEUED],
            claimed=JobState.PROVISIONING,
            held=sorted(LEASED),
            ttl_s=lease_s,
        )

    async def claim(self, worker: str, machine: pb.MachineStatus, *, free_gpus: int) -> Job | None:
        """The next job for a worker, PROVISIONING and leased; None when none waits that it could run now. `machine` is
        what it reported last."""
        try:
            async with self._database.transaction() as tx:
                return await self._claim(tx, worker, machine, free_gpus)
        except _MustWait:
            return None

    async def _claim(self, tx: AsyncConnection, worker: str, machine: pb.MachineStatus, free_gpus: int) -> Job | None:
        all_gpus = max(len(machine.gpus), free_gpus)
        order = (JOBS.c.priority.desc(), JOBS.c.create_time, JOBS.c.id)
        row = await self._leases.claim(tx, READY, met_by(machine, all_gpus), order_by=order)
        if row is None:
            return None
        claimed = job_of(row)
        needed = claimed.processes or claimed.spec.processes
        if all_gpus and needed > free_gpus:
            raise _MustWait
        await tx.execute(
            insert(ATTEMPTS).values(
                tenant=claimed.tenant,
                job_id=claimed.id,
                attempt=claimed.attempt,
                fence=claimed.fence,
                worker=worker,
            )
        )
        return await self._jobs.append(
            tx,
            claimed.tenant,
            claimed.id,
            [state_changed(JobState.PROVISIONING)],
            worker=worker,
            # Another number of processes would change the order of the rows, so it stays what it was.
            processes=needed or max(free_gpus, 1),
            attempt_sequence=0,
            node_failure=None,
            not_before=None,
        )

    async def renew(self, hold: Hold) -> Job:
        """Extends the lease. Raises StaleFence."""
        async with self._database.transaction() as tx:
            row = await self._leases.renew(tx, tenant=hold.tenant, id_=hold.job_id, fence=hold.fence)
        return job_of(row)

    async def look(self, hold: Hold) -> Job:
        """The job as long as the attempt has it. Raises StaleFence or NotFound."""
        async with self._database.transaction() as tx:
            return await self.held(tx, hold)

    async def held(self, tx: AsyncConnection, hold: Hold) -> Job:
        """The job, locked, so that what is written beside it is fenced. Raises StaleFence or NotFound."""
        row = await self._leases.check_fence(tx, tenant=hold.tenant, id_=hold.job_id, fence=hold.fence)
        return job_of(row)

    async def has_ended(self, tx: AsyncConnection, hold: Hold, outcome: Outcome) -> bool:
        """Whether just this was told before, and the answer was lost on its way. A loss may have been explained since."""
        found = await tx.execute(
            select(ATTEMPTS.c.outcome).where(
                ATTEMPTS.c.tenant == hold.tenant,
                ATTEMPTS.c.job_id == hold.job_id,
                ATTEMPTS.c.attempt == hold.attempt,
                ATTEMPTS.c.fence == hold.fence,
            )
        )
        ended_as = found.scalar_one_or_none()
        return ended_as == outcome or (ended_as is not None and outcome is Outcome.INFRASTRUCTURE_FAILURE)

    async def end(
        self,
        tx: AsyncConnection,
        job: Job,
        outcome: Outcome,
        *,
        failure: Failure | None = None,
        metrics: Mapping[str, float] | None = None,
        wait_s: float = 0.0,
    ) -> Job:
        """Ends a locked job's attempt and brings the job where that leads; the next one waits `wait_s` or longer.

        What a node told explains the loss that the others noticed.
        """
        if job.node_failure is not None and outcome is Outcome.INFRASTRUCTURE_FAILURE:
            outcome, failure = job.node_failure.outcome, job.node_failure.failure
        verdict = after_attempt(
            job.state,
            outcome,
            lost_attempts=job.lost_attempts,
            hyperparameters=job.hyperparameters,
            adjustments=job.adjustments,
            failure=failure or LOST,
            policy=self._policy,
        )
        await self._close(tx, job, outcome, failure)
        await files.drop_leftovers(tx, job, after_s=self._leftovers_after_s)
        events = await _recovery(tx, job, outcome, verdict, failure or LOST)
        columns = _columns(verdict, metrics, wait_s)
        return await self._jobs.move(tx, job, verdict.state, before=events, failure=verdict.failure, **columns)

    @property
    def standstill(self) -> timedelta:
        """A break in the service that may have cost attempts their lease: they renew when a third of it is over."""
        return timedelta(seconds=self._leases.ttl_s / 2)

    async def sweep(self, *, serving_since: datetime, asked: datetime) -> int:
        """Ends attempts whose lease ran out; how many. None when since `asked` (database time) everything stood still."""
        async with self._database.transaction() as tx:
            rows = await self._leases.expired(tx, serving_since=serving_since)
            if await database_time(tx) - asked > self.standstill:
                return 0
            for row in rows:
                await self.end(tx, job_of(row), Outcome.INFRASTRUCTURE_FAILURE, failure=LOST)
        return len(rows)

    async def _close(self, tx: AsyncConnection, job: Job, outcome: Outcome, failure: Failure | None) -> None:
        await tx.execute(
            update(ATTEMPTS)
            .where(ATTEMPTS.c.tenant == job.tenant, ATTEMPTS.c.job_id == job.id, ATTEMPTS.c.attempt == job.attempt)
            .values(
                end_time=func.clock_timestamp(), outcome=outcome, failure=None if failure is None else asdict(failure)
            )
        )


def _columns(verdict: Verdict, metrics: Mapping[str, float] | None, wait_s: float) -> dict[str, Any]:
    columns: dict[str, Any] = {"lost_attempts": verdict.lost_attempts}
    if verdict.adjustments is not None:
        columns["adjustments"] = dict(verdict.adjustments)
    wait_s = max(wait_s, verdict.delay_s)
    if wait_s > 0:
        columns["not_before"] = func.clock_timestamp() + func.make_interval(0, 0, 0, 0, 0, 0, wait_s)
    if metrics is not None:
        columns["metrics"] = dict(metrics)
    return columns


async def _recovery(
    tx: AsyncConnection, job: Job, outcome: Outcome, verdict: Verdict, cause: Failure
) -> Sequence[NewEvent]:
    """The event that says why and from where the job goes on, when it goes on after a failure."""
    if verdict.state not in (JobState.QUEUED, JobState.PAUSED) or outcome not in _FAILURES:
        return ()
    newest = await checkpoints.newest(tx, job.tenant, job.id)
    from_step = newest.step if newest else 0
    return [recovery(cause, from_step=from_step, adjustments=dict(verdict.adjustments or {}))]
