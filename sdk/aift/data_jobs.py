"""Work of the data service that takes longer than a call: followed, awaited, cancelled."""

from __future__ import annotations

import time
from collections.abc import Iterator

import grpc

from aift.connection import Connection
from aift.data.v1 import data_pb2
from aift.errors import AiftError, of_failure
from aift.names import qualified
from aift.pages import every
from aift.progress import OnProgress, Progress, Stage, silent
from aift.uploads import Uploads

ENDED = frozenset(
    {data_pb2.DATA_JOB_STATE_SUCCEEDED, data_pb2.DATA_JOB_STATE_FAILED, data_pb2.DATA_JOB_STATE_CANCELLED}
)
"""States after which nothing follows."""
_PATIENCE_S = 300.0
_FIRST_POLL_S = 0.05
_LONGEST_POLL_S = 1.0
_STAGES: dict[data_pb2.DataJobPhase.ValueType, Stage] = {
    data_pb2.DATA_JOB_PHASE_FETCHING: "fetching",
    data_pb2.DATA_JOB_PHASE_PREPARING: "preparing",
    data_pb2.DATA_JOB_PHASE_CHECKING: "validating",
    data_pb2.DATA_JOB_PHASE_COUNTING: "counting",
}
_LAST_STAGES: dict[data_pb2.DataJobKind.ValueType, Stage] = {
    data_pb2.DATA_JOB_KIND_PREPARATION: "preparing",
    data_pb2.DATA_JOB_KIND_TOKEN_COUNT: "counting",
}


class InvalidDataError(AiftError):
    """Rows that may not be trained on; `report` says which, why, and what to do."""

    def __init__(self, cause: AiftError, report: data_pb2.ValidationReport) -> None:
        super().__init__(cause.reason, cause.code, cause.message_en, cause.message_ja, violations=cause.violations)
        self.report = report


class DataJobs:
    """The part of `client.datasets` that follows data jobs."""

    def __init__(self, connection: Connection, uploads: Uploads) -> None:
        self._connection = connection
        self._stub = connection.data
        self._uploads = uploads

    def job(self, name: str, *, patience_s: float | None = None) -> data_pb2.DataJob:
        """A data job with its progress; patience_s is for a service that is away, the client's own by default."""
        request = data_pb2.GetDataJobRequest(name=qualified("dataJobs", name))
        return self._connection.call("data", self._stub.GetDataJob, request, patience_s=patience_s)

    def jobs(self, dataset: str = "") -> Iterator[data_pb2.DataJob]:
        """Data jobs, newest first, of one data set or of all."""
        parent = qualified("datasets", dataset) if dataset else ""
        return every(
            lambda token: self._connection.call(
                "data", self._stub.ListDataJobs, data_pb2.ListDataJobsRequest(dataset=parent, page_token=token)
            ),
            lambda page: page.data_jobs,
        )

    def cancel_job(self, name: str) -> data_pb2.DataJob:
        """Stops a data job."""
        request = data_pb2.CancelDataJobRequest(name=qualified("dataJobs", name))
        return self._connection.call("data", self._stub.CancelDataJob, request)

    def wait(self, job: str, *, on_progress: OnProgress = silent, timeout_s: float | None = None) -> data_pb2.DataJob:
        """Waits until a data job has done its work. Raises InvalidDataError, AiftError, or TimeoutError.

        The job goes on when its service is restarted, and so does waiting for it.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        patience = _PATIENCE_S if timeout_s is None else min(_PATIENCE_S, timeout_s)
        pause = _FIRST_POLL_S
        while (now := self.job(job, patience_s=patience)).state not in ENDED:
            on_progress(progress_of(now))
            if deadline is not None and time.monotonic() > deadline:
                raise TimeoutError(f"{now.name} has not ended after {timeout_s} s")
            time.sleep(pause)
            pause = min(pause * 1.5, _LONGEST_POLL_S)
        if now.state == data_pb2.DATA_JOB_STATE_SUCCEEDED:
            on_progress(progress_of(now))
            return now
        raise self._why(now)

    def report(self, name: str) -> data_pb2.ValidationReport:
        """What validation found, of "dataJobs/x" or of "datasets/x/versions/n"; of "datasets/x" the newest version's."""
        whole = name if name.startswith("dataJobs/") else self.version(name).name
        request = data_pb2.GetValidationReportRequest(name=whole)
        return self._connection.call("data", self._stub.GetValidationReport, request)

    def version(self, name: str) -> data_pb2.DatasetVersion:
        """One version, "datasets/x/versions/n", or the newest, "datasets/x"."""
        request = data_pb2.GetDatasetVersionRequest(name=qualified("datasets", name))
        return self._connection.call("data", self._stub.GetDatasetVersion, request)

    def _why(self, job: data_pb2.DataJob) -> AiftError:
        if job.state == data_pb2.DATA_JOB_STATE_CANCELLED:
            return AiftError(
                "CANCELLED", grpc.StatusCode.CANCELLED, f"{job.name} was cancelled.", f"{job.name} は中止されました。"
            )
        cause = of_failure(job.failure)
        return InvalidDataError(cause, self.report(job.name)) if cause.reason == "DATA_INVALID" else cause


def progress_of(job: data_pb2.DataJob) -> Progress:
    """How far a data job is."""
    stage = _STAGES.get(job.phase) or _LAST_STAGES.get(job.kind, "validating")
    done = job.total_bytes if job.state == data_pb2.DATA_JOB_STATE_SUCCEEDED else job.done_bytes
    return Progress(stage=stage, what=job.dataset, done=done, total=job.total_bytes, rows=job.rows)
