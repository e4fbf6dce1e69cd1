"""The registry as far as the data service asks it: files of base models, over real sockets."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import grpc
from aift.common.v1 import blob_pb2
from aift.registry.v1 import registry_pb2, registry_pb2_grpc

from services.core.errors import FailedPrecondition, NotFound
from services.core.status import translate

READY = "baseModels/tiny-ja"
IMPORTING = "baseModels/importing"


class RegistryPeer(registry_pb2_grpc.RegistryServiceServicer):
    """Base models by name, each a folder."""

    def __init__(self, **folders: Path) -> None:
        self.folders = {f"baseModels/{name.replace('_', '-')}": folder for name, folder in folders.items()}
        self.asked = 0

    async def GetModelFiles(
        self, request: registry_pb2.GetModelFilesRequest, context: Any
    ) -> registry_pb2.GetModelFilesResponse:
        self.asked += 1
        if request.name == IMPORTING:
            error = FailedPrecondition(request.name, state="IMPORTING", needed="READY")
            await context.abort_with_status(_status(error))
        if request.name not in self.folders:
            await context.abort_with_status(_status(NotFound(request.name)))
        folder = self.folders[request.name]
        files = [_file(path) for path in sorted(folder.iterdir())]
        digest = hashlib.sha256(b"".join(file.sha256.encode() for file in files)).hexdigest()
        return registry_pb2.GetModelFilesResponse(name=request.name, digest=digest, files=files)


def _file(path: Path) -> blob_pb2.FileUrl:
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    return blob_pb2.FileUrl(path=path.name, size_bytes=len(content), sha256=digest, url=path.as_uri())


def _status(error: NotFound | FailedPrecondition) -> Any:
    from grpc_status import rpc_status

    return rpc_status.to_status(translate(error, ("en", "ja"), "test"))


async def served(peer: RegistryPeer, port: int) -> grpc.aio.Server:
    """A running server."""
    server = grpc.aio.server()
    registry_pb2_grpc.add_RegistryServiceServicer_to_server(peer, server)
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    return server
