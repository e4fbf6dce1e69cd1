"""WorkerService: what workers and the agents of attempts speak."""

import asyncio
import logging
from typing import Any

import grpc
from aift.training.v1 import training_pb2 as pb
from aift.training.v1 import worker_pb2, worker_pb2_grpc

from services.core import context, names
from services.core.db import Database
from services.core.errors import DomainError, InvalidArgument
from services.core.relay import reason_of
from services.training_service import messages
from services.training_service.artifacts import Artifacts
from services.training_service.attempt_tokens import AttemptTokens
from services.training_service.attempts import Attempts, Hold
from services.training_service.changes import QUEUE_CHANNEL, Changes
from services.training_service.domain import Failure, Job, JobState, Outcome
from services.training_service.errors import InputsGone, NotYourAttempt
from services.training_service.inputs import InputSource
from services.training_service.reports import Reports
from services.training_service.store.workers import Workers

log = logging.getLogger(__name__)

_MAX_WAIT_S = 60.0
_MAX_WORKER_CHARS = 128
_MAX_GPUS = 1024
_ASK_AGAIN_AFTER_S = 3.0
_OUTCOMES = {worker_pb2.AttemptOutcome.Value(f"ATTEMPT_OUTCOME_{outcome}"): outcome for outcome in Outcome}
_COMMANDS = {JobState.PAUSING: worker_pb2.AGENT_COMMAND_PAUSE, JobState.CANCELLING: worker_pb2.AGENT_COMMAND_CANCEL}
_OF_ONE_NODE = frozenset({Outcome.INFRASTRUCTURE_FAILURE, Outcome.OUT_OF_MEMORY, Outcome.INVALID, Outcome.RELEASED})
# What the other services say when the job's inputs cannot come back.
_GONE = frozenset({grpc.StatusCode.NOT_FOUND, grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.DATA_LOSS})


