"""DataService over gRPC: takes requests apart, asks the domain, answers in messages."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc
from aift.common.v1 import blob_pb2
from aift.data.v1 import data_pb2 as pb
from aift.data.v1 import data_pb2_grpc
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message

from services.core import idempotency, names, pages
from services.core.context import current
from services.core.errors import InvalidArgument, NotFound, OutOfRange
from services.core.objects import ObjectStore
from services.data_service import conversion, job_request
from services.data_service.dataset_store import DatasetStore
from services.data_service.domain import JobKind, JobSpec, Version
from services.data_service.job_runner import JobRunner
from services.data_service.job_store import JobStore
from services.data_service.reference_store import ReferenceStore
from services.data_service.row_pages import RowPages
from services.data_service.uploads import Uploads
from services.data_service.version_store import VersionStore

DATASET = "datasets/{dataset}"
VERSION = "datasets/{dataset}/versions/{n}"
UPLOAD = "uploads/{upload}"
JOB = "dataJobs/{job}"
BASE_MODEL = "baseModels/{base_model}"
FILE_URL_TTL_S = 6 * 3600.0
_DEFAULT_ROWS = 20
_MAX_ROWS = 100

Context = grpc.aio.ServicerContext[Any, Any]


class DataServicer(data_pb2_grpc.DataServiceServicer):
    """The RPCs of data.proto."""

    def __init__(
        self,
        *,
        uploads: Uploads,
        datasets: DatasetStore,
        versions: VersionStore,
        references: ReferenceStore,
        jobs: JobStore,
        runner: JobRunner,
        objects: ObjectStore,
    ) -> None:
        self._uploads = uploads
        self._datasets = datasets
        self._versions = versions
        self._references = references
        self._jobs = jobs
        self._runner = runner
        self._objects = objects
        self._rows = RowPages(objects)

    async def CreateUpload(self, request: pb.CreateUploadRequest, context: Context) -> pb.Upload:
        key = idempotency.key_of(request)
        made = await self._uploads.create(current().tenant, request.filename, request.size_bytes, key)
        return conversion.upload(made)

    async def GetUpload(self, request: pb.GetUploadRequest, context: Context) -> pb.Upload:
        return conversion.upload(await self._uploads.get(current().tenant, request.name))

    async def WriteUpload(self, request_iterator: AsyncIterator[pb.WriteUploadRequest], context: Context) -> pb.Upload:
        return conversion.upload(await self._uploads.write(current().tenant, aiter(request_iterator)))

    async def FinalizeUpload(self, request: pb.FinalizeUploadRequest, context: Context) -> pb.Upload:
        return conversion.upload(await self._uploads.finalize(current().tenant, request.name, request.sha256))

    async def GetUploadBlob(self, request: pb.GetUploadBlobRequest, context: Context) -> blob_pb2.Blob:
        return conversion.blob(await self._uploads.blob(current().tenant, request.name))

    async def CreateDataset(self, request: pb.CreateDatasetRequest, context: Context) -> pb.Dataset:
        id_ = names.check_id(request.dataset_id, field="dataset_id") if request.dataset_id else ""
        texts = _texts(request.dataset)
        key = idempotency.key_of(request)
        made = await self._datasets.create(current().tenant, id_, texts["display_name"], texts["description"], key)
        return conversion.dataset(made)

    async def GetDataset(self, request: pb.GetDatasetRequest, context: Context) -> pb.Dataset:
        id_ = names.parse(DATASET, request.name)["dataset"]
        return conversion.dataset(await self._datasets.get(current().tenant, id_))

    async def ListDatasets(self, request: pb.ListDatasetsRequest, context: Context) -> pb.ListDatasetsResponse:
        found, token = await self._datasets.list(current().tenant, pages.page(request))
        return pb.ListDatasetsResponse(datasets=[conversion.dataset(one) for one in found], next_page_token=token)

    async def UpdateDataset(self, request: pb.UpdateDatasetRequest, context: Context) -> pb.Dataset:
        id_ = names.parse(DATASET, request.dataset.name, field="dataset.name")["dataset"]
        texts = _texts(request.dataset)
        paths = list(request.update_mask.paths) or list(texts)
        if unknown := [path for path in paths if path not in texts]:
            raise _unknown_path(unknown[0])
        values = {path: texts[path] for path in paths}
        key = idempotency.key_of(request)
        changed = await self._datasets.update(current().tenant, id_, values, request.dataset.etag, key)
        return conversion.dataset(changed)

    async def DeleteDataset(self, request: pb.DeleteDatasetRequest, context: Context) -> Empty:
        id_ = names.parse(DATASET, request.name)["dataset"]
        await self._datasets.delete(current().tenant, id_, force=request.force)
        return Empty()

    async def ValidateDataset(self, request: pb.ValidateDatasetRequest, context: Context) -> pb.DataJob:
        dataset_id = names.parse(DATASET, request.dataset, field="dataset")["dataset"]
        upload_id = names.parse(UPLOAD, request.upload, field="upload")["upload"]
        spec = job_request.reading(request.form, request.train_on, request.read)
        return await self._start(JobKind.VALIDATION, dataset_id, spec, request, upload_id=upload_id)

    async def _start(
        self, kind: JobKind, dataset_id: str, spec: JobSpec, request: Message, *, upload_id: str = ""
    ) -> pb.DataJob:
        key = idempotency.key_of(request)
        asked = await self._jobs.create(current().tenant, kind, dataset_id, spec, key, upload_id=upload_id)
        self._runner.wake()
        return conversion.job(asked)

    async def GetDataJob(self, request: pb.GetDataJobRequest, context: Context) -> pb.DataJob:
        id_ = names.parse(JOB, request.name)["job"]
        return conversion.job(await self._jobs.get(current().tenant, id_))

    async def ListDataJobs(self, request: pb.ListDataJobsRequest, context: Context) -> pb.ListDataJobsResponse:
        dataset_id = names.parse(DATASET, request.dataset, field="dataset")["dataset"] if request.dataset else ""
        page = pages.page(request, dataset=dataset_id)
        found, token = await self._jobs.list(current().tenant, dataset_id, page)
        return pb.ListDataJobsResponse(data_jobs=[conversion.job(one) for one in found], next_page_token=token)

    async def CancelDataJob(self, request: pb.CancelDataJobRequest, context: Context) -> pb.DataJob:
        id_ = names.parse(JOB, request.name)["job"]
        return conversion.job(await self._jobs.cancel(current().tenant, id_))

    async def GetValidationReport(
        self, request: pb.GetValidationReportRequest, context: Context
    ) -> pb.ValidationReport:
        data_job = request.name
        if not names.matches(JOB, data_job):
            data_job = (await self._version(data_job)).data_job
        found = await self._jobs.report(current().tenant, names.parse(JOB, data_job)["job"])
        return conversion.report(found, data_job)

    async def GetDatasetVersion(self, request: pb.GetDatasetVersionRequest, context: Context) -> pb.DatasetVersion:
        return conversion.version(await self._version(request.name, newest=True))

    async def ListDatasetVersions(
        self, request: pb.ListDatasetVersionsRequest, context: Context
    ) -> pb.ListDatasetVersionsResponse:
        dataset_id = names.parse(DATASET, request.parent, field="parent")["dataset"]
        page = pages.page(request, parent=dataset_id)
        found, token = await self._versions.list(current().tenant, dataset_id, page)
        return pb.ListDatasetVersionsResponse(
            dataset_versions=[conversion.version(one) for one in found], next_page_token=token
        )

    async def DeleteDatasetVersion(self, request: pb.DeleteDatasetVersionRequest, context: Context) -> Empty:
        ids = names.parse(VERSION, request.name)
        await self._versions.delete(current().tenant, ids["dataset"], int(ids["n"]), force=request.force)
        return Empty()

    async def ListDatasetReferences(
        self, request: pb.ListDatasetReferencesRequest, context: Context
    ) -> pb.ListDatasetReferencesResponse:
        dataset_id, number = _dataset_or_version(request.name)
        page = pages.page(request, name=request.name)
        found, token = await self._references.list(current().tenant, dataset_id, number, page)
        return pb.ListDatasetReferencesResponse(
            references=[conversion.reference(one) for one in found], next_page_token=token
        )

    async def AddDatasetReference(self, request: pb.AddDatasetReferenceRequest, context: Context) -> Empty:
        names.parse(VERSION, request.dataset_version, field="dataset_version")
        referrer = names.check_text(request.referrer, field="referrer")
        await self._references.add(current().tenant, request.dataset_version, referrer)
        return Empty()

    async def RemoveDatasetReference(self, request: pb.RemoveDatasetReferenceRequest, context: Context) -> Empty:
        names.parse(VERSION, request.dataset_version, field="dataset_version")
        await self._references.remove(current().tenant, request.dataset_version, request.referrer)
        return Empty()

    async def GetTokenStatistics(self, request: pb.GetTokenStatisticsRequest, context: Context) -> pb.TokenStatistics:
        version = await self._version(request.name)
        names.parse(BASE_MODEL, request.base_model, field="base_model")
        found = await self._versions.token_statistics(
            current().tenant, version.dataset_id, version.number, request.base_model
        )
        return conversion.token_statistics(version, request.base_model, *found)

    async def PreviewRows(self, request: pb.PreviewRowsRequest, context: Context) -> pb.PreviewRowsResponse:
        if request.offset < 0 or not 0 <= request.limit <= _MAX_ROWS:
            raise _out_of_bounds("offset" if request.offset < 0 else "limit")
        version = await self._version(request.name, newest=True)
        rows = await self._rows.page(version, request.offset, request.limit or _DEFAULT_ROWS)
        return pb.PreviewRowsResponse(rows=[conversion.row(one) for one in rows], total_rows=version.statistics.rows)

    async def ReadDataset(
        self, request: pb.ReadDatasetRequest, context: Context
    ) -> AsyncIterator[pb.ReadDatasetResponse]:
        version = await self._version(request.name)
        file = version.file(request.path)
        if file is None or file not in version.visible_files:
            raise NotFound(f"{request.name}/{request.path}")
        if not 0 <= request.offset_bytes <= file.size_bytes:
            raise OutOfRange("offset_bytes", value=request.offset_bytes, expected=file.size_bytes)
        async for piece in self._objects.open(file.key, request.offset_bytes):
            yield pb.ReadDatasetResponse(data=piece)

    async def GetDatasetFiles(self, request: pb.GetDatasetFilesRequest, context: Context) -> pb.GetDatasetFilesResponse:
        answer = pb.GetDatasetFilesResponse()
        for file in (await self._version(request.name)).visible_files:
            url = await self._objects.read_url(file.key, FILE_URL_TTL_S)
            answer.files.add(path=file.path, size_bytes=file.size_bytes, sha256=file.sha256, url=url)
        return answer

    async def _version(self, name: str, *, newest: bool = False) -> Version:
        """The version of a name; where `newest` is allowed, also that of a data set."""
        if newest and names.matches(DATASET, name):
            return await self._versions.get(current().tenant, names.parse(DATASET, name)["dataset"], None)
        ids = names.parse(VERSION, name)
        return await self._versions.get(current().tenant, ids["dataset"], int(ids["n"]))


def _dataset_or_version(name: str) -> tuple[str, int | None]:
    if names.matches(DATASET, name):
        return names.parse(DATASET, name)["dataset"], None
    ids = names.parse(VERSION, name)
    return ids["dataset"], int(ids["n"])


def _texts(dataset: pb.Dataset) -> dict[str, str]:
    return {
        "display_name": names.check_text(dataset.display_name, field="dataset.display_name"),
        "description": names.check_text(dataset.description, field="dataset.description", max_chars=4000),
    }


def _unknown_path(path: str) -> InvalidArgument:
    return InvalidArgument.field(
        "update_mask",
        "UNKNOWN_PATH",
        f"May name display_name and description, not {path!r}.",
        f"指定できるのは display_name と description です (指定値: {path!r})。",
    )


def _out_of_bounds(field: str) -> InvalidArgument:
    bounds = "0 or more" if field == "offset" else f"0 to {_MAX_ROWS}"
    bounds_ja = "0 以上" if field == "offset" else f"0〜{_MAX_ROWS}"
    return InvalidArgument.field(field, "OUT_OF_BOUNDS", f"Must be {bounds}.", f"{bounds_ja} で指定してください。")
