"""The registry as a process of its own, on real PostgreSQL, a real object store and real sockets."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import psycopg
import pytest
from aift.common.v1 import blob_pb2
from aift.data.v1 import data_pb2, data_pb2_grpc
from aift.registry.v1 import registry_pb2 as pb
from aift.registry.v1 import registry_pb2_grpc
from psycopg import sql

from services.core import auth, keys, lifeline, migrate
from services.core.channels import channel
from services.core.objects import ObjectStore
from services.core.objects.directory import DirectoryStore
from services.core.objects.s3 import S3Store
from services.core.relay import reason_of
from services.embedded.postgres import Postgres
from tests.conftest import S3Server, short_dir
from tests.integration.registry import tiny_model

PACKAGE = "services.registry_service"


class UploadsServer(data_pb2_grpc.DataServiceServicer):
    """Plays the one call of the data service that the registry makes, over a real socket."""

    def __init__(self) -> None:
        self.blobs: dict[str, blob_pb2.Blob] = {}
        self._server = grpc.server(ThreadPoolExecutor(4))
        data_pb2_grpc.add_DataServiceServicer_to_server(self, self._server)
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()

    def GetUploadBlob(self, request: data_pb2.GetUploadBlobRequest, context: Any) -> blob_pb2.Blob:
        if request.name not in self.blobs:
            context.abort(grpc.StatusCode.NOT_FOUND, f"{request.name} does not exist.")
        return self.blobs[request.name]

    def stop(self) -> None:
        """Ends it."""
        self._server.stop(None)


class RegistryProcess:
    """One process; it can be killed and started again on the same state."""

    def __init__(self, folder: Path, database_url: str, uploads: UploadsServer, **environment: str) -> None:
        self.folder = folder
        self.database_url = database_url
        self.uploads = uploads
        self.port = 0
        self.http_port = 0
        self.process: subprocess.Popen[bytes] | None = None
        self.log = folder / "service.log"
        self._key = keys.generate(folder / "signing.pem", folder / "auth")
        (folder / "own.token").write_text(self.token("service", "system"))
        own = {
            "AIFT_STATE_DIR": str(folder),
            "AIFT_DATABASE_URL": database_url,
            "AIFT_DATA_ADDRESS": uploads.address,
            "AIFT_SERVICE_TOKEN_FILE": str(folder / "own.token"),
            "AIFT_LISTEN": "127.0.0.1:0",
            "AIFT_HTTP_LISTEN": "127.0.0.1:0",
            "AIFT_DRAIN_SECONDS": "1",
            "AIFT_IMPORT_RESERVE_BYTES": "0",
        }
        self.environment = {**os.environ, **own, **environment}
        migrate.run(PACKAGE, url=database_url, schema="registry")

    def start(self) -> None:
        """Starts and waits until it listens."""
        with self.log.open("wb") as log:
            argv = [sys.executable, "-m", PACKAGE, "serve"]
            self.process = lifeline.popen(argv, env=self.environment, stdout=log, stderr=log)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and self.process.poll() is None:
            for line in self.log.read_text().splitlines():
                if '"listening"' in line:
                    said = json.loads(line)
                    self.port, self.http_port = said["port"], said["http_port"]
                    return
            time.sleep(0.05)
        raise AssertionError(self.log.read_text())

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Signals the process and waits for its end."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(60)

    def token(self, role: str, tenant: str) -> str:
        """A token of a role in a tenant."""
        return auth.mint(self._key, subject="alice", tenant=tenant, role=role, ttl_s=600)

    def sql(self, statement: str, *params: Any) -> list[tuple[Any, ...]]:
        """Runs a statement in the service's schema."""
        with psycopg.connect(self.database_url, options="-c search_path=registry", autocommit=True) as connection:
            cursor = connection.execute(statement.encode(), params)
            return cursor.fetchall() if cursor.description else []

    def objects(self) -> ObjectStore:
        """The object store that it uses."""
        if self.environment.get("AIFT_OBJECT_STORE") != "s3":
            return DirectoryStore(self.folder / "objects")
        return S3Store(
            endpoint=self.environment["AIFT_S3_ENDPOINT"],
            bucket=self.environment["AIFT_S3_BUCKET"],
            access_key=self.environment["AIFT_S3_ACCESS_KEY"],
            secret_key=self.environment["AIFT_S3_SECRET_KEY"],
        )


