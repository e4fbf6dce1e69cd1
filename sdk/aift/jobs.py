"""Training jobs: started, watched, steered."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

import grpc

from aift.checks import within
from aift.connection import Patience, is_broken_stream
from aift.errors import AiftError, of_failure
from aift.names import qualified, request_id
from aift.pages import every
from aift.training.v1 import training_pb2
from aift.training_plans import TrainingPlans

ENDED = frozenset(
    {
        training_pb2.TRAINING_JOB_STATE_SUCCEEDED,
        training_pb2.TRAINING_JOB_STATE_FAILED,
        training_pb2.TRAINING_JOB_STATE_CANCELLED,
    }
)
_WATCH_PATIENCE_S = 300.0
# Before a stream that ended without the final state is opened again.
_QUIET_S = 0.2
# A stream that silently hangs is opened anew after this time; nothing is lost, since it goes on by sequence.
_WATCH_STREAM_S = 600.0


class TrainingError(AiftError):
    """A job that ended without a model; `job` is how it stands."""

    def __init__(self, cause: AiftError, job: training_pb2.TrainingJob) -> None:
        super().__init__(cause.reason, cause.code, cause.message_en, cause.message_ja)
        self.job = job

    @classmethod
    def of(cls, job: training_pb2.TrainingJob) -> TrainingError:
        """The error of a job that has ended FAILED or CANCELLED."""
        if job.state == training_pb2.TRAINING_JOB_STATE_CANCELLED:
            en, ja = f"{job.name} was cancelled.", f"{job.name} は中止されました。"
            return cls(AiftError("CANCELLED", grpc.StatusCode.CANCELLED, en, ja), job)
        return cls(of_failure(job.failure), job)


class TrainingJobs(TrainingPlans):
    """`client.training`."""

    def create(
        self,
        spec: training_pb2.TrainingSpec,
        *,
        job_id: str = "",
        display_name: str = "",
        priority: int = 0,
        sweep: str = "",
        validate_only: bool = False,
        intent: str = "",
    ) -> training_pb2.TrainingJob:
        """Queues a job; with validate_only nothing is stored and the job is returned as it would be.

        Under the same `intent` (a text of the caller's, such as a UUID) the same job is made once, however often this
        is called; empty: each call is one of its own.
        """
        job = training_pb2.TrainingJob(display_name=display_name, spec=spec, sweep=sweep)
        job.priority = within("priority", priority, 0, 100)
        request = training_pb2.CreateTrainingJobRequest(
            training_job_id=job_id,
            training_job=job,
            validate_only=validate_only,
            request_id=intent or request_id(),
        )
        return self._connection.call("training", self._stub.CreateTrainingJob, request, timeout_s=120.0)

    def get(self, job: str) -> training_pb2.TrainingJob:
        """One job."""
        request = training_pb2.GetTrainingJobRequest(name=_name(job))
        return self._connection.call("training", self._stub.GetTrainingJob, request)

    def list(
        self, *, states: Sequence[training_pb2.TrainingJobState.ValueType] = (), sweep: str = ""
    ) -> Iterator[training_pb2.TrainingJob]:
        """Jobs, newest first; only those in one of `states` and of `sweep` where given."""
        return every(
            lambda token: self._connection.call(
                "training",
                self._stub.ListTrainingJobs,
                training_pb2.ListTrainingJobsRequest(states=states, sweep=sweep, page_token=token),
            ),
            lambda page: page.training_jobs,
        )

    def watch(
        self, job: str, *, after_sequence: int = 0, on_reconnect: Callable[[AiftError], None] | None = None
    ) -> Iterator[training_pb2.TrainingEvent]:
        """What happened and what happens, in order and without gaps, until the job has ended.

        Broken streams are opened anew behind the last event seen, for up to five minutes without news of the
        service; on_reconnect is told why. Closing the iterator leaves the job running.
        """
        last = after_sequence
        patience = Patience(max(_WATCH_PATIENCE_S, self._connection.patience_s))
        while True:
            try:
                begin = last
                for event in self._events(job, begin):
                    patience.renew()
                    if event.sequence > last:
                        last = event.sequence
                        yield event
                        if event.state_changed.state in ENDED:
                            return
                if last == begin and self.get(job).state in ENDED:
                    return
                time.sleep(_QUIET_S)
            except AiftError as error:
                if on_reconnect and is_broken_stream(error):
                    on_reconnect(error)
                patience.wait(error, is_broken_stream)

    def wait(
        self,
        job: str,
        *,
        on_event: Callable[[training_pb2.TrainingEvent], None] | None = None,
    ) -> training_pb2.TrainingJob:
        """Waits until a job has succeeded. Raises TrainingError when it ended otherwise, else AiftError."""
        for event in self.watch(job):
            if on_event:
                on_event(event)
        now = self.get(job)
        if now.state == training_pb2.TRAINING_JOB_STATE_SUCCEEDED:
            return now
        raise TrainingError.of(now)

    def metrics(self, job: str, *, max_points: int = 0) -> Sequence[training_pb2.Metric]:
        """Metrics by step, thinned to max_points (0: 1,000)."""
        request = training_pb2.ListMetricsRequest(name=_name(job), max_points=max_points)
        return self._connection.call("training", self._stub.ListMetrics, request).metrics

    def checkpoints(self, job: str) -> Sequence[training_pb2.Checkpoint]:
        """Checkpoints that are kept, newest first."""
        request = training_pb2.ListCheckpointsRequest(name=_name(job))
        return self._connection.call("training", self._stub.ListCheckpoints, request).checkpoints

    def logs(self, job: str, *, follow: bool = False) -> Iterator[str]:
        """Lines of the trainer's log so far; with follow until the job has ended."""
        last = 0 if follow else self.get(job).last_sequence
        if not follow and last == 0:
            return
        for event in self.watch(job):
            yield from event.log.lines
            if event.log.dropped_lines:
                yield f"… {event.log.dropped_lines} lines left out"
            if not follow and event.sequence >= last:
                return

    def cancel(self, job: str) -> training_pb2.TrainingJob:
        """Ends a job without a model."""
        request = training_pb2.CancelTrainingJobRequest(name=_name(job))
        return self._connection.call("training", self._stub.CancelTrainingJob, request)

    def pause(self, job: str) -> training_pb2.TrainingJob:
        """Saves a checkpoint and frees the hardware."""
        request = training_pb2.PauseTrainingJobRequest(name=_name(job))
        return self._connection.call("training", self._stub.PauseTrainingJob, request)

    def resume(self, job: str) -> training_pb2.TrainingJob:
        """Puts a paused job back into the queue."""
        request = training_pb2.ResumeTrainingJobRequest(name=_name(job))
        return self._connection.call("training", self._stub.ResumeTrainingJob, request)

    def delete(self, job: str) -> None:
        """Deletes a job that has ended; the model version stays."""
        request = training_pb2.DeleteTrainingJobRequest(name=_name(job))
        self._connection.call("training", self._stub.DeleteTrainingJob, request)

    def workers(self) -> Sequence[training_pb2.Worker]:
        """Workers that were seen in the last minute."""
        request = training_pb2.ListWorkersRequest()
        return self._connection.call("training", self._stub.ListWorkers, request).workers

    def system(self) -> training_pb2.SystemInfo:
        """What the workers' machines have and use, and how many jobs there are in which state."""
        return self._connection.call("training", self._stub.GetSystemInfo, training_pb2.GetSystemInfoRequest())

    def _events(self, job: str, after_sequence: int) -> Iterator[training_pb2.TrainingEvent]:
        request = training_pb2.WatchTrainingJobRequest(name=_name(job), after_sequence=after_sequence)
        return self._connection.stream("training", self._stub.WatchTrainingJob, request, timeout_s=_WATCH_STREAM_S)


def _name(job: str) -> str:
    return qualified("trainingJobs", job)
