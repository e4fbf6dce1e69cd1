"""A small service on a real socket: the contract of the data service, answered by whatever a test wants."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Protocol

import grpc
import pytest
from aift.data.v1 import data_pb2, data_pb2_grpc
from pydantic import SecretStr

from services.core.channels import channel
from services.core.readiness import Check
from services.core.server import GrpcServer, Registration
from services.core.settings import Settings


class Answers(data_pb2_grpc.DataServiceServicer):
    """Each test sets what it needs."""

    get: Callable[[data_pb2.GetDatasetRequest], Awaitable[data_pb2.Dataset]]
    create: Callable[[data_pb2.CreateDatasetRequest], Awaitable[data_pb2.Dataset]]
    read: Callable[[data_pb2.ReadDatasetRequest], AsyncIterator[data_pb2.ReadDatasetResponse]]
    write: Callable[[AsyncIterator[data_pb2.WriteUploadRequest]], Awaitable[data_pb2.Upload]]

    async def GetDataset(self, request: data_pb2.GetDatasetRequest, context: Any) -> data_pb2.Dataset:
        return await self.get(request)

    async def CreateDataset(self, request: data_pb2.CreateDatasetRequest, context: Any) -> data_pb2.Dataset:
        return await self.create(request)

    async def ReadDataset(
        self, request: data_pb2.ReadDatasetRequest, context: Any
    ) -> AsyncIterator[data_pb2.ReadDatasetResponse]:
        async for answer in self.read(request):
            yield answer

    async def WriteUpload(
        self, request_iterator: AsyncIterator[data_pb2.WriteUploadRequest], context: Any
    ) -> data_pb2.Upload:
        return await self.write(request_iterator)


class Start(Protocol):
    """Starts a server and connects to it."""

    async def __call__(
        self, ready: Mapping[str, Check] | None = None, *, extra: list[Registration] | None = None, **settings: Any
    ) -> GrpcServer: ...


@pytest.fixture
def answers() -> Answers:
    """What the server answers."""
    return Answers()


@pytest.fixture
async def start(answers: Answers, tmp_path: Path, auth_dir: Path) -> AsyncIterator[Start]:
    """`server = await start(ready, **settings)`; stopped after the test."""
    async with AsyncExitStack() as stack:

        async def begin(
            ready: Mapping[str, Check] | None = None, *, extra: list[Registration] | None = None, **settings: Any
        ) -> GrpcServer:
            told = {"listen": "127.0.0.1:0", "drain_seconds": 0.2, "state_dir": tmp_path, "auth_dir": auth_dir}
            chosen = Settings(database_url=SecretStr("postgresql://nowhere"), **(told | settings))
            mine: Registration = (data_pb2_grpc.add_DataServiceServicer_to_server, answers)
            server = await stack.enter_async_context(GrpcServer(chosen, [mine, *(extra or [])], ready))
            if ready is None:
                await server.wait_ready()
            return server

        yield begin


@pytest.fixture
async def connect() -> AsyncIterator[Callable[..., Any]]:
    """`stub = connect(server, token)`: a stub over a channel as services use it."""
    async with AsyncExitStack() as stack:
        opened: list[grpc.aio.Channel] = []

        def open_stub(server: GrpcServer, token: str | None = None) -> Any:
            made = channel(f"127.0.0.1:{server.port}", token=None if token is None else lambda: token)
            opened.append(made)
            return data_pb2_grpc.DataServiceStub(made)

        async def close() -> None:
            for one in opened:
                await one.close()

        stack.push_async_callback(close)
        yield open_stub
