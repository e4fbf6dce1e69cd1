"""TrainingService: from the contract's messages to the domain and back."""

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from aift.training.v1 import training_pb2 as pb
from aift.training.v1 import training_pb2_grpc
from google.protobuf.empty_pb2 import Empty
from sqlalchemy import func, update

from services.core import context, names, pages
from services.core.db import Database
from services.core.errors import InvalidArgument
from services.training_service import lifecycle, messages
from services.training_service.admission import admit
from services.training_service.archive import Archive
from services.training_service.creation import Creation
from services.training_service.domain import ENDED, JobState
from services.training_service.errors import JobHasNotEnded
from services.training_service.plan import plan, processes_of
from services.training_service.plan_messages import machine_of, plan_to, planned_machine
from services.training_service.resolution import Resolver
from services.training_service.sharing import generated
from services.training_service.store import checkpoints, events, references
from services.training_service.store.jobs import Jobs, row_is
from services.training_service.store.rates import measured
from services.training_service.store.tables import JOBS
from services.training_service.store.workers import Workers
from services.training_service.thinning import thin
from services.training_service.watch import Watch

_DEFAULT_POINTS = 1000
_MAX_POINTS = 10_000


class TrainingServicer(training_pb2_grpc.TrainingServiceServicer):
    """What people and programs ask of the training service."""

    def __init__(
        self,
        *,
        database: Database,
        jobs: Jobs,
        workers: Workers,
        resolver: Resolver,
        creation: Creation,
        watch: Watch,
        archive: Archive,
    ) -> None:
        self._database = database
        self._jobs = jobs
        self._workers = workers
        self._resolver = resolver
        self._creation = creation
        self._watch = watch
        self._archive = archive

    async def CreateTrainingJob(self, request: pb.CreateTrainingJobRequest, _: Any) -> pb.TrainingJob:
        """Accepts a job."""
        return messages.job_to(await self._creation.create(request))

    async def GetTrainingJob(self, request: pb.GetTrainingJobRequest, _: Any) -> pb.TrainingJob:
        """One job."""
        return messages.job_to(await self._jobs.get(_tenant(), _id(request.name)))

    async def ListTrainingJobs(self, request: pb.ListTrainingJobsRequest, _: Any) -> pb.ListTrainingJobsResponse:
        """A page of jobs, newest first."""
        states = [messages.state_from(state, field="states") for state in request.states]
        page = pages.page(request, states=sorted(states), sweep=request.sweep)
        jobs, token = await self._jobs.page(_tenant(), page, states, request.sweep)
        return pb.ListTrainingJobsResponse(training_jobs=map(messages.job_to, jobs), next_page_token=token)

    async def DeleteTrainingJob(self, request: pb.DeleteTrainingJobRequest, _: Any) -> Empty:
        """Hides a job that has ended; it is purged later."""
        tenant, job_id = _tenant(), _id(request.name)
        async with self._database.transaction() as tx:
            job = await self._jobs.lock(tx, tenant, job_id)
            if job.state not in ENDED:
                raise JobHasNotEnded(job.name, state=job.state)
            await tx.execute(update(JOBS).where(row_is(tenant, job_id)).values(delete_time=func.clock_timestamp()))
            await references.post(tx, job, held=False)
        return Empty()

    async def CancelTrainingJob(self, request: pb.CancelTrainingJobRequest, _: Any) -> pb.TrainingJob:
        """Ends a job without a model."""
        return await self._move(request.name, lifecycle.after_cancel)

    async def PauseTrainingJob(self, request: pb.PauseTrainingJobRequest, _: Any) -> pb.TrainingJob:
        """Saves a checkpoint and frees the hardware."""
        return await self._move(request.name, lifecycle.after_pause)

    async def ResumeTrainingJob(self, request: pb.ResumeTrainingJobRequest, _: Any) -> pb.TrainingJob:
        """Puts a paused job back into the queue."""
        return await self._move(request.name, lifecycle.after_resume)

    async def WatchTrainingJob(self, request: pb.WatchTrainingJobRequest, _: Any) -> AsyncIterator[pb.TrainingEvent]:
        """Streams what happened and what happens."""
        if request.after_sequence < 0:
            raise _out_of_range("after_sequence", request.after_sequence, 0, 2**63 - 1)
        async for event in self._watch.follow(_tenant(), _id(request.name), request.after_sequence):
            yield event

    async def ListMetrics(self, request: pb.ListMetricsRequest, _: Any) -> pb.ListMetricsResponse:
        """Figures by step."""
        most = request.max_points or _DEFAULT_POINTS
        if not 2 <= most <= _MAX_POINTS:
            raise _out_of_range("max_points", most, 2, _MAX_POINTS)
        job = await self._jobs.get(_tenant(), _id(request.name))
        measured: Sequence[events.StepFigures] = await events.steps(self._database, job.tenant, job.id)
        if not measured and job.state in ENDED:
            measured = await self._archive.steps(job.tenant, job.id)
        steps = thin(measured, most)
        metrics = [pb.Metric(step=step.step, epoch=step.epoch, values=dict(step.figures)) for step in steps]
        return pb.ListMetricsResponse(metrics=metrics)

    async def ListCheckpoints(self, request: pb.ListCheckpointsRequest, _: Any) -> pb.ListCheckpointsResponse:
        """Checkpoints that are kept, newest first."""
        job = await self._jobs.get(_tenant(), _id(request.name))
        async with self._database.transaction() as tx:
            kept = await checkpoints.kept(tx, job.tenant, job.id)
        return pb.ListCheckpointsResponse(checkpoints=map(messages.checkpoint_to, kept))

    async def PlanTraining(self, request: pb.PlanTrainingRequest, _: Any) -> pb.TrainingPlan:
        """What a job would take."""
        planned = request.HasField("hardware")
        workers = [] if planned else await self._workers.seen()
        admitted = await admit(self._resolver, request.spec, [worker.machine for worker in workers], path="spec")
        machines = [planned_machine(request.hardware)] if planned else [machine_of(worker) for worker in workers]
        lengths = await self._resolver.lengths(admitted.rows, admitted.base)
        rates = await measured(self._database, _tenant(), admitted.spec, processes_of(admitted, machines))
        return plan_to(plan(admitted, machines, lengths, rates), admitted.spec)

    async def GenerateDeepSpeedConfig(self, request: pb.GenerateDeepSpeedConfigRequest, _: Any) -> pb.DeepSpeedConfig:
        """DeepSpeed's configuration of a preset or of hyperparameters."""
        return generated(request)

    async def ListWorkers(self, _request: pb.ListWorkersRequest, _: Any) -> pb.ListWorkersResponse:
        """Workers of the last minute."""
        return pb.ListWorkersResponse(workers=await self._seen())

    async def GetSystemInfo(self, _request: pb.GetSystemInfoRequest, _: Any) -> pb.SystemInfo:
        """All machines and the tenant's jobs in one look."""
        counts = await self._jobs.counts(_tenant())
        job_counts = [pb.JobCount(state=messages.state_to(state), count=counts[state]) for state in sorted(counts)]
        return pb.SystemInfo(workers=await self._seen(), job_counts=job_counts)

    async def _move(self, name: str, after: Callable[[str, JobState], JobState]) -> pb.TrainingJob:
        async with self._database.transaction() as tx:
            job = await self._jobs.lock(tx, _tenant(), _id(name))
            state = after(job.name, job.state)
            if state is not job.state:
                job = await self._jobs.move(tx, job, state)
        return messages.job_to(job)

    async def _seen(self) -> list[pb.Worker]:
        held = await self._jobs.held_by_worker(_tenant())
        return [
            pb.Worker(
                name=worker.name,
                machine=worker.machine,
                training_jobs=held.get(worker.name, ()),
                last_seen_time=messages.timestamp(worker.last_seen_time),
            )
            for worker in await self._workers.seen()
        ]


def _tenant() -> str:
    return context.current().tenant


def _id(name: str) -> str:
    return names.parse("trainingJobs/{job}", name)["job"]


def _out_of_range(field: str, value: int, low: int, high: int) -> InvalidArgument:
    return InvalidArgument.field(
        field,
        "OUT_OF_RANGE",
        f"Is {value}; choose {low} to {high}.",
        f"値 {value} は範囲外です。{low} から {high} で指定してください。",
    )
