"""Agents that tests speak for."""

import hashlib
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import grpc
import pytest
from aift.common.v1 import blob_pb2
from aift.training.v1 import training_pb2 as pb
from aift.training.v1 import worker_pb2
from google.protobuf.duration_pb2 import Duration

from services.core.relay import reason_of
from services.training_service.app import TrainingApp
from tests.integration.training.conftest import Api, Connect


class Agent:
    """An agent that a test speaks for."""

    def __init__(self, api: Api, assignment: worker_pb2.Assignment) -> None:
        self.api = api
        self.assignment = assignment
        self.attempt = assignment.attempt

    async def heartbeat(self) -> "worker_pb2.AgentCommand.ValueType":
        answer = await self.api.worker.Heartbeat(worker_pb2.HeartbeatRequest(attempt=self.attempt))
        return answer.command  # type: ignore[no-any-return]

    async def report(self, *events: worker_pb2.AttemptEvent) -> int:
        request = worker_pb2.ReportEventsRequest(attempt=self.attempt, events=events)
        return int((await self.api.worker.ReportEvents(request)).next_attempt_sequence)

    async def write(self, path: str, content: bytes) -> worker_pb2.WrittenFile:
        entry = blob_pb2.FileEntry(path=path, size_bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
        request = worker_pb2.PrepareFilesRequest(attempt=self.attempt, files=[entry])
        [target] = (await self.api.worker.PrepareFiles(request)).targets
        Path(unquote(urlsplit(target.url).path)).write_bytes(content)
        return worker_pb2.WrittenFile(path=path, size_bytes=entry.size_bytes, sha256=entry.sha256, key=target.key)

    async def commit(self, step: int, *files: worker_pb2.WrittenFile, eval_loss: float | None = None) -> pb.Checkpoint:
        request = worker_pb2.CommitCheckpointRequest(attempt=self.attempt, step=step, files=files, eval_loss=eval_loss)
        return await self.api.worker.CommitCheckpoint(request)  # type: ignore[no-any-return]

    async def finish(self, outcome: str, *files: worker_pb2.WrittenFile, **more: Any) -> None:
        request = worker_pb2.FinishAttemptRequest(
            attempt=self.attempt,
            outcome=worker_pb2.AttemptOutcome.Value(f"ATTEMPT_OUTCOME_{outcome}"),
            files=files,
            template_json="{}",
            **more,
        )
        await self.api.worker.FinishAttempt(request)


async def claim(app: TrainingApp, connect: Connect, worker: Api, **more: Any) -> Agent:
    """Claims the next job."""
    request = worker_pb2.ClaimJobRequest(worker="bench", wait=Duration(seconds=5), **more)
    answer = await worker.worker.ClaimJob(request)
    assert answer.HasField("assignment")
    return Agent(connect(f"127.0.0.1:{app.server.port}", token=answer.assignment.token), answer.assignment)


async def refused(call: Any) -> tuple[grpc.StatusCode, str]:
    """Code and reason of the error that a call ends with."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code(), reason_of(caught.value)


def progress(sequence: int, phase: str = "TRAINING") -> worker_pb2.AttemptEvent:
    """An agent's event."""
    value = pb.TrainingPhase.Value(f"TRAINING_PHASE_{phase}")
    return worker_pb2.AttemptEvent(attempt_sequence=sequence, progress=pb.TrainingProgress(phase=value, step=sequence))


def metric(sequence: int, step: int, **values: float) -> worker_pb2.AttemptEvent:
    """An agent's event."""
    return worker_pb2.AttemptEvent(attempt_sequence=sequence, metric=pb.Metric(step=step, epoch=1, values=values))
