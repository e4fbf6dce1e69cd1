"""Data sets."""

from __future__ import annotations

from aift.data.v1 import data_pb2 as pb
from google.protobuf.empty_pb2 import Empty

from services.core import idempotency, names, pages
from services.core.context import current
from services.core.errors import InvalidArgument
from services.data_service import conversion
from services.data_service.calls.parts import DATASET, Calls, Context


class DatasetCalls(Calls):
    """Making, reading, changing and deleting data sets."""

    async def CreateDataset(self, request: pb.CreateDatasetRequest, context: Context) -> pb.Dataset:
        id_ = names.check_id(request.dataset_id, field="dataset_id") if request.dataset_id else ""
        texts = _texts(request.dataset)
        key = idempotency.key_of(request)
        made = await self._parts.datasets.create(
            current().tenant, id_, texts["display_name"], texts["description"], key
        )
        return conversion.dataset(made)

    async def GetDataset(self, request: pb.GetDatasetRequest, context: Context) -> pb.Dataset:
        id_ = names.parse(DATASET, request.name)["dataset"]
        return conversion.dataset(await self._parts.datasets.get(current().tenant, id_))

    async def ListDatasets(self, request: pb.ListDatasetsRequest, context: Context) -> pb.ListDatasetsResponse:
        found, token = await self._parts.datasets.list(current().tenant, pages.page(request))
        return pb.ListDatasetsResponse(datasets=[conversion.dataset(one) for one in found], next_page_token=token)

    async def UpdateDataset(self, request: pb.UpdateDatasetRequest, context: Context) -> pb.Dataset:
        id_ = names.parse(DATASET, request.dataset.name, field="dataset.name")["dataset"]
        texts = _texts(request.dataset)
        paths = list(request.update_mask.paths) or list(texts)
        if unknown := [path for path in paths if path not in texts]:
            raise _unknown_path(unknown[0])
        values = {path: texts[path] for path in paths}
        key = idempotency.key_of(request)
        changed = await self._parts.datasets.update(current().tenant, id_, values, request.dataset.etag, key)
        return conversion.dataset(changed)

    async def DeleteDataset(self, request: pb.DeleteDatasetRequest, context: Context) -> Empty:
        id_ = names.parse(DATASET, request.name)["dataset"]
        await self._parts.datasets.delete(current().tenant, id_, force=request.force)
        return Empty()


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
