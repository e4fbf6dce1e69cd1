"""What is in a version."""

from __future__ import annotations

from collections.abc import AsyncIterator

from aift.data.v1 import data_pb2 as pb

from services.core import names
from services.core.context import current
from services.core.errors import NotFound, OutOfRange
from services.data_service import conversion
from services.data_service.calls.parts import BASE_MODEL, Calls, Context, check_bounds

FILE_URL_TTL_S = 6 * 3600.0
_DEFAULT_ROWS = 20
_MAX_ROWS = 100


class RowCalls(Calls):
    """Rows, files and token lengths."""

    async def PreviewRows(self, request: pb.PreviewRowsRequest, context: Context) -> pb.PreviewRowsResponse:
        check_bounds("offset", request.offset)
        check_bounds("limit", request.limit, _MAX_ROWS)
        version = await self._version(request.name, newest=True)
        rows = await self._parts.rows.page(version, request.offset, request.limit or _DEFAULT_ROWS)
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
        async for piece in self._parts.objects.open(file.key, request.offset_bytes):
            yield pb.ReadDatasetResponse(data=piece)

    async def GetDatasetFiles(self, request: pb.GetDatasetFilesRequest, context: Context) -> pb.GetDatasetFilesResponse:
        answer = pb.GetDatasetFilesResponse()
        for file in (await self._version(request.name)).visible_files:
            url = await self._parts.objects.read_url(file.key, FILE_URL_TTL_S)
            answer.files.add(path=file.path, size_bytes=file.size_bytes, sha256=file.sha256, url=url)
        return answer

    async def GetTokenStatistics(self, request: pb.GetTokenStatisticsRequest, context: Context) -> pb.TokenStatistics:
        version = await self._version(request.name)
        names.parse(BASE_MODEL, request.base_model, field="base_model")
        found = await self._parts.versions.token_statistics(
            current().tenant, version.dataset_id, version.number, request.base_model
        )
        return conversion.token_statistics(version, request.base_model, *found)
