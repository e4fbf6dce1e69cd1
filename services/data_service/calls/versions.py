"""Versions of data sets, and what depends on them."""

from __future__ import annotations

from aift.data.v1 import data_pb2 as pb
from google.protobuf.empty_pb2 import Empty

from services.core import names, pages
from services.core.context import current
from services.data_service import conversion
from services.data_service.calls.parts import DATASET, VERSION, Calls, Context


class VersionCalls(Calls):
    """Versions and references."""

    async def GetDatasetVersion(self, request: pb.GetDatasetVersionRequest, context: Context) -> pb.DatasetVersion:
        return conversion.version(await self._version(request.name, newest=True))

    async def ListDatasetVersions(
        self, request: pb.ListDatasetVersionsRequest, context: Context
    ) -> pb.ListDatasetVersionsResponse:
        dataset_id = names.parse(DATASET, request.parent, field="parent")["dataset"]
        page = pages.page(request, parent=dataset_id)
        found, token = await self._parts.versions.list(current().tenant, dataset_id, page)
        return pb.ListDatasetVersionsResponse(
            dataset_versions=[conversion.version(one) for one in found], next_page_token=token
        )

    async def DeleteDatasetVersion(self, request: pb.DeleteDatasetVersionRequest, context: Context) -> Empty:
        ids = names.parse(VERSION, request.name)
        await self._parts.versions.delete(current().tenant, ids["dataset"], int(ids["n"]), force=request.force)
        return Empty()

    async def ListDatasetReferences(
        self, request: pb.ListDatasetReferencesRequest, context: Context
    ) -> pb.ListDatasetReferencesResponse:
        dataset_id, number = _dataset_or_version(request.name)
        page = pages.page(request, name=request.name)
        if number is None:
            await self._parts.datasets.get(current().tenant, dataset_id)
        else:
            await self._parts.versions.get(current().tenant, dataset_id, number)
        found, token = await self._parts.references.list(current().tenant, dataset_id, number, page)
        return pb.ListDatasetReferencesResponse(
            references=[conversion.reference(one) for one in found], next_page_token=token
        )

    async def AddDatasetReference(self, request: pb.AddDatasetReferenceRequest, context: Context) -> Empty:
        names.parse(VERSION, request.dataset_version, field="dataset_version")
        referrer = names.check_text(request.referrer, field="referrer")
        await self._parts.references.add(current().tenant, request.dataset_version, referrer)
        return Empty()

    async def RemoveDatasetReference(self, request: pb.RemoveDatasetReferenceRequest, context: Context) -> Empty:
        names.parse(VERSION, request.dataset_version, field="dataset_version")
        await self._parts.references.remove(current().tenant, request.dataset_version, request.referrer)
        return Empty()


def _dataset_or_version(name: str) -> tuple[str, int | None]:
    if names.matches(DATASET, name):
        return names.parse(DATASET, name)["dataset"], None
    ids = names.parse(VERSION, name)
    return ids["dataset"], int(ids["n"])