class WorkerServicer(worker_pb2_grpc.WorkerServiceServicer):
    """Gives jobs out and takes in what becomes of them."""

    def __init__(
        self,
        *,
        database: Database,
        workers: Workers,
        attempts: Attempts,
        reports: Reports,
        artifacts: Artifacts,
        inputs: InputSource,
        tokens: AttemptTokens,
        changes: Changes,
        lease_s: float,
        grace_s: float,
    ) -> None:
        self._database = database
        self._workers = workers
        self._attempts = attempts
        self._reports = reports
        self._artifacts = artifacts
        self._inputs = inputs
        self._tokens = tokens
        self._changes = changes
        self._lease_s = lease_s
        self._grace_s = grace_s

    async def ReportWorker(self, request: worker_pb2.ReportWorkerRequest, _: Any) -> worker_pb2.ReportWorkerResponse:
        """A worker lives."""
        await self._workers.report(_worker(request.worker), request.machine)
        machine = request.machine
        waits = bool(machine.gpus) and await self._workers.job_waits(machine)
        return worker_pb2.ReportWorkerResponse(job_waits=waits)

    async def ClaimJob(self, request: worker_pb2.ClaimJobRequest, _: Any) -> worker_pb2.ClaimJobResponse:
        """Waits for a job that the worker can run."""
        worker = _worker(request.worker)
        if not 0 <= request.free_gpus <= _MAX_GPUS:
            raise InvalidArgument.field("free_gpus", "OUT_OF_RANGE", "Is no number of GPUs.", "GPU 数が不正です。")
        wait_s = min(max(request.wait.ToTimedelta().total_seconds(), 0.0), _MAX_WAIT_S)
        job = await self._wait_for_job(worker, request.free_gpus, wait_s)
        assignment = await self._assignment(job) if job is not None else None
        return worker_pb2.ClaimJobResponse(assignment=assignment)

    async def Heartbeat(self, request: worker_pb2.HeartbeatRequest, _: Any) -> worker_pb2.HeartbeatResponse:
        """Extends the lease; a member's only looks whether the attempt has its job."""
        hold = _hold(request.attempt)
        job = await (self._attempts.look(hold) if request.member else self._attempts.renew(hold))
        token = self._tokens.renewed(job, context.current().claims)
        return worker_pb2.HeartbeatResponse(command=_command(job), token=token)

    async def ReportEvents(self, request: worker_pb2.ReportEventsRequest, _: Any) -> worker_pb2.ReportEventsResponse:
        """Takes in an attempt's events."""
        job, expected = await self._reports.take(_hold(request.attempt), request.events)
        return worker_pb2.ReportEventsResponse(next_attempt_sequence=expected, command=_command(job))

    async def PrepareFiles(self, request: worker_pb2.PrepareFilesRequest, _: Any) -> worker_pb2.PrepareFilesResponse:
        """Says where files are written."""
        targets = await self._artifacts.prepare(_hold(request.attempt), request.files)
        return worker_pb2.PrepareFilesResponse(targets=targets)

    async def CommitCheckpoint(self, request: worker_pb2.CommitCheckpointRequest, _: Any) -> pb.Checkpoint:
        """Makes a checkpoint visible."""
        if request.step < 1:
            raise InvalidArgument.field("step", "OUT_OF_RANGE", "Must be at least 1.", "1 以上にしてください。")
        eval_loss = request.eval_loss if request.HasField("eval_loss") else None
        saved = await self._artifacts.commit_checkpoint(_hold(request.attempt), request.step, request.files, eval_loss)
        return messages.checkpoint_to(saved)

    async def FinishAttempt(self, request: worker_pb2.FinishAttemptRequest, _: Any) -> worker_pb2.FinishAttemptResponse:
        """Ends an attempt; a member's end is kept for that of the first node."""
        outcome = _OUTCOMES.get(request.outcome)
        if outcome is None:
            raise InvalidArgument.field("outcome", "UNKNOWN_VALUE", "Is no outcome.", "結果の値が不正です。")
        if not request.member:
            await self._artifacts.finish(_hold(request.attempt), request, outcome)
        elif outcome in _OF_ONE_NODE:
            await self._artifacts.take_node_failure(_hold(request.attempt), request, outcome)
        else:
            raise InvalidArgument.field(
                "outcome",
                "NOT_OF_A_MEMBER",
                f"{outcome} is told by the first node alone; a member tells of failures.",
                f"{outcome} を伝えるのは先頭ノードだけです。他のノードは失敗だけを伝えます。",
            )
        return worker_pb2.FinishAttemptResponse()

    async def RefreshInputs(self, request: worker_pb2.RefreshInputsRequest, _: Any) -> worker_pb2.RefreshInputsResponse:
        """Fresh addresses for the same inputs."""
        job = await self._attempts.renew(_hold(request.attempt))
        return worker_pb2.RefreshInputsResponse(inputs=await self._inputs.of(job))

    async def _wait_for_job(self, worker: str, free_gpus: int, wait_s: float) -> Job | None:
        end = asyncio.get_running_loop().time() + wait_s
        with self._changes.subscribe(QUEUE_CHANNEL) as news:
            while True:
                machine = await self._workers.machine(worker)
                job = await self._attempts.claim(worker, machine, free_gpus=free_gpus)
                left = end - asyncio.get_running_loop().time()
                if job is not None or left <= 0 or self._changes.stopping:
                    return job
                # Jobs that wait for a time to come are not told of, so there is a look every second.
                await news.wait(min(left, 1.0))

    async def _assignment(self, job: Job) -> worker_pb2.Assignment | None:
        """The claimed job with all that an agent needs; None when its inputs cannot be had, and it is given back."""
        try:
            inputs = await self._inputs.of(job)
        except (InputsGone, grpc.aio.AioRpcError) as error:
            await self._give_back(job, error)
            return None
        message = messages.job_to(job)
        message.spec.processes = job.processes
        message.spec.hyperparameters.CopyFrom(messages.hyperparameters_to(job.hyperparameters))
        return worker_pb2.Assignment(
            attempt=f"{job.name}/attempts/{job.attempt}",
            fence=job.fence,
            token=self._tokens.mint(job),
            lease=messages.duration(self._lease_s),
            training_job=message,
            inputs=inputs,
            grace=messages.duration(self._grace_s),
        )

    async def _give_back(self, job: Job, error: InputsGone | grpc.aio.AioRpcError) -> None:
        """Fails a job whose inputs are gone; one whose inputs cannot be asked for waits for another try."""
        failure = _failure(error)
        log.warning("inputs of a job cannot be had: %s", failure.en, extra={"job": job.id})
        gone = isinstance(error, InputsGone) or error.code() in _GONE
        # Another service that is away costs the job time, not one of its tries.
        outcome, wait_s = (Outcome.INVALID, 0.0) if gone else (Outcome.RELEASED, _ASK_AGAIN_AFTER_S)
        async with self._database.transaction() as tx:
            hold = Hold(tenant=job.tenant, job_id=job.id, attempt=job.attempt, fence=job.fence)
            held = await self._attempts.held(tx, hold)
            await self._attempts.end(tx, held, outcome, failure=failure, wait_s=wait_s)


def _command(job: Job) -> "worker_pb2.AgentCommand.ValueType":
    """What the job's agent is to do."""
    if job.node_failure is not None:
        return worker_pb2.AGENT_COMMAND_END
    return _COMMANDS.get(job.state, worker_pb2.AGENT_COMMAND_UNSPECIFIED)


def _failure(error: InputsGone | grpc.aio.AioRpcError) -> Failure:
    if isinstance(error, DomainError):
        return Failure(reason=error.reason, en=error.text("en"), ja=error.text("ja"))
    detail = error.details() or error.code().name
    return Failure(reason=reason_of(error) or "INPUTS_UNAVAILABLE", en=detail, ja=detail)


def _worker(name: str) -> str:
    if not name or len(name) > _MAX_WORKER_CHARS or not name.isprintable():
        raise InvalidArgument.field("worker", "INVALID_NAME", "Name the worker.", "ワーカー名を指定してください。")
    return name


def _hold(attempt: str) -> Hold:
    """What the call's token holds. Raises NotYourAttempt unless it is just the attempt that the request names."""
    ids = names.parse("trainingJobs/{job}/attempts/{attempt}", attempt, field="attempt")
    claims = context.current().claims
    if (
        claims is None
        or claims.fence is None
        or claims.attempt is None
        or attempt != f"{claims.job}/attempts/{claims.attempt}"
    ):
        raise NotYourAttempt(attempt)
    return Hold(tenant=claims.tenant, job_id=ids["job"], attempt=claims.attempt, fence=claims.fence)
