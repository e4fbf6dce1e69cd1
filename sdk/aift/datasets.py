"""Data sets: sent, checked, kept as versions, looked at, fetched back, deleted."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

import grpc

from aift.connection import Connection
from aift.data.v1 import data_pb2
from aift.errors import AiftError, invalid, of_failure
from aift.names import qualified, request_id, slug
from aift.pages import every
from aift.progress import OnProgress, Progress, silent
from aift.transfer import download
from aift.uploads import Uploads, readable_file

FORMS = {
    "text": data_pb2.ROW_FORM_TEXT,
    "instruction": data_pb2.ROW_FORM_INSTRUCTION,
    "messages": data_pb2.ROW_FORM_MESSAGES,
}
TRAIN_ON = {"completion": data_pb2.TRAIN_ON_COMPLETION, "all": data_pb2.TRAIN_ON_ALL}
_ENDED = frozenset(
    {data_pb2.DATA_JOB_STATE_SUCCEEDED, data_pb2.DATA_JOB_STATE_FAILED, data_pb2.DATA_JOB_STATE_CANCELLED}
)
Choice = TypeVar("Choice")
_FIRST_POLL_S = 0.05
_LONGEST_POLL_S = 1.0


class InvalidDataError(AiftError):
    """Rows that may not be trained on; `report` says which, why, and what to do."""

    def __init__(self, cause: AiftError, report: data_pb2.ValidationReport) -> None:
        super().__init__(cause.reason, cause.code, cause.message_en, cause.message_ja, violations=cause.violations)
        self.report = report


class Datasets:
    """`client.datasets`."""

    def __init__(self, connection: Connection, uploads: Uploads) -> None:
        self._connection = connection
        self._stub = connection.data
        self._uploads = uploads

    def upload(
        self,
        path: str | Path,
        *,
        dataset: str | None = None,
        display_name: str = "",
        form: str | None = None,
        train_on: str | None = None,
        on_progress: OnProgress = silent,
    ) -> data_pb2.DatasetVersion:
        """Sends a file, checks it and keeps it as the next version of a data set, which is made where it is missing.

        dataset is "datasets/x" or "x"; without it the file's name gives the id. form is "text", "instruction" or
        "messages", train_on "completion" or "all"; both are detected when left out. Raises InvalidDataError with the
        report, else AiftError.
        """
        source = readable_file(path)
        upload = self._uploads.send(source, on_progress=on_progress)
        owner = self.create_or_get(dataset or slug(source.stem), display_name=display_name or source.stem)
        job = self.validate(owner.name, upload.name, form=form, train_on=train_on)
        return self.version(self.wait(job.name, on_progress=on_progress).dataset_version)

    def from_texts(
        self, texts: Iterable[str], *, dataset: str | None = None, display_name: str = "", train_on: str | None = None
    ) -> data_pb2.DatasetVersion:
        """Keeps strings as the rows of a version, in the form {"text": …}. Errors as of upload."""
        with tempfile.TemporaryDirectory(prefix="aift-") as directory:
            path = Path(directory) / "texts.jsonl"
            with path.open("w", encoding="utf-8") as file:
                file.writelines(json.dumps({"text": row}, ensure_ascii=False) + "\n" for row in texts)
            return self.upload(
                path, dataset=dataset or "texts", display_name=display_name, form="text", train_on=train_on
            )

    def create_or_get(self, dataset: str, *, display_name: str = "") -> data_pb2.Dataset:
        """The data set of this id, made where it is missing; with an empty id a new one."""
        short = dataset.removeprefix("datasets/")
        try:
            return self.create(short, display_name=display_name)
        except AiftError as error:
            if error.code is not grpc.StatusCode.ALREADY_EXISTS or not short:
                raise
            return self.get(short)

    def create(self, dataset_id: str = "", *, display_name: str = "", description: str = "") -> data_pb2.Dataset:
        """Makes an empty data set; without an id one is chosen."""
        request = data_pb2.CreateDatasetRequest(
            dataset_id=dataset_id,
            dataset=data_pb2.Dataset(display_name=display_name, description=description),
            request_id=request_id(),
        )
        return self._connection.call("data", self._stub.CreateDataset, request)

    def validate(
        self, dataset: str, upload: str, *, form: str | None = None, train_on: str | None = None
    ) -> data_pb2.DataJob:
        """Starts checking a finalised upload; see `wait`."""
        request = data_pb2.ValidateDatasetRequest(
            dataset=qualified("datasets", dataset),
            upload=qualified("uploads", upload),
            form=_choice("form", form, FORMS, data_pb2.ROW_FORM_UNSPECIFIED),
            train_on=_choice("train_on", train_on, TRAIN_ON, data_pb2.TRAIN_ON_UNSPECIFIED),
            request_id=request_id(),
        )
        return self._connection.call("data", self._stub.ValidateDataset, request)

    def job(self, name: str) -> data_pb2.DataJob:
        """A data job with its progress."""
        request = data_pb2.GetDataJobRequest(name=qualified("dataJobs", name))
        return self._connection.call("data", self._stub.GetDataJob, request)

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
        """Waits until a data job has made its version. Raises InvalidDataError, AiftError, or TimeoutError."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        pause = _FIRST_POLL_S
        while (now := self.job(job)).state not in _ENDED:
            on_progress(Progress(stage="validating", what=now.dataset, done=now.done_bytes, total=now.total_bytes))
            if deadline is not None and time.monotonic() > deadline:
                raise TimeoutError(f"{now.name} has not ended after {timeout_s} s")
            time.sleep(pause)
            pause = min(pause * 1.5, _LONGEST_POLL_S)
        if now.state == data_pb2.DATA_JOB_STATE_SUCCEEDED:
            on_progress(Progress(stage="validating", what=now.dataset, done=now.total_bytes, total=now.total_bytes))
            return now
        raise self._why(now)

    def report(self, name: str) -> data_pb2.ValidationReport:
        """What validation found, of "dataJobs/x" or of "datasets/x/versions/n"; of "datasets/x" the newest version's."""
        whole = name if name.startswith("dataJobs/") else self.version(name).name
        request = data_pb2.GetValidationReportRequest(name=whole)
        return self._connection.call("data", self._stub.GetValidationReport, request)

    def get(self, dataset: str) -> data_pb2.Dataset:
        """One data set."""
        request = data_pb2.GetDatasetRequest(name=qualified("datasets", dataset))
        return self._connection.call("data", self._stub.GetDataset, request)

    def list(self) -> Iterator[data_pb2.Dataset]:
        """Data sets, newest first."""
        return every(
            lambda token: self._connection.call(
                "data", self._stub.ListDatasets, data_pb2.ListDatasetsRequest(page_token=token)
            ),
            lambda page: page.datasets,
        )

    def update(
        self, dataset: str, *, display_name: str | None = None, description: str | None = None
    ) -> data_pb2.Dataset:
        """Changes what is given."""
        changed = data_pb2.Dataset(name=qualified("datasets", dataset))
        request = data_pb2.UpdateDatasetRequest(dataset=changed, request_id=request_id())
        for field, value in (("display_name", display_name), ("description", description)):
            if value is not None:
                setattr(request.dataset, field, value)
                request.update_mask.paths.append(field)
        return self._connection.call("data", self._stub.UpdateDataset, request)

    def version(self, name: str) -> data_pb2.DatasetVersion:
        """One version, "datasets/x/versions/n", or the newest, "datasets/x"."""
        request = data_pb2.GetDatasetVersionRequest(name=qualified("datasets", name))
        return self._connection.call("data", self._stub.GetDatasetVersion, request)

    def versions(self, dataset: str) -> Iterator[data_pb2.DatasetVersion]:
        """Versions of a data set, newest first."""
        parent = qualified("datasets", dataset)
        return every(
            lambda token: self._connection.call(
                "data",
                self._stub.ListDatasetVersions,
                data_pb2.ListDatasetVersionsRequest(parent=parent, page_token=token),
            ),
            lambda page: page.dataset_versions,
        )

    def preview(self, name: str, *, offset: int = 0, limit: int = 20) -> data_pb2.PreviewRowsResponse:
        """Rows of a version from `offset`, at most 100, with what the model is shown and what it learns."""
        request = data_pb2.PreviewRowsRequest(name=qualified("datasets", name), offset=offset, limit=limit)
        return self._connection.call("data", self._stub.PreviewRows, request)

    def download(self, name: str, target: str | Path, *, on_progress: OnProgress = silent) -> Path:
        """Fetches the original bytes of a version; into a folder under the name they were sent with."""
        version = self.version(name)
        path = Path(target).expanduser()
        if path.is_dir():
            path /= Path(version.filename).name or "data.jsonl"
        download(
            lambda offset: self._read(version.name, offset),
            path,
            size_bytes=version.size_bytes,
            sha256=version.sha256,
            patience_s=self._connection.patience_s,
            on_progress=on_progress,
        )
        return path

    def delete(self, name: str) -> None:
        """Deletes a data set with its versions, or one version."""
        whole = qualified("datasets", name)
        if "/versions/" in whole:
            self._connection.call(
                "data", self._stub.DeleteDatasetVersion, data_pb2.DeleteDatasetVersionRequest(name=whole)
            )
        else:
            self._connection.call("data", self._stub.DeleteDataset, data_pb2.DeleteDatasetRequest(name=whole))

    def _read(self, version: str, offset: int) -> Iterator[bytes]:
        request = data_pb2.ReadDatasetRequest(name=version, offset_bytes=offset)
        for message in self._connection.stream("data", self._stub.ReadDataset, request):
            yield message.data

    def _why(self, job: data_pb2.DataJob) -> AiftError:
        if job.state == data_pb2.DATA_JOB_STATE_CANCELLED:
            return AiftError(
                "CANCELLED", grpc.StatusCode.CANCELLED, f"{job.name} was cancelled.", f"{job.name} は中止されました。"
            )
        cause = of_failure(job.failure)
        return InvalidDataError(cause, self.report(job.name)) if cause.reason == "DATA_INVALID" else cause


def _choice(field: str, value: str | None, choices: Mapping[str, Choice], default: Choice) -> Choice:
    if value is None:
        return default
    if value.lower() in choices:
        return choices[value.lower()]
    known = ", ".join(choices)
    raise invalid(
        field,
        "UNKNOWN_VALUE",
        f"{field} is {value!r}; choose from {known}.",
        f"{field} の {value!r} は使えません。{known} から選んでください。",
    )
