"""Data jobs."""

from __future__ import annotations

from dataclasses import replace

from aift.data.v1 import data_pb2 as pb

from services.core import names, pages
from services.core.context import current
from services.data_service import conversion, job_request
from services.data_service.calls.parts import DATASET, JOB, UPLOAD, Calls, Context
from services.data_service.data_job import JobKind


class JobCalls(Calls):
    """Starting, following and stopping data jobs."""

    async def ValidateDataset(self, request: pb.ValidateDatasetRequest, context: Context) -> pb.DataJob:
        dataset_id, new_dataset = job_request.receiver(request)
        upload_id = names.parse(UPLOAD, request.upload, field="upload")["upload"]
        spec = replace(job_request.reading(request.form, request.train_on, request.read), new_dataset=new_dataset)
        return await self._start(JobKind.VALIDATION, dataset_id, spec, request, upload_id=upload_id)

    async def GetDataJob(self, request: pb.GetDataJobRequest, context: Context) -> pb.DataJob:
        id_ = names.parse(JOB, request.name)["job"]
        return conversion.job(await self._parts.jobs.get(current().tenant, id_))

    async def ListDataJobs(self, request: pb.ListDataJobsRequest, context: Context) -> pb.ListDataJobsResponse:
        dataset_id = names.parse(DATASET, request.dataset, field="dataset")["dataset"] if request.dataset else ""
        page = pages.page(request, dataset=dataset_id)
        found, token = await self._parts.jobs.list(current().tenant, dataset_id, page)
        return pb.ListDataJobsResponse(data_jobs=[conversion.job(one) for one in found], next_page_token=token)

    async def CancelDataJob(self, request: pb.CancelDataJobRequest, context: Context) -> pb.DataJob:
        id_ = names.parse(JOB, request.name)["job"]
        return conversion.job(await self._parts.jobs.cancel(current().tenant, id_))

    async def GetValidationReport(
        self, request: pb.GetValidationReportRequest, context: Context
    ) -> pb.ValidationReport:
        data_job = request.name
        if not names.matches(JOB, data_job):
            data_job = (await self._version(data_job)).data_job
        found = await self._parts.jobs.report(current().tenant, names.parse(JOB, data_job)["job"])
        return conversion.report(found, data_job)