class Registry:
    """One tenant of a running registry, and what tests do again and again."""

    def __init__(self, process: RegistryProcess, tenant: str) -> None:
        self.process = process
        self.tenant = tenant
        self.store = process.objects()
        self._stubs: dict[tuple[str, str], registry_pb2_grpc.RegistryServiceAsyncStub] = {}
        self._channels: list[grpc.aio.Channel] = []

    async def close(self) -> None:
        """Closes all channels."""
        for opened in self._channels:
            await opened.close()

    def as_(self, role: str, tenant: str = "") -> registry_pb2_grpc.RegistryServiceAsyncStub:
        """The registry as someone of a role sees it."""
        tenant = tenant or self.tenant
        if (role, tenant) not in self._stubs:
            token = self.process.token(role, tenant)
            opened = channel(f"127.0.0.1:{self.process.port}", token=lambda: token)
            self._channels.append(opened)
            self._stubs[role, tenant] = registry_pb2_grpc.RegistryServiceStub(opened)  # type: ignore[assignment]
        return self._stubs[role, tenant]

    @property
    def editor(self) -> registry_pb2_grpc.RegistryServiceAsyncStub:
        """An editor."""
        return self.as_("editor")

    @property
    def service(self) -> registry_pb2_grpc.RegistryServiceAsyncStub:
        """Another service, acting for the tenant."""
        return self.as_("service")

    async def uploaded(self, files: Mapping[str, bytes]) -> list[blob_pb2.UploadedFile]:
        """The files as finalised uploads."""
        listed = []
        for path, data in files.items():
            name = f"uploads/{uuid.uuid4().hex[:12]}"
            self.process.uploads.blobs[name] = await self._put("data", data)
            listed.append(blob_pb2.UploadedFile(path=path, upload=name))
        return listed

    async def handed_over(self, files: Mapping[str, bytes]) -> list[blob_pb2.FileBlob]:
        """The files as objects of the training service."""
        return [blob_pb2.FileBlob(path=path, blob=await self._put("training", data)) for path, data in files.items()]

    async def import_base(self, id_: str, files: Mapping[str, bytes], **options: Any) -> pb.BaseModel:
        """A base model whose import has ended."""
        source = pb.UploadedFiles(files=await self.uploaded(files))
        request = pb.ImportBaseModelRequest(base_model_id=id_, uploads=source, **options)
        return await self.imported((await self.editor.ImportBaseModel(request)).name)

    async def import_hub(self, hub_id: str, **options: Any) -> pb.BaseModel:
        """A base model of the Hub whose import has ended."""
        hub = pb.HubSource(hub_id=hub_id, revision=options.pop("revision", ""))
        begun = await self.editor.ImportBaseModel(pb.ImportBaseModelRequest(hub=hub, **options))
        return await self.imported(begun.name)

    async def imported(self, name: str, within_s: float = 60) -> pb.BaseModel:
        """Waits for the end of an import."""
        async with asyncio.timeout(within_s):
            while True:
                seen = await self.editor.GetBaseModel(pb.GetBaseModelRequest(name=name))
                if seen.state != pb.BASE_MODEL_STATE_IMPORTING:
                    return seen
                await asyncio.sleep(0.03)

    async def ready(self, id_: str = "tiny", *, fill: int = 1) -> pb.BaseModel:
        """A base model that can be used."""
        made = await self.import_base(id_, tiny_model.llama(fill))
        assert made.state == pb.BASE_MODEL_STATE_READY, made.failure
        return made

    async def trained(
        self,
        base: pb.BaseModel,
        model: str = "models/faq",
        *,
        job: str = "",
        files: Mapping[str, bytes] | None = None,
        **said: Any,
    ) -> pb.ModelVersion:
        """A version as the training service makes it."""
        version: dict[str, Any] = {
            "kind": pb.MODEL_KIND_ADAPTER,
            "base_model": base.name,
            "base_model_digest": base.digest,
            "dataset_version": "datasets/faq/versions/1",
            "training_job": job or f"trainingJobs/{uuid.uuid4().hex[:12]}",
        }
        handed = await self.handed_over(files or tiny_model.adapter(fill=uuid.uuid4().int % 255))
        request = pb.CreateModelVersionRequest(
            model=model, model_version=pb.ModelVersion(**{**version, **said}), files=handed
        )
        return await self.service.CreateModelVersion(request)

    async def _put(self, prefix: str, data: bytes) -> blob_pb2.Blob:
        key = f"{prefix}/blobs/{uuid.uuid4().hex}"
        written = await self.store.put(key, data)
        return blob_pb2.Blob(sha256=written.sha256, size_bytes=written.size_bytes, key=key)


