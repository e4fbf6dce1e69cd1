"""What a service is measured against: the same messages over grpc.aio, and nothing done with them.

    python benchmarks/bare_server.py

Prints its port. WriteUpload takes the stream and counts its SHA-256; GetDataset answers at once.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from typing import Any

import grpc
from aift.data.v1 import data_pb2, data_pb2_grpc


class Bare(data_pb2_grpc.DataServiceServicer):
    """No token, no database, no store."""

    async def WriteUpload(  # noqa: N802
        self, request_iterator: AsyncIterator[data_pb2.WriteUploadRequest], context: Any
    ) -> data_pb2.Upload:
        """Receives and hashes."""
        digest, size = hashlib.sha256(), 0
        async for message in request_iterator:
            data = message.data
            digest.update(data)
            size += len(data)
        return data_pb2.Upload(committed_bytes=size, sha256=digest.hexdigest())

    async def GetDataset(self, request: data_pb2.GetDatasetRequest, context: Any) -> data_pb2.Dataset:  # noqa: N802
        """Echoes the name."""
        return data_pb2.Dataset(name=request.name)


async def main() -> None:
    """Serves until killed."""
    server = grpc.aio.server()
    data_pb2_grpc.add_DataServiceServicer_to_server(Bare(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(port, flush=True)
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(main())
