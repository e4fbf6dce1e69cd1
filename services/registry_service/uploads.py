"""Uploads of the data service, as the files of a model that they are to become."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from aift.common.v1 import blob_pb2
from aift.data.v1 import data_pb2, data_pb2_grpc

from services.registry_service.domain import StoredFile
from services.registry_service.file_kinds import check_paths

_AT_ONCE = 8


class Uploads:
    """Asks the data service, in the name of whoever calls us."""

    def __init__(self, data: data_pb2_grpc.DataServiceAsyncStub) -> None:
        self._data = data

    async def resolve(self, files: Sequence[blob_pb2.UploadedFile], *, field: str) -> tuple[StoredFile, ...]:
        """The objects of finalised uploads. Raises InvalidArgument naming `field`; what the data service says of an
        upload (NOT_FOUND, FAILED_PRECONDITION) reaches the client as it is."""
        check_paths([file.path for file in files], field=field)
        few = asyncio.Semaphore(_AT_ONCE)

        async def one(file: blob_pb2.UploadedFile) -> StoredFile:
            async with few:
                blob = await self._data.GetUploadBlob(data_pb2.GetUploadBlobRequest(name=file.upload))
            return StoredFile(path=file.path, size_bytes=blob.size_bytes, sha256=blob.sha256, key=blob.key)

        return tuple(await asyncio.gather(*(one(file) for file in files)))