@asynccontextmanager
async def refused(reason: str) -> AsyncIterator[list[grpc.aio.AioRpcError]]:
    """The block's call must be refused with this reason; the error is in the list afterwards."""
    errors: list[grpc.aio.AioRpcError] = []
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        yield errors
    assert reason_of(caught.value) == reason, caught.value
    errors.append(caught.value)


@pytest.fixture(scope="session")
def uploads_server() -> Iterator[UploadsServer]:
    """The data service's part in it."""
    server = UploadsServer()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def make_process(postgres: Postgres, uploads_server: UploadsServer) -> Iterator[Callable[..., RegistryProcess]]:
    """`make_process(**environment)`: a registry that is not started yet, on a database and a folder of its own."""
    with ExitStack() as stack:

        def make(**environment: str) -> RegistryProcess:
            folder, name = short_dir(), f"registry_{uuid.uuid4().hex[:12]}"
            with psycopg.connect(postgres.url(), autocommit=True) as connection:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
            process = RegistryProcess(folder, postgres.url(database=name), uploads_server, **environment)
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
            stack.callback(_end, process)
            return process

        yield make


def _end(process: RegistryProcess) -> None:
    if process.process is not None and process.process.poll() is None:
        process.stop(signal.SIGKILL)


@pytest.fixture(scope="session")
def directory_process(make_process: Callable[..., RegistryProcess]) -> RegistryProcess:
    """One running registry for all tests that leave it alone; each of them has a tenant of its own."""
    process = make_process()
    process.start()
    return process


@pytest.fixture(scope="session")
def s3_process(make_process: Callable[..., RegistryProcess], s3_server: S3Server) -> RegistryProcess:
    """The same on MinIO."""
    process = make_process(**s3_server.environment(f"registry-{uuid.uuid4().hex[:12]}"))
    process.start()
    return process


@asynccontextmanager
async def tenant_of(process: RegistryProcess) -> AsyncIterator[Registry]:
    """A tenant of one's own in a running registry."""
    registry = Registry(process, uuid.uuid4().hex[:12])
    await registry.store.check()
    yield registry
    await registry.close()


@pytest.fixture
async def registry(directory_process: RegistryProcess) -> AsyncIterator[Registry]:
    """A tenant on the directory store."""
    async with tenant_of(directory_process) as one:
        yield one


@pytest.fixture(params=["directory", pytest.param("minio", marks=pytest.mark.minio)])
async def either_registry(request: pytest.FixtureRequest) -> AsyncIterator[Registry]:
    """A tenant on each kind of object store in turn."""
    name = "directory_process" if request.param == "directory" else "s3_process"
    async with tenant_of(request.getfixturevalue(name)) as one:
        yield one
