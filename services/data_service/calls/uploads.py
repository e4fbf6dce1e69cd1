"""Uploads: how files come in."""

from __future__ import annotations

from collections.abc import AsyncIterator

from aift.common.v1 import blob_pb2
from aift.data.v1 import data_pb2 as pb

from services.core import idempotency
from services.core.context import current
from services.data_service import conversion
from services.data_service.calls.parts import Calls, Context


class UploadCalls(Calls):
    """From CreateUpload to GetUploadBlob."""

    async def CreateUpload(self, request: pb.CreateUploadRequest, context: Context) -> pb.Upload:
        key = idempotency.key_of(request)
        made = await self._parts.uploads.create(current().tenant, request.filename, request.size_bytes, key)
        return conversion.upload(made)

    async def GetUpload(self, request: pb.GetUploadRequest, context: Context) -> pb.Upload:
        return conversion.upload(await self._parts.uploads.get(current().tenant, request.name))

    async def WriteUpload(self, request_iterator: AsyncIterator[pb.WriteUploadRequest], context: Context) -> pb.Upload:
        return conversion.upload(await self._parts.uploads.write(current().tenant, aiter(request_iterator)))

    async def FinalizeUpload(self, request: pb.FinalizeUploadRequest, context: Context) -> pb.Upload:
        return conversion.upload(await self._parts.uploads.finalize(current().tenant, request.name, request.sha256))

    async def GetUploadBlob(self, request: pb.GetUploadBlobRequest, context: Context) -> blob_pb2.Blob:
        return conversion.blob(await self._parts.uploads.blob(current().tenant, request.name))
